//! What a repeat under an id is told, and what is no repeat.

use super::super::prelude::*;
use super::ids::add_once;
use crate::calls::{commit, counter, delete, names, present, put, read, refused};
use crate::lease::Lease;
use crate::need::Need;
use crate::waiting::{LONG, timed, together};
use linchpin_core::{Range, Retry, Revision, TransactionId};

cases! { Transactions "transactions";
    an_id_outlasts_thousands_of_others [TransactionIds] CONCURRENT_REPEATS_APPLY_ONCE
        "Applied at most once within the backend's window, however many other transactions come meanwhile";
    an_id_survives_a_clear [TransactionIds] REPEAT_GETS_THE_FIRST_OUTCOME
        "The repeat gets the first outcome, though everything was cleared since";
    the_id_of_a_check_is_known [TransactionIds] REPEAT_GETS_THE_FIRST_OUTCOME
        "The repeat gets the first outcome, of a transaction too that changes nothing";
    a_repeat_renews_nothing [TransactionIds, Ttl] REPEAT_RENEWS_NOTHING
        "The repeat gets the first outcome and does nothing: it extends no lease once more";
    a_refused_repeat_tells_what_still_stands [TransactionIds] REFUSED_REPEAT_TELLS_WHAT_STILL_STANDS
        "A refusal that is repeated tells what stood there if that very version still does, and no value that has gone";
    every_part_of_a_transaction_tells_it_apart [TransactionIds] REUSED_ID_IS_A_CONFLICT
        "An id names one transaction: one that differs in any part fails with `Conflict` and changes nothing";
    a_conflict_under_an_id_is_not_sent_again [TransactionIds] REUSED_ID_IS_A_CONFLICT
        "Retry: `Never`, for a conflict too that is remembered, or that an id was used before: surely nothing was applied";
}

async fn an_id_outlasts_thousands_of_others(ctx: Context) -> CaseResult {
    const WRITERS: usize = 20;
    const EACH: usize = 150;
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let add = add_once(&key, TransactionId::random());
    let first = commit(&driver, add.clone()).await?;
    let handles = [ctx.driver(), ctx.another().await?];
    let others = (0..WRITERS).map(|n| {
        let driver = handles[n % handles.len()].clone();
        async move {
            let key = Key::new(format!("other {n}"))?;
            for _ in 0..EACH {
                commit(&driver, add_once(&key, TransactionId::random())).await?;
            }
            Ok(())
        }
    });
    together(others).await?;
    ensure_eq!(commit(&driver, add).await?, first, "the outcome of a repeat after {} others", WRITERS * EACH);
    ensure_eq!(counter(&driver, &key).await?, 1, "the counter");
    Ok(())
}

async fn an_id_survives_a_clear(ctx: Context) -> CaseResult {
    let (driver, key, lock) = (ctx.driver(), Key::new("hits")?, Key::new("lock")?);
    put(&driver, &lock, "another's").await?;
    let add = add_once(&key, TransactionId::random());
    let first = commit(&driver, add.clone()).await?;
    let create =
        Transaction::new().absent(lock.clone()).put(lock.clone(), "mine", None).with_id(TransactionId::random());
    let refusal = refused(&driver, create.clone()).await?;
    driver.clear("").await?;
    ensure_eq!(commit(&driver, add).await?, first, "the outcome of the repeat after a clear");
    let again = refused(&driver, create).await?;
    ensure_eq!((again.guard, again.revision), (refusal.guard, refusal.revision), "guard and revision of the refusal");
    ensure!(names(&driver, &Range::all()).await?.is_empty(), "a repeat applied something after a clear");
    Ok(())
}

async fn the_id_of_a_check_is_known(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let is_there = Transaction::new().present(key.clone()).with_id(TransactionId::random());
    let is_not = Transaction::new().absent(key.clone()).with_id(TransactionId::random());
    put(&driver, &key, "1").await?;
    let there = commit(&driver, is_there.clone()).await?;
    let refusal = refused(&driver, is_not.clone()).await?;
    delete(&driver, &key).await?;
    ensure_eq!(commit(&driver, is_there).await?, there, "the outcome of a check that held, sent again");
    let again = refused(&driver, is_not).await?;
    ensure_eq!((again.guard, again.revision), (refusal.guard, refusal.revision), "the refusal of a check, sent again");
    Ok(())
}

async fn a_repeat_renews_nothing(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let (short, ttl) = (ctx.ttl(Duration::from_millis(200)), ctx.ttl(Duration::from_millis(800)));
    let lease = Lease::put(&ctx, &driver, &key, short).await?;
    let extend = Transaction::new().extend(key.clone(), lease.version, ttl).with_id(TransactionId::random());
    let extended = timed(commit(&driver, extend.clone())).await?;
    // Half of its time is over before it is sent again.
    tokio::time::sleep(ttl / 2).await;
    ensure_eq!(commit(&driver, extend).await?, extended.value, "the outcome of the repeat");
    let look = async || Ok(read(&driver, &key).await?.is_none().then_some(()));
    extended.window(ttl, ctx.ttl_slack()).sees("the end of a lease that was extended once", look).await
}

