//! Messages that are lost, overtaken or counted wrong, and subscriptions that are not there.

use crate::mutants::mutant::{Fault, Mutant};
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use linchpin_conformance::async_trait;
use linchpin_core::{Channel, Driver, Pattern, Reach, Result, Subscription, SubscriptionEvent};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "messages_reordered",
            breaks: "Now and then a message is overtaken by the next one",
            caught_by: "messages.messages_keep_their_order",
            fault: Arc::new(Overtaken::default()),
        },
        Mutant {
            name: "lag_is_silent",
            breaks: "A subscriber that lags loses messages and is not told",
            caught_by: "messages.a_slow_subscriber_is_told_what_it_missed",
            fault: Arc::new(Hears(|subscription| {
                Box::pin(subscription.filter(|event| ready(!matches!(event, Ok(SubscriptionEvent::Lagged(_))))))
            })),
        },
        Mutant {
            name: "queue_is_unbounded",
            breaks: "Everything is kept for a subscriber that does not read",
            caught_by: "messages.large_messages_are_bounded_as_well",
            fault: Arc::new(KeepsEverything),
        },
        Mutant {
            name: "subscribed_when_read",
            breaks: "A subscription begins when it is first read, not when it is returned",
            caught_by: "messages.a_subscription_is_live_when_it_is_returned",
            fault: Arc::new(HearsLate),
        },
        Mutant {
            name: "dropped_subscriptions_stay",
            breaks: "A subscription that was dropped is never ended at the server",
            caught_by: "messages.dropping_ends_a_subscription",
            fault: Arc::new(Hears(never_dropped)),
        },
        Mutant {
            name: "reach_too_low",
            breaks: "A message that reached somebody is said to have reached nobody",
            caught_by: "messages.reach_is_never_too_low",
            fault: Arc::new(Reaches(|_| 0)),
        },
        Mutant {
            name: "reach_too_high",
            breaks: "The publisher is counted among those that a message reached",
            caught_by: "port.nobody_subscribed_is_told",
            fault: Arc::new(Reaches(|subscribers| subscribers + 1)),
        },
    ]
}

/// Every tenth message, until the next one was sent.
#[derive(Default)]
struct Overtaken {
    count: AtomicU64,
    held: Mutex<Option<(Channel, Bytes)>>,
}

#[async_trait]
impl Fault for Overtaken {
    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        if self.count.fetch_add(1, Ordering::SeqCst) % 10 == 9 {
            *self.held.lock() = Some((channel.clone(), payload));
            return Ok(Reach { at_most: None });
        }
        let reach = inner.publish(channel, payload).await?;
        let overtaken = self.held.lock().take();
        if let Some((channel, payload)) = overtaken {
            inner.publish(&channel, payload).await?;
        }
        Ok(reach)
    }
}

/// Tells something else than what is published.
pub(crate) struct Hears(pub(crate) fn(Subscription) -> Subscription);

#[async_trait]
impl Fault for Hears {
    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        Ok((self.0)(inner.subscribe(pattern).await?))
    }
}

/// Reads on and keeps what it reads, whether or not anybody takes it.
fn never_dropped(mut subscription: Subscription) -> Subscription {
    let (sender, receiver) = mpsc::unbounded();
    tokio::spawn(async move {
        while let Some(event) = subscription.next().await {
            // Nobody may be listening any more, and nobody notices.
            let _ = sender.unbounded_send(event);
        }
    });
    Box::pin(receiver)
}

struct KeepsEverything;

#[async_trait]
impl Fault for KeepsEverything {
    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let reach = inner.publish(channel, payload).await?;
        // Long enough for whoever keeps it to have it: what is lost on the way there is a lag that is told.
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(reach)
    }

    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        Ok(never_dropped(inner.subscribe(pattern).await?))
    }
}

struct HearsLate;

#[async_trait]
impl Fault for HearsLate {
    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        let (inner, pattern) = (inner.clone(), pattern.clone());
        Ok(Box::pin(stream::once(async move { inner.subscribe(&pattern).await }).try_flatten()))
    }
}

/// Says that a message reached so many instead of so many.
struct Reaches(fn(u64) -> u64);

#[async_trait]
impl Fault for Reaches {
    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let reach = inner.publish(channel, payload).await?;
        Ok(Reach { at_most: reach.at_most.map(self.0) })
    }
}
