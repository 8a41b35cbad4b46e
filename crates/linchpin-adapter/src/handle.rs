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

    /// Makes a call; it ends when the handle does, and does not begin after that. One that never waits for a server yields
    /// now and then all the same: a loop of them would starve whatever else its thread runs, the renewal of a lock, say.
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
        self.run(Operation::Get, async { self.backend.get(keys).await }).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.run(Operation::Scan, async {
            self.capabilities().admit_scan(page)?;
            let mut found = self.backend.scan(range, page).await?;
            if !page.values {
                // A backend may have read them all the same: of one key, say.
                found.entries.iter_mut().for_each(|entry| entry.value = Bytes::new());
            }
            Ok(found)
        })
        .await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.run(Operation::Commit, async {
            self.capabilities().admit_commit(transaction)?;
            decide::admit(transaction)?;
            self.backend.commit(transaction).await
        })
        .await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.run(Operation::Watch, async {
            self.capabilities().admit_watch()?;
            self.backend.watch(range).await
        })
        .await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.run(Operation::Publish, async {
            self.capabilities().admit_publish(channel, &payload)?;
            self.backend.publish(channel, payload).await
        })
        .await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.run(Operation::Subscribe, async {
            self.capabilities().admit_subscribe()?;
            self.backend.subscribe(pattern).await
        })
        .await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.run(Operation::Append, async {
            self.capabilities().admit_append(stream, records)?;
            self.backend.append(stream, records).await
        })
        .await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.run(Operation::Claim, async {
            self.capabilities().admit_claim(claim)?;
            self.backend.claim(claim).await
        })
        .await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.run(Operation::Settle, async {
            self.capabilities().admit_settle(settlements)?;
            self.backend.settle(settlements).await
        })
        .await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.run(Operation::Inspect, async {
            self.capabilities().admit_streams("inspect")?;
            self.backend.inspect(stream).await
        })
        .await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.run(Operation::Trim, async {
            self.capabilities().admit_streams("trim")?;
            self.backend.trim(stream, keep).await
        })
        .await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.run(Operation::RemoveGroup, async {
            self.capabilities().admit_streams("remove_group")?;
            self.backend.remove_group(stream, group).await
        })
        .await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.run(Operation::Clear, async { self.backend.clear(prefix).await }).await
    }

    async fn health(&self) -> Result<Health> {
        self.run(Operation::Health, async { self.backend.health().await }).await
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
