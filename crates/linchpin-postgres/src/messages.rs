//! Messages: publishing and subscribing.

use crate::arguments::{Arguments, column};
use crate::connection::{Holder, Pool};
use crate::forgetting::{Cleaner, Leftover};
use crate::hub::{Hub, Listener, Listening, Live};
use crate::names::{LONGEST, Names, Topic, from_text, to_text};
use crate::notices::Notices;
use crate::secret::SEAL;
use bytes::Bytes;
use linchpin_adapter::fanout::Subscribers;
use linchpin_adapter::tasks::on_behalf;
use linchpin_core::life::End;
use linchpin_core::{Channel, Error, Pattern, Publication, Reach, Result, Subscription};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio::task::JoinHandle;

/// The messages of a handle.
pub(crate) struct Messages {
    names: Arc<Names>,
    pool: Arc<Pool>,
    hub: Arc<Hub>,
    notices: Arc<Notices>,
    forgetting: Arc<Cleaner>,
    /// Tells this handle's messages from those of others, and from each other: the server sends the same text once.
    publisher: u64,
    sent: AtomicU64,
    intake: Arc<Intake>,
    /// Held by the subscriptions.
    serving: AsyncMutex<Weak<MessageService>>,
}

/// The task ends with the last subscription.
struct MessageService {
    _listening: Listening,
    _task: HandOutTask,
}

/// The task that hands out.
struct HandOutTask(JoinHandle<()>);

impl Drop for HandOutTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Messages {
    pub(crate) fn new(
        names: Arc<Names>,
        pool: Arc<Pool>,
        hub: Arc<Hub>,
        notices: Arc<Notices>,
        forgetting: Arc<Cleaner>,
    ) -> Self {
        let (publisher, sent, intake, serving) =
            (fastrand::u64(..), AtomicU64::new(0), Arc::default(), AsyncMutex::default());
        Self { names, pool, hub, notices, forgetting, publisher, sent, intake, serving }
    }

    /// Sends a message to whoever is subscribed now: nobody knows how many that are.
    pub(crate) async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let head = format!("{:x}.{number:x} {}", self.publisher, to_text(channel.as_str().as_bytes()));
        if SEAL + head.len() + 1 + payload.len().div_ceil(3) * 4 <= LONGEST {
            self.notices.publish(format!("{head} {}", to_text(&payload)), None).await?;
        } else {
            self.forgetting.later(Leftover::Outcome);
            let id = fastrand::u128(..).to_be_bytes().to_vec();
            self.notices.publish(format!("{head} @{}", to_text(&id)), Some((id, payload))).await?;
        }
        Ok(Reach { at_most: None })
    }

    /// Subscribes; returns once the subscription is live at the server: it hears what is published from then on, and
    /// nothing from before, whatever this handle was receiving already.
    pub(crate) async fn subscribe(self: &Arc<Self>, pattern: &Pattern) -> Result<Subscription> {
        // The stream holds what it listens by.
        let held: Arc<Mutex<Option<Arc<MessageService>>>> = Arc::default();
        let (sender, joined) = oneshot::channel();
        let (intake, own, pattern) = (self.intake.clone(), held.clone(), pattern.clone());
        let join = Box::new(move || intake.put(Arrival::Joins(pattern, own, sender)));
        let me = self.clone();
        let served = on_behalf(&self.hub.life, async move { me.serving(join).await }).await;
        *held.lock() = Some(served.unwrap_or_else(|| Err(self.hub.life.unanswered("subscribe")))?);
        joined.await.map_err(|_| Error::closed("subscribe"))
    }

    /// Listens, and has somebody join.
    async fn serving(&self, join: Live) -> Result<Arc<MessageService>> {
        let mut slot = self.serving.lock().await;
        if let Some(serving) = slot.upgrade() {
            drop(slot);
            self.hub.once_live("subscribe", join).await?;
            return Ok(serving);
        }
        self.intake.arrived.lock().clear();
        let (intake, names, pool) = (self.intake.clone(), self.names.clone(), self.pool.clone());
        let task = HandOutTask(self.hub.life.spawn(async move { hand_out(&intake, &names, &pool).await }));
        let listening = self.hub.listen("subscribe", Topic::Messages, self.intake.clone(), Some(join)).await?;
        let serving = Arc::new(MessageService { _listening: listening, _task: task });
        *slot = Arc::downgrade(&serving);
        Ok(serving)
    }
}

