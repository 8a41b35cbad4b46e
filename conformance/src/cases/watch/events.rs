//! What a watcher is told, and when.

use super::super::prelude::*;
use crate::calls::{add, commit, delete, numbered, present, put, put_all, refused};
use crate::lease::Lease;
use crate::readers::Watcher;
use crate::waiting::LONG;
use bytes::Bytes;
use linchpin_core::{Range, WatchEvent};

cases! { Watch "watch";
    present_then_synced_then_changes [Watch] PRESENT_THEN_SYNCED_THEN_CHANGES
        "A watch tells first the present entries, then `Synced`, then changes";
    nothing_present_is_synced_at_once [Watch] PRESENT_THEN_SYNCED_THEN_CHANGES
        "A watch tells first the present entries, of which there may be none, then `Synced`";
    every_present_entry_comes_before_synced [Watch] PRESENT_THEN_SYNCED_THEN_CHANGES
        "`Synced`: every entry that was present when the watch began has been told";
    synced_tells_its_revision [Watch] SYNCED_TELLS_ITS_REVISION
        "`Synced` has the revision up to which everything has been told";
    a_change_is_told_as_it_is_read [Watch] CHANGE_IS_TOLD_AS_IT_IS_READ
        "`Put`: the entry is there, created or written since";
    an_add_is_told [Watch] CHANGE_IS_TOLD_AS_IT_IS_READ
        "`Put`: the entry is there, whatever mutation wrote it";
    deletes_are_told [Watch] DELETES_ARE_TOLD
        "`Deleted`: the key is gone; its version is greater than any seen of it";
    expiries_are_told_in_time [Watch, Ttl] EXPIRIES_ARE_TOLD_IN_TIME
        "Deletes and expiries arrive: within the slack after a key's TTL";
    an_expiry_is_told_to_who_comes_later [Watch, Ttl] EXPIRIES_ARE_TOLD_IN_TIME
        "Expiries arrive, also of a key that was written while nobody watched it";
    a_watch_outlives_its_handle [Watch] WATCH_OUTLIVES_ITS_HANDLE
        "A watch goes on though its handle is dropped, unless that is closed before";
    clear_is_told [Watch] DELETES_ARE_TOLD
        "Watchers see the keys go that `clear` removes";
    every_write_of_a_transaction_is_told [Watch, MultiKey] CHANGE_IS_TOLD_AS_IT_IS_READ
        "A watcher never misses the last version of a key, whichever transaction wrote it";
    an_extend_is_not_told [Watch, Ttl] WHAT_CHANGES_NOTHING_IS_NOT_TOLD
        "`Extend` is not a new version: watchers do not see it";
    what_changes_nothing_is_not_told [Watch] WHAT_CHANGES_NOTHING_IS_NOT_TOLD
        "After `Synced` come changes: a refused transaction is none";
    a_watch_is_live_when_it_is_returned [Watch] WATCH_IS_LIVE_WHEN_IT_IS_RETURNED + REDISSON_5761
        "A watch is live when this returns: whatever is written from then on is told";
    what_goes_before_it_is_read_is_told [Watch] WATCH_IS_LIVE_WHEN_IT_IS_RETURNED
        "A watch is live when this returns: what was there then is told, and that it went, though nobody has read yet";
}

async fn present_then_synced_then_changes(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let first = put(&driver, &key, "1").await?;
    let mut watcher = Watcher::open(&driver, &Range::all()).await?;
    ensure_eq!(watcher.put(&key).await?.version, first, "the version that was present");
    let synced = watcher.next().await?;
    ensure!(matches!(synced, WatchEvent::Synced { .. }), "expected Synced, was told {synced:?}");
    let second = put(&driver, &key, "2").await?;
    ensure_eq!(watcher.put(&key).await?.version, second, "the version that was written next");
    delete(&driver, &key).await?;
    watcher.deleted(&key).await?;
    let third = put(&driver, &key, "3").await?;
    ensure_eq!(watcher.put(&key).await?.version, third, "the version that was written after the delete");
    Ok(())
}

async fn nothing_present_is_synced_at_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let before = put(&driver, &Key::new("elsewhere")?, "1").await?;
    let mut watcher = Watcher::open(&driver, &Range::prefix("nothing/")?).await?;
    match watcher.next().await? {
        WatchEvent::Synced { revision } => ensure!(revision >= before, "synced at {revision} after {before}"),
        other => return Err(Failure::new(format!("expected Synced, was told {other:?}"))),
    }
    Ok(())
}

async fn every_present_entry_comes_before_synced(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 1200)?;
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    let (watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    let told: Vec<_> = watcher.entries.into_keys().collect();
    ensure!(told == keys, "{} of {} present keys were told before Synced", told.len(), keys.len());
    Ok(())
}

async fn synced_tells_its_revision(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let before = put(&driver, &key, "1").await?;
    let (mut watcher, revision) = Watcher::synced(&driver, &Range::all()).await?;
    ensure!(revision >= before, "synced at {revision} after a write at {before}");
    let after = put(&driver, &key, "2").await?;
    ensure!(watcher.put(&key).await?.version > revision, "synced at {revision}, but {after} was told later");
    Ok(())
}

async fn a_change_is_told_as_it_is_read(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    for value in [&b"text"[..], b"", &[0, 0xff, b'\n']] {
        put(&driver, &key, value).await?;
        ensure_eq!(watcher.put(&key).await?, present(&driver, &key).await?, "the entry told");
    }
    Ok(())
}

async fn an_add_is_told(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    for expected in ["5", "10"] {
        add(&driver, &key, 5).await?;
        ensure_eq!(watcher.put(&key).await?.value, expected, "the counter told");
    }
    Ok(())
}

