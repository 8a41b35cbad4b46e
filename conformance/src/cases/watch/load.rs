//! Watchers that cannot keep up: they may miss intermediate versions, never the last one.

use super::super::prelude::*;
use crate::calls::{commit, delete, numbered, put, put_all, read, scan};
use crate::failure::here;
use crate::readers::Watcher;
use crate::waiting::{ENOUGH, Meanwhile, together};
use bytes::Bytes;
use linchpin_core::{Range, Revision, WatchEvent};
use std::time::Instant;

cases! { Watch "watch";
    versions_increase_under_load [Watch] VERSIONS_INCREASE_UNDER_LOAD
        "Per key, versions strictly increase";
    a_slow_watcher_gets_the_last_versions [Watch] SLOW_WATCHER_GETS_THE_LAST_VERSIONS
        "A watcher that lags may miss intermediate versions, never the last one";
    a_slow_watcher_learns_of_every_key [Watch] SLOW_WATCHER_GETS_THE_LAST_VERSIONS
        "A watcher that lags never misses the last version, however many keys have changed";
    a_slow_watcher_learns_what_is_gone [Watch] SLOW_WATCHER_LEARNS_WHAT_IS_GONE
        "Deletes arrive, also at a watcher that lags";
    keys_come_in_the_order_of_their_creation [Watch] KEYS_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "Keys come in the order in which they came to be: who is told of one was told of all that are older";
    a_slow_watcher_is_told_of_keys_in_that_order_too [Watch] KEYS_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "Keys come in the order in which they came to be, also at a watcher that lags";
    what_is_written_while_it_starts_is_told_once [Watch] WATCH_IS_LIVE_WHEN_IT_IS_RETURNED
        "First the present entries, then changes: what is written in between is in the one or the other";
    an_idle_watcher_blocks_nobody [Watch] IDLE_WATCHER_BLOCKS_NOBODY
        "A watcher that is not read holds nobody up";
}

/// Reads a watch until it has told what is there now, and nothing else.
#[track_caller]
fn catches_up(watcher: &mut Watcher, driver: &Arc<dyn Driver>) -> impl Future<Output = CaseResult> {
    here(async move {
        let stored = scan(driver, &Range::all()).await?;
        for entry in &stored {
            let never =
                |failure| Failure::new(format!("version {} of {:?} was not told: {failure}", entry.version, entry.key));
            watcher.until(&entry.key, entry.version).await.map_err(never)?;
        }
        while watcher.entries.len() > stored.len() {
            let never = |failure| Failure::new(format!("not every key that is gone was told to be: {failure}"));
            watcher.next().await.map_err(never)?;
        }
        let told = watcher.entries.values().map(|entry| (&entry.key, entry.version, &entry.value));
        let right = told.eq(stored.iter().map(|entry| (&entry.key, entry.version, &entry.value)));
        ensure!(right, "what was told at last is not what is there");
        Ok(())
    })
}

/// Reads a watch until it has told `count` keys that came to be after one another.
#[track_caller]
fn told_in_order(watcher: &mut Watcher, count: usize) -> impl Future<Output = CaseResult> {
    here(async move {
        let (mut newest, mut told) = (Revision(0), 0);
        while told < count {
            if let WatchEvent::Put(entry) = watcher.next().await? {
                let created = entry.created;
                ensure!(created >= newest, "{:?}, created at {created}, was told after a key of {newest}", entry.key);
                (newest, told) = (created, told + 1);
            }
        }
        Ok(())
    })
}

async fn keys_come_in_the_order_of_their_creation(ctx: Context) -> CaseResult {
    const EACH: usize = 100;
    let (mut watcher, _) = Watcher::synced(&ctx.driver(), &Range::prefix("q/")?).await?;
    let mut creating = Vec::new();
    for n in 0..4 {
        let driver = ctx.another().await?;
        creating.push(async move {
            for key in numbered(&format!("q/{}/", 4 - n), EACH)?.iter().rev() {
                put(&driver, key, "1").await?;
            }
            Ok(())
        });
    }
    let (created, told) = futures::join!(together(creating), told_in_order(&mut watcher, 4 * EACH));
    created?;
    told
}

