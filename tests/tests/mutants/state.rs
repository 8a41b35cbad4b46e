//! Versioned keys: reads that are old or torn, pages that are missing, revisions that restart.

use crate::mutants::mutant::{Fault, Mutant, read};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Driver, Entry, Key, MutationResult, Outcome, Page, Pattern, Range, Result, Revision, ScanPage, Snapshot,
    Transaction,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "stale_reads",
            breaks: "A read answers with what the read before it saw, as from a replica that lags",
            caught_by: "state.a_write_is_read_through_another_handle",
            fault: Arc::new(Stale::default()),
        },
        Mutant {
            name: "torn_snapshot",
            breaks: "Several keys are read one after the other",
            caught_by: "state.a_snapshot_is_of_one_revision",
            fault: Arc::new(Torn),
        },
        Mutant {
            name: "last_page_lost",
            breaks: "A scan says that the first page is the last",
            caught_by: "state.a_large_range_is_read_in_pages",
            fault: Arc::new(OnePage),
        },
        Mutant {
            name: "prefix_is_a_pattern",
            breaks: "The wildcards in a range's prefix are not taken literally",
            caught_by: "state.a_prefix_is_taken_literally",
            fault: Arc::new(PrefixIsPattern),
        },
        Mutant {
            name: "token_restarts_after_delete",
            breaks: "Revisions are counted per key: one that is created again starts at 1",
            caught_by: "state.recreating_is_a_new_key",
            fault: Arc::new(CountsPerKey),
        },
        Mutant {
            name: "token_of_a_lock_does_not_grow",
            breaks: "Revisions are counted per key, so every holder of a lock has the token 1",
            caught_by: "lock.tokens_grow_with_every_holder",
            fault: Arc::new(CountsPerKey),
        },
        Mutant {
            name: "token_restarts_after_clear",
            breaks: "Revisions are counted from the last clear on",
            caught_by: "state.revisions_grow_across_clear",
            fault: Arc::new(CountsSinceClear::default()),
        },
        Mutant {
            name: "clear_reaches_too_far",
            breaks: "Clearing a prefix clears everything",
            caught_by: "state.clear_removes_what_starts_with_the_prefix",
            fault: Arc::new(ClearsAll),
        },
    ]
}

/// What was last read, per key.
#[derive(Default)]
struct Stale(Mutex<HashMap<Key, Option<Entry>>>);

#[async_trait]
impl Fault for Stale {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(keys).await?;
        let mut seen = self.0.lock();
        for (key, entry) in keys.iter().zip(&mut snapshot.entries) {
            if let Some(old) = seen.insert(key.clone(), entry.clone()) {
                *entry = old;
            }
        }
        Ok(snapshot)
    }
}

struct Torn;

#[async_trait]
impl Fault for Torn {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(&[]).await?;
        for key in keys {
            snapshot.entries.push(read(inner, key).await?);
            // Long enough for others to write in between.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(snapshot)
    }
}

struct OnePage;

#[async_trait]
impl Fault for OnePage {
    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        Ok(ScanPage { more: false, ..inner.scan(range, page).await? })
    }
}

struct PrefixIsPattern;

#[async_trait]
impl Fault for PrefixIsPattern {
    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let Range::Prefix(prefix) = range else { return inner.scan(range, page).await };
        let pattern = Pattern::new(format!("{prefix}*"))?;
        let mut found = inner.scan(&Range::all(), page).await?;
        found.entries.retain(|entry| pattern.matches(entry.key.as_str()));
        Ok(found)
    }
}

struct CountsPerKey;

fn since_creation(entry: &mut Entry) {
    entry.version = Revision(entry.version.0 - entry.created.0 + 1);
    entry.created = Revision(1);
}

#[async_trait]
impl Fault for CountsPerKey {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(keys).await?;
        snapshot.entries.iter_mut().flatten().for_each(since_creation);
        Ok(snapshot)
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut found = inner.scan(range, page).await?;
        found.entries.iter_mut().for_each(since_creation);
        Ok(found)
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut outcome = inner.commit(transaction).await?;
        if let (Outcome::Committed { revision, results }, [mutation]) = (&mut outcome, &transaction.mutations[..])
            && let Some(mut entry) = read(inner, mutation.key()).await?
        {
            since_creation(&mut entry);
            *revision = entry.version;
            for result in results {
                if let MutationResult::Put { created, .. } = result {
                    *created = entry.created;
                }
            }
        }
        Ok(outcome)
    }
}

/// The revision of the last clear.
#[derive(Default)]
struct CountsSinceClear(AtomicU64);

impl CountsSinceClear {
    fn count(&self, revision: &mut Revision) {
        revision.0 = revision.0.saturating_sub(self.0.load(Ordering::SeqCst));
    }
}

#[async_trait]
impl Fault for CountsSinceClear {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(keys).await?;
        self.count(&mut snapshot.revision);
        for entry in snapshot.entries.iter_mut().flatten() {
            self.count(&mut entry.created);
            self.count(&mut entry.version);
        }
        Ok(snapshot)
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut outcome = inner.commit(transaction).await?;
        let (Outcome::Committed { revision, .. } | Outcome::Refused { revision, .. }) = &mut outcome;
        self.count(revision);
        Ok(outcome)
    }

    async fn clear(&self, inner: &Arc<dyn Driver>, prefix: &str) -> Result<()> {
        inner.clear(prefix).await?;
        self.0.store(inner.get(&[]).await?.revision.0, Ordering::SeqCst);
        Ok(())
    }
}

struct ClearsAll;

#[async_trait]
impl Fault for ClearsAll {
    async fn clear(&self, inner: &Arc<dyn Driver>, _: &str) -> Result<()> {
        inner.clear("").await
    }
}
