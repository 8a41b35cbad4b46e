//! Reads that are large, and reads that say the same as others.

use super::super::prelude::*;
use crate::calls::{commit, delete, names, numbered, present, put, put_all, read, refused};
use crate::failure::here;
use crate::lease::Lease;
use crate::readers::Watcher;
use crate::waiting::{LONG, Meanwhile, Timed, timed};
use bytes::Bytes;
use linchpin_core::{Entry, MutationResult, Page, Range, Revision};
use std::collections::HashMap;
use tokio::task::yield_now;
use tokio::time::Instant;

cases! { State "state";
    a_large_get_is_of_one_revision [MultiKey] SNAPSHOT_IS_OF_ONE_REVISION
        "`get` reads keys all as of one revision, also hundreds of them";
    a_large_page_is_of_one_revision [MultiKey] PAGE_IS_OF_ONE_REVISION
        "All of a page is of one revision, also if it has hundreds of entries";
    keys_that_start_others_are_told_once [] SCAN_PAGES_ARE_COMPLETE
        "Pages one after the other tell every key once, also keys that others start with";
    expired_keys_leave_their_page_whole [Ttl] SCAN_PAGES_ARE_COMPLETE
        "Pages tell every key once, and whether there may be more, also where some of theirs have expired";
    equal_revisions_say_equal_things [] EQUAL_REVISIONS_SAY_EQUAL_THINGS
        "Reads of one revision say the same of a key, whoever reads it and how";
    an_expiry_has_a_revision_of_its_own [Ttl] EQUAL_REVISIONS_SAY_EQUAL_THINGS
        "Reads of one revision say the same of a key: once it has expired the revision is a greater one";
    a_ttl_is_told_alike_by_every_read [Ttl] TTL_IS_TOLD_ALIKE_BY_EVERY_READ
        "How long an entry has left to live is told alike by `get`, by `scan` with and without values, and by a refusal";
    a_watcher_is_told_the_ttl [Ttl, Watch] TTL_IS_TOLD_ALIKE_BY_EVERY_READ
        "How long an entry has left to live is told to a watcher too: of a present entry and of a change";
}

/// How often a reader looks while others write.
const LOOKS: usize = 60;

/// Keys of which the first and the last are written together, again and again, from before this returns; the others
/// lie between them.
#[track_caller]
fn written_together(ctx: &Context) -> impl Future<Output = Result<(Vec<Key>, Meanwhile), Failure>> {
    here(async move {
        let driver = ctx.driver();
        let mut keys = numbered("key-", 250)?;
        put_all(&driver, &keys[1..249], &Bytes::from_static(b"between")).await?;
        let (first, last) = (keys[0].clone(), keys[249].clone());
        let both = move || Transaction::new().add(first.clone(), 1, None).add(last.clone(), 1, None);
        commit(&driver, both()).await?;
        keys.sort();
        let writes = Meanwhile::start(async move {
            loop {
                commit(&driver, both()).await?;
                yield_now().await;
            }
        });
        Ok((keys, writes))
    })
}

/// Both entries must have been written by one transaction; its revision.
#[track_caller]
fn same_version(what: &str, first: Option<&Entry>, last: Option<&Entry>) -> Result<Revision, Failure> {
    let versions = [first, last].map(|entry| entry.map(|entry| entry.version));
    match versions {
        [Some(first), Some(last)] if first == last => Ok(first),
        _ => Err(Failure::new(format!("{what} shows half of a transaction: the versions {versions:?}"))),
    }
}

async fn a_large_get_is_of_one_revision(ctx: Context) -> CaseResult {
    let reader = ctx.another().await?;
    let (keys, mut writes) = written_together(&ctx).await?;
    for _ in 0..LOOKS {
        writes.go_on().await?;
        let entries = reader.get(&keys).await?.entries;
        ensure_eq!(entries.iter().flatten().count(), keys.len(), "the keys that a snapshot has");
        same_version("a snapshot of 250 keys", entries[0].as_ref(), entries[249].as_ref())?;
    }
    Ok(())
}

