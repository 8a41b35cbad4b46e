//! Guards: what must hold for a transaction to be applied.

use super::super::prelude::*;
use crate::calls::{commit, delete, present, put, read, refused};
use crate::failure::here;
use crate::waiting::{eventually, together};
use linchpin_core::Revision;

cases! { Transactions "transactions";
    absent_holds_where_there_is_no_key [] ABSENT_HOLDS_WHERE_THERE_IS_NO_KEY
        "`Absent`: the key does not exist";
    present_holds_where_there_is_one [] PRESENT_HOLDS_WHERE_THERE_IS_ONE
        "`Present`: the key exists";
    version_holds_at_that_write_only [] VERSION_HOLDS_AT_THAT_WRITE_ONLY
        "`VersionIs`: the key exists and its last write was at this revision";
    version_never_holds_for_an_absent_key [] VERSION_HOLDS_AT_THAT_WRITE_ONLY
        "`VersionIs`: the key exists; one that was deleted has no version";
    prefix_absent_holds_where_no_key_starts_so [PrefixGuards, MultiKey] PREFIX_ABSENT_HOLDS_WHERE_NO_KEY_STARTS_SO
        "`PrefixAbsent`: no key exists that starts with this one; one that does is what stood there";
    prefix_absent_does_not_see_what_expired [PrefixGuards, MultiKey, Ttl] PREFIX_ABSENT_HOLDS_WHERE_NO_KEY_STARTS_SO
        "`PrefixAbsent`: no key exists that starts with this one; one that expired or was deleted does not";
    one_of_many_takes_an_empty_prefix [PrefixGuards, MultiKey] PREFIX_ABSENT_HOLDS_WHERE_NO_KEY_STARTS_SO
        "Transactions are linearizable: of many that write under a prefix that is empty, exactly one does";
    a_version_never_comes_back [] VERSION_NEVER_COMES_BACK + ELSEWHERE_VERSIONS_GROW_AND_CREATED_STAYS
        "A namespace's revisions only grow: a key deleted and written again with the same value has another version";
    a_refusal_tells_what_stood_there [] FIRST_FAILING_GUARD_IS_TOLD
        "The outcome says which guard failed and what stood there";
    the_first_failing_guard_is_told [MultiKey] FIRST_FAILING_GUARD_IS_TOLD
        "`Refused` has the index of the first guard that did not hold, and what stood at its key";
    every_guard_must_hold [] ALL_OR_NOTHING
        "All mutations are applied if all guards hold, and none otherwise";
    a_check_changes_nothing [] CHECK_CHANGES_NOTHING
        "Without mutations it is a check: the outcome says whether the guards hold";
    guarded_deletes_delete_what_was_read [] VERSION_HOLDS_AT_THAT_WRITE_ONLY
        "A mutation is applied if all guards hold: a delete guarded by a version spares a newer write";
    one_of_many_creators_wins [] ONE_OF_MANY_CREATORS_WINS
        "Transactions are linearizable: of many that create the same key, exactly one does";
    one_of_many_swappers_wins [] ONE_OF_MANY_CREATORS_WINS
        "Transactions are linearizable: of many that replace the same version, exactly one does";
}

async fn absent_holds_where_there_is_no_key(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let create = Transaction::new().absent(key.clone()).put(key.clone(), "mine", None);
    commit(&driver, create.clone()).await?;
    refused(&driver, create.clone()).await?;
    delete(&driver, &key).await?;
    commit(&driver, create).await?;
    Ok(())
}

async fn present_holds_where_there_is_one(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let replace = Transaction::new().present(key.clone()).put(key.clone(), "new", None);
    let refusal = refused(&driver, replace.clone()).await?;
    ensure_eq!(refusal.found, None, "what stood at an absent key");
    ensure_eq!(read(&driver, &key).await?, None, "the key of a refused put");
    put(&driver, &key, "old").await?;
    commit(&driver, replace).await?;
    ensure_eq!(present(&driver, &key).await?.value, "new", "the value");
    Ok(())
}

