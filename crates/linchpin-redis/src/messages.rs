//! Messages: publishing, subscribing, and the wake-ups of members that wait for a stream.

use crate::commands::{CHANNELS, Prefix, wake};
use crate::connection::Connection;
use crate::hub::{Hub, Listener, Listening};
use crate::topics::Topic;
use linchpin_core::fanout::Subscribers;
use linchpin_core::life::Ended;
use linchpin_core::{Channel, Message, Pattern, Reach, Result, StreamName, Subscription};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

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
pub(crate) async fn subscribe(hub: &Arc<Hub>, pattern: &Pattern) -> Result<Subscription> {
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
    fn receive(&self, channel: &str, payload: &[u8]) {
        // No channel is without a name: whoever connects asks there whether he may publish.
        if let Some(own) = channel.strip_prefix(CHANNELS).filter(|own| !own.is_empty()) {
            self.0.dispatch(&Message { channel: own.to_owned(), payload: payload.to_vec(), timestamp: None });
        }
    }

    fn mark_gap(&self) {
        self.0.mark_gap();
    }

    fn end(&self, ended: Ended) {
        self.0.end(move || ended.error("subscribe"));
    }
}

/// A member's wait for a stream: woken when it is appended to, and by anything else that makes a claim worth
/// another look.
pub(crate) struct Waker {
    woken: Arc<Woken>,
    _listening: Listening,
}

#[derive(Default)]
struct Woken(Notify);

impl Listener for Woken {
    fn receive(&self, _: &str, _: &[u8]) {
        self.0.notify_one();
    }

    fn mark_gap(&self) {
        self.0.notify_one();
    }

    fn end(&self, _: Ended) {
        self.0.notify_one();
    }
}

impl Waker {
    pub(crate) async fn of(hub: &Arc<Hub>, stream: &StreamName) -> Result<Self> {
        let woken = Arc::new(Woken::default());
        let listening = hub.listen("claim", Topic::Channel(wake(stream)), woken.clone()).await?;
        Ok(Self { woken, _listening: listening })
    }

    /// Returns when the stream is to be looked at again; remembers a wake-up that came before the call.
    pub(crate) async fn woken(&mut self) {
        self.woken.0.notified().await;
    }
}
