//! Which keys a watcher is told of, and how watchers get along.

use super::super::prelude::*;
use crate::calls::{delete, put};
use crate::readers::Watcher;
use linchpin_core::Range;

cases! { Watch "watch";
    a_prefix_is_watched_and_nothing_else [Watch] PREFIX_IS_WATCHED_AND_NOTHING_ELSE
        "A watch of a prefix tells every key that starts with this text, and no other";
    a_watched_prefix_is_taken_literally [Watch] PREFIX_IS_WATCHED_AND_NOTHING_ELSE
        "A prefix is text: no character in it is a wildcard";
    one_key_is_watched_and_nothing_else [Watch] PREFIX_IS_WATCHED_AND_NOTHING_ELSE
        "A watch of one key tells that key, and none that starts like it";
    every_watcher_is_told [Watch] EVERY_WATCHER_IS_TOLD
        "Every watch tells the changes of its range, however many there are";
    a_watch_tells_what_other_handles_write [Watch] EVERY_WATCHER_IS_TOLD
        "A watch tells the changes of its range, whichever handle wrote them";
    a_dropped_watch_leaves_the_others [Watch] DROPPED_WATCH_LEAVES_THE_OTHERS + CURATOR_1170
        "Dropping the stream ends the watch, and no other";
    a_watch_can_be_opened_again [Watch] PRESENT_THEN_SYNCED_THEN_CHANGES
        "A watch tells first the present entries, also after an earlier one was dropped";
}

async fn a_prefix_is_watched_and_nothing_else(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put(&driver, &Key::new("ab/present")?, "1").await?;
    put(&driver, &Key::new("other")?, "1").await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::prefix("ab")?).await?;
    ensure_eq!(watcher.entries.len(), 1, "the present keys that start with ab");
    for key in ["a", "b", "aB", "AB", "a\u{10ffff}", "ac", " ab"] {
        put(&driver, &Key::new(key)?, "1").await?;
        delete(&driver, &Key::new(key)?).await?;
    }
    for key in ["ab", "abc", "ab\u{10ffff}"] {
        let key = Key::new(key)?;
        put(&driver, &key, "1").await?;
        watcher.put(&key).await?;
    }
    Ok(())
}

async fn a_watched_prefix_is_taken_literally(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for prefix in ["a*", "a?", "a[b]", "a\\", "{a}", "a.>", "a%"] {
        let (mut watcher, _) = Watcher::synced(&driver, &Range::prefix(prefix)?).await?;
        put(&driver, &Key::new("ab")?, "1").await?;
        let key = Key::new(format!("{prefix}!"))?;
        put(&driver, &key, "1").await?;
        watcher.put(&key).await?;
    }
    Ok(())
}

async fn one_key_is_watched_and_nothing_else(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("ab")?);
    put(&driver, &Key::new("ab/present")?, "1").await?;
    let (mut watcher, _) = Watcher::synced(&driver, &Range::Key(key.clone())).await?;
    ensure!(watcher.entries.is_empty(), "present: {:?}", watcher.entries);
    for other in ["a", "abc", "ab/present", "AB"] {
        put(&driver, &Key::new(other)?, "1").await?;
    }
    put(&driver, &key, "1").await?;
    watcher.put(&key).await?;
    Ok(())
}

async fn every_watcher_is_told(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    // A backend may tell changes by what their keys begin with.
    for name in ["a/b", "a/b/c", "a/b/c/d"] {
        let key = Key::new(name)?;
        let own = Range::Key(key.clone());
        let mut watchers = Vec::new();
        for range in [Range::all(), Range::all(), Range::prefix("a/")?, Range::prefix(name)?, own.clone(), own] {
            watchers.push(Watcher::synced(&driver, &range).await?.0);
            watchers.push(Watcher::synced(&ctx.another().await?, &range).await?.0);
        }
        let written = put(&driver, &key, "1").await?;
        for watcher in &mut watchers {
            ensure_eq!(watcher.put(&key).await?.version, written, "the version told");
        }
        delete(&driver, &key).await?;
        for watcher in &mut watchers {
            watcher.deleted(&key).await?;
        }
    }
    Ok(())
}

async fn a_watch_tells_what_other_handles_write(ctx: Context) -> CaseResult {
    let (mut watcher, _) = Watcher::synced(&ctx.driver(), &Range::all()).await?;
    for n in 0..3 {
        let (other, key) = (ctx.another().await?, Key::new(format!("key-{n}"))?);
        put(&other, &key, "1").await?;
        watcher.put(&key).await?;
        delete(&other, &key).await?;
        watcher.deleted(&key).await?;
        other.close().await?;
    }
    Ok(())
}

async fn a_dropped_watch_leaves_the_others(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let (mut kept, _) = Watcher::synced(&driver, &Range::Key(key.clone())).await?;
    let (dropped, _) = Watcher::synced(&driver, &Range::Key(key.clone())).await?;
    drop(dropped);
    drop(Watcher::open(&driver, &Range::all()).await?);
    put(&driver, &key, "1").await?;
    kept.put(&key).await?;
    Ok(())
}

async fn a_watch_can_be_opened_again(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    for n in 0..10 {
        let version = put(&driver, &key, n.to_string()).await?;
        let (watcher, _) = Watcher::synced(&driver, &Range::Key(key.clone())).await?;
        ensure_eq!(watcher.entries.get(&key).map(|entry| entry.version), Some(version), "the version present");
    }
    Ok(())
}
