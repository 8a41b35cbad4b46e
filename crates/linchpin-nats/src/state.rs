//! State: reading, scanning and clearing.

use crate::bucket::{Bucket, READ_LIMIT};
use crate::codec::{Stored, read_key};
use crate::known::{Known, Standing};
use async_nats::HeaderMap;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use linchpin_core::{Entry, Error, ErrorKind, Key, Page, Range, Result, Retry, Revision, ScanPage, Snapshot};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// For how long the message stays that says that a key is gone, where nothing else needs it: for the watches.
pub(crate) const TOMBSTONE_TTL: Duration = Duration::from_secs(5);

/// How often a page is read anew because keys came to be meanwhile.
const ATTEMPTS: usize = 20;

pub(crate) async fn get(bucket: &Bucket, known: &Known, keys: &[Key]) -> Result<Snapshot> {
    let subjects: Vec<_> = keys.iter().map(|key| bucket.names.key(key)).collect();
    let distinct = match &*subjects {
        [one] => vec![one.clone()],
        _ => subjects.iter().cloned().collect::<HashSet<_>>().into_iter().collect(),
    };
    let (found, revision) = bucket.read("get", &distinct).await?;
    let now = bucket.clock.now();
    let entry = |(key, subject): (&Key, &String)| {
        let standing = Standing::of(found.get(subject)?);
        let content = standing.content.as_ref().filter(|content| !content.is_over(now));
        let entry = content.map(|content| content.entry(key, now));
        known.put(key, standing);
        entry
    };
    Ok(Snapshot { revision, entries: keys.iter().zip(&subjects).map(entry).collect() })
}

pub(crate) async fn scan(bucket: &Bucket, range: &Range, page: &Page) -> Result<ScanPage> {
    let filter = match range {
        Range::Key(key) => bucket.names.key(key),
        Range::Prefix(prefix) => bucket.names.keys_under(prefix),
    };
    if bucket.reads_directly()
        && let Some((found, revision)) = bucket.read_matching("scan", std::slice::from_ref(&filter)).await?
    {
        let mut entries: Vec<_> = found.iter().filter_map(|message| entry_of(bucket, message)).collect();
        entries
            .retain(|entry| range.contains(&entry.key) && page.after.as_ref().is_none_or(|after| entry.key > *after));
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let more = entries.len() > page.limit;
        entries.truncate(page.limit);
        return Ok(ScanPage { revision, entries: without_values(entries, page), more });
    }
    scan_listed(bucket, range, page, &filter).await
}

/// Reads a page of keys that the server lists: those that the list has, as of one revision, and then those that had come
/// to be meanwhile.
async fn scan_listed(bucket: &Bucket, range: &Range, page: &Page, filter: &str) -> Result<ScanPage> {
    let mut listed = list(bucket, range, page, filter).await?;
    let mut gone = 0;
    for _ in 0..ATTEMPTS {
        let limit = page.limit.min(READ_LIMIT - 1);
        let wanted: Vec<_> = listed.values().skip(gone).take(limit).cloned().collect();
        let last = (listed.len() > gone + limit).then(|| listed.keys().nth(gone + limit - 1).cloned()).flatten();
        let (found, revision) = bucket.read("scan", &wanted).await?;
        let mut entries: Vec<_> = wanted.iter().filter_map(|subject| entry_of(bucket, found.get(subject)?)).collect();
        // The list has keys that are gone. A page without any other would not say where the next begins.
        if entries.is_empty() && last.is_some() {
            gone += limit;
            continue;
        }
        let now = list(bucket, range, page, filter).await?;
        let is_new = |key: &Key| !listed.contains_key(key) && last.as_ref().is_none_or(|last| key <= last);
        let new: Vec<_> = now.iter().filter(|(key, _)| is_new(key)).map(|(_, subject)| subject.clone()).collect();
        if let Some(missed) = as_of(bucket, &new, revision).await? {
            entries.extend(missed);
            entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            let more = last.is_some() || entries.len() > limit;
            entries.truncate(limit);
            return Ok(ScanPage { revision, entries: without_values(entries, page), more });
        }
        (listed, gone) = (now, 0);
    }
    let problem = "keys of this range are written faster than they can be read";
    Err(Error::new(ErrorKind::Unavailable, "scan", problem).with_retry(Retry::Safe))
}

/// What stood at subjects as of a revision that has passed; `None` if that is not known any more.
async fn as_of(bucket: &Bucket, subjects: &[String], revision: Revision) -> Result<Option<Vec<Entry>>> {
    let mut entries = Vec::new();
    for some in subjects.chunks(READ_LIMIT - 1) {
        let (found, _) = bucket.read("scan", some).await?;
        for subject in some {
            let Some(message) = found.get(subject) else { return Ok(None) };
            let (_, version, content) = read_key(message);
            match content {
                Some(content) if content.created > revision => {}
                // Written or removed since: what stood there then is gone.
                _ if version > revision => return Ok(None),
                _ => entries.extend(entry_of(bucket, message)),
            }
        }
    }
    Ok(Some(entries))
}

/// The keys that are left of a range after those before the page, with their subjects; some may be gone.
async fn list(bucket: &Bucket, range: &Range, page: &Page, filter: &str) -> Result<BTreeMap<Key, String>> {
    let (subjects, _) = bucket.list("scan", filter).await?;
    let keys = subjects.into_iter().filter_map(|subject| Some((bucket.names.key_of(&subject)?, subject)));
    let is_left = |key: &Key| range.contains(key) && page.after.as_ref().is_none_or(|after| key > after);
    Ok(keys.filter(|(key, _)| is_left(key)).collect())
}

fn entry_of(bucket: &Bucket, message: &Stored) -> Option<Entry> {
    let key = bucket.names.key_of(&message.subject)?;
    let (_, _, content) = read_key(message);
    let now = bucket.clock.now();
    content.filter(|content| !content.is_over(now)).map(|content| content.entry(&key, now))
}

fn without_values(mut entries: Vec<Entry>, page: &Page) -> Vec<Entry> {
    if !page.values {
        for entry in &mut entries {
            entry.value = Bytes::new();
        }
    }
    entries
}

/// Removes every key whose name starts with `prefix`.
pub(crate) async fn clear(bucket: &Bucket, known: &Known, prefix: &str) -> Result<()> {
    let range = Range::prefix(prefix)?;
    let mut page = Page::first_keys();
    loop {
        let ScanPage { entries, more, .. } =
            scan(bucket, &range, &page).await.map_err(|error| error.with_operation("clear"))?;
        page.after = entries.last().map(|entry| entry.key.clone()).or(page.after);
        let removals: Vec<_> = entries.iter().map(|entry| remove(bucket, &entry.key)).collect();
        stream::iter(removals).buffer_unordered(128).try_collect::<()>().await?;
        if !more {
            known.clear();
            return Ok(());
        }
    }
}

async fn remove(bucket: &Bucket, key: &Key) -> Result<()> {
    let headers = tombstone(bucket.features.is_modern, TOMBSTONE_TTL);
    let stored = bucket.connection.store("clear", bucket.names.key(key), headers, Bytes::new()).await?;
    match stored {
        Ok(_) => Ok(()),
        Err(refusal) => Err(bucket.refused("clear", refusal).await),
    }
}

/// The headers of a message that says that a key is gone. It leaves no mark when it ends.
pub(crate) fn tombstone(ends: bool, ttl: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("KV-Operation", "PURGE");
    if ends {
        headers.insert("Nats-TTL", ttl.as_secs().to_string().as_str());
    }
    headers
}
