//! What is told is all there is to tell.

use super::super::prelude::*;
use crate::calls::{commit, delete, numbered, put};
use crate::lease::Lease;
use crate::readers::Watcher;
use crate::waiting::LONG;
use bytes::Bytes;
use linchpin_core::{Range, WatchEvent};

cases! { Watch "watch";
    the_end_of_one_watched_key_is_told [Ttl, Watch] DELETES_ARE_TOLD
        "Deletes and expiries are told to a watch of one key, those by clear too";
    synced_is_before_what_follows [Watch] SYNCED_TELLS_ITS_REVISION
        "`Synced` has the revision up to which everything has been told";
    a_large_value_is_told [Watch] CHANGE_IS_TOLD_AS_IT_IS_READ
        "A write is told as the entry that a read returns";
    leased_keys_keep_the_order [Watch, Ttl] KEYS_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "Keys come in the order in which they came to be, with a TTL or without";
}

async fn the_end_of_one_watched_key_is_told(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let (mut watcher, _) = Watcher::synced(&ctx.another().await?, &Range::Key(key.clone())).await?;
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(Duration::from_millis(250))).await?;
    watcher.put(&key).await?;
    watcher.deleted(&key).await?;
    lease.end.ensure_now("the end of a key, as told to its watcher")?;
    put(&driver, &key, "1").await?;
    watcher.put(&key).await?;
    driver.clear("").await?;
    watcher.deleted(&key).await?;
    Ok(())
}

async fn synced_is_before_what_follows(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let written = put(&driver, &key, "1").await?;
    let mut watcher = Watcher::open(&driver, &Range::all()).await?;
    delete(&driver, &key).await?;
    put(&driver, &Key::new("other")?, "1").await?;
    ensure_eq!(watcher.put(&key).await?.version, written, "the version that was present");
    let WatchEvent::Synced { revision } = watcher.next().await? else { return Err(Failure::new("no Synced")) };
    let gone = watcher.deleted(&key).await?;
    ensure!(gone > revision, "synced at {revision}, but the end of a key at {gone} was told later");
    Ok(())
}

async fn a_large_value_is_told(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let value = Bytes::from(vec![b'x'; ctx.capabilities().limits.value]);
    put(&driver, &key, value.clone()).await?;
    let mut watcher = Watcher::open(&driver, &Range::all()).await?;
    ensure!(watcher.put(&key).await?.value == value, "a large value that is present is told as another one");
    watcher.next().await?;
    put(&driver, &key, value.clone()).await?;
    ensure!(watcher.put(&key).await?.value == value, "a large value that is written is told as another one");
    Ok(())
}

async fn leased_keys_keep_the_order(ctx: Context) -> CaseResult {
    let (driver, keys) = (ctx.driver(), numbered("q/", 40)?);
    let (mut watcher, _) = Watcher::synced(&ctx.another().await?, &Range::prefix("q/")?).await?;
    for (n, key) in keys.iter().enumerate() {
        commit(&driver, Transaction::new().put(key.clone(), "1", (n % 2 == 0).then_some(ctx.ttl(LONG)))).await?;
    }
    for key in &keys {
        watcher.put(key).await?;
    }
    Ok(())
}