/// Writes a key if no key starts with `l/`.
fn take(key: &str) -> Result<Transaction, Error> {
    Ok(Transaction::new().prefix_absent(Key::new("l/")?).put(Key::new(key)?, "taken", None))
}

async fn prefix_absent_holds_where_no_key_starts_so(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for other in ["l", "l.", "k/l/", "l0", "lé"] {
        put(&driver, &Key::new(other)?, "is no key under l/").await?;
    }
    commit(&driver, take("l/b")?).await?;
    for key in ["l/a", "l/b", "l/c", "x"] {
        let refusal = refused(&driver, take(key)?).await?;
        let found = refusal.found.map(|found| (found.key.as_str().to_owned(), found.value));
        ensure_eq!(found, Some(("l/b".to_owned(), "taken".into())), "what stood there");
    }
    let both = Transaction::new().prefix_absent(Key::new("l/b")?).prefix_absent(Key::new("m")?);
    ensure_eq!(refused(&driver, both).await?.guard, 0, "the guard that did not hold: the key itself counts");
    let check = Transaction::new().present(Key::new("l")?).prefix_absent(Key::new("l/bb")?);
    commit(&driver, check).await?;
    Ok(())
}

async fn prefix_absent_does_not_see_what_expired(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let key = Key::new("l/a")?;
    commit(&driver, take("l/a")?).await?;
    delete(&driver, &key).await?;
    let ttl = ctx.ttl(Duration::from_millis(300));
    commit(&driver, Transaction::new().put(key, "for a while", Some(ttl))).await?;
    refused(&driver, take("l/b")?).await?;
    let look = async || Ok(driver.commit(&take("l/b")?).await?.is_committed().then_some(()));
    eventually("the end of the key that stood there", look).await?;
    Ok(())
}

async fn one_of_many_takes_an_empty_prefix(ctx: Context) -> CaseResult {
    let (one, other) = (ctx.driver(), ctx.another().await?);
    for round in 0..10 {
        let taking = (0..16).map(|n| {
            let driver = if n % 2 == 0 { one.clone() } else { other.clone() };
            async move { Ok(driver.commit(&take(&format!("l/{n}"))?).await?.is_committed()) }
        });
        let taken = together(taking).await?.into_iter().filter(|taken| *taken).count();
        ensure_eq!(taken, 1, "how many of 16 took an empty prefix in round {round}");
        one.clear("l/").await?;
    }
    Ok(())
}

async fn version_holds_at_that_write_only(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let first = put(&driver, &key, "1").await?;
    let swap = |version: Revision| Transaction::new().version_is(key.clone(), version).put(key.clone(), "2", None);
    for wrong in [Revision(0), Revision(first.0 - 1), Revision(first.0 + 1)] {
        refused(&driver, swap(wrong)).await?;
    }
    commit(&driver, swap(first)).await?;
    refused(&driver, swap(first)).await?;
    ensure_eq!(present(&driver, &key).await?.value, "2", "the value");
    Ok(())
}

async fn version_never_holds_for_an_absent_key(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let written = put(&driver, &key, "1").await?;
    let deleted = commit(&driver, Transaction::new().delete(key.clone())).await?.revision;
    for version in [Revision(0), written, deleted] {
        let refusal = refused(&driver, Transaction::new().version_is(key.clone(), version)).await?;
        ensure_eq!(refusal.found, None, "what stood at a deleted key");
    }
    Ok(())
}

async fn a_version_never_comes_back(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let version = put(&driver, &key, "same").await?;
    delete(&driver, &key).await?;
    put(&driver, &key, "same").await?;
    refused(&driver, Transaction::new().version_is(key.clone(), version).delete(key.clone())).await?;
    driver.clear("").await?;
    put(&driver, &key, "same").await?;
    refused(&driver, Transaction::new().version_is(key.clone(), version).delete(key)).await?;
    Ok(())
}

