//! A driver that answers at once and always the same: what is left to measure is what lies above it.

use async_trait::async_trait;
use bytes::Bytes;
use linchpin::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Durability, Entry, Error, GroupName, Health, Key, Limits,
    MessageSupport, MutationResult, Outcome, Page, Pattern, PortState, Range, Reach, Record, Result, Retention,
    Revision, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, Subscription, Transaction,
    TransactionScope, WatchCompleteness, WatchStream,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct AtOnce(Arc<Fixed>);

struct Fixed {
    capabilities: Capabilities,
    port: PortState,
    value: Bytes,
}

impl Default for AtOnce {
    fn default() -> Self {
        let why = "nothing is kept".to_owned();
        let capabilities = Capabilities {
            backend: "at-once".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            transactions: TransactionScope::MultiKey,
            // As Redis has it: then transactions are given ids.
            transaction_ids: Some(Duration::from_mins(1)),
            prefix_guards: true,
            watch: WatchCompleteness::None,
            ttl: None,
            messages: Some(MessageSupport { knows_nobody: false }),
            streams: None,
            limits: Limits::MINIMUM,
            durability: Durability { survives_restart: false, survives_power_loss: false, why },
        };
        let value = Bytes::from_static(super::PAYLOAD);
        Self(Arc::new(Fixed { capabilities, port: PortState::default(), value }))
    }
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtOnce")
    }
}

fn unsupported<T>(operation: &'static str) -> Result<T> {
    Err(Error::unsupported(operation, "at-once", "anything but get, commit and publish"))
}

#[async_trait]
impl Driver for AtOnce {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn port_state(&self) -> &PortState {
        &self.0.port
    }

    fn share(&self) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let entry = |key: &Key| {
            let (created, version) = (Revision(1), Revision(1));
            Some(Entry { key: key.clone(), value: self.0.value.clone(), created, version, ttl: None })
        };
        Ok(Snapshot { revision: Revision(1), entries: keys.iter().map(entry).collect() })
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let result = |_| MutationResult::Put { created: Revision(1), ttl: None };
        Ok(Outcome::Committed { revision: Revision(1), results: transaction.mutations.iter().map(result).collect() })
    }

    async fn publish(&self, _: &Channel, _: Bytes) -> Result<Reach> {
        Ok(Reach { at_most: Some(1) })
    }

    async fn scan(&self, _: &Range, _: &Page) -> Result<ScanPage> {
        unsupported("scan")
    }
    async fn watch(&self, _: &Range) -> Result<WatchStream> {
        unsupported("watch")
    }
    async fn subscribe(&self, _: &Pattern) -> Result<Subscription> {
        unsupported("subscribe")
    }
    async fn append(&self, _: &StreamName, _: &[Record]) -> Result<Vec<Appended>> {
        unsupported("append")
    }
    async fn claim(&self, _: &Claim) -> Result<Vec<Delivery>> {
        unsupported("claim")
    }
    async fn settle(&self, _: &[Settlement]) -> Result<Vec<Settled>> {
        unsupported("settle")
    }
    async fn inspect(&self, _: &StreamName) -> Result<StreamInfo> {
        unsupported("inspect")
    }
    async fn trim(&self, _: &StreamName, _: Retention) -> Result<u64> {
        unsupported("trim")
    }
    async fn remove_group(&self, _: &StreamName, _: &GroupName) -> Result<bool> {
        unsupported("remove_group")
    }
    async fn clear(&self, _: &str) -> Result<()> {
        unsupported("clear")
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new(Duration::ZERO, Vec::new()))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