async fn a_large_page_is_of_one_revision(ctx: Context) -> CaseResult {
    let reader = ctx.another().await?;
    let (keys, mut writes) = written_together(&ctx).await?;
    for page in [Page::first(), Page::first_keys()] {
        for _ in 0..LOOKS / 2 {
            writes.go_on().await?;
            let read = reader.scan(&Range::all(), &page).await?;
            ensure_eq!((read.entries.len(), read.more), (keys.len(), false), "the entries of a page, and whether more");
            let version = same_version("a page of 250 keys", read.entries.first(), read.entries.last())?;
            ensure!(version <= read.revision, "a page of revision {} has an entry of {version}", read.revision);
        }
    }
    Ok(())
}

async fn keys_that_start_others_are_told_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut keys = ["a", "aa", "aaa", "aaaa", "aab", "ab", "a/", "a/b", "a/b/c", "b", "a\u{1}", "a\u{10ffff}", "a "];
    for key in keys {
        put(&driver, &Key::new(key)?, "1").await?;
    }
    keys.sort_unstable();
    for prefix in ["", "a", "aa", "a/"] {
        let within: Vec<&str> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        for limit in [1, 2, 3, 5] {
            let mut page = Page { limit, ..Page::first() };
            let mut told: Vec<String> = Vec::new();
            while told.len() <= within.len() {
                let read = driver.scan(&Range::prefix(prefix)?, &page).await?;
                ensure!(
                    !read.more || !read.entries.is_empty(),
                    "a page of {limit} after {:?} holds nothing, and says that there is more",
                    page.after
                );
                page.after = read.entries.last().map(|entry| entry.key.clone()).or(page.after);
                told.extend(read.entries.into_iter().map(|entry| String::from(entry.key)));
                if !read.more {
                    break;
                }
            }
            ensure_eq!(told, within, "the keys that start with {prefix:?} in pages of {limit}");
        }
    }
    Ok(())
}

async fn expired_keys_leave_their_page_whole(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 30)?;
    let short = ctx.ttl(Duration::from_millis(200));
    let ends = |n: usize| !n.is_multiple_of(3);
    let mut last = None;
    for (n, key) in keys.iter().enumerate() {
        if ends(n) {
            last = Some(Lease::put(&ctx, &driver, key, short).await?);
        } else {
            put(&driver, key, "1").await?;
        }
    }
    if let Some(lease) = last {
        lease.end.has_passed().await;
    }
    let left: Vec<&str> = keys.iter().enumerate().filter(|(n, _)| !ends(*n)).map(|(_, key)| key.as_str()).collect();
    for limit in [1, 2, 4, 10] {
        let mut page = Page { limit, ..Page::first() };
        let mut told: Vec<String> = Vec::new();
        // As many pages as there would be if those that have expired still counted.
        for _ in 0..keys.len() {
            let read = driver.scan(&Range::all(), &page).await?;
            ensure!(read.entries.len() <= limit, "a page of {} entries, the limit is {limit}", read.entries.len());
            ensure!(
                !read.more || !read.entries.is_empty(),
                "a page says that there is more, and where is not to be seen"
            );
            page.after = read.entries.last().map(|entry| entry.key.clone()).or(page.after);
            told.extend(read.entries.into_iter().map(|entry| String::from(entry.key)));
            if !read.more {
                break;
            }
        }
        ensure_eq!(told, left, "the keys that have not expired, in pages of {limit}");
    }
    ensure_eq!(names(&driver, &Range::all()).await?, left, "the keys that have not expired");
    let after_one_that_expired = Page { limit: 1, after: Some(keys[1].clone()), ..Page::first() };
    let next = driver.scan(&Range::all(), &after_one_that_expired).await?.entries;
    ensure_eq!(next.first().map(|entry| entry.key.as_str()), Some(left[1]), "what comes after a key that has expired");
    Ok(())
}

/// What was said of a key at a revision: its version, if it was there.
#[derive(Default)]
struct Said(HashMap<(Revision, Key), Option<Revision>>);

