//! Watching: one consumer of the namespace's stream per handle, whose changes are told to the watches here.

use crate::bucket::Bucket;
use crate::codec::{Stored, Time, last, read_key};
use crate::state;
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use linchpin_adapter::backoff::Contention;
use linchpin_adapter::fanout::{Change, Scan, Watchers};
use linchpin_core::life::End;
use linchpin_core::{Error, ErrorKind, Page, Range, Result, WatchStream};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often the server says that nothing happened.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Without a sign of life for so long the consumer is gone.
const SILENCE: Duration = Duration::from_secs(3);
/// After so long with nothing but refusals the watches are told.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);
/// A change that is told so late may have come after others that were not told any more: of keys that are gone the
/// message stays for [`TOMBSTONE_TTL`](state::TOMBSTONE_TTL).
const LATE: Duration = Duration::from_secs(2);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    bucket: Arc<Bucket>,
    watchers: Arc<Watchers>,
    feed: tokio::sync::Mutex<Option<Feed>>,
}

/// The task that follows the stream; ends when it is dropped.
struct Feed(JoinHandle<()>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Changes {
    pub(crate) fn new(bucket: Arc<Bucket>) -> Self {
        Self { bucket, watchers: Arc::default(), feed: tokio::sync::Mutex::default() }
    }

    /// The stream keeps what serves it alive, so it may outlive its handle.
    pub(crate) async fn watch(self: &Arc<Self>, range: &Range) -> Result<WatchStream> {
        let mut feed = self.feed.lock().await;
        // One that ended told its watches.
        if feed.as_ref().is_none_or(|feed| feed.0.is_finished()) {
            *feed = Some(self.follow().await?);
        }
        drop(feed);
        let changes = self.clone();
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let changes = changes.clone();
            Box::pin(async move { state::scan(&changes.bucket, &range, &page).await })
        });
        self.watchers.add(range.clone(), scan).await
    }

    pub(crate) fn end(&self, ended: End) {
        self.watchers.end(move || ended.error("watch"));
        // One that is just being made finds the connection closed.
        if let Ok(mut feed) = self.feed.try_lock() {
            *feed = None;
        }
    }

    /// Follows the stream; nothing that changes after this returns is missed.
    async fn follow(&self) -> Result<Feed> {
        let first = Consumer::create(&self.bucket).await?;
        let (bucket, watchers) = (self.bucket.clone(), self.watchers.clone());
        Ok(Feed(tokio::spawn(async move { keep(&bucket, &watchers, first).await })))
    }
}

/// Follows one consumer after the other, for as long as anybody may watch.
async fn keep(bucket: &Bucket, watchers: &Watchers, mut consumer: Consumer) {
    let mut losses = bucket.connection.losses();
    loop {
        consumer.follow(bucket, watchers).await;
        let mut pauses = Contention::default();
        let began = Instant::now();
        consumer = loop {
            losses.mark_unchanged();
            match Consumer::create(bucket).await {
                Ok(consumer) => break consumer,
                // A login may be refused for a moment. Once closed the watches were told.
                Err(error)
                    if error.kind() == ErrorKind::Closed
                        || !error.is_transient() && began.elapsed() > GIVEN_UP_AFTER =>
                {
                    let (kind, retry) = (error.kind(), error.retry());
                    tracing::warn!(%error, "the changes of a namespace cannot be followed any more");
                    let told =
                        move || Error::new(kind, "watch", "the changes cannot be followed any more").with_retry(retry);
                    return watchers.end(told);
                }
                // Either the connection comes back, or it is worth another try a little later.
                Err(_) => {
                    let back = async { while losses.changed().await.is_ok() && !bucket.connection.is_up() {} };
                    let _ = tokio::time::timeout(Duration::from_millis(500), back).await;
                    pauses.pause().await;
                }
            }
        };
        // What came between the consumers was not told.
        watchers.mark_gap();
    }
}

/// A consumer that gets every change from when it was created.
struct Consumer {
    messages: Subscriber,
    /// How many messages it was sent.
    count: u64,
    /// Where the last of them stands in the stream.
    last: Option<u64>,
    /// Some were overwritten before they were sent: a key may have come to be that was not told yet.
    has_jumped: bool,
}