/// What arrives, on its way to the subscribers.
#[derive(Default)]
struct Intake {
    subscribers: Subscribers,
    arrived: Mutex<VecDeque<Arrival>>,
    more: Notify,
}

/// What has arrived.
enum Arrival {
    Message(Publication),
    /// A message that is to be fetched by this id.
    Spilled(Channel, Vec<u8>),
    Gap,
    /// Somebody who hears what comes after, and holds what it listens by.
    Joins(Pattern, Arc<Mutex<Option<Arc<MessageService>>>>, oneshot::Sender<Subscription>),
}

impl Intake {
    /// How many wait for one that is being fetched, before some are missed.
    const CAPACITY: usize = 4096;

    fn put(&self, arrived: Arrival) {
        let mut waiting = self.arrived.lock();
        // Whoever joins waits for an answer, so these are few.
        if waiting.len() < Self::CAPACITY || matches!(arrived, Arrival::Joins(..)) {
            waiting.push_back(arrived);
        } else if !matches!(waiting.back(), Some(Arrival::Gap)) {
            // It stands where something is missed: after all that wait, and before what comes later.
            waiting.push_back(Arrival::Gap);
        }
        drop(waiting);
        self.more.notify_one();
    }

    async fn next(&self) -> Arrival {
        loop {
            if let Some(next) = self.arrived.lock().pop_front() {
                return next;
            }
            self.more.notified().await;
        }
    }
}

impl Listener for Intake {
    fn receive(&self, text: &str) {
        self.put(read(text).unwrap_or_else(|| {
            tracing::warn!("a message could not be read");
            Arrival::Gap
        }));
    }

    fn mark_gap(&self) {
        self.put(Arrival::Gap);
    }

    fn end(&self, ended: End) {
        self.subscribers.end(move || ended.error("subscribe"));
    }
}

/// Reads a message as it travels: who sent it, its channel, and its payload or where that is.
fn read(text: &str) -> Option<Arrival> {
    let mut words = text.splitn(3, ' ').skip(1);
    let channel = Channel::stored(String::from_utf8(from_text(words.next()?)?).ok()?).ok()?;
    let payload = words.next()?;
    Some(match payload.strip_prefix('@') {
        Some(id) => Arrival::Spilled(channel, from_text(id)?),
        None => Arrival::Message(Publication::new(channel, from_text(payload)?)),
    })
}

/// Hands what has arrived to the subscribers, in its order.
async fn hand_out(intake: &Intake, names: &Names, pool: &Arc<Pool>) {
    loop {
        match intake.next().await {
            Arrival::Joins(pattern, held, joined) => {
                let stream = intake.subscribers.add(pattern, move || drop(held.lock().take()));
                // One who gave up drops it.
                let _ = joined.send(stream);
            }
            Arrival::Message(message) => {
                intake.subscribers.dispatch(&message);
            }
            Arrival::Gap => intake.subscribers.mark_gap(),
            Arrival::Spilled(channel, id) => match fetch(names, pool, id).await {
                Ok(Some(payload)) => {
                    intake.subscribers.dispatch(&Publication::new(channel, payload));
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
async fn fetch(names: &Names, pool: &Arc<Pool>, id: Vec<u8>) -> Result<Option<Vec<u8>>> {
    const FETCH: &str = "SELECT m.payload FROM linchpin.messages AS m WHERE m.id = $2 AND m.namespace = ( \
                             SELECT n.id FROM linchpin.namespaces AS n WHERE n.name = $1 \
                             ORDER BY n.generation DESC LIMIT 1)";
    let given = Arguments::default().with(&names.namespace).with(id).of("subscribe")?;
    let rows = pool.rows_behind(Holder::Nobody, "subscribe", FETCH, given).await?;
    let payload = rows.first().map(|row| column(row, 0)).transpose();
    payload.map_err(|error| Error::unreadable("subscribe", "no payload").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let channel = to_text(b"a b");
        let read = |payload: &str| read(&format!("1.2 {channel} {payload}"));
        assert!(matches!(read(""), Some(Arrival::Message(message)) if message.payload.is_empty()));
        let text = to_text(&[0, 255]);
        assert!(matches!(read(&text), Some(Arrival::Message(message)) if message.payload[..] == [0, 255]));
        assert!(
            matches!(read(&format!("@{text}")), Some(Arrival::Spilled(name, id)) if name.as_str() == "a b" && id == [0, 255])
        );
        assert!(read("!").is_none());
    }
}