impl Said {
    #[track_caller]
    fn says(&mut self, at: Revision, key: &Key, entry: Option<&Entry>) -> CaseResult {
        let version = entry.map(|entry| entry.version);
        let before = *self.0.entry((at, key.clone())).or_insert(version);
        ensure!(before == version, "at revision {at} {key:?} was said to be of version {before:?}, and of {version:?}");
        Ok(())
    }

    /// Reads the keys, and all there is.
    #[track_caller]
    fn look(&mut self, reader: &Arc<dyn Driver>, keys: &[Key]) -> impl Future<Output = CaseResult> {
        here(async move {
            let snapshot = reader.get(keys).await?;
            for (key, entry) in keys.iter().zip(&snapshot.entries) {
                self.says(snapshot.revision, key, entry.as_ref())?;
            }
            let page = reader.scan(&Range::all(), &Page::first_keys()).await?;
            for key in keys {
                self.says(page.revision, key, page.entries.iter().find(|entry| entry.key == *key))?;
            }
            Ok(())
        })
    }
}

async fn equal_revisions_say_equal_things(ctx: Context) -> CaseResult {
    let (driver, keys): (_, Arc<[Key]>) = (ctx.driver(), numbered("key-", 4)?.into());
    let readers = [ctx.another().await?, ctx.another().await?];
    let mut said = Said::default();
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    // One after the other first: what is deleted is not what was written last.
    for n in 0..keys.len() {
        for reader in &readers {
            said.look(reader, &keys).await?;
        }
        delete(&driver, &keys[n]).await?;
        for reader in &readers {
            said.look(reader, &keys).await?;
        }
        put(&driver, &keys[(n + 2) % keys.len()], "2").await?;
    }
    let mut writes = Meanwhile::start({
        let keys = keys.clone();
        async move {
            for n in 0.. {
                let key = &keys[n % keys.len()];
                put(&driver, key, "1").await?;
                yield_now().await;
                if n % 3 == 0 {
                    delete(&driver, key).await?;
                    yield_now().await;
                }
            }
            Ok(())
        }
    });
    for reader in readers.iter().cycle().take(LOOKS * 2) {
        writes.go_on().await?;
        said.look(reader, &keys).await?;
    }
    Ok(())
}

