//! A namespace within a namespace.

use crate::capabilities::Capabilities;
use crate::driver::{Driver, Health};
use crate::entry::{Entry, Page, Range, ScanPage, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::hash_128;
use crate::message::{Reach, Subscription, SubscriptionEvent};
use crate::name::{Channel, GroupName, Key, Namespace, StreamName};
use crate::pattern::Pattern;
use crate::stream::{Appended, Claim, Delivery, Receipt, Record, Retention, Settled, Settlement, StreamInfo};
use crate::transaction::{Guard, Mutation, Outcome, Transaction, TransactionId};
use crate::watch::{WatchEvent, WatchStream};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use std::sync::Arc;

/// Puts `ns/name/` in front of every key, channel and stream on the way down and takes it off on the way
/// up, so that several tenants share one connection and cannot reach each other.
///
/// Guards and revisions mean the same; a transaction's id is this namespace's own, as its keys are; `clear` removes this namespace and nothing else;
/// `close` closes the driver below, for every namespace on it.
#[derive(Clone, Debug)]
pub struct NamespaceLayer {
    inner: Arc<dyn Driver>,
    prefix: Arc<str>,
}

impl NamespaceLayer {
    /// The part of `inner` called `namespace`.
    pub fn new(inner: Arc<dyn Driver>, namespace: &Namespace) -> Self {
        // `/` is no character of a namespace, so no namespace's prefix starts another's; nor is one an area's.
        Self { inner, prefix: format!("ns/{namespace}/").into() }
    }

    /// An error of the driver below, naming things as this namespace does.
    fn own<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.without_subject_prefix(&self.prefix))
    }

    fn key(&self, key: &Key) -> Result<Key> {
        key.prefixed(&self.prefix)
    }

    fn range(&self, range: &Range) -> Result<Range> {
        Ok(match range {
            Range::Key(key) => Range::Key(self.key(key)?),
            Range::Prefix(prefix) => Range::prefix(format!("{}{prefix}", self.prefix))?,
        })
    }

    fn entry(&self, mut entry: Entry) -> Result<Entry> {
        entry.key = own_key(&self.prefix, &entry.key)?;
        Ok(entry)
    }

    fn mutation(&self, mutation: &Mutation) -> Result<Mutation> {
        let mut mutation = mutation.clone();
        *mutation.key_mut() = self.key(mutation.key())?;
        Ok(mutation)
    }

    /// The same transaction id in two namespaces is two ids below.
    fn own_id(&self, id: TransactionId) -> TransactionId {
        TransactionId(hash_128(self.prefix.bytes().chain(id.0.to_le_bytes())))
    }

    fn receipt(&self, receipt: &Receipt) -> Result<Receipt> {
        Ok(Receipt { stream: receipt.stream.prefixed(&self.prefix)?, ..receipt.clone() })
    }
}

/// A key of the driver below, as this namespace calls it.
fn own_key(prefix: &str, key: &Key) -> Result<Key> {
    key.without_prefix(prefix).ok_or_else(outside)
}

fn outside() -> Error {
    Error::new(ErrorKind::Backend, "namespace", "the driver answered with a name outside")
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for NamespaceLayer {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let inner: Vec<Key> = keys.iter().map(|key| self.key(key)).collect::<Result<_>>()?;
        let Snapshot { revision, entries } = self.own(self.inner.get(&inner).await)?;
        let own = entries.into_iter().map(|entry| entry.map(|entry| self.entry(entry)).transpose());
        Ok(Snapshot { revision, entries: own.collect::<Result<_>>()? })
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let after = page.after.as_ref().map(|key| self.key(key)).transpose()?;
        let ScanPage { revision, entries, more } =
            self.own(self.inner.scan(&self.range(range)?, &Page { after, ..page.clone() }).await)?;
        let entries = entries.into_iter().map(|entry| self.entry(entry)).collect::<Result<_>>()?;
        Ok(ScanPage { revision, entries, more })
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let guard = |guard: &Guard| Ok(Guard { key: self.key(&guard.key)?, condition: guard.condition });
        let inner = Transaction {
            id: transaction.id.map(|id| self.own_id(id)),
            guards: transaction.guards.iter().map(guard).collect::<Result<_>>()?,
            mutations: transaction.mutations.iter().map(|m| self.mutation(m)).collect::<Result<_>>()?,
        };
        Ok(match self.own(self.inner.commit(&inner).await)? {
            Outcome::Refused { guard, found, revision } => {
                let found = found.map(|entry| self.entry(entry)).transpose()?;
                Outcome::Refused { guard, found, revision }
            }
            committed @ Outcome::Committed { .. } => committed,
        })
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let prefix = self.prefix.clone();
        let events = self.own(self.inner.watch(&self.range(range)?).await)?;
        Ok(Box::pin(events.map(move |event| {
            Ok(match event? {
                WatchEvent::Put(entry) => WatchEvent::Put(Entry { key: own_key(&prefix, &entry.key)?, ..entry }),
                WatchEvent::Deleted { key, version } => WatchEvent::Deleted { key: own_key(&prefix, &key)?, version },
                synced @ WatchEvent::Synced { .. } => synced,
            })
        })))
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.own(self.inner.publish(&channel.prefixed(&self.prefix)?, payload).await)
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let prefix = self.prefix.clone();
        let events = self.own(self.inner.subscribe(&pattern.prefixed(&self.prefix)?).await)?;
        Ok(Box::pin(events.filter_map(move |event| {
            let own = match event {
                // Somebody's who publishes past this layer: no channel of ours is without a name.
                Ok(SubscriptionEvent::Message(message)) if message.channel.as_str() == &*prefix => None,
                Ok(SubscriptionEvent::Message(mut message)) => {
                    let channel = message.channel.without_prefix(&prefix).ok_or_else(outside);
                    Some(channel.map(|channel| {
                        message.channel = channel;
                        SubscriptionEvent::Message(message)
                    }))
                }
                other => Some(other),
            };
            std::future::ready(own)
        })))
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.own(self.inner.append(&stream.prefixed(&self.prefix)?, records).await)
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let inner = Claim { stream: claim.stream.prefixed(&self.prefix)?, ..claim.clone() };
        let mut deliveries = self.own(self.inner.claim(&inner).await)?;
        for delivery in &mut deliveries {
            delivery.receipt.stream = claim.stream.clone();
        }
        Ok(deliveries)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let inner = |s: &Settlement| Ok(Settlement { receipt: self.receipt(&s.receipt)?, action: s.action.clone() });
        let inner: Vec<_> = settlements.iter().map(inner).collect::<Result<_>>()?;
        self.own(self.inner.settle(&inner).await)
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.own(self.inner.inspect(&stream.prefixed(&self.prefix)?).await)
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.own(self.inner.trim(&stream.prefixed(&self.prefix)?, keep).await)
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.own(self.inner.remove_group(&stream.prefixed(&self.prefix)?, group).await)
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.own(self.inner.clear(&format!("{}{prefix}", self.prefix)).await)
    }

    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
