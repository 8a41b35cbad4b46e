//! A driver whose streams are made of transactions and watches: what an adapter has whose server has none.

use linchpin_adapter::streams::{self, DriverKeys, Room, Streams};
use linchpin_conformance::{Harness, async_trait};
use linchpin_core::layers::{Layer, NamespaceLayer};
use linchpin_core::life::{CLOSING, Life};
use linchpin_core::{
    Appended, Capabilities, Claim, Delivery, Driver, GroupName, Namespace, Operation, Record, Result, Retention,
    Settled, Settlement, StreamInfo, StreamName,
};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The memory adapter, with streams in a namespace beside its own.
#[derive(Debug)]
struct StreamsOverKeys {
    inner: Arc<dyn Driver>,
    /// The driver that the streams' keys are in.
    below: Arc<dyn Driver>,
    streams: Arc<Streams<DriverKeys>>,
    life: Life,
    capabilities: Capabilities,
}

impl StreamsOverKeys {
    fn new(below: Arc<dyn Driver>) -> Result<Self> {
        let inner = Arc::new(NamespaceLayer::new(below.clone(), &Namespace::new("keys")?));
        let keys = DriverKeys::new(below.clone(), &Namespace::new("streams")?);
        let life = Life::in_runtime();
        let mut capabilities = below.capabilities().clone();
        "streams-over-keys".clone_into(&mut capabilities.backend);
        let room = Room {
            operations: capabilities.limits.transaction_operations,
            value: capabilities.limits.value,
            bytes: capabilities.limits.transaction_bytes,
            minimum_ttl: capabilities.ttl.map_or(Duration::ZERO, |ttl| ttl.minimum),
        };
        let slack = capabilities.ttl.map_or(Duration::ZERO, |ttl| ttl.slack);
        capabilities.streams = Some(streams::support(slack));
        capabilities.limits.batch = room.batch();
        capabilities.limits.record -= streams::OVERHEAD;
        let streams = Arc::new(Streams::new(life.clone(), keys, room));
        Ok(Self { inner, below, streams, life, capabilities })
    }

    fn admit_streams(&self, operation: Operation) -> Result<()> {
        self.life.admit(operation.as_str())?;
        self.capabilities.admit_streams(operation.as_str()).map(drop)
    }
}

#[async_trait]
impl Layer for StreamsOverKeys {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.admit_streams(Operation::Append)?;
        self.capabilities.admit_append(stream, records)?;
        self.life.run(Operation::Append, self.streams.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.admit_streams(Operation::Claim)?;
        self.capabilities.admit_claim(claim)?;
        self.life.run(Operation::Claim, self.streams.claim(claim)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.admit_streams(Operation::Settle)?;
        self.capabilities.admit_settle(settlements)?;
        self.life.run(Operation::Settle, self.streams.settle(settlements)).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.admit_streams(Operation::Inspect)?;
        self.life.run(Operation::Inspect, self.streams.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.admit_streams(Operation::Trim)?;
        self.life.run(Operation::Trim, self.streams.trim(stream, keep)).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.admit_streams(Operation::RemoveGroup)?;
        self.life.run(Operation::RemoveGroup, self.streams.remove_group(stream, group)).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.inner.clear(prefix).await?;
        self.life.run(Operation::Clear, self.streams.clear(prefix)).await
    }

    async fn close(&self) -> Result<()> {
        let streams = self.streams.clone();
        self.life.close_by(async move { streams.close(CLOSING).await }).await;
        self.below.close().await
    }
}

struct OverKeys;

#[async_trait]
impl Harness for OverKeys {
    fn name(&self) -> &'static str {
        "streams-over-keys"
    }

    fn describe(&self) -> String {
        "memory whose streams are made of its transactions and watches".to_owned()
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = MemoryConfig::from_url("memory://over-keys")?.namespace(namespace.clone());
        Ok(Arc::new(StreamsOverKeys::new(MemoryCoordination::connect(config).await?.into())?))
    }
}

pub(crate) fn run() -> ExitCode {
    linchpin_conformance::run(OverKeys)
}
