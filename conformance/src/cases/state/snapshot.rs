//! Reading several keys, and reading while others write.

use super::super::prelude::*;
use crate::calls::{commit, numbered, put, put_all, scan, value};
use crate::failure::here;
use crate::waiting::{Meanwhile, PATIENCE};
use bytes::Bytes;
use linchpin_core::{Range, Revision};
use std::time::Instant;
use tokio::task::yield_now;

cases! { State "state";
    entries_come_in_the_order_asked [] ENTRIES_COME_IN_THE_ORDER_ASKED
        "`get` answers an entry per key, in their order";
    many_keys_are_read_at_once [] ENTRIES_COME_IN_THE_ORDER_ASKED
        "`get` reads keys, all as of one revision: an entry per key";
    no_keys_are_no_entries [] ENTRIES_COME_IN_THE_ORDER_ASKED
        "`get` answers an entry per key, so none for none";
    a_write_is_read_through_another_handle [] PUT_THEN_GET
        "`get` is linearizable: a read through any handle sees every write that was answered before it began";
    reads_never_go_back [] PUT_THEN_GET
        "`get` is linearizable: a later read never returns an older version";
    a_snapshot_is_of_one_revision [MultiKey] SNAPSHOT_IS_OF_ONE_REVISION
        "`get` reads keys all as of one revision: never half of a transaction";
    a_page_is_of_one_revision [MultiKey] PAGE_IS_OF_ONE_REVISION
        "`scan` reads one page of a range, all of it as of one revision";
}

/// How often one looks while others write, at least.
const LOOKS: usize = 200;

async fn entries_come_in_the_order_asked(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let (a, b, absent) = (Key::new("a")?, Key::new("b")?, Key::new("absent")?);
    put(&driver, &a, "1").await?;
    put(&driver, &b, "2").await?;
    let snapshot = driver.get(&[b.clone(), absent, a, b]).await?;
    let values: Vec<_> = snapshot.entries.iter().map(|entry| entry.as_ref().map(|entry| &entry.value[..])).collect();
    ensure_eq!(values, [Some(&b"2"[..]), None, Some(b"1"), Some(b"2")], "the values of b, absent, a, b");
    Ok(())
}

async fn many_keys_are_read_at_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 300)?;
    put_all(&driver, &keys[..299], &Bytes::from_static(b"1")).await?;
    let snapshot = driver.get(&keys).await?;
    let found: Vec<_> = snapshot.entries.iter().flatten().map(|entry| entry.key.clone()).collect();
    ensure_eq!(snapshot.entries.len(), 300, "the entries");
    ensure!(snapshot.entries[299].is_none() && found == keys[..299], "keys are missing or out of order: {found:?}");
    Ok(())
}

async fn no_keys_are_no_entries(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let written = put(&driver, &Key::new("k")?, "1").await?;
    let snapshot = driver.get(&[]).await?;
    ensure!(snapshot.entries.is_empty(), "entries for no keys: {:?}", snapshot.entries);
    ensure!(snapshot.revision >= written, "read at {} after {written}", snapshot.revision);
    Ok(())
}

async fn a_write_is_read_through_another_handle(ctx: Context) -> CaseResult {
    let (one, other, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    for n in 0..50 {
        let text = n.to_string();
        let (writer, reader) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
        put(writer, &key, text.clone()).await?;
        ensure_eq!(value(reader, &key).await?, Some(Bytes::from(text)), "the value just written elsewhere");
    }
    Ok(())
}

async fn reads_never_go_back(ctx: Context) -> CaseResult {
    let key = Key::new("k")?;
    let mut writes = Meanwhile::start({
        let (driver, key) = (ctx.driver(), key.clone());
        async move {
            loop {
                put(&driver, &key, "1").await?;
                yield_now().await;
            }
        }
    });
    let readers = [ctx.another().await?, ctx.another().await?];
    let (mut version, mut revision) = (None, None);
    let (mut looks, mut next) = (Looks::begin(), readers.iter().cycle());
    while looks.go_on(&mut writes).await? {
        let reader = next.next().unwrap_or(&readers[0]);
        let snapshot = reader.get(std::slice::from_ref(&key)).await?;
        let seen = snapshot.entries.iter().flatten().map(|entry| entry.version).next();
        ensure!(seen >= version, "version {seen:?} was read after {version:?}");
        ensure!(Some(snapshot.revision) >= revision, "read at {} after {revision:?}", snapshot.revision);
        (version, revision) = (seen, Some(snapshot.revision));
        looks.saw(seen);
    }
    Ok(())
}

/// Reads while others write, often, and until what was read has changed at least once.
struct Looks {
    begun: Instant,
    left: usize,
    seen: Option<Revision>,
    changed: bool,
}

impl Looks {
    fn begin() -> Self {
        Self { begun: Instant::now(), left: LOOKS, seen: None, changed: false }
    }

    /// Whether to look again, while the writes go on.
    #[track_caller]
    fn go_on(&mut self, writes: &mut Meanwhile) -> impl Future<Output = Result<bool, Failure>> {
        here(async move {
            writes.go_on().await?;
            self.left = self.left.saturating_sub(1);
            ensure!(self.changed || self.begun.elapsed() < PATIENCE, "nothing was written meanwhile");
            Ok(self.left > 0 || !self.changed)
        })
    }

    fn saw(&mut self, version: Option<Revision>) {
        self.changed |= self.seen.is_some() && version != self.seen;
        self.seen = version.or(self.seen);
    }
}

/// Rewrites both keys in one transaction after the other.
fn writes_of_both(ctx: &Context, [left, right]: [Key; 2]) -> Meanwhile {
    let driver = ctx.driver();
    Meanwhile::start(async move {
        loop {
            commit(&driver, Transaction::new().add(left.clone(), 1, None).add(right.clone(), 1, None)).await?;
            yield_now().await;
        }
    })
}

async fn a_snapshot_is_of_one_revision(ctx: Context) -> CaseResult {
    let keys = [Key::new("left")?, Key::new("right")?];
    let reader = ctx.another().await?;
    let mut writes = writes_of_both(&ctx, keys.clone());
    let mut looks = Looks::begin();
    while looks.go_on(&mut writes).await? {
        let snapshot = reader.get(&keys).await?;
        let versions: Vec<_> = snapshot.entries.iter().map(|entry| entry.as_ref().map(|e| e.version)).collect();
        ensure!(versions[0] == versions[1], "half of a transaction: {versions:?}");
        looks.saw(versions[0]);
    }
    Ok(())
}

async fn a_page_is_of_one_revision(ctx: Context) -> CaseResult {
    let keys = [Key::new("left")?, Key::new("right")?];
    let reader = ctx.another().await?;
    let mut writes = writes_of_both(&ctx, keys.clone());
    let mut looks = Looks::begin();
    while looks.go_on(&mut writes).await? {
        let versions: Vec<_> = scan(&reader, &Range::all()).await?.iter().map(|entry| entry.version).collect();
        let whole = versions.is_empty() || (versions.len() == 2 && versions[0] == versions[1]);
        ensure!(whole, "half of a transaction: {versions:?}");
        looks.saw(versions.first().copied());
    }
    Ok(())
}