impl Consumer {
    async fn create(bucket: &Bucket) -> Result<Self> {
        let connection = &bucket.connection;
        let inbox = connection.new_inbox();
        let messages = connection.subscribe("watch", inbox.clone()).await?;
        let name = format!("linchpin-{:016x}", fastrand::u64(..));
        let config = json!({
            "stream_name": &*bucket.names.state,
            "action": "create",
            "config": {
                "name": name,
                "deliver_subject": inbox,
                "deliver_policy": "new",
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "flow_control": true,
                "idle_heartbeat": u64::try_from(HEARTBEAT.as_nanos()).unwrap_or(u64::MAX),
                "inactive_threshold": 10_000_000_000_u64,
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let state = &bucket.names.state;
        let subject = if bucket.features.is_modern {
            format!("CONSUMER.CREATE.{state}.{name}")
        } else {
            format!("CONSUMER.CREATE.{state}")
        };
        let created =
            connection.api::<serde::de::IgnoredAny>("watch", &subject, &config).await.map_err(Error::of_read)?;
        match created {
            Ok(_) => Ok(Self { messages, count: 0, last: None, has_jumped: false }),
            Err(refusal) => Err(bucket.refused("watch", refusal).await),
        }
    }

    /// Tells its changes, until it misses some or ends.
    async fn follow(&mut self, bucket: &Bucket, watchers: &Watchers) {
        let mut losses = bucket.connection.losses();
        let before = losses.borrow_and_update().clone();
        loop {
            let message = tokio::select! {
                biased;
                message = tokio::time::timeout(SILENCE, self.messages.next()) => match message {
                    Ok(Some(message)) => message,
                    Ok(None) | Err(_) => return,
                },
                changed = losses.changed() => {
                    let now = losses.borrow_and_update().clone();
                    if changed.is_err() || (now.lost, now.overrun) != (before.lost, before.overrun) {
                        return;
                    }
                    continue;
                }
            };
            if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
                if !self.answer(bucket, message).await {
                    return;
                }
                continue;
            }
            let Some(delivered) = Delivered::read(message) else { return };
            self.count += 1;
            if delivered.count != self.count {
                return;
            }
            self.tell(bucket, watchers, &delivered.message);
        }
    }

    fn tell(&mut self, bucket: &Bucket, watchers: &Watchers, message: &Stored) {
        bucket.clock.sample(message.time);
        self.has_jumped |= self.last.is_some_and(|last| message.sequence != last + 1);
        self.last = Some(message.sequence);
        let change = change(bucket, message);
        // Keys are told in the order in which they came to be. One that was rewritten before it was told comes later than
        // it did: the watches read who is there before they are told of another.
        let is_new = matches!(&change, Some(Change::Put(entry)) if entry.created == entry.version);
        let is_late = bucket.clock.now().since(message.time) > LATE;
        if is_late || is_new && self.has_jumped {
            watchers.mark_gap();
            self.has_jumped = false;
        }
        if let Some(change) = change {
            watchers.dispatch(&change);
        }
    }

    /// Answers a heartbeat that asks for it; whether nothing was missed before it.
    async fn answer(&self, bucket: &Bucket, message: Message) -> bool {
        let headers = message.headers.unwrap_or_default();
        let sent = last(&headers, "Nats-Last-Consumer").and_then(|text| text.parse().ok());
        if sent.is_some_and(|sent: u64| sent != self.count) {
            return false;
        }
        let stalled = last(&headers, "Nats-Consumer-Stalled").map(str::to_owned);
        let Some(subject) = message.reply.map(|reply| reply.to_string()).or(stalled) else { return true };
        bucket.connection.send("watch", subject, None, None, Bytes::new()).await.is_ok()
    }
}

/// A message as a consumer delivers it.
struct Delivered {
    message: Stored,
    /// The how-manieth it is of the consumer.
    count: u64,
}

impl Delivered {
    /// Where it stands is told by the subject for its acknowledgement:
    /// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream's>.<consumer's>.<time>.<pending>[.<random>]`.
    fn read(message: Message) -> Option<Self> {
        let reply = message.reply?;
        let tokens: Vec<_> = reply.split('.').collect();
        let skipped = match tokens.len() {
            9 => 0,
            11.. => 2,
            _ => return None,
        };
        let number = |index: usize| tokens.get(index + skipped)?.parse::<u64>().ok();
        let message = Stored {
            subject: message.subject.to_string(),
            sequence: number(5)?,
            time: Time(number(7)? / 1000),
            headers: Arc::new(message.headers.unwrap_or_default()),
            payload: message.payload,
        };
        Some(Self { message, count: number(6)? })
    }
}

fn change(bucket: &Bucket, message: &Stored) -> Option<Change> {
    let key = bucket.names.key_of(&message.subject)?;
    let (_, version, content) = read_key(message);
    Some(match content {
        Some(content) => Change::Put(content.entry(&key, bucket.clock.now())),
        None => Change::Deleted(key, version),
    })
}