async fn an_expiry_has_a_revision_of_its_own(ctx: Context) -> CaseResult {
    let (driver, reader) = (ctx.driver(), ctx.another().await?);
    for (round, key) in numbered("key-", 3)?.iter().enumerate() {
        let lease = Lease::put(&ctx, &driver, key, ctx.ttl(Duration::from_millis(250))).await?;
        let mut said = Said::default();
        let look = async |said: &mut Said| {
            // By a read and by a page in turn, each of which may be the one that finds the end.
            let (at, entry) = if round % 2 == 0 {
                let snapshot = reader.get(std::slice::from_ref(key)).await?;
                (snapshot.revision, snapshot.into_entry())
            } else {
                let page = reader.scan(&Range::Key(key.clone()), &Page::first()).await?;
                (page.revision, page.entries.into_iter().next())
            };
            said.says(at, key, entry.as_ref())?;
            Ok::<_, Failure>(entry.is_none())
        };
        while !look(&mut said).await? {
            ensure!(Instant::now() < lease.end.latest, "{key:?} is still there after its ttl and the slack");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Another handle, which has not seen it end, says the same.
        let snapshot = driver.get(std::slice::from_ref(key)).await?;
        said.says(snapshot.revision, key, snapshot.into_entry().as_ref())?;
    }
    Ok(())
}

/// What is left of a TTL, as it is told between two moments.
struct Left {
    granted: Duration,
    slack: Duration,
    written: Timed<()>,
}

impl Left {
    #[track_caller]
    fn of_put(ctx: &Context, key: &Key, ttl: Duration) -> impl Future<Output = Result<Self, Failure>> {
        here(async move {
            let put = timed(commit(&ctx.driver(), Transaction::new().put(key.clone(), "1", Some(ttl)))).await?;
            match put.value.results[..] {
                [MutationResult::Put { ttl: Some(granted), .. }] => Ok(Self {
                    granted,
                    slack: ctx.ttl_slack(),
                    written: Timed { value: (), sent: put.sent, answered: put.answered },
                }),
                ref other => Err(Failure::new(format!("a put with a ttl answered {other:?}"))),
            }
        })
    }

    /// The entry was read since `asked`, and told just now.
    #[track_caller]
    fn is_told(&self, asked: Instant, entry: Option<&Entry>, by: &str) -> CaseResult {
        let now = Instant::now();
        let tick = Duration::from_millis(2);
        let least = self.granted.saturating_sub(now - self.written.sent).saturating_sub(tick);
        let passed = asked.saturating_duration_since(self.written.answered);
        let most = (self.granted.saturating_sub(passed) + self.slack + tick).min(self.granted);
        let left = entry.and_then(|entry| entry.ttl);
        let right = left.is_some_and(|left| least <= left && left <= most);
        ensure!(right, "{by} tells that {left:?} is left, but it is between {least:?} and {most:?}");
        Ok(())
    }
}

async fn a_ttl_is_told_alike_by_every_read(ctx: Context) -> CaseResult {
    let (driver, key, forever) = (ctx.driver(), Key::new("lease")?, Key::new("other")?);
    put(&driver, &forever, "for ever").await?;
    let left = Left::of_put(&ctx, &key, ctx.ttl(LONG)).await?;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let asked = Instant::now();
        left.is_told(asked, read(&driver, &key).await?.as_ref(), "get")?;
        let both = driver.get(&[forever.clone(), key.clone()]).await?.entries;
        left.is_told(asked, both[1].as_ref(), "get of two keys")?;
        for (page, what) in [(Page::first(), "scan"), (Page::first_keys(), "scan without values")] {
            for range in [Range::all(), Range::Key(key.clone())] {
                let entries = driver.scan(&range, &page).await?.entries;
                left.is_told(asked, entries.iter().find(|entry| entry.key == key), what)?;
            }
        }
        let refusal = refused(&driver, Transaction::new().absent(key.clone())).await?;
        left.is_told(asked, refusal.found.as_ref(), "a refusal")?;
        let refusal = refused(&driver, Transaction::new().absent(forever.clone())).await?;
        ensure_eq!(refusal.found.and_then(|entry| entry.ttl), None, "the ttl of what lives for ever");
    }
    // An extend is no new version, but it is told by the next look.
    let extended = ctx.ttl(LONG * 2);
    let version = present(&driver, &key).await?.version;
    commit(&driver, Transaction::new().extend(key.clone(), version, extended)).await?;
    for page in [Page::first(), Page::first_keys()] {
        let told = driver.scan(&Range::Key(key.clone()), &page).await?.entries.first().and_then(|entry| entry.ttl);
        ensure!(told > Some(ctx.ttl(LONG)), "a lease extended to {extended:?} has {told:?} left, as a page tells it");
    }
    let refusal = refused(&driver, Transaction::new().absent(key)).await?;
    let told = refusal.found.and_then(|entry| entry.ttl);
    ensure!(told > Some(ctx.ttl(LONG)), "a lease extended to {extended:?} has {told:?} left, as a refusal tells it");
    Ok(())
}

async fn a_watcher_is_told_the_ttl(ctx: Context) -> CaseResult {
    let (driver, present, changed) = (ctx.driver(), Key::new("present")?, Key::new("changed")?);
    let left = Left::of_put(&ctx, &present, ctx.ttl(LONG)).await?;
    let asked = Instant::now();
    let (mut watcher, _) = Watcher::synced(&ctx.another().await?, &Range::all()).await?;
    left.is_told(asked, watcher.entries.get(&present), "a watch, of a present entry,")?;
    for _ in 0..2 {
        let asked = Instant::now();
        let left = Left::of_put(&ctx, &changed, ctx.ttl(LONG)).await?;
        left.is_told(asked, Some(&watcher.put(&changed).await?), "a watch, of a change,")?;
    }
    put(&driver, &changed, "for ever").await?;
    ensure_eq!(watcher.put(&changed).await?.ttl, None, "the ttl of a change to what lives for ever");
    Ok(())
}
