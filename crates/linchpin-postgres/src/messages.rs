//! Messages: publishing, subscribing, and the wake-ups of members that wait for a stream.

use crate::arguments::{Given, column};
use crate::connection::Pool;
use crate::hub::{Hub, Listener, Listening};
use crate::names::{LONGEST, Names, Topic, from_text, to_text};
use crate::notices::Notices;
use bytes::Bytes;
use linchpin_core::fanout::Subscribers;
use linchpin_core::{Channel, Error, Message, Pattern, Reach, Result, StreamName, Subscription};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use tokio::task::JoinHandle;

/// The messages of a handle.
pub(crate) struct Messages {
    names: Arc<Names>,
    pool: Arc<Pool>,
    hub: Arc<Hub>,
    notices: Arc<Notices>,
    /// Tells this handle's messages from those of others, and from each other: the server sends the same text once.
    publisher: u64,
    sent: AtomicU64,
    intake: Arc<Intake>,
    /// Held by the subscriptions.
    serving: AsyncMutex<Weak<Serving>>,
}

/// The task ends with the last subscription.
struct Serving {
    _listening: Listening,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Messages {
    pub(crate) fn new(names: Arc<Names>, pool: Arc<Pool>, hub: Arc<Hub>, notices: Arc<Notices>) -> Self {
        let (publisher, sent, intake, serving) =
            (fastrand::u64(..), AtomicU64::new(0), Arc::default(), AsyncMutex::default());
        Self { names, pool, hub, notices, publisher, sent, intake, serving }
    }

    /// Sends a message to whoever is subscribed now: nobody knows how many that are.
    pub(crate) async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let head = format!("{:x}.{number:x} {}", self.publisher, to_text(channel.as_str().as_bytes()));
        if head.len() + 1 + payload.len().div_ceil(3) * 4 <= LONGEST {
            self.notices.publish(format!("{head} {}", to_text(&payload)), None).await?;
        } else {
            let id = fastrand::u128(..).to_be_bytes().to_vec();
            self.notices.publish(format!("{head} @{}", to_text(&id)), Some((id, payload))).await?;
        }
        Ok(Reach { at_most: None })
    }

    /// Subscribes; returns once the subscription is live at the server.
    pub(crate) async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        // The stream first: what arrives once the server listens finds it. It then holds what it listens by.
        let held: Arc<Mutex<Option<Arc<Serving>>>> = Arc::default();
        let given_up = held.clone();
        let stream = self.intake.subscribers.add(pattern.clone(), move || drop(given_up.lock().take()));
        *held.lock() = Some(self.serving().await?);
        Ok(stream)
    }

    async fn serving(&self) -> Result<Arc<Serving>> {
        let mut slot = self.serving.lock().await;
        if let Some(serving) = slot.upgrade() {
            return Ok(serving);
        }
        let (sender, arrived) = mpsc::channel(Intake::CAPACITY);
        *self.intake.sender.lock() = Some(sender);
        let listening = self.hub.listen("subscribe", Topic::Messages, self.intake.clone()).await?;
        let (intake, names, pool) = (self.intake.clone(), self.names.clone(), self.pool.clone());
        let task = tokio::spawn(async move { hand_out(&intake, &names, &pool, arrived).await });
        let serving = Arc::new(Serving { _listening: listening, task });
        *slot = Arc::downgrade(&serving);
        Ok(serving)
    }
}

/// What arrives, on its way to the subscribers.
#[derive(Default)]
struct Intake {
    subscribers: Subscribers,
    sender: Mutex<Option<mpsc::Sender<Arrived>>>,
}

/// What has arrived.
enum Arrived {
    Message(Message),
    /// A message that is to be fetched by this id.
    Spilled(String, Vec<u8>),
    Gap,
}

impl Intake {
    /// How many wait for one that is being fetched, before some are missed.
    const CAPACITY: usize = 4096;

    fn put(&self, arrived: Arrived) {
        let sender = self.sender.lock();
        let Some(sender) = &*sender else { return };
        if sender.try_send(arrived).is_err() {
            // It comes before those that wait, not after: that a gap is told too early is no loss.
            self.subscribers.mark_gap();
        }
    }
}

