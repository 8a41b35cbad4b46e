//! The driver that does what its fault says, and the harness that opens handles of it.

use crate::mutants::mutant::Fault;
use bytes::Bytes;
use linchpin_conformance::{FaultServer, Harness, async_trait};
use linchpin_core::layers::Layer;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, GroupName, Key, Namespace, Outcome, Page, Pattern, Range,
    Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, Subscription,
    Transaction, WatchStream,
};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::fmt;
use std::sync::Arc;

/// A driver around an honest one, with a fault in between.
#[derive(Clone)]
pub(crate) struct Broken {
    inner: Arc<dyn Driver>,
    capabilities: Arc<Capabilities>,
    fault: Arc<dyn Fault>,
}

impl Broken {
    pub(crate) fn over(inner: Arc<dyn Driver>, fault: Arc<dyn Fault>) -> Arc<dyn Driver> {
        let mut capabilities = inner.capabilities().clone();
        fault.declare(&mut capabilities);
        Arc::new(Self { inner, capabilities: Arc::new(capabilities), fault })
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broken").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl Layer for Broken {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.fault.get(&self.inner, keys).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.fault.scan(&self.inner, range, page).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.fault.commit(&self.inner, transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.fault.watch(&self.inner, range).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.fault.publish(&self.inner, channel, payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.fault.subscribe(&self.inner, pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.fault.append(&self.inner, stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.fault.claim(&self.inner, claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.fault.settle(&self.inner, settlements).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.fault.inspect(&self.inner, stream).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.fault.trim(&self.inner, stream, keep).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.fault.remove_group(&self.inner, stream, group).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.fault.clear(&self.inner, prefix).await
    }

    async fn close(&self) -> Result<()> {
        self.fault.close(&self.inner).await
    }
}

/// A memory of its own, reached through broken handles.
#[derive(Clone)]
pub(crate) struct Backend {
    memory: String,
    pub(crate) fault: Arc<dyn Fault>,
}

impl Backend {
    /// No two may have the same `memory`: they would share what a fault makes of it.
    pub(crate) fn new(memory: impl Into<String>, fault: Arc<dyn Fault>) -> Self {
        Self { memory: memory.into(), fault }
    }
}

#[async_trait]
impl Harness for Backend {
    fn name(&self) -> &str {
        &self.memory
    }

    fn describe(&self) -> String {
        format!("memory, as {} has it", self.memory)
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = MemoryConfig::new().name(self.memory.as_str()).namespace(self.fault.lives_in(namespace));
        let inner = MemoryCoordination::connect(config).await?.into();
        Ok(self.fault.layered(Broken::over(inner, self.fault.clone()), namespace))
    }
    async fn fault_server(&self) -> Result<Option<Arc<dyn FaultServer>>, String> {
        Ok(Some(Arc::new(self.clone())))
    }
}
