//! In which order a watcher is told, and what one learns that is far behind.

use super::super::prelude::*;
use crate::calls::{commit, delete, numbered, put, put_all};
use crate::failure::here;
use crate::readers::Watcher;
use bytes::Bytes;
use linchpin_core::{Range, Revision, WatchEvent};
use std::collections::HashMap;

cases! { Watch "watch";
    present_entries_come_in_the_order_of_their_creation [Watch] PRESENT_ENTRIES_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "The present entries are told in the order in which their keys came to be";
    a_rewritten_key_is_told_at_its_old_place [Watch] KEYS_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "Keys come in the order in which they came to be: one that was rewritten before anybody looked keeps its place";
    a_key_made_again_is_told_at_its_new_place [Watch] KEYS_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "Keys come in the order in which they came to be: one that went and came again is a new one";
    a_watcher_far_behind_learns_what_is_gone [Watch] SLOW_WATCHER_LEARNS_WHAT_IS_GONE
        "A watcher more than its bound behind learns of every key that is gone, once, and is not synced again";
}

/// The keys that are told to be there, in the order in which they are told for the first time, until all of them were.
#[track_caller]
fn order(watcher: &mut Watcher, keys: usize) -> impl Future<Output = Result<Vec<String>, Failure>> {
    here(async move {
        let mut told: Vec<String> = Vec::new();
        while told.len() < keys {
            if let WatchEvent::Put(entry) = watcher.next().await?
                && !told.contains(&entry.key.as_str().to_owned())
            {
                told.push(entry.key.into());
            }
        }
        Ok(told)
    })
}

async fn present_entries_come_in_the_order_of_their_creation(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let created = ["m", "z", "a", "y", "b"];
    for key in created {
        put(&driver, &Key::new(key)?, "1").await?;
    }
    // Neither a rewrite nor the name says when a key came to be.
    put(&driver, &Key::new("m")?, "2").await?;
    delete(&driver, &Key::new("z")?).await?;
    put(&driver, &Key::new("z")?, "again").await?;
    let mut watcher = Watcher::open(&driver, &Range::all()).await?;
    ensure_eq!(order(&mut watcher, created.len()).await?, ["m", "a", "y", "b", "z"], "the order of present entries");
    Ok(())
}

async fn a_rewritten_key_is_told_at_its_old_place(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = [Key::new("c")?, Key::new("b")?, Key::new("a")?];
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    for key in &keys {
        put(&driver, key, "1").await?;
    }
    put(&driver, &keys[1], "2").await?;
    let last = put(&driver, &keys[0], "2").await?;
    ensure_eq!(order(&mut watcher, 3).await?, ["c", "b", "a"], "the order in which keys are told to be there");
    watcher.until(&keys[0], last).await
}

async fn a_key_made_again_is_told_at_its_new_place(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [again, other] = [Key::new("again")?, Key::new("other")?];
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    put(&driver, &again, "1").await?;
    watcher.put(&again).await?;
    delete(&driver, &again).await?;
    put(&driver, &other, "1").await?;
    let created = put(&driver, &again, "2").await?;
    loop {
        match watcher.next().await? {
            WatchEvent::Put(entry) if entry.key == other => break,
            WatchEvent::Put(entry) => ensure!(
                entry.created < created,
                "{again:?}, made again at {created}, was told before {other:?}, which is older"
            ),
            _ => {}
        }
    }
    watcher.until(&again, created).await
}

async fn a_watcher_far_behind_learns_what_is_gone(ctx: Context) -> CaseResult {
    const TOLD: usize = 200;
    const GONE: usize = 150;
    let driver = ctx.driver();
    let keys = numbered("old-", TOLD)?;
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    let (watcher, synced) = Watcher::synced(&driver, &Range::all()).await?;
    let mut watcher = watcher.patient();
    // Nobody reads meanwhile.
    let at_once = driver.capabilities().keys_per_transaction().min(100);
    for some in keys[..GONE].chunks(at_once) {
        commit(&driver, some.iter().fold(Transaction::new(), |t, key| t.delete(key.clone()))).await?;
    }
    put_all(&driver, &numbered("new-", 5_500)?, &Bytes::from_static(b"2")).await?;
    let marker = Key::new("the last")?;
    let last = put(&driver, &marker, "1").await?;
    let mut gone: HashMap<Key, Revision> = HashMap::new();
    let mut told = Revision(0);
    while told < last || gone.len() < GONE {
        match watcher.next().await? {
            WatchEvent::Put(entry) if entry.key == marker => told = entry.version,
            WatchEvent::Deleted { key, version } => {
                ensure!(version > synced, "{key:?} went after {synced}, and is told to have gone at {version}");
                ensure!(gone.insert(key.clone(), version).is_none(), "{key:?} is told to be gone twice");
            }
            WatchEvent::Synced { revision } => {
                return Err(Failure::new(format!("a watch that was behind was synced again, at {revision}")));
            }
            _ => {}
        }
    }
    ensure!(keys[..GONE].iter().all(|key| gone.contains_key(key)), "others are told to be gone than are: {gone:?}");
    // What follows is one change: nothing of the above comes once more.
    put(&driver, &marker, "2").await?;
    watcher.put(&marker).await?;
    Ok(())
}
