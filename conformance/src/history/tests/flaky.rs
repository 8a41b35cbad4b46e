//! A driver over another one that is slow, loses answers, or breaks the contract.

use async_trait::async_trait;
use fastrand::Rng;
use linchpin_core::layers::Layer;
use linchpin_core::{
    Appended, Capabilities, Claim, Delivery, Driver, Error, ErrorKind, Key, Mutation, MutationResult, Outcome,
    Position, Record, Result, Retry, Settled, Settlement, Snapshot, StreamName, Transaction, TransactionScope,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing: calls overlap.
    Slow,
    /// It offers no more than a driver must, and refuses the rest.
    Modest,
    /// Some answers are lost, of calls that were applied, are applied later, or never; and some calls fail.
    LostAnswers,
    /// It breaks the contract: now and then ...
    StaleReads,
    LostWrites,
    TornTransactions,
    IgnoredGuards,
    AppliedTwice,
    ForgottenIds,
    LostRecords,
    SharedDeliveries,
    ForgottenAcks,
    EarlyRetries,
}

#[derive(Debug)]
pub(super) struct Flaky {
    inner: Arc<dyn Driver>,
    capabilities: Capabilities,
    trouble: Trouble,
    dice: Mutex<Rng>,
    snapshots: Mutex<Vec<(Vec<Key>, Snapshot)>>,
    deliveries: Mutex<Vec<(Claim, Vec<Delivery>)>>,
}

impl Flaky {
    pub(super) fn new(inner: Arc<dyn Driver>, trouble: Trouble, seed: u64) -> Self {
        let dice = Mutex::new(Rng::with_seed(seed));
        let mut capabilities = inner.capabilities().clone();
        if trouble == Trouble::Modest {
            capabilities.transactions = TransactionScope::SingleKey;
            (capabilities.transaction_ids, capabilities.streams) = (None, None);
        }
        Self { inner, capabilities, trouble, dice, snapshots: Mutex::default(), deliveries: Mutex::default() }
    }

    fn percent(&self, trouble: Trouble, percent: u8) -> bool {
        self.trouble == trouble && self.dice.lock().u8(..100) < percent
    }

    async fn pause(&self) {
        let turns = self.dice.lock().u8(..4);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Makes a call, or loses it, or its answer.
    async fn write<T>(&self, operation: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.pause().await;
        let thrown = if self.trouble == Trouble::LostAnswers { self.dice.lock().u8(..100) } else { 100 };
        match thrown {
            0..3 => return Err(Error::new(ErrorKind::Unavailable, operation, "away").with_retry(Retry::Safe)),
            3..6 => return Err(Error::timeout(operation, Duration::from_secs(5))),
            _ => {}
        }
        let result = call.await;
        self.pause().await;
        if thrown < 12 { Err(Error::timeout(operation, Duration::from_secs(5))) } else { result }
    }

    /// A transaction as this driver takes it.
    async fn broken_commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let mut transaction = transaction.clone();
        if self.percent(Trouble::IgnoredGuards, 10) {
            transaction.guards.clear();
        }
        if self.trouble == Trouble::ForgottenIds {
            transaction.id = None;
        }
        if self.percent(Trouble::TornTransactions, 10) && transaction.mutations.len() > 1 {
            let last = Transaction { mutations: transaction.mutations.split_off(1), ..Transaction::new() };
            let (first, last) = (self.inner.commit(&transaction).await?, last);
            let Outcome::Committed { revision, mut results } = first else { return Ok(first) };
            self.pause().await;
            results.extend(self.inner.commit(&last).await?.results().into_iter().flatten().copied());
            return Ok(Outcome::Committed { revision, results });
        }
        if self.percent(Trouble::LostWrites, 3) && matches!(transaction.mutations[..], [Mutation::Put { .. }]) {
            let revision =
                self.inner.commit(&Transaction::new().add(Key::new("elsewhere")?, 1, None)).await?.revision();
            return Ok(Outcome::Committed {
                revision,
                results: vec![MutationResult::Put { created: revision, ttl: None }],
            });
        }
        if self.percent(Trouble::AppliedTwice, 3) && transaction.id.is_none() {
            self.inner.commit(&transaction).await?;
        }
        self.inner.commit(&transaction).await
    }

    /// Applies it when the caller has given up.
    fn later(&self, transaction: &Transaction) {
        let (inner, transaction) = (self.inner.clone(), transaction.clone());
        let pause = Duration::from_micros(self.dice.lock().u64(..20_000));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            inner.commit(&transaction).await.ok();
        });
    }
}

#[async_trait]
impl Layer for Flaky {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.pause().await;
        let snapshot = self.inner.get(keys).await?;
        self.pause().await;
        let mut snapshots = self.snapshots.lock();
        snapshots.push((keys.to_vec(), snapshot.clone()));
        if self.percent(Trouble::StaleReads, 5)
            && let Some((_, old)) = snapshots.iter().rev().skip(5).find(|(asked, _)| asked == keys)
        {
            return Ok(old.clone());
        }
        Ok(snapshot)
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.capabilities.admit_commit(transaction)?;
        if self.percent(Trouble::LostAnswers, 3) {
            self.later(transaction);
            return Err(Error::timeout("commit", Duration::from_secs(5)));
        }
        self.write("commit", self.broken_commit(transaction)).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        if self.percent(Trouble::LostRecords, 3) {
            let last = self.inner.inspect(stream).await?.last.map_or(0, |last| last.0);
            let appended = |position| Appended { position: Position(position), duplicate: false };
            return Ok((last + 1..).take(records.len()).map(appended).collect());
        }
        self.write("append", self.inner.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let delivered = self.write("claim", self.inner.claim(claim)).await?;
        let mut deliveries = self.deliveries.lock();
        if self.percent(Trouble::SharedDeliveries, 5)
            && let Some((_, old)) = deliveries.iter().rev().find(|(other, delivered)| {
                (&other.stream, &other.group) == (&claim.stream, &claim.group) && delivered.len() <= claim.max
            })
        {
            let mut shared = old.clone();
            for delivery in &mut shared {
                delivery.receipt.delivery += 1;
            }
            return Ok(shared);
        }
        if !delivered.is_empty() {
            deliveries.push((claim.clone(), delivered.clone()));
        }
        Ok(delivered)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        if self.percent(Trouble::ForgottenAcks, 5) {
            return Ok(vec![Settled::Done; settlements.len()]);
        }
        let mut settlements = settlements.to_vec();
        if self.trouble == Trouble::EarlyRetries {
            for settlement in &mut settlements {
                if let linchpin_core::Action::Retry { after } = &mut settlement.action {
                    *after = Duration::ZERO;
                }
            }
        }
        self.write("settle", self.inner.settle(&settlements)).await
    }
}