async fn a_slow_watcher_is_told_of_keys_in_that_order_too(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut keys = numbered("q/", 5000)?;
    keys.reverse();
    let mut watcher = Watcher::synced(&driver, &Range::prefix("q/")?).await?.0.patient();
    // One that goes and comes again is a new key.
    put(&driver, &keys[2500], "1").await?;
    put_all(&driver, &keys[..2500], &"1".into()).await?;
    delete(&driver, &keys[2500]).await?;
    put_all(&driver, &keys[2500..], &"1".into()).await?;
    told_in_order(&mut watcher, keys.len()).await
}

/// Writes to a few keys through several handles at a time.
#[track_caller]
fn write_a_lot(ctx: &Context, keys: &Arc<[Key]>, writers: usize, each: usize) -> impl Future<Output = CaseResult> {
    here(async move {
        let (started, mut tasks) = (Instant::now(), Vec::new());
        for writer in 0..writers {
            let (driver, keys) = (ctx.another().await?, keys.clone());
            tasks.push(async move {
                for n in (0..each).take_while(|_| started.elapsed() < ENOUGH) {
                    put(&driver, &keys[(writer + n) % keys.len()], format!("{writer}/{n}")).await?;
                }
                Ok(())
            });
        }
        together(tasks).await.map(|_| ())
    })
}

async fn versions_increase_under_load(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys: Arc<[Key]> = numbered("key-", 5)?.into();
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    let writes = write_a_lot(&ctx, &keys, 4, 150);
    let mut writes = std::pin::pin!(writes);
    // The watcher itself checks the versions of every event it reads.
    loop {
        tokio::select! {
            done = &mut writes => break done?,
            event = watcher.next() => event.map(|_| ())?,
        }
    }
    catches_up(&mut watcher, &driver).await
}

async fn a_slow_watcher_gets_the_last_versions(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys: Arc<[Key]> = numbered("key-", 20)?.into();
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    write_a_lot(&ctx, &keys, 8, 675).await?;
    catches_up(&mut watcher, &driver).await
}

async fn a_slow_watcher_learns_of_every_key(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 5_500)?;
    let mut watcher = Watcher::synced(&driver, &Range::all()).await?.0.patient();
    let mut writers = Vec::new();
    for some in keys.chunks(500) {
        let (driver, some) = (driver.clone(), some.to_vec());
        writers.push(async move { put_all(&driver, &some, &Bytes::from_static(b"1")).await });
    }
    together(writers).await?;
    delete(&driver, &keys[17]).await?;
    put(&driver, &keys[18], "2").await?;
    catches_up(&mut watcher, &driver).await
}

async fn a_slow_watcher_learns_what_is_gone(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 60)?;
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    for (n, key) in keys.iter().enumerate() {
        for _ in 0..n % 4 {
            commit(&driver, Transaction::new().delete(key.clone())).await?;
            put(&driver, key, "again").await?;
        }
        if n % 3 == 0 {
            commit(&driver, Transaction::new().delete(key.clone())).await?;
        }
    }
    ensure_eq!(read(&driver, &keys[0]).await?, None, "a deleted key");
    catches_up(&mut watcher, &driver).await
}

async fn what_is_written_while_it_starts_is_told_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys: Arc<[Key]> = numbered("key-", 40)?.into();
    let mut writes = Meanwhile::start({
        let (ctx, keys) = (ctx.clone(), keys.clone());
        async move { write_a_lot(&ctx, &keys, 3, 120).await }
    });
    let mut watchers = Vec::new();
    while writes.goes_on().await? {
        if watchers.len() < 20 {
            watchers.push(Watcher::open(&driver, &Range::all()).await?);
        }
    }
    for watcher in &mut watchers {
        catches_up(watcher, &driver).await?;
    }
    Ok(())
}

async fn an_idle_watcher_blocks_nobody(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let _idle = Watcher::open(&driver, &Range::all()).await?;
    let (mut read, _) = Watcher::synced(&driver, &Range::all()).await?;
    let value = Bytes::from(vec![b'x'; 100_000]);
    for _ in 0..50 {
        let revision = put(&driver, &key, value.clone()).await?;
        read.until(&key, revision).await?;
    }
    Ok(())
}
