//! A driver in trouble: for the cases about what the layers make of that.

use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Error, ErrorKind, GroupName, Health, Key, Outcome, Page,
    Pattern, PortState, Range, Reach, Record, Result, Retention, Retry, ScanPage, Settled, Settlement, Snapshot,
    StreamInfo, StreamName, Subscription, Transaction, WatchStream,
};
use parking_lot::Mutex;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The backend does what it is asked to, and its answer is lost.
    AnswerLost,
    /// The backend never hears of it, and nobody can know that.
    NeverArrives,
    /// Nobody ever answers, not even with an error, and the backend never hears of it.
    Hangs,
    /// The backend does what it is asked to, and nobody ever answers.
    HangsAfter,
    /// The backend surely never hears of it.
    Away,
    /// The backend refuses it, for good.
    Hopeless,
    /// It goes on for so long, then the connection breaks.
    BreaksAfter(Duration),
}

/// A driver whose first calls are in trouble; those after them reach the backend.
#[derive(Clone, Debug)]
pub(crate) struct Troubled {
    inner: Arc<dyn Driver>,
    trouble: Trouble,
    in_trouble: u32,
    calls: Arc<AtomicU32>,
    seen: Arc<Mutex<Seen>>,
}

/// What the driver was asked.
#[derive(Debug, Default)]
struct Seen {
    /// When each commit was.
    commits: Vec<Instant>,
    /// How long each claim was to wait.
    waits: Vec<Duration>,
}

impl Troubled {
    /// The first `in_trouble` calls are in trouble; one that is tried again is another call.
    pub(crate) fn over(inner: Arc<dyn Driver>, trouble: Trouble, in_trouble: u32) -> Self {
        Self { inner, trouble, in_trouble, calls: Arc::default(), seen: Arc::default() }
    }

    /// How many calls there were so far.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// When each commit so far was sent.
    pub(crate) fn commits(&self) -> Vec<Instant> {
        self.seen.lock().commits.clone()
    }

    /// How long each claim so far was to wait.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.seen.lock().waits.clone()
    }

    async fn write<T: Send>(&self, operation: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.in_trouble {
            return call.await;
        }
        match self.trouble {
            Trouble::AnswerLost => drop(call.await?),
            Trouble::NeverArrives => {}
            Trouble::Hangs => pending::<()>().await,
            Trouble::HangsAfter => {
                drop(call.await?);
                pending::<()>().await;
            }
            Trouble::Away => {
                return Err(Error::new(ErrorKind::Unavailable, operation, "nobody is there").with_retry(Retry::Safe));
            }
            Trouble::Hopeless => return Err(Error::new(ErrorKind::Backend, operation, "no")),
            Trouble::BreaksAfter(time) => {
                sleep(time).await;
                return Err(Error::new(ErrorKind::Unavailable, operation, "it broke").with_retry(Retry::Unknown));
            }
        }
        Err(Error::timeout(operation, Duration::from_millis(1)))
    }

    /// The same for a call that changes nothing: its failure applied nothing.
    async fn read<T: Send>(&self, operation: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.write(operation, call).await.map_err(Error::of_read)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for Troubled {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn port_state(&self) -> &PortState {
        self.inner.port_state()
    }

    fn share(&self) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.read("get", self.inner.get(keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.read("scan", self.inner.scan(range, page)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.seen.lock().commits.push(Instant::now());
        self.write("commit", self.inner.commit(transaction)).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.read("watch", self.inner.watch(range)).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.write("publish", self.inner.publish(channel, payload)).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.read("subscribe", self.inner.subscribe(pattern)).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.write("append", self.inner.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.seen.lock().waits.push(claim.wait);
        self.write("claim", self.inner.claim(claim)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.write("settle", self.inner.settle(settlements)).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.read("inspect", self.inner.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.write("trim", self.inner.trim(stream, keep)).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.write("remove_group", self.inner.remove_group(stream, group)).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.write("clear", self.inner.clear(prefix)).await
    }

    async fn health(&self) -> Result<Health> {
        self.read("health", self.inner.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
