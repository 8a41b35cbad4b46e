//! The port: what an application holds as `Arc<dyn DistributedCoordination>` and mocks in unit tests.

mod ack;
mod areas;
mod cluster;
mod implementation;
mod over;
mod state;
pub mod stored;

pub use areas::{Area, DEFAULT_GROUP};
pub use over::{HasPort, Port};
use state::PortState;

use crate::error::Result;
use crate::message::Message;
use async_trait::async_trait;
use futures::stream::Stream;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

/// The messages that match a pattern. A `Lagged` error in it marks missed messages, and the stream goes
/// on; any other error is its end. Dropping it ends the subscription.
pub type MessageStream = Pin<Box<dyn Stream<Item = Result<Message>> + Send>>;

/// Distributed coordination, whatever the backend: messages, keys, nodes, leadership.
///
/// It is implemented once: [`Port`] is it over any [`Driver`](crate::Driver), and every adapter's handle [has](HasPort)
/// one. It is object safe; implement it by hand or with a mocking crate to test code that uses it without any backend.
///
/// # Errors
/// Every method may fail with `InvalidArgument` for a name, pattern, value or TTL that is not allowed
/// (before anything is sent), and with what its [`Driver`](crate::Driver) fails with: `Timeout`,
/// `Unavailable`, `Unauthorized`, `Unsupported`, `Closed`, ...
///
/// # Cancel safety
/// Dropping the future of a writing method leaves its effect unknown. Reading methods are cancel safe.
///
/// # Examples
/// Code under test takes the port; the test hands it a mock and needs no driver. Here one that notes what
/// is published and finds nothing:
/// ```
/// use linchpin_core::{CoordinationStats, DistributedCoordination, MessageStream, Result};
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// #[derive(Default)]
/// struct Mock {
///     published: Mutex<Vec<(String, Vec<u8>)>>,
/// }
///
/// #[async_trait::async_trait]
/// impl DistributedCoordination for Mock {
///     async fn publish(&self, channel: &str, message: &[u8]) -> Result<()> {
///         self.published.lock().expect("no panic").push((channel.to_owned(), message.to_vec()));
///         Ok(())
///     }
///     async fn subscribe(&self, _: &str) -> Result<MessageStream> { Ok(Box::pin(futures::stream::empty())) }
///     async fn publish_with_ack(&self, _: &str, _: &[u8], _: Duration) -> Result<usize> { Ok(1) }
///     async fn get(&self, _: &str) -> Result<Option<Vec<u8>>> { Ok(None) }
///     async fn set(&self, _: &str, _: &[u8], _: Option<Duration>) -> Result<()> { Ok(()) }
///     async fn exists(&self, _: &str) -> Result<bool> { Ok(false) }
///     async fn ttl(&self, _: &str) -> Result<Option<Duration>> { Ok(None) }
///     async fn incr(&self, _: &str, delta: i64, _: Option<Duration>) -> Result<i64> { Ok(delta) }
///     async fn keys(&self, _: &str) -> Result<Vec<String>> { Ok(Vec::new()) }
///     async fn delete_many(&self, _: &[&str]) -> Result<usize> { Ok(0) }
///     async fn delete_pattern(&self, _: &str) -> Result<usize> { Ok(0) }
///     async fn flush_all(&self) -> Result<()> { Ok(()) }
///     async fn register_node(&self, _: &str, _: Option<&[u8]>) -> Result<()> { Ok(()) }
///     async fn heartbeat(&self, _: &str, _: Duration) -> Result<()> { Ok(()) }
///     async fn list_nodes(&self) -> Result<Vec<String>> { Ok(Vec::new()) }
///     async fn get_node_metadata(&self, _: &str) -> Result<Option<Vec<u8>>> { Ok(None) }
///     async fn try_acquire_leadership(&self, _: &str, _: Duration) -> Result<bool> { Ok(true) }
///     async fn release_leadership(&self, _: &str) -> Result<bool> { Ok(true) }
///     async fn get_leader(&self) -> Result<Option<String>> { Ok(None) }
///     async fn health_check(&self) -> Result<bool> { Ok(true) }
///     async fn stats(&self) -> Result<CoordinationStats> { Ok(CoordinationStats::default()) }
/// }
///
/// async fn invalidate(port: &dyn DistributedCoordination, user: u32) -> Result<()> {
///     port.publish("cache:invalidate", format!("user:{user}").as_bytes()).await
/// }
///
/// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
/// let mock = Mock::default();
/// invalidate(&mock, 7).await?;
/// assert_eq!(*mock.published.lock().expect("no panic"), [("cache:invalidate".to_owned(), b"user:7".to_vec())]);
/// # Ok::<(), linchpin_core::Error>(())
/// # })?;
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[async_trait]
pub trait DistributedCoordination: Send + Sync {
    /// Sends a message to those subscribed now: at most once, ordered per publisher and channel.
    async fn publish(&self, channel: &str, message: &[u8]) -> Result<()>;

