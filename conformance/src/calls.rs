//! Calls of a driver in the short form that cases use.

use crate::failure::{Failure, here};
use bytes::Bytes;
use linchpin_core::{Driver, Entry, Key, MutationResult, Outcome, Page, Range, Revision, Transaction};
use std::sync::Arc;

/// What a committed transaction answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) revision: Revision,
    pub(crate) results: Vec<MutationResult>,
}

/// What a refused transaction answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) guard: usize,
    pub(crate) found: Option<Entry>,
    pub(crate) revision: Revision,
}

/// Commits what must be committed.
#[track_caller]
pub(crate) fn commit(
    driver: &Arc<dyn Driver>,
    transaction: Transaction,
) -> impl Future<Output = Result<Committed, Failure>> {
    here(async move {
        match driver.commit(&transaction).await? {
            Outcome::Committed { revision, results } if results.len() == transaction.mutations.len() => {
                Ok(Committed { revision, results })
            }
            other => Err(Failure::new(format!("expected {transaction:?} to be committed, got {other:?}"))),
        }
    })
}

/// Commits what a guard must refuse.
#[track_caller]
pub(crate) fn refused(
    driver: &Arc<dyn Driver>,
    transaction: Transaction,
) -> impl Future<Output = Result<Refused, Failure>> {
    here(async move {
        match driver.commit(&transaction).await? {
            Outcome::Refused { guard, found, revision } => Ok(Refused { guard, found, revision }),
            other @ Outcome::Committed { .. } => {
                Err(Failure::new(format!("expected a guard to refuse {transaction:?}, got {other:?}")))
            }
        }
    })
}

/// Writes a value for ever; the revision that it was written at.
#[track_caller]
pub(crate) fn put(
    driver: &Arc<dyn Driver>,
    key: &Key,
    value: impl Into<Bytes>,
) -> impl Future<Output = Result<Revision, Failure>> {
    here(async move { Ok(commit(driver, Transaction::new().put(key.clone(), value, None)).await?.revision) })
}

/// Deletes a key; whether it existed.
#[track_caller]
pub(crate) fn delete(driver: &Arc<dyn Driver>, key: &Key) -> impl Future<Output = Result<bool, Failure>> {
    here(async move {
        match commit(driver, Transaction::new().delete(key.clone())).await?.results[..] {
            [MutationResult::Deleted { existed }] => Ok(existed),
            ref other => Err(Failure::new(format!("a delete answered {other:?}"))),
        }
    })
}

/// Adds to a counter; its new value.
#[track_caller]
pub(crate) fn add(driver: &Arc<dyn Driver>, key: &Key, delta: i64) -> impl Future<Output = Result<i64, Failure>> {
    here(async move {
        match commit(driver, Transaction::new().add(key.clone(), delta, None)).await?.results[..] {
            [MutationResult::Added { value }] => Ok(value),
            ref other => Err(Failure::new(format!("an add answered {other:?}"))),
        }
    })
}

/// Reads a key.
#[track_caller]
pub(crate) fn read(driver: &Arc<dyn Driver>, key: &Key) -> impl Future<Output = Result<Option<Entry>, Failure>> {
    here(async move {
        let snapshot = driver.get(std::slice::from_ref(key)).await?;
        match <[Option<Entry>; 1]>::try_from(snapshot.entries) {
            Ok([entry]) => Ok(entry),
            Err(entries) => Err(Failure::new(format!("get answered {} entries for one key", entries.len()))),
        }
    })
}

/// Reads a key that must exist.
#[track_caller]
pub(crate) fn present(driver: &Arc<dyn Driver>, key: &Key) -> impl Future<Output = Result<Entry, Failure>> {
    here(async move {
        read(driver, key).await?.ok_or_else(|| Failure::new(format!("the key {key:?} does not exist, but it should")))
    })
}

/// Reads the value of a key.
#[track_caller]
pub(crate) fn value(driver: &Arc<dyn Driver>, key: &Key) -> impl Future<Output = Result<Option<Bytes>, Failure>> {
    here(async move { Ok(read(driver, key).await?.map(|entry| entry.value)) })
}

/// Reads a counter; an absent one is 0.
#[track_caller]
pub(crate) fn counter(driver: &Arc<dyn Driver>, key: &Key) -> impl Future<Output = Result<i64, Failure>> {
    here(async move {
        let Some(value) = value(driver, key).await? else { return Ok(0) };
        let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| Failure::new(format!("the counter {key:?} holds {value:?}, which is not decimal text")))
    })
}

/// Reads a whole range, page by page.
#[track_caller]
pub(crate) fn scan(driver: &Arc<dyn Driver>, range: &Range) -> impl Future<Output = Result<Vec<Entry>, Failure>> {
    here(async move {
        let mut page = Page::first();
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let read = driver.scan(range, &page).await?;
            let last = read.entries.last().map(|entry| entry.key.clone());
            entries.extend(read.entries);
            if !read.more {
                return Ok(entries);
            }
            page.after = last.or(page.after);
        }
    })
}

/// The names of all keys, in the order in which the driver scans them.
#[track_caller]
pub(crate) fn names(driver: &Arc<dyn Driver>, range: &Range) -> impl Future<Output = Result<Vec<String>, Failure>> {
    here(async move { Ok(scan(driver, range).await?.into_iter().map(|entry| entry.key.into()).collect()) })
}

/// Writes the same value to many keys, as many in one transaction as the backend takes.
#[track_caller]
pub(crate) fn put_all(
    driver: &Arc<dyn Driver>,
    keys: &[Key],
    value: &Bytes,
) -> impl Future<Output = Result<(), Failure>> {
    here(async move {
        let at_once = driver.capabilities().keys_per_transaction().min(100);
        for some in keys.chunks(at_once) {
            let puts = some.iter().fold(Transaction::new(), |puts, key| puts.put(key.clone(), value.clone(), None));
            commit(driver, puts).await?;
        }
        Ok(())
    })
}

/// Keys called `{prefix}{number}`, numbered so that they ascend.
pub(crate) fn numbered(prefix: &str, count: usize) -> Result<Vec<Key>, Failure> {
    (0..count).map(|n| Ok(Key::new(format!("{prefix}{n:06}"))?)).collect()
}