async fn deletes_are_told(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let written = put(&driver, &key, "1").await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    delete(&driver, &key).await?;
    // Whoever is told of this was told of what went before.
    put(&driver, &Key::new("marker")?, "1").await?;
    let gone = watcher.deleted(&key).await?;
    ensure!(gone > written, "the key of version {written} is told to be gone at {gone}");
    Ok(())
}

async fn expiries_are_told_in_time(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let (mut watcher, _) = Watcher::synced(&ctx.another().await?, &Range::all()).await?;
    let (soon, later) = (Key::new("soon")?, Key::new("later")?);
    let later_lease = Lease::put(&ctx, &driver, &later, ctx.ttl(Duration::from_secs(2))).await?;
    let soon_lease = Lease::put(&ctx, &driver, &soon, ctx.ttl(Duration::from_millis(200))).await?;
    watcher.put(&later).await?;
    watcher.put(&soon).await?;
    for _ in 0..2 {
        let WatchEvent::Deleted { key, .. } = watcher.next().await? else {
            return Err(Failure::new("something else than the end of a key was told"));
        };
        let lease = if key == soon { soon_lease } else { later_lease };
        lease.end.ensure_now(format!("the end of {key:?}, as told to a watcher"))?;
    }
    ensure!(watcher.entries.is_empty(), "told to exist after all has expired: {:?}", watcher.entries);
    Ok(())
}

async fn an_expiry_is_told_to_who_comes_later(ctx: Context) -> CaseResult {
    let (driver, watching, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    // What serves watches is there before the key is.
    let (_elsewhere, _) = Watcher::synced(&watching, &Range::Key(Key::new("elsewhere")?)).await?;
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(Duration::from_secs(2))).await?;
    let (mut watcher, _) = Watcher::synced(&watching, &Range::Key(key.clone())).await?;
    ensure!(watcher.entries.contains_key(&key), "the case is about a key that is there when it is watched");
    watcher.deleted(&key).await?;
    lease.end.ensure_now(format!("the end of {key:?}, as told to a watcher"))
}

async fn a_watch_outlives_its_handle(ctx: Context) -> CaseResult {
    let (watching, key) = (ctx.another_to_drop().await?, Key::new("k")?);
    let (mut watcher, _) = Watcher::synced(&watching, &Range::all()).await?;
    drop(watching);
    for value in ["1", "2", "3"] {
        let version = put(&ctx.driver(), &key, value).await?;
        ensure_eq!(watcher.put(&key).await?.version, version, "the version that is told");
    }
    Ok(())
}

async fn clear_is_told(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = [Key::new("a/1")?, Key::new("a/2")?, Key::new("b")?];
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    driver.clear("a/").await?;
    while watcher.entries.len() > 1 {
        watcher.next().await?;
    }
    ensure!(watcher.entries.contains_key(&keys[2]), "a key that was not cleared is told to be gone");
    driver.clear("").await?;
    watcher.deleted(&keys[2]).await?;
    Ok(())
}

async fn every_write_of_a_transaction_is_told(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 50)?;
    let gone = Key::new("gone")?;
    put(&driver, &gone, "1").await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    let writes = keys.iter().fold(Transaction::new().delete(gone.clone()), |t, key| t.add(key.clone(), 1, None));
    let revision = commit(&driver, writes).await?.revision;
    for key in &keys {
        watcher.until(key, revision).await?;
    }
    watcher.until(&gone, revision).await?;
    ensure_eq!(watcher.entries.len(), keys.len(), "the keys told to exist");
    Ok(())
}

async fn an_extend_is_not_told(ctx: Context) -> CaseResult {
    let (driver, key, marker) = (ctx.driver(), Key::new("lease")?, Key::new("marker")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    for _ in 0..3 {
        lease.extend(&ctx, &driver, &key, ctx.ttl(LONG * 2)).await?;
    }
    put(&driver, &marker, "1").await?;
    watcher.put(&marker).await?;
    Ok(())
}

async fn what_changes_nothing_is_not_told(ctx: Context) -> CaseResult {
    let (driver, key, marker) = (ctx.driver(), Key::new("k")?, Key::new("marker")?);
    put(&driver, &key, "no number").await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    refused(&driver, Transaction::new().absent(key.clone()).put(key.clone(), "2", None)).await?;
    fails_with(driver.commit(&Transaction::new().add(key.clone(), 1, None)).await, ErrorKind::Conflict, "an add")?;
    commit(&driver, Transaction::new().present(key)).await?;
    delete(&driver, &Key::new("absent")?).await?;
    put(&driver, &marker, "1").await?;
    watcher.put(&marker).await?;
    Ok(())
}

async fn a_watch_is_live_when_it_is_returned(ctx: Context) -> CaseResult {
    let (watching, writing) = (ctx.driver(), ctx.another().await?);
    for n in 0..20 {
        let key = Key::new(format!("key-{n}"))?;
        let mut watcher = Watcher::open(&watching, &Range::Key(key.clone())).await?;
        let revision = put(&writing, &key, "1").await?;
        watcher.until(&key, revision).await?;
    }
    Ok(())
}

async fn what_goes_before_it_is_read_is_told(ctx: Context) -> CaseResult {
    let (watching, writing, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    let written = put(&writing, &key, "1").await?;
    let mut watcher = Watcher::open(&watching, &Range::all()).await?;
    delete(&writing, &key).await?;
    ensure_eq!(watcher.put(&key).await?.version, written, "the version that was present");
    let synced = watcher.next().await?;
    ensure!(matches!(synced, WatchEvent::Synced { .. }), "expected Synced, was told {synced:?}");
    watcher.deleted(&key).await?;
    Ok(())
}
