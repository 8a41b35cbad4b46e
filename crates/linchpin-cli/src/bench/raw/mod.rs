//! The same work by hand: what a good programmer would write on the raw client, for comparison. A folder per backend.

pub(crate) mod nats;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod redis;

use super::contender::{Contender, Taker};
use super::problem::Result;
use super::report::{ServerFacts, TableSize};
use futures::stream::BoxStream;
use linchpin::Capabilities;
use std::collections::BTreeMap;

/// What the series are called of what guarantees the same, and of what the raw client gives without.
pub(crate) const SAME_WORK: &str = "same work";
pub(crate) const PLAIN: &str = "plain";

/// A server as its raw client sees it. Everything lies under names of this run.
pub(crate) trait Raw: Clone + Send + Sync + 'static {
    /// What linchpin guarantees, by hand.
    type SameWork: Contender;
    /// The raw client's own calls: what the contract costs is seen against them.
    type Plain: Contender;
    /// Who takes turns in the shortest way that the backend has.
    type Taker: Taker;
    type Idle: Idle;
    type Counter: Counter;

    fn same_work(&self) -> impl Future<Output = Result<Self::SameWork>> + Send;
    fn plain(&self) -> impl Future<Output = Result<Self::Plain>> + Send;
    /// A tick for each message on a channel of this run, the adapter's and ours.
    fn listen(&self) -> impl Future<Output = Result<BoxStream<'static, ()>>> + Send;
    /// So many who take turns over one thing.
    fn takers(&self, name: &str, count: usize) -> impl Future<Output = Result<Vec<Self::Taker>>> + Send;
    fn idle(&self) -> impl Future<Output = Result<Self::Idle>> + Send;
    /// `None` where the server does not count what it is asked.
    fn counter(&self) -> impl Future<Output = Result<Option<Self::Counter>>> + Send;
    /// What the server says of itself; asked before anything else is connected but `connected` clients of ours.
    fn facts(&self, linchpin: &Capabilities, connected: u64) -> impl Future<Output = Result<ServerFacts>> + Send;
    /// Removes everything of this run, the adapter's and ours.
    fn sweep(&self) -> impl Future<Output = Result<()>> + Send;

    /// Whether the adapter keeps what it keeps in tables that can be looked at from outside.
    const HAS_TABLES: bool = false;

    /// What the adapter's tables take.
    fn tables(&self) -> impl Future<Output = Result<Vec<TableSize>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Lets the adapter's tables use the space again of what was deleted, as the server does in its own time.
    fn vacuum(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// A connection that nobody else uses.
pub(crate) trait Idle: Send {
    /// Reads a small value.
    fn round_trip(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Whether giving something back is durable, and so takes longer than a read.
    const COMMITS: bool = false;

    /// Changes a small value durably.
    fn commit(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Sees the requests that reach the server. It slows the server down: nothing is timed meanwhile.
pub(crate) trait Counter: Send {
    /// Counts from here; returns what came since the last mark.
    fn mark(&mut self) -> impl Future<Output = Result<Requests>> + Send;
}

/// The requests between two marks, by what they ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(pub(crate) BTreeMap<String, u64>);

impl Requests {
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn add(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }
}

/// An id that nobody else has.
fn unique() -> String {
    format!("{:032x}", fastrand::u128(..))
}
