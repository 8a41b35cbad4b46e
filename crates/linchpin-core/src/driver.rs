//! What an adapter implements.

use crate::capabilities::Capabilities;
use crate::entry::{Page, Range, ScanPage, Snapshot};
use crate::error::Result;
use crate::message::{Reach, Subscription};
use crate::name::{Channel, GroupName, Key, StreamName};
use crate::pattern::Pattern;
use crate::stream::{Appended, Claim, Delivery, Record, Retention, Settled, Settlement, StreamInfo};
use crate::transaction::{Outcome, Transaction};
use crate::watch::WatchStream;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// The few things a backend does natively, within one namespace. Everything else in linchpin is built on
/// them, once, for every backend.
///
/// Every method is required; none has a default that would change what it means. Each starts with the
/// check of [`Capabilities`] that belongs to it (`admit_commit` for `commit`, ...), so that bad input and
/// undeclared features are refused before anything is sent. What an adapter writes is smaller: the trait `Backend` of the
/// crate `linchpin-adapter`, whose handle is a driver and does that. A [`layer`](crate::layers::Layer) is one too.
///
/// # Errors
/// Any method may fail with `Timeout`, `Unavailable`, `Unauthorized`, `ResourceExhausted`, `Backend`, or
/// `Closed` after [`Driver::close`]. What the check refuses may be told before or after `Closed`. A driver needs no
/// deadline of its own for a call: the layers drop its future when the time is over.
///
/// # Cancel safety
/// Dropping the future of a method leaves its effect unknown: done, not done, or done later (work that was handed
/// to another thread goes on). Dropping a
/// stream ends it. Dropping a `claim` may leave a record claimed until its visibility time passes.
///
/// # Examples
/// ```
/// use linchpin_core::{Driver, Key, Result, Transaction};
///
/// async fn create(driver: &dyn Driver, key: Key) -> Result<bool> {
///     let transaction = Transaction::new().absent(key.clone()).put(key, "mine", None);
///     Ok(driver.commit(&transaction).await?.is_committed())
/// }
/// ```
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync + 'static {
    /// What this backend can do.
    fn capabilities(&self) -> &Capabilities;

    /// Reads keys, all as of one revision; linearizable. An entry per key, in their order.
    async fn get(&self, keys: &[Key]) -> Result<Snapshot>;

    /// Reads one page of a range, ascending by the keys' bytes, all of it as of one revision.
    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage>;

    /// Checks the guards and applies the mutations, all or nothing, linearizable: the only way in which
    /// single keys change.
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome>;

    /// Watches a range: first the present entries, then `Synced`, then changes. It is live when this
    /// returns, and reconnects by itself. Keys that come to be after `Synced` are told in the order in which they do:
    /// locks and elections rest on that.
    async fn watch(&self, range: &Range) -> Result<WatchStream>;

    /// Sends a message to those subscribed now. At most once; ordered per publisher and channel.
    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach>;

    /// Subscribes to the channels that match. It is live at the server when this returns, resubscribes by
    /// itself, and marks what it may have missed.
    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription>;

    /// Appends records, in their order, next to each other. One [`Appended`] per record.
    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>>;

    /// Claims records for one member of a group; waits up to `claim.wait` for the first. Empty if none came.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>>;

    /// Settles deliveries; each on its own: one [`Settled`] per settlement, in their order.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>>;

    /// What a stream holds; all zero for one that nobody appended to.
    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo>;

    /// Drops old records, but none that a group has not settled; returns how many.
    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64>;

    /// Removes a group: where it stands, what it has pending, its dead letters. The stream's records stay; a claim
    /// under its name, one that waits too, makes a new group, which sees all of them. Returns whether there was one.
    ///
    /// End its members first: the deliveries of a new group are counted anew, so a receipt from before may fit one.
    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool>;

    /// Removes every key, and every stream with its groups and dead letters, whose name starts with
    /// `prefix` (all with the empty one), in this namespace and nothing else. Watchers see the keys go;
    /// revisions grow on, and what became of transactions stays remembered by their ids; the ids of records are
    /// forgotten with their streams. Not atomic: what is written meanwhile may stay or go.
    async fn clear(&self, prefix: &str) -> Result<()>;

    /// Asks the server how it is.
    async fn health(&self) -> Result<Health>;

    /// Ends background tasks, subscriptions and watches, and closes the connections. Later calls fail
    /// with `Closed`. A second call does nothing.
    async fn close(&self) -> Result<()>;
}

/// How a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How long the question took to be answered.
    pub latency: Duration,
    /// Why the backend works but not as it should, one reason each; none if it does.
    pub degraded: Vec<String>,
}

impl Health {
    /// An answer slower than this counts as degraded.
    pub const SLOW: Duration = Duration::from_millis(250);

    /// The health of a backend that answered after `latency` and gave `degraded` as reasons; a slow answer
    /// is one more.
    pub fn new(latency: Duration, mut degraded: Vec<String>) -> Self {
        if latency > Self::SLOW {
            degraded.push(format!("the server took {latency:?} to answer"));
        }
        Self { latency, degraded }
    }

    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.degraded.is_empty()
    }
}
