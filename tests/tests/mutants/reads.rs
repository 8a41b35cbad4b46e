//! Reads that are stitched together, and reads that say other things than others of the same revision.

use crate::mutants::mutant::{Fault, Mutant};
use crate::mutants::watch::Watches;
use futures::StreamExt;
use linchpin_conformance::async_trait;
use linchpin_core::{
    Driver, Entry, Key, Outcome, Page, Range, Result, Revision, ScanPage, Snapshot, Transaction, WatchEvent,
    WatchStream,
};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    let watches = |change| Arc::new(Watches(change)) as Arc<dyn Fault>;
    vec![
        Mutant {
            name: "read_in_hundreds",
            breaks: "More than a hundred keys are read a hundred at a time",
            caught_by: "state.a_large_get_is_of_one_revision",
            fault: Arc::new(ReadsInHundreds),
        },
        Mutant {
            name: "page_in_hundreds",
            breaks: "A page of more than a hundred entries is read a hundred at a time",
            caught_by: "state.a_large_page_is_of_one_revision",
            fault: Arc::new(ReadsInHundreds),
        },
        Mutant {
            name: "page_after_a_prefix",
            breaks: "A page starts after all keys that start like the one given",
            caught_by: "state.keys_that_start_others_are_told_once",
            fault: Arc::new(AfterAPrefix),
        },
        Mutant {
            name: "expired_ends_the_pages",
            breaks: "The page in which a key has expired is said to be the last",
            caught_by: "state.expired_keys_leave_their_page_whole",
            fault: Arc::new(EndsAtExpired::default()),
        },
        Mutant {
            name: "revision_of_what_is_shown",
            breaks: "A read has the revision of the newest entry that it shows, whatever was deleted since",
            caught_by: "state.equal_revisions_say_equal_things",
            fault: Arc::new(OfWhatIsShown),
        },
        Mutant {
            name: "expiry_without_revision",
            breaks: "A key that expires is gone, and the revision stays that of the last commit",
            caught_by: "state.an_expiry_has_a_revision_of_its_own",
            fault: Arc::new(OfTheLastCommit::default()),
        },
        Mutant {
            name: "scan_without_ttls",
            breaks: "A scan does not tell how long entries have left to live",
            caught_by: "state.a_ttl_is_told_alike_by_every_read",
            fault: Arc::new(WithoutTtls { scan: true }),
        },
        Mutant {
            name: "refusal_without_ttls",
            breaks: "A refusal does not tell how long what stood there has left to live",
            caught_by: "state.a_ttl_is_told_alike_by_every_read",
            fault: Arc::new(WithoutTtls { scan: false }),
        },
        Mutant {
            name: "present_without_ttls",
            breaks: "A watch does not tell how long the entries present have left to live",
            caught_by: "state.a_watcher_is_told_the_ttl",
            fault: watches(|watch| without_ttls(watch, true)),
        },
        Mutant {
            name: "changes_without_ttls",
            breaks: "A watch does not tell how long what was written has left to live",
            caught_by: "state.a_watcher_is_told_the_ttl",
            fault: watches(|watch| without_ttls(watch, false)),
        },
    ]
}

/// Long enough for others to write in between.
const MEANWHILE: Duration = Duration::from_millis(2);

struct ReadsInHundreds;

#[async_trait]
impl Fault for ReadsInHundreds {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(&[]).await?;
        for some in keys.chunks(100) {
            snapshot.entries.extend(inner.get(some).await?.entries);
            tokio::time::sleep(MEANWHILE).await;
        }
        Ok(snapshot)
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut part = Page { limit: page.limit.min(100), ..page.clone() };
        let mut whole = inner.scan(range, &part).await?;
        while whole.more && whole.entries.len() < page.limit {
            tokio::time::sleep(MEANWHILE).await;
            part.after = whole.entries.last().map(|entry| entry.key.clone());
            part.limit = (page.limit - whole.entries.len()).min(100);
            let next = inner.scan(range, &part).await?;
            whole.entries.extend(next.entries);
            (whole.more, whole.revision) = (next.more, next.revision);
        }
        Ok(whole)
    }
}

struct AfterAPrefix;

#[async_trait]
impl Fault for AfterAPrefix {
    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut found = inner.scan(range, page).await?;
        if let Some(after) = &page.after {
            found.entries.retain(|entry| !entry.key.as_str().starts_with(after.as_str()));
        }
        Ok(found)
    }
}

/// The keys that were given a time to live.
#[derive(Default)]
struct EndsAtExpired(Mutex<BTreeSet<Key>>);

#[async_trait]
impl Fault for EndsAtExpired {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let leased = transaction.mutations.iter().filter(|mutation| mutation.ttl().is_some());
        self.0.lock().extend(leased.map(|mutation| mutation.key().clone()));
        inner.commit(transaction).await
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut found = inner.scan(range, page).await?;
        let expired = |key: &Key| found.entries.iter().all(|entry| entry.key != *key);
        let within = |key: &&Key| {
            page.after.as_ref().is_none_or(|after| *key > after)
                && found.entries.last().is_some_and(|last| **key < last.key)
        };
        if self.0.lock().iter().filter(within).any(expired) {
            found.more = false;
        }
        Ok(found)
    }
}

struct OfWhatIsShown;

fn newest<'e>(entries: impl Iterator<Item = &'e Entry>) -> Revision {
    entries.map(|entry| entry.version).max().unwrap_or(Revision(1))
}

#[async_trait]
impl Fault for OfWhatIsShown {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let entries = inner.get(keys).await?.entries;
        Ok(Snapshot { revision: newest(entries.iter().flatten()), entries })
    }
}

/// The revision of the last commit.
#[derive(Default)]
struct OfTheLastCommit(AtomicU64);

impl OfTheLastCommit {
    fn revision(&self) -> Revision {
        Revision(self.0.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Fault for OfTheLastCommit {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        self.0.fetch_max(outcome.revision().0, Ordering::SeqCst);
        Ok(outcome)
    }

    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        Ok(Snapshot { entries: inner.get(keys).await?.entries, revision: self.revision() })
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        Ok(ScanPage { revision: self.revision(), ..inner.scan(range, page).await? })
    }
}

/// Tells no TTLs: in scans, or in refusals.
struct WithoutTtls {
    scan: bool,
}

#[async_trait]
impl Fault for WithoutTtls {
    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut found = inner.scan(range, page).await?;
        if self.scan {
            found.entries.iter_mut().for_each(|entry| entry.ttl = None);
        }
        Ok(found)
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut outcome = inner.commit(transaction).await?;
        if let Outcome::Refused { found: Some(entry), .. } = &mut outcome
            && !self.scan
        {
            entry.ttl = None;
        }
        Ok(outcome)
    }
}

/// Tells no TTLs: of what is present, or of what changes.
fn without_ttls(watch: WatchStream, of_present: bool) -> WatchStream {
    let mut synced = false;
    Box::pin(watch.map(move |event| {
        Ok(match event? {
            WatchEvent::Put(entry) if synced != of_present => WatchEvent::Put(Entry { ttl: None, ..entry }),
            event => {
                synced |= matches!(event, WatchEvent::Synced { .. });
                event
            }
        })
    }))
}
