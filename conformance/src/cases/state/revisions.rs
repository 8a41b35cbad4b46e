//! A namespace's revisions only grow.

use super::super::prelude::*;
use crate::calls::{commit, delete, present, put};
use crate::waiting::together;
use linchpin_core::Revision;
use std::collections::HashSet;

cases! { State "state";
    versions_grow_and_created_stays [] VERSIONS_GROW_AND_CREATED_STAYS + ELSEWHERE_VERSIONS_GROW_AND_CREATED_STAYS
        "An entry has `created` (revision at which the key came to be) and `version` (revision of its last write)";
    recreating_is_a_new_key [] RECREATING_IS_A_NEW_KEY
        "`created` is the fencing token of whoever created it: a key created again has a greater one";
    revisions_grow_across_deletes [] REVISIONS_GROW_ACROSS_DELETES
        "A namespace's revisions only grow, across deletes";
    revisions_grow_across_clear [] REVISIONS_GROW_ACROSS_DELETES
        "A namespace's revisions only grow, across `clear`";
    revisions_grow_across_keys_and_handles [] REVISIONS_GROW_ACROSS_KEYS_AND_HANDLES
        "A namespace's revisions only grow, whichever key and handle writes";
    revisions_grow_across_closed_handles [] REVISIONS_GROW_ACROSS_KEYS_AND_HANDLES
        "A namespace's revisions only grow, though every handle to it was closed meanwhile";
    concurrent_commits_have_revisions_of_their_own []
        CONCURRENT_COMMITS_HAVE_REVISIONS_OF_THEIR_OWN + ELSEWHERE_VERSIONS_GROW_AND_CREATED_STAYS
        "The outcome carries the revision: that of its writes, and of no other transaction's";
    reads_are_at_or_after_what_they_show [] READS_ARE_AT_OR_AFTER_WHAT_THEY_SHOW
        "The entries are all as of one revision, which is at least that of each";
    revisions_fit_into_every_language [] REVISIONS_FIT_INTO_EVERY_LANGUAGE
        "Revisions stay below 2^53, so that every language and script can hold them exactly";
}

async fn versions_grow_and_created_stays(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let created = put(&driver, &key, "0").await?;
    let mut version = created;
    for n in 1..20 {
        let next = put(&driver, &key, n.to_string()).await?;
        ensure!(next > version, "write {n} has revision {next} after {version}");
        version = next;
        let entry = present(&driver, &key).await?;
        ensure_eq!((entry.created, entry.version), (created, version), "created and version after write {n}");
    }
    Ok(())
}

async fn recreating_is_a_new_key(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "1").await?;
    let last = put(&driver, &key, "2").await?;
    delete(&driver, &key).await?;
    let again = put(&driver, &key, "3").await?;
    let entry = present(&driver, &key).await?;
    ensure_eq!((entry.created, entry.version), (again, again), "created and version of a key created again");
    ensure!(again > last, "the key was created again at {again}, but its last version was {last}");
    Ok(())
}

async fn revisions_grow_across_deletes(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let mut last = Revision(0);
    for round in 0..10 {
        let written = put(&driver, &key, "1").await?;
        ensure!(written > last, "round {round}: written at {written} after {last}");
        let deleted = commit(&driver, Transaction::new().delete(key.clone())).await?.revision;
        ensure!(deleted > written, "round {round}: deleted at {deleted} after it was written at {written}");
        last = deleted;
    }
    Ok(())
}

async fn revisions_grow_across_clear(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let before = put(&driver, &key, "1").await?;
    driver.clear("").await?;
    let read_at = driver.get(std::slice::from_ref(&key)).await?.revision;
    ensure!(read_at >= before, "after clear the namespace is at {read_at}, before it was at {before}");
    let after = put(&driver, &key, "2").await?;
    ensure!(after > before, "a write after clear has revision {after}, one before it had {before}");
    ensure_eq!(present(&driver, &key).await?.created, after, "created of a key written after clear");
    Ok(())
}

async fn revisions_grow_across_keys_and_handles(ctx: Context) -> CaseResult {
    let handles = [ctx.driver(), ctx.another().await?, ctx.another().await?];
    let mut last = Revision(0);
    for n in 0..30 {
        let key = Key::new(format!("key-{}", n % 7))?;
        let revision = put(&handles[n % handles.len()], &key, "1").await?;
        ensure!(revision > last, "write {n} has revision {revision}, the one before it had {last}");
        last = revision;
    }
    Ok(())
}

async fn revisions_grow_across_closed_handles(ctx: Context) -> CaseResult {
    let key = Key::new("k")?;
    let before = put(&ctx.driver(), &key, "1").await?;
    ctx.driver().close().await?;
    let driver = ctx.another().await?;
    ensure_eq!(present(&driver, &key).await?.version, before, "the version of what was written before");
    let after = put(&driver, &key, "2").await?;
    ensure!(after > before, "a write has revision {after}, one through a closed handle had {before}");
    Ok(())
}

async fn concurrent_commits_have_revisions_of_their_own(ctx: Context) -> CaseResult {
    let mut writers = Vec::new();
    for writer in 0..6 {
        let driver = ctx.another().await?;
        writers.push(async move {
            let mut revisions = Vec::new();
            for n in 0..25 {
                revisions.push(put(&driver, &Key::new(format!("{}", (writer + n) % 4))?, "1").await?);
            }
            ensure!(revisions.is_sorted_by(|a, b| a < b), "one writer's revisions: {revisions:?}");
            Ok(revisions)
        });
    }
    let revisions: Vec<_> = together(writers).await?.concat();
    let distinct: HashSet<_> = revisions.iter().collect();
    ensure_eq!(distinct.len(), revisions.len(), "distinct revisions of as many commits");
    Ok(())
}

async fn reads_are_at_or_after_what_they_show(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = [Key::new("a")?, Key::new("b")?];
    for n in 0..10 {
        let written = put(&driver, &keys[n % 2], "1").await?;
        let snapshot = driver.get(&keys).await?;
        ensure!(snapshot.revision >= written, "read at {} what was written at {written}", snapshot.revision);
        for entry in snapshot.entries.iter().flatten() {
            ensure!(entry.version <= snapshot.revision, "{entry:?} in a snapshot of {}", snapshot.revision);
            ensure!(entry.created <= entry.version, "{entry:?} was written before it came to be");
        }
    }
    Ok(())
}

async fn revisions_fit_into_every_language(ctx: Context) -> CaseResult {
    let revision = put(&ctx.driver(), &Key::new("k")?, "1").await?;
    ensure!(revision.0 > 0 && revision.0 < 1 << 53, "the first revision is {revision}");
    Ok(())
}
