//! The driver over any backend: what every handle does, once.

use crate::backend::{Backend, Config};
use crate::decide;
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, GroupName, Health, Key, Namespace, NodeId, Operation,
    Outcome, Page, Pattern, Range, Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot,
    StreamInfo, StreamName, Subscription, Transaction, WatchStream,
};
use std::fmt;
use std::sync::Arc;

/// A driver over a backend: it refuses what is not admitted, ends its calls when it is closed or its runtime has ended,
/// and says whose it is.
pub(crate) struct Handle<B> {
    backend: Arc<B>,
    life: Life,
    address: String,
    namespace: Namespace,
    node: Option<NodeId>,
}

impl<B: Backend> Handle<B> {
    pub(crate) async fn connect(config: B::Config, node: Option<NodeId>) -> Result<Self> {
        let (life, address, namespace) = (B::life(), config.address(), config.namespace().clone());
        let backend = Arc::new(B::connect(config, &life).await?);
        Ok(Self { backend, life, address, namespace, node })
    }

    pub(crate) fn of(backend: B, life: Life, config: &B::Config) -> Self {
        let (address, namespace) = (config.address(), config.namespace().clone());
        Self { backend: Arc::new(backend), life, address, namespace, node: None }
    }

    /// Makes a call, which ends when the handle does. One that never waits for a server yields now and then all the same:
    /// a loop of them would starve whatever else its thread runs, the renewal of a lock, say.
    async fn run<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::task::coop::consume_budget().await;
        self.life.run(operation, call).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend> Driver for Handle<B> {
    fn capabilities(&self) -> &Capabilities {
        self.backend.capabilities()
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.run(Operation::Get, self.backend.get(keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.capabilities().admit_scan(page)?;
        self.run(Operation::Scan, self.backend.scan(range, page)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.capabilities().admit_commit(transaction)?;
        decide::admit(transaction)?;
        self.run(Operation::Commit, self.backend.commit(transaction)).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.capabilities().admit_watch()?;
        self.run(Operation::Watch, self.backend.watch(range)).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.capabilities().admit_publish(channel, &payload)?;
        self.run(Operation::Publish, self.backend.publish(channel, payload)).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.capabilities().admit_subscribe()?;
        self.run(Operation::Subscribe, self.backend.subscribe(pattern)).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.capabilities().admit_append(stream, records)?;
        self.run(Operation::Append, self.backend.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.capabilities().admit_claim(claim)?;
        self.run(Operation::Claim, self.backend.claim(claim)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.capabilities().admit_settle(settlements)?;
        self.run(Operation::Settle, self.backend.settle(settlements)).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.capabilities().admit_streams("inspect")?;
        self.run(Operation::Inspect, self.backend.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.capabilities().admit_streams("trim")?;
        self.run(Operation::Trim, self.backend.trim(stream, keep)).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.capabilities().admit_streams("remove_group")?;
        self.run(Operation::RemoveGroup, self.backend.remove_group(stream, group)).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.run(Operation::Clear, self.backend.clear(prefix)).await
    }

    async fn health(&self) -> Result<Health> {
        self.run(Operation::Health, self.backend.health()).await
    }

    async fn close(&self) -> Result<()> {
        let backend = self.backend.clone();
        self.life.close_by(async move { backend.close().await }).await;
        Ok(())
    }
}

impl<B: Backend> fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(B::NAME)
            .field("address", &self.address)
            .field("node", &self.node)
            .field("namespace", &self.namespace)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}