async fn a_refusal_tells_what_stood_there(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("leader")?);
    put(&driver, &key, "first").await?;
    put(&driver, &key, "node-1").await?;
    let stands = present(&driver, &key).await?;
    let refusal = refused(&driver, Transaction::new().absent(key.clone()).put(key.clone(), "node-2", None)).await?;
    ensure_eq!(refusal.guard, 0, "the index of the only guard");
    ensure!(refusal.revision >= stands.version, "refused at {}, the key is of {}", refusal.revision, stands.version);
    ensure_eq!(refusal.found, Some(stands), "what stood there");
    ensure_eq!(present(&driver, &key).await?.value, "node-1", "the value after a refusal");
    Ok(())
}

async fn the_first_failing_guard_is_told(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [a, b, c] = [Key::new("a")?, Key::new("b")?, Key::new("c")?];
    put(&driver, &a, "1").await?;
    put(&driver, &b, "2").await?;
    put(&driver, &c, "3").await?;
    let guards = Transaction::new().present(a).absent(b.clone()).absent(c.clone()).put(c, "4", None);
    let refusal = refused(&driver, guards).await?;
    ensure_eq!(refusal.guard, 1, "the index of the first failing guard");
    ensure_eq!(refusal.found.map(|entry| entry.key), Some(b), "the key that stood there");
    Ok(())
}

async fn every_guard_must_hold(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let version = put(&driver, &key, "1").await?;
    let both = |version| Transaction::new().present(key.clone()).version_is(key.clone(), version);
    commit(&driver, both(version)).await?;
    let refusal = refused(&driver, both(Revision(version.0 + 1)).put(key.clone(), "2", None)).await?;
    ensure_eq!(refusal.guard, 1, "the index of the failing guard");
    ensure_eq!(present(&driver, &key).await?.value, "1", "the value after a refusal");
    Ok(())
}

async fn a_check_changes_nothing(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let version = put(&driver, &key, "1").await?;
    let before = present(&driver, &key).await?;
    let checked = commit(&driver, Transaction::new().version_is(key.clone(), version)).await?;
    ensure!(checked.revision >= version, "checked at {}, written at {version}", checked.revision);
    refused(&driver, Transaction::new().absent(key.clone())).await?;
    let nothing = commit(&driver, Transaction::new()).await?;
    ensure!(nothing.revision >= version, "an empty transaction at {}, written at {version}", nothing.revision);
    ensure_eq!(present(&driver, &key).await?, before, "the key after checks");
    Ok(())
}

async fn guarded_deletes_delete_what_was_read(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let stale = put(&driver, &key, "old").await?;
    let fresh = put(&driver, &key, "new").await?;
    let delete = |version| Transaction::new().version_is(key.clone(), version).delete(key.clone());
    refused(&driver, delete(stale)).await?;
    ensure_eq!(present(&driver, &key).await?.version, fresh, "the version after a stale delete");
    commit(&driver, delete(fresh)).await?;
    ensure_eq!(read(&driver, &key).await?, None, "the key after the delete");
    Ok(())
}

/// Commits the contenders' transactions through a handle each, all at a time; how many were committed.
#[track_caller]
fn race(ctx: &Context, transaction: impl Fn(usize) -> Transaction) -> impl Future<Output = Result<usize, Failure>> {
    here(async move {
        let mut contenders = Vec::new();
        for n in 0..8 {
            let (driver, transaction) = (ctx.another().await?, transaction(n));
            contenders.push(async move { Ok(driver.commit(&transaction).await?.is_committed()) });
        }
        Ok(together(contenders).await?.into_iter().filter(|won| *won).count())
    })
}

async fn one_of_many_creators_wins(ctx: Context) -> CaseResult {
    for round in 0..4 {
        let key = Key::new(format!("round-{round}"))?;
        let create = |n: usize| Transaction::new().absent(key.clone()).put(key.clone(), n.to_string(), None);
        ensure_eq!(race(&ctx, create).await?, 1, "the winners of round {round}");
    }
    Ok(())
}

async fn one_of_many_swappers_wins(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let mut version = put(&driver, &key, "0").await?;
    for round in 0..4 {
        let swap = |n: usize| Transaction::new().version_is(key.clone(), version).put(key.clone(), n.to_string(), None);
        ensure_eq!(race(&ctx, swap).await?, 1, "the winners of round {round}");
        version = present(&driver, &key).await?.version;
    }
    Ok(())
}
