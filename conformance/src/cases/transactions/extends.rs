//! `Extend`: alone in not failing the whole.

use super::super::prelude::*;
use crate::calls::{commit, present, put, read};
use crate::lease::Lease;
use crate::waiting::LONG;
use linchpin_core::{MutationResult, Revision};

cases! { Transactions "transactions";
    extend_is_no_new_version [Ttl] EXTEND_IS_NO_NEW_VERSION
        "`Extend` is not a new version: extending a TTL is not a write";
    extend_of_another_version_does_nothing [Ttl] EXTEND_OF_ANOTHER_VERSION_DOES_NOTHING + ELSEWHERE_REMOVED_LOCK_IS_LOST
        "`Extend` sets the remaining TTL if the key's version is still `version`";
    extend_of_an_absent_key_does_nothing [Ttl] EXTEND_OF_ANOTHER_VERSION_DOES_NOTHING
        "`Extended` has no TTL if the key was gone or had another version";
    a_failed_extend_does_not_fail_the_rest [Ttl, MultiKey] FAILED_EXTEND_DOES_NOT_FAIL_THE_REST
        "`Extend` is alone in not failing the whole if it cannot";
    many_leases_are_extended_at_once [Ttl, MultiKey] MANY_LEASES_ARE_EXTENDED_AT_ONCE
        "Several `Extend`s renew thousands of leases in few round trips";
}

const NOT_EXTENDED: MutationResult = MutationResult::Extended { ttl: None };

async fn extend_is_no_new_version(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    let before = present(&driver, &key).await?;
    lease.extend(&ctx, &driver, &key, ctx.ttl(LONG * 2)).await?;
    let after = present(&driver, &key).await?;
    ensure_eq!((after.created, after.version), (before.created, before.version), "created and version");
    ensure_eq!(after.value, before.value, "the value");
    lease.extend(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    Ok(())
}

async fn extend_of_another_version_does_nothing(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let stale = Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?.version;
    put(&driver, &key, "for ever").await?;
    for version in [stale, Revision(0), Revision(stale.0 + 1_000_000_000)] {
        let extend = Transaction::new().extend(key.clone(), version, ctx.ttl(Duration::from_millis(1)));
        ensure_eq!(commit(&driver, extend).await?.results, [NOT_EXTENDED], "extending version {version}");
        ensure_eq!(present(&driver, &key).await?.ttl, None, "the ttl");
    }
    Ok(())
}

async fn extend_of_an_absent_key_does_nothing(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("nobody")?);
    let extend = Transaction::new().extend(key.clone(), Revision(1), ctx.ttl(LONG));
    ensure_eq!(commit(&driver, extend).await?.results, [NOT_EXTENDED], "the result");
    ensure_eq!(read(&driver, &key).await?, None, "the key");
    Ok(())
}

async fn a_failed_extend_does_not_fail_the_rest(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [mine, lost, gone, other] = [Key::new("mine")?, Key::new("lost")?, Key::new("gone")?, Key::new("other")?];
    let ttl = ctx.ttl(LONG);
    let mine_at = Lease::put(&ctx, &driver, &mine, ttl).await?.version;
    let lost_at = Lease::put(&ctx, &driver, &lost, ttl).await?.version;
    put(&driver, &lost, "somebody else's").await?;
    let transaction = Transaction::new()
        .extend(gone, Revision(1), ttl)
        .extend(lost, lost_at, ttl)
        .extend(mine, mine_at, ttl)
        .put(other.clone(), "1", None);
    let results = commit(&driver, transaction).await?.results;
    ensure_eq!(results[..2], [NOT_EXTENDED, NOT_EXTENDED], "extending what is gone and what is lost");
    ensure!(matches!(results[2], MutationResult::Extended { ttl: Some(_) }), "extending my own: {:?}", results[2]);
    ensure_eq!(present(&driver, &other).await?.value, "1", "what was written beside them");
    Ok(())
}

async fn many_leases_are_extended_at_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let count = ctx.capabilities().limits.transaction_operations.min(128);
    let keys = crate::calls::numbered("lease-", count)?;
    let ttl = ctx.ttl(LONG);
    let put = keys.iter().fold(Transaction::new(), |t, key| t.put(key.clone(), "1", Some(ttl)));
    let version = commit(&driver, put).await?.revision;
    let longer = ctx.ttl(LONG * 2);
    let extend = keys.iter().fold(Transaction::new(), |t, key| t.extend(key.clone(), version, longer));
    for (key, result) in keys.iter().zip(commit(&driver, extend).await?.results) {
        let extended = matches!(result, MutationResult::Extended { ttl: Some(granted) } if granted >= longer);
        ensure!(extended, "extending {key:?}: {result:?}");
    }
    for entry in driver.get(&keys).await?.entries {
        let left = entry.and_then(|entry| entry.ttl);
        ensure!(left > Some(ttl), "a lease of {longer:?} has {left:?} left");
    }
    Ok(())
}
