//! All or nothing, for whatever a mutation changes.

use super::super::prelude::*;
use crate::calls::{commit, numbered, present, put, refused};
use crate::failure::here;
use crate::lease::Lease;
use crate::waiting::LONG;
use linchpin_core::{MutationResult, Revision};

cases! { Transactions "transactions";
    a_conflict_undoes_deletes [MultiKey] FAILED_ADD_UNDOES_THE_REST
        "If one mutation fails none is applied: what the others delete is still there";
    a_conflict_undoes_extends [MultiKey, Ttl] FAILED_ADD_UNDOES_THE_REST
        "If one mutation fails none is applied: what the others extend lives as long as before";
    a_conflict_undoes_ttls [MultiKey, Ttl] STALE_EXTEND_LEAVES_IT
        "If one mutation fails none is applied: what the others write keeps the TTL that it had, and has none if it had none";
    a_refusal_changes_no_ttl [Ttl] STALE_EXTEND_LEAVES_IT
        "Nothing was changed if a guard did not hold: neither is a lease extended, nor what it would be given";
    every_lease_of_a_transaction_is_extended [Ttl, MultiKey] MANY_LEASES_ARE_EXTENDED_AT_ONCE
        "`Extend` sets the remaining TTL, of every key of a transaction, as many as it may have";
}

/// Commits changes together with an `Add` to a text, which must fail them all.
#[track_caller]
fn conflicts(driver: &Arc<dyn Driver>, changes: Transaction) -> impl Future<Output = CaseResult> {
    here(async move {
        let text = Key::new("text")?;
        put(driver, &text, "no counter").await?;
        // The failing one is the last: what comes before it may have been applied by then.
        let failed = driver.commit(&changes.add(text, 1, None)).await;
        fails_with(failed, ErrorKind::Conflict, "a transaction that adds to a text").map(|_| ())
    })
}

async fn a_conflict_undoes_deletes(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("kept")?);
    put(&driver, &key, "kept").await?;
    let before = present(&driver, &key).await?;
    conflicts(&driver, Transaction::new().delete(key.clone())).await?;
    ensure_eq!(present(&driver, &key).await?, before, "what a failed transaction would have deleted");
    Ok(())
}

/// The key must have no more than this time to live.
#[track_caller]
fn lives_no_longer(
    driver: &Arc<dyn Driver>,
    key: &Key,
    than: Duration,
    after: &str,
) -> impl Future<Output = CaseResult> {
    here(async move {
        let left = present(driver, key).await?.ttl;
        ensure!(
            left.is_some_and(|left| left <= than),
            "{key:?} was granted {than:?} and has {left:?} left after {after}"
        );
        Ok(())
    })
}

async fn a_conflict_undoes_extends(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let ttl = ctx.ttl(LONG);
    let version = Lease::put(&ctx, &driver, &key, ttl).await?.version;
    conflicts(&driver, Transaction::new().extend(key.clone(), version, ctx.ttl(LONG * 10))).await?;
    lives_no_longer(&driver, &key, ttl, "a transaction that failed to extend it").await
}

async fn a_conflict_undoes_ttls(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [leased, forever] = [Key::new("leased")?, Key::new("for ever")?];
    let (ttl, longer) = (ctx.ttl(LONG), ctx.ttl(LONG * 10));
    Lease::put(&ctx, &driver, &leased, ttl).await?;
    put(&driver, &forever, "for ever").await?;
    let puts = |leased_for| {
        Transaction::new().put(leased.clone(), "other", leased_for).put(forever.clone(), "other", Some(longer))
    };
    for leased_for in [Some(longer), None] {
        conflicts(&driver, puts(leased_for)).await?;
        lives_no_longer(&driver, &leased, ttl, "a transaction that failed to write it").await?;
        let entry = present(&driver, &forever).await?;
        ensure_eq!((entry.ttl, entry.value), (None, "for ever".into()), "the ttl and value of what lives for ever");
    }
    Ok(())
}

async fn a_refusal_changes_no_ttl(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let (ttl, longer) = (ctx.ttl(LONG), ctx.ttl(LONG * 10));
    let version = Lease::put(&ctx, &driver, &key, ttl).await?.version;
    let unless_there = || Transaction::new().absent(key.clone());
    for change in [
        unless_there().extend(key.clone(), version, longer),
        unless_there().put(key.clone(), "other", Some(longer)),
        unless_there().put(key.clone(), "other", None),
    ] {
        let what = format!("the refusal of {change:?}");
        refused(&driver, change).await?;
        lives_no_longer(&driver, &key, ttl, &what).await?;
    }
    Ok(())
}

async fn every_lease_of_a_transaction_is_extended(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("lease-", ctx.capabilities().limits.transaction_operations)?;
    let (ttl, longer) = (ctx.ttl(LONG), ctx.ttl(LONG * 2));
    let put = keys.iter().fold(Transaction::new(), |t, key| t.put(key.clone(), "1", Some(ttl)));
    let version = commit(&driver, put).await?.revision;
    // One in ten is another's by now.
    let known = |n: usize| if n % 10 == 9 { Revision(version.0 - 1) } else { version };
    let extend = |t: Transaction, (n, key): (usize, &Key)| t.extend(key.clone(), known(n), longer);
    let extended = commit(&driver, keys.iter().enumerate().fold(Transaction::new(), extend)).await?;
    let entries = driver.get(&keys).await?.entries;
    for (n, (result, entry)) in extended.results.iter().zip(entries).enumerate() {
        let wanted = MutationResult::Extended { ttl: (known(n) == version).then_some(longer) };
        ensure_eq!(*result, wanted, "what became of extend {n} of {}", keys.len());
        let left = entry.and_then(|entry| entry.ttl);
        let lengthened = left > Some(ttl);
        ensure!(lengthened == (known(n) == version), "lease {n} of {} has {left:?} left", keys.len());
    }
    Ok(())
}
