//! What a mutant is: a fault, and the case that is there to notice it.

use bytes::Bytes;
use linchpin_conformance::{ClockStep, async_trait};
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Entry, GroupName, Key, Namespace, Outcome, Page, Pattern,
    Range, Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName,
    Subscription, Transaction, WatchStream,
};
use std::sync::Arc;
use tokio::sync::watch;

/// The memory adapter, broken in one way.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// What it does wrong, in one sentence.
    pub(crate) breaks: &'static str,
    /// The id of the case that is there to notice.
    pub(crate) caught_by: &'static str,
    /// One for all handles, with whatever it remembers.
    pub(crate) fault: Arc<dyn Fault>,
}

impl Mutant {
    /// One of a fault that nothing else has a hold on.
    pub(crate) fn new(name: &'static str, breaks: &'static str, caught_by: &'static str, fault: impl Fault) -> Self {
        Self { name, breaks, caught_by, fault: Arc::new(fault) }
    }
}

/// What is done instead of what is asked. Each method of a driver has one here that hands the call on to the honest
/// driver below; a fault overrides the one that it breaks.
#[async_trait]
pub(crate) trait Fault: Send + Sync + 'static {
    /// Changes what the driver declares.
    fn declare(&self, _: &mut Capabilities) {}

    /// The namespace in which a handle to `namespace` lives.
    fn lives_in(&self, namespace: &Namespace) -> Namespace {
        namespace.clone()
    }

    /// Puts something around the broken driver of a handle to `namespace`.
    fn layered(&self, driver: Arc<dyn Driver>, _: &Namespace) -> Arc<dyn Driver> {
        driver
    }

    /// Does something when the server's clock is stepped.
    fn step_clock(&self, _: ClockStep) {}

    /// Does something when the server stands still, or goes on; whether it can.
    fn pause(&self, _paused: bool) -> bool {
        false
    }

    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        inner.get(keys).await
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        inner.scan(range, page).await
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(transaction).await
    }

    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        inner.watch(range).await
    }

    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        inner.publish(channel, payload).await
    }

    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        inner.subscribe(pattern).await
    }

    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        inner.append(stream, records).await
    }

    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        inner.claim(claim).await
    }

    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        inner.settle(settlements).await
    }

    async fn trim(&self, inner: &Arc<dyn Driver>, stream: &StreamName, keep: Retention) -> Result<u64> {
        inner.trim(stream, keep).await
    }

    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        inner.inspect(stream).await
    }

    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        inner.remove_group(stream, group).await
    }

    async fn clear(&self, inner: &Arc<dyn Driver>, prefix: &str) -> Result<()> {
        inner.clear(prefix).await
    }

    async fn close(&self, inner: &Arc<dyn Driver>) -> Result<()> {
        inner.close().await
    }
}

/// Breaks nothing.
#[derive(Default)]
pub(crate) struct Honest {
    paused: watch::Sender<bool>,
}

#[async_trait]
impl Fault for Honest {
    fn pause(&self, paused: bool) -> bool {
        self.paused.send_replace(paused);
        true
    }

    /// Of a server that stands still there is no answer.
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
        inner.claim(claim).await
    }
}

/// What stands at a key.
pub(crate) async fn read(inner: &Arc<dyn Driver>, key: &Key) -> Result<Option<Entry>> {
    Ok(inner.get(std::slice::from_ref(key)).await?.into_entry())
}
