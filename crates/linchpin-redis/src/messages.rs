//! Messages: publishing and subscribing.

use crate::commands::{CHANNELS, Prefix};
use crate::connection::Connection;
use crate::server::{Listening, Pushes};
use bytes::Bytes;
use linchpin_adapter::fanout::Subscribers;
use linchpin_adapter::hub::{Listener, Topic};
use linchpin_core::life::End;
use linchpin_core::{Channel, Pattern, Publication, Reach, Result, Subscription};
use parking_lot::Mutex;
use std::sync::Arc;

/// Sends a message to whoever is subscribed now.
pub(crate) async fn publish(
    connection: &Connection,
    prefix: &Prefix,
    channel: &Channel,
    payload: &[u8],
) -> Result<Reach> {
    let mut command = redis::cmd("PUBLISH");
    command.arg(prefix.channel(&on_channel(channel.as_str()))).arg(payload);
    let reached: u64 = connection.send("publish", &command).await?;
    Ok(Reach { at_most: Some(reached) })
}

fn on_channel(name: &str) -> String {
    format!("{CHANNELS}{name}")
}

/// Subscribes; returns once the subscription is live at the server.
pub(crate) async fn subscribe(hub: &Arc<Pushes>, pattern: &Pattern) -> Result<Subscription> {
    let topic = match pattern.literal() {
        Some(channel) => Topic::Channel(on_channel(&channel)),
        None => Topic::Start(on_channel(&pattern.literal_prefix())),
    };
    let subscriber = Arc::new(Subscriber::default());
    // The stream first: what arrives once the server confirms finds it. It then holds what it listens by.
    let held: Arc<Mutex<Option<Listening>>> = Arc::default();
    let given_up = held.clone();
    let stream = subscriber.0.add(pattern.clone(), move || drop(given_up.lock().take()));
    *held.lock() = Some(hub.listen("subscribe", topic, subscriber).await?);
    Ok(stream)
}

/// One subscription.
#[derive(Default)]
struct Subscriber(Subscribers);

impl Listener for Subscriber {
    fn receive(&self, channel: &str, payload: Bytes) {
        // No channel is without a name: whoever connects asks there whether he may publish.
        if let Some(Ok(own)) = channel.strip_prefix(CHANNELS).map(Channel::stored) {
            self.0.dispatch(&Publication::new(own, payload));
        }
    }

    fn mark_gap(&self) {
        self.0.mark_gap();
    }

    fn end(&self, ended: End) {
        self.0.end(move || ended.error("subscribe"));
    }
}