    /// Subscribes to the channels that match a pattern (see [`Pattern`](crate::Pattern)). What is
    /// published after this returned arrives, in order; a gap is marked by a `Lagged` error.
    async fn subscribe(&self, pattern: &str) -> Result<MessageStream>;

    /// Publishes and waits until a subscriber took the message out of its stream. Returns how many have,
    /// as soon as one has (so 1 unless several were as quick); `Timeout` if none did in time, `NoSubscribers` at once where the backend can
    /// know that nobody is subscribed.
    async fn publish_with_ack(&self, channel: &str, message: &[u8], timeout: Duration) -> Result<usize>;

    /// The value of a key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Writes a key, for ever or for a time.
    async fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<()>;

    /// Whether a key exists.
    async fn exists(&self, key: &str) -> Result<bool>;

    /// How long a key has left; `None` if it does not exist or lives for ever (tell them apart with
    /// [`exists`](Self::exists)).
    async fn ttl(&self, key: &str) -> Result<Option<Duration>>;

    /// Adds to a counter and returns its new value; an absent one counts as 0 and lives for `ttl`.
    async fn incr(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64>;

    /// The keys that match a pattern, ascending. Reads every key with the pattern's literal prefix, page
    /// by page, so give it one.
    async fn keys(&self, pattern: &str) -> Result<Vec<String>>;

    /// Deletes keys; returns how many existed. Atomic up to the backend's limit of operations per
    /// transaction (128 at least), in several transactions beyond; one by one on a backend whose
    /// transactions span a single key.
    async fn delete_many(&self, keys: &[&str]) -> Result<usize>;

    /// Deletes a key; returns whether it existed.
    async fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.delete_many(&[key]).await? > 0)
    }

    /// Deletes the keys that match a pattern; returns how many.
    async fn delete_pattern(&self, pattern: &str) -> Result<usize>;

    /// Removes everything in this namespace, and nothing outside it: keys, nodes, leadership, locks,
    /// streams.
    async fn flush_all(&self) -> Result<()>;

    /// Announces a node: it is listed for 60 seconds, or as long as its heartbeats say. Without metadata
    /// it has `{}`.
    async fn register_node(&self, node_id: &str, metadata: Option<&[u8]>) -> Result<()>;

    /// Keeps a node listed for `ttl` from now: this TTL alone is what expires it, so call it again and
    /// again, every third of the TTL say. A node that had expired, or was never registered, is listed, with
    /// the metadata that this handle registered it with or `{}`.
    async fn heartbeat(&self, node_id: &str, ttl: Duration) -> Result<()>;

    /// The nodes that are alive, ascending.
    async fn list_nodes(&self) -> Result<Vec<String>>;

    /// The metadata of a node that is alive.
    async fn get_node_metadata(&self, node_id: &str) -> Result<Option<Vec<u8>>>;

    /// Becomes leader for `ttl` if nobody is. A leader that asks again extends its own term to `ttl` from
    /// now and gets `true`; one that does not ask again in time is leader no more. A term counts from
    /// before the call.
    async fn try_acquire_leadership(&self, node_id: &str, ttl: Duration) -> Result<bool>;

    /// Steps down; `false` if this node is not the leader.
    async fn release_leadership(&self, node_id: &str) -> Result<bool>;

    /// The leader, if there is one.
    async fn get_leader(&self) -> Result<Option<String>>;

    /// `true` if the backend is healthy, `false` if it works but not as it should: it took longer than
    /// 250 ms to answer, a background connection is being rebuilt, or the server says that it may refuse
    /// writes or drop keys. An error if it does not answer.
    async fn health_check(&self) -> Result<bool>;

    /// What this handle did and what the cluster looks like.
    async fn stats(&self) -> Result<CoordinationStats>;
}

/// What a handle did and what the cluster looks like.
///
/// Rates are averages over the last [`STATS_WINDOW`], or since the handle was opened if that is shorter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CoordinationStats {
    /// Subscriptions of this handle that are open.
    pub active_subscriptions: usize,
    /// Messages that this handle published, per second.
    pub publish_rate: f64,
    /// Messages that this handle's subscribers took, per second.
    pub receive_rate: f64,
    /// Nodes that are alive.
    pub cluster_size: usize,
    /// The leader, if there is one.
    pub current_leader: Option<String>,
    /// `backend`, `version`, `latency_ms`, `window_seconds`, and `degraded` with its reasons if there are any.
    pub metadata: HashMap<String, String>,
}

/// The time over which [`CoordinationStats`] averages.
pub const STATS_WINDOW: Duration = Duration::from_mins(1);
