//! Drivers that declare less than they could: what they do not declare has to be refused, the port and the recipes have to
//! do with the rest, and the suite has to say so instead of skipping.

use bytes::Bytes;
use linchpin_conformance::{Harness, async_trait};
use linchpin_core::layers::Layer;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, GroupName, Limits, Namespace, Outcome, Pattern, Range,
    Reach, Record, Result, Retention, Settled, Settlement, StreamInfo, StreamName, Subscription, Transaction,
    TransactionScope, WatchCompleteness, WatchStream,
};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::process::ExitCode;
use std::sync::Arc;

/// Takes away from what a driver declares.
type Limit = fn(&mut Capabilities);

/// The memory adapter, less able.
#[derive(Debug)]
struct Limited {
    inner: Arc<dyn Driver>,
    capabilities: Capabilities,
}

impl Limited {
    fn new(inner: Arc<dyn Driver>, limit: Limit) -> Self {
        let mut capabilities = inner.capabilities().clone();
        limit(&mut capabilities);
        Self { inner, capabilities }
    }
}

#[async_trait]
impl Layer for Limited {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.capabilities.admit_commit(transaction)?;
        self.inner.commit(transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.capabilities.admit_watch()?;
        self.inner.watch(range).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.capabilities.admit_publish(channel, &payload)?;
        self.inner.publish(channel, payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.capabilities.admit_subscribe()?;
        self.inner.subscribe(pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.capabilities.admit_append(stream, records)?;
        self.inner.append(stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.capabilities.admit_claim(claim)?;
        self.inner.claim(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.capabilities.admit_settle(settlements)?;
        self.inner.settle(settlements).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.capabilities.admit_streams("inspect")?;
        self.inner.inspect(stream).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.capabilities.admit_streams("trim")?;
        self.inner.trim(stream, keep).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.capabilities.admit_streams("remove_group")?;
        self.inner.remove_group(stream, group).await
    }
}

/// The memory adapter with a limit.
struct LimitedHarness {
    name: &'static str,
    describe: &'static str,
    limit: Limit,
}

#[async_trait]
impl Harness for LimitedHarness {
    fn name(&self) -> &str {
        self.name
    }

    fn describe(&self) -> String {
        self.describe.to_owned()
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = MemoryConfig::from_url("memory://limited")?.namespace(namespace.clone());
        Ok(Arc::new(Limited::new(MemoryCoordination::connect(config).await?.into(), self.limit)))
    }
}

fn one_key(capabilities: &mut Capabilities) {
    "single-key".clone_into(&mut capabilities.backend);
    capabilities.transactions = TransactionScope::SingleKey;
    capabilities.transaction_ids = None;
    capabilities.prefix_guards = false;
}

/// As little as the contract allows.
fn nothing_else(capabilities: &mut Capabilities) {
    one_key(capabilities);
    "limited".clone_into(&mut capabilities.backend);
    capabilities.watch = WatchCompleteness::None;
    capabilities.key_watches = false;
    capabilities.ttl = None;
    capabilities.messages = None;
    capabilities.streams = None;
    capabilities.limits = Limits::MINIMUM;
}

pub(crate) fn run_single_key() -> ExitCode {
    linchpin_conformance::run(LimitedHarness {
        name: "single-key",
        describe: "memory that declares everything but transactions over several keys and transaction ids",
        limit: one_key,
    })
}

pub(crate) fn run_limited() -> ExitCode {
    linchpin_conformance::run(LimitedHarness {
        name: "limited",
        describe: "memory that declares single-key transactions and nothing else",
        limit: nothing_else,
    })
}
