//! A backend that answers at once and always the same: what is left to measure is what lies above it.

use bytes::Bytes;
use linchpin::{
    Capabilities, Channel, Entry, Error, Health, Key, MessageSupport, Mutation, MutationResult, Namespace, Outcome,
    Page, Range, Reach, Result, Revision, ScanPage, Snapshot, Transaction, TransactionScope, TtlSupport,
};
use linchpin_adapter::{Backend, Config, Coordination};
use linchpin_core::life::Life;
use std::sync::LazyLock;
use std::time::Duration;

/// The handle that every adapter has, over it.
pub(crate) fn at_once() -> Coordination<AtOnce> {
    Coordination::opened(AtOnce::default(), Life::without_runtime(), &Nowhere)
}

pub(crate) struct AtOnce {
    capabilities: Capabilities,
    value: Bytes,
}

/// There is nothing to configure.
#[derive(Clone)]
pub(crate) struct Nowhere;

impl Default for AtOnce {
    fn default() -> Self {
        let mut capabilities = Capabilities::minimum("at-once");
        capabilities.transactions = TransactionScope::MultiKey;
        // As Redis has it: then transactions are given ids.
        capabilities.transaction_ids = Some(Duration::from_mins(1));
        capabilities.prefix_guards = true;
        capabilities.ttl = Some(TtlSupport::within(Duration::ZERO));
        capabilities.limits.transaction_operations = 1024;
        capabilities.messages = Some(MessageSupport::new(false));
        let value = Bytes::from_static(super::PAYLOAD);
        Self { capabilities, value }
    }
}

impl Backend for AtOnce {
    type Config = Nowhere;

    const NAME: &'static str = "AtOnce";

    async fn connect(_: Nowhere, _: &Life) -> Result<Self> {
        Ok(Self::default())
    }

    async fn erase(_: Nowhere, _: &[Namespace]) -> Result<()> {
        Ok(())
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let entry = |key: &Key| {
            let (created, version) = (Revision(1), Revision(1));
            Some(Entry { key: key.clone(), value: self.value.clone(), created, version, ttl: None })
        };
        Ok(Snapshot { revision: Revision(1), entries: keys.iter().map(entry).collect() })
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let result = |mutation: &Mutation| match mutation {
            Mutation::Extend { ttl, .. } => MutationResult::Extended { ttl: Some(*ttl) },
            Mutation::Delete { .. } => MutationResult::Deleted { existed: true },
            _ => MutationResult::Put { created: Revision(1), ttl: None },
        };
        Ok(Outcome::Committed { revision: Revision(1), results: transaction.mutations.iter().map(result).collect() })
    }

    async fn publish(&self, _: &Channel, _: Bytes) -> Result<Reach> {
        Ok(Reach { at_most: Some(1) })
    }

    async fn scan(&self, _: &Range, _: &Page) -> Result<ScanPage> {
        unsupported("scan")
    }

    async fn clear(&self, _: &str) -> Result<()> {
        unsupported("clear")
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new(Duration::ZERO, Vec::new()))
    }
}

fn unsupported<T>(operation: &'static str) -> Result<T> {
    Err(Error::unsupported(operation, "at-once", "anything but get, commit and publish"))
}

impl Config for Nowhere {
    const SCHEMES: &'static [&'static str] = &[];

    fn from_url(_: &str) -> Result<Self> {
        Ok(Self)
    }

    fn with_namespace(self, _: Namespace) -> Self {
        self
    }

    fn namespace(&self) -> &Namespace {
        static DEFAULT: LazyLock<Namespace> = LazyLock::new(Namespace::default);
        &DEFAULT
    }

    fn address(&self) -> String {
        "nowhere".to_owned()
    }
}
