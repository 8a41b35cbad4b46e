//! What goes wrong once in a while only: no single look shows it, the history of many clients does.

use crate::mutants::mutant::{Fault, Mutant};
use futures::{StreamExt, stream};
use linchpin::lock::LOCKS;
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Condition, Driver, Entry, Guard, Key, Outcome, Range, Result, Settled, Settlement, Snapshot, Transaction,
    WatchEvent, WatchStream,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "rarely_stale",
            breaks: "One read in a hundred answers what an earlier read saw",
            caught_by: "history.state_is_linearizable",
            fault: Arc::new(RarelyStale::default()),
        },
        Mutant {
            name: "rarely_unguarded",
            breaks: "One guarded transaction in twenty is applied without its guards",
            caught_by: "history.state_is_linearizable",
            fault: Arc::new(RarelyUnguarded::default()),
        },
        Mutant {
            name: "rarely_torn",
            breaks: "One transaction in ten is applied in two parts, a moment apart",
            caught_by: "history.transactions_are_atomic_under_load",
            fault: Arc::new(RarelyTorn::default()),
        },
        Mutant {
            name: "rarely_acknowledged",
            breaks: "One acknowledgement in a hundred is answered and forgotten",
            caught_by: "history.streams_deliver_and_settle",
            fault: Arc::new(RarelyForgets::default()),
        },
        Mutant {
            name: "rarely_alone",
            breaks: "One look in five whether a lock's queue is empty does not look",
            caught_by: "history.locks_never_overlap",
            fault: Arc::new(RarelyAlone::default()),
        },
        Mutant {
            name: "rarely_served",
            breaks: "Once in ten times who watches a lock's queue is told that somebody left who is still there",
            caught_by: "history.locks_never_overlap",
            fault: Arc::new(RarelyServed::default()),
        },
    ]
}

/// Comes round once in so many times.
#[derive(Default)]
struct Turns(AtomicU64);

impl Turns {
    fn once_in(&self, many: u64) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) % many == many - 1
    }
}

#[derive(Default)]
struct RarelyStale {
    turns: Turns,
    seen: Mutex<HashMap<Key, Option<Entry>>>,
}

#[async_trait]
impl Fault for RarelyStale {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(keys).await?;
        let stale = self.turns.once_in(100);
        let mut seen = self.seen.lock();
        for (key, entry) in keys.iter().zip(&mut snapshot.entries) {
            let old = seen.entry(key.clone()).or_insert_with(|| entry.clone());
            if stale {
                // The next stale answer has what is there now: by then others have written.
                std::mem::swap(old, entry);
            }
        }
        Ok(snapshot)
    }
}

#[derive(Default)]
struct RarelyUnguarded(Turns);

#[async_trait]
impl Fault for RarelyUnguarded {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        if !transaction.guards.is_empty() && self.0.once_in(20) {
            return inner.commit(&Transaction { guards: Vec::new(), ..transaction.clone() }).await;
        }
        inner.commit(transaction).await
    }
}

#[derive(Default)]
struct RarelyTorn(Turns);

#[async_trait]
impl Fault for RarelyTorn {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let torn = transaction.id.is_none()
            && transaction.guards.is_empty()
            && transaction.mutations.len() > 1
            && self.0.once_in(10);
        if !torn {
            return inner.commit(transaction).await;
        }
        let mut results = Vec::new();
        let mut last = None;
        for mutation in &transaction.mutations {
            if last.is_some() {
                // Others look meanwhile.
                sleep(Duration::from_millis(1)).await;
            }
            let part = Transaction { id: None, guards: Vec::new(), mutations: vec![mutation.clone()] };
            let outcome = inner.commit(&part).await?;
            results.extend(outcome.results().unwrap_or_default().iter().copied());
            last = Some(outcome.revision());
        }
        Ok(Outcome::Committed { revision: last.unwrap_or_default(), results })
    }
}

#[derive(Default)]
struct RarelyForgets(Turns);

#[async_trait]
impl Fault for RarelyForgets {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let forget = |settlement: &Settlement| match settlement.action {
            Action::Ack if self.0.once_in(100) => {
                Settlement { action: Action::Retry { after: Duration::ZERO }, ..settlement.clone() }
            }
            _ => settlement.clone(),
        };
        let settlements: Vec<_> = settlements.iter().map(forget).collect();
        inner.settle(&settlements).await
    }
}

#[derive(Default)]
struct RarelyAlone(Turns);

#[async_trait]
impl Fault for RarelyAlone {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let asks = |guard: &Guard| {
            guard.condition == Condition::PrefixAbsent && guard.key.as_str().starts_with(LOCKS.prefix())
        };
        if transaction.guards.iter().any(asks) && self.0.once_in(5) {
            return inner.commit(&Transaction { guards: Vec::new(), ..transaction.clone() }).await;
        }
        inner.commit(transaction).await
    }
}

#[derive(Default)]
struct RarelyServed(Arc<Turns>);

#[async_trait]
impl Fault for RarelyServed {
    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        let turns = self.0.clone();
        let queue = matches!(range, Range::Prefix(prefix) if prefix.starts_with(LOCKS.prefix()));
        let told = move |event| match event {
            Ok(WatchEvent::Put(entry)) if queue && turns.once_in(10) => {
                let left = WatchEvent::Deleted { key: entry.key.clone(), version: entry.version };
                vec![Ok(WatchEvent::Put(entry)), Ok(left)]
            }
            event => vec![event],
        };
        Ok(Box::pin(inner.watch(range).await?.flat_map(move |event| stream::iter(told(event)))))
    }
}