impl Listener for Intake {
    fn receive(&self, text: &str) {
        self.put(read(text).unwrap_or_else(|| {
            tracing::warn!("a message could not be read");
            Arrived::Gap
        }));
    }

    fn count(&self, _: u64) {}

    fn mark_gap(&self) {
        self.put(Arrived::Gap);
    }

    fn end(&self) {
        self.subscribers.end(|| Error::closed("subscribe"));
    }
}

/// Reads a message as it travels: who sent it, its channel, and its payload or where that is.
fn read(text: &str) -> Option<Arrived> {
    let mut words = text.splitn(3, ' ').skip(1);
    let channel = String::from_utf8(from_text(words.next()?)?).ok()?;
    let payload = words.next()?;
    Some(match payload.strip_prefix('@') {
        Some(id) => Arrived::Spilled(channel, from_text(id)?),
        None => Arrived::Message(Message { channel, payload: from_text(payload)?, timestamp: None }),
    })
}

/// Hands what has arrived to the subscribers, in its order.
async fn hand_out(intake: &Intake, names: &Names, pool: &Pool, mut arrived: mpsc::Receiver<Arrived>) {
    while let Some(next) = arrived.recv().await {
        match next {
            Arrived::Message(message) => {
                intake.subscribers.dispatch(&message);
            }
            Arrived::Gap => intake.subscribers.mark_gap(),
            Arrived::Spilled(channel, id) => match fetch(names, pool, id).await {
                Ok(Some(payload)) => {
                    intake.subscribers.dispatch(&Message { channel, payload, timestamp: None });
                }
                missed => {
                    let error = missed.err();
                    tracing::debug!(?error, "a large message could not be fetched");
                    intake.subscribers.mark_gap();
                }
            },
        }
    }
}

/// The payload of a large message; `None` if it was removed meanwhile.
async fn fetch(names: &Names, pool: &Pool, id: Vec<u8>) -> Result<Option<Vec<u8>>> {
    const FETCH: &str = "SELECT m.payload FROM linchpin.namespaces AS n JOIN linchpin.messages AS m ON m.namespace = n.id \
                         WHERE n.name = $1 AND m.id = $2";
    let given = Given::default().with(&names.namespace).with(id).of("subscribe")?;
    let rows = pool.rows("subscribe", FETCH, given).await?;
    let payload = rows.first().map(|row| column(row, 0)).transpose();
    payload.map_err(|error| crate::error::unexpected("subscribe", "no payload").with_source(error))
}

/// A member's wait for a stream: woken when it is appended to, and by anything else that makes a claim worth
/// another look.
pub(crate) struct Waker {
    woken: Arc<Woken>,
    _listening: Listening,
}

struct Woken {
    stream: String,
    notify: Notify,
}

impl Listener for Woken {
    fn receive(&self, stream: &str) {
        if stream == self.stream {
            self.notify.notify_one();
        }
    }

    fn count(&self, _: u64) {}

    fn mark_gap(&self) {
        self.notify.notify_one();
    }

    fn end(&self) {
        self.notify.notify_one();
    }
}

impl Waker {
    pub(crate) async fn of(hub: &Arc<Hub>, stream: &StreamName) -> Result<Self> {
        let stream = to_text(stream.storage_name().as_bytes());
        let woken = Arc::new(Woken { stream, notify: Notify::new() });
        let listening = hub.listen("claim", Topic::Streams, woken.clone()).await?;
        Ok(Self { woken, _listening: listening })
    }

    /// Returns when the stream is to be looked at again; remembers a wake-up that came before the call.
    pub(crate) async fn woken(&mut self) {
        self.woken.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let channel = to_text(b"a b");
        let read = |payload: &str| read(&format!("1.2 {channel} {payload}"));
        assert!(matches!(read(""), Some(Arrived::Message(message)) if message.payload.is_empty()));
        let text = to_text(&[0, 255]);
        assert!(matches!(read(&text), Some(Arrived::Message(message)) if message.payload == [0, 255]));
        assert!(
            matches!(read(&format!("@{text}")), Some(Arrived::Spilled(name, id)) if name == "a b" && id == [0, 255])
        );
        assert!(read("!").is_none());
    }
}