async fn a_refused_repeat_tells_what_still_stands(ctx: Context) -> CaseResult {
    let (driver, other, lock) = (ctx.driver(), ctx.another().await?, Key::new("lock")?);
    put(&driver, &lock, "theirs").await?;
    let stands = present(&driver, &lock).await?;
    let create =
        Transaction::new().absent(lock.clone()).put(lock.clone(), "mine", None).with_id(TransactionId::random());
    let first = refused(&driver, create.clone()).await?;
    ensure_eq!(first.found.as_ref(), Some(&stands), "what stood there, as the first attempt was told");
    let again = refused(&other, create.clone()).await?;
    ensure_eq!(again, first, "the refusal, sent again while the same version stands there");
    put(&driver, &lock, "theirs, rewritten").await?;
    let again = refused(&driver, create.clone()).await?;
    ensure_eq!(again.found, None, "what stood there, of a version that was overwritten");
    ensure_eq!((again.guard, again.revision), (first.guard, first.revision), "guard and revision of the refusal");
    delete(&driver, &lock).await?;
    ensure_eq!(refused(&other, create).await?.found, None, "what stood there, after it was deleted");
    Ok(())
}

/// The transactions that differ from `first` in one part each, and what that is.
#[track_caller]
fn variants(ctx: &Context) -> Result<Vec<(Transaction, &'static str, Transaction)>, Failure> {
    let [k, l] = [Key::new("k")?, Key::new("l")?];
    let add = || Transaction::new().add(k.clone(), 1, None);
    let delete = || Transaction::new().delete(k.clone());
    let guarded = || Transaction::new().absent(k.clone()).put(k.clone(), "1", None);
    let versioned = |version| Transaction::new().version_is(k.clone(), Revision(version)).delete(k.clone());
    let mut variants = vec![
        (add(), "delta", Transaction::new().add(k.clone(), 2, None)),
        (add(), "sign", Transaction::new().add(k.clone(), -1, None)),
        (add(), "mutation", Transaction::new().put(k.clone(), "1", None)),
        (delete(), "guard", delete().present(k.clone())),
        (guarded(), "condition", Transaction::new().present(k.clone()).put(k.clone(), "1", None)),
        (guarded(), "missing guard", Transaction::new().put(k.clone(), "1", None)),
        (versioned(1), "version", versioned(2)),
    ];
    if Need::MultiKey.is_declared(ctx.capabilities()) {
        let two = |second: &'static str| add().put(l.clone(), second, None);
        variants.extend([
            (add(), "second mutation", add().delete(l.clone())),
            (two("1"), "second value", two("2")),
            (two("1"), "missing mutation", add()),
            (add(), "guarded key", add().absent(l.clone())),
            (guarded(), "second guard", guarded().absent(l.clone())),
        ]);
    }
    if Need::Ttl.is_declared(ctx.capabilities()) {
        let [ttl, longer] = [ctx.ttl(LONG), ctx.ttl(LONG * 2)];
        let extend = |version, ttl| Transaction::new().extend(k.clone(), Revision(version), ttl);
        variants.extend([
            (add(), "ttl", Transaction::new().add(k.clone(), 1, Some(ttl))),
            (extend(1, ttl), "extended ttl", extend(1, longer)),
            (extend(1, ttl), "extended version", extend(2, ttl)),
        ]);
    }
    Ok(variants)
}

async fn every_part_of_a_transaction_tells_it_apart(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for (first, what, other) in variants(&ctx)? {
        let id = TransactionId::random();
        let outcome = driver.commit(&first.clone().with_id(id)).await?;
        let before = names(&driver, &Range::all()).await?;
        let sent = driver.commit(&other.with_id(id)).await;
        fails_with(sent, ErrorKind::Conflict, format!("another {what} under an id that was used"))?;
        ensure_eq!(names(&driver, &Range::all()).await?, before, "the keys after another {what} under the id");
        let again = driver.commit(&first.with_id(id)).await?;
        ensure_eq!(again, outcome, "the true repeat after another {what}");
        driver.clear("").await?;
    }
    Ok(())
}

async fn a_conflict_under_an_id_is_not_sent_again(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let surely = |error: &Error, what: &str| {
        ensure_eq!((error.retry(), error.maybe_applied()), (Retry::Never, false), "what the error of {what} says");
        Ok(())
    };
    let used = TransactionId::random();
    commit(&driver, Transaction::new().put(key.clone(), "no counter", None).with_id(used)).await?;
    let other = driver.commit(&Transaction::new().delete(key.clone()).with_id(used)).await;
    surely(&fails_with(other, ErrorKind::Conflict, "an id that was used")?, "another transaction under a used id")?;
    let add = add_once(&key, TransactionId::random());
    for attempt in ["an add to a text", "the repeat of an add to a text"] {
        surely(&fails_with(driver.commit(&add).await, ErrorKind::Conflict, attempt)?, attempt)?;
    }
    let handles: [Arc<dyn Driver>; 2] = [driver, ctx.another().await?];
    for handle in &handles {
        ensure_eq!(present(handle, &key).await?.value, "no counter", "what stands there after three conflicts");
    }
    Ok(())
}
