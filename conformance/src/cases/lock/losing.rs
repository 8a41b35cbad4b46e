//! Who loses a lock is told in time, and can do no harm.

use super::super::prelude::*;
use crate::recipes::{coordinator, kept, node, remove, short};
use crate::waiting::{eventually, soon};
use linchpin::lock::LOCKS;
use linchpin_core::Area;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

cases! { Lock "lock";
    the_holder_knows_before_the_next_one_holds [Ttl, Watch]
        HOLDER_KNOWS_BEFORE_THE_NEXT_ONE_HOLDS + REDISSON_5697 + ETCD_10811
        "Past its own deadline the guard reports lost, before the backend can grant the lock again";
    the_deadline_moves_with_every_renewal [Ttl, Watch] DEADLINE_MOVES_WITH_EVERY_RENEWAL
        "`held_until` moves on with every renewal, passes before another can hold the lock, and is `None` after the loss";
    a_removed_lock_is_lost [Ttl, Watch] REMOVED_LOCK_IS_LOST + ETCD_10811 + ELSEWHERE_REMOVED_LOCK_IS_LOST
        "A lock that was removed from behind its holder is reported lost with the next renewal";
    a_stale_token_writes_nothing [Ttl, Watch, MultiKey] STALE_TOKEN_WRITES_NOTHING
        "A guarded write is applied only while the lock is its writer's, whatever the guard believes";
    callbacks_tell_of_failure_and_loss [Ttl, Watch] CALLBACKS_TELL_OF_FAILURE_AND_LOSS + REDISSON_5697
        "A failed renewal is told each time, the loss of the lock once";
    once_lost_it_stays_lost [Ttl, Watch] ONCE_LOST_IT_STAYS_LOST
        "A lock that was lost stays lost: it can be neither extended nor released nor written under";
    a_lost_lock_can_be_taken_again [Ttl, Watch] LOST_LOCK_CAN_BE_TAKEN_AGAIN + REDISSON_3194
        "A lock that was lost can be taken again, by the same node too, and is renewed as any other";
    what_a_body_finished_is_never_an_error [Ttl, Watch] WITH_LOCK_RELEASES_AFTER_THE_BODY
        "Once the body of `with_lock` has finished its result is returned, whatever becomes of the release";
    a_callback_that_panics_harms_nobody_else [Ttl, Watch] CALLBACKS_TELL_OF_FAILURE_AND_LOSS + REDISSON_5697
        "A callback that panics does not end the renewal of the other leases";
    with_lock_ends_the_body_when_it_is_lost [Ttl, Watch] WITH_LOCK_ENDS_THE_BODY_WHEN_IT_IS_LOST + ETCD_10811
        "If the lock is lost the body of `with_lock` is dropped, and the error is `Lost`";
}

async fn the_holder_knows_before_the_next_one_holds(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let ttl = short(&ctx);
    let asked = Instant::now();
    let guard = doomed.lock("l").ttl(ttl).acquire().await?;
    its_driver.close().await?;
    let lost = async {
        guard.lost().await;
        Instant::now()
    };
    let next = coordinator(&ctx).await?.lock("l");
    let next = async { next.acquire().await.map(|guard| (guard, Instant::now())) };
    let (lost, next) = soon("the loss and the next holder", futures::future::join(lost, next)).await?;
    let (next, held) = next?;
    ensure!(lost < held, "the next one held the lock {:?} before the holder knew", lost - held);
    ensure!(held - asked >= ttl, "it passed on after {:?}, before its TTL", held - asked);
    ensure!(!guard.is_held() && next.token() > guard.token(), "the old guard is held, or its token is newer");
    Ok(())
}

async fn the_deadline_moves_with_every_renewal(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let (ttl, asked) = (kept(&ctx), Instant::now());
    let guard = doomed.lock("l").ttl(ttl).acquire().await?;
    let until = || guard.held_until().map(tokio::time::Instant::into_std);
    let mut deadlines = vec![until().ok_or_else(|| Failure::new("a lock that is held has no deadline"))?];
    while deadlines.len() < 4 {
        let last = deadlines[deadlines.len() - 1];
        let moved = eventually("the deadline moves", async || Ok(until().filter(|moved| *moved != last))).await?;
        ensure!(last < moved, "a renewal took {:?} of the deadline back", last - moved);
        deadlines.push(moved);
        // Every renewal was sent before now.
        ensure!(moved < Instant::now() + ttl, "the deadline is later than the TTL allows");
    }
    ensure!(deadlines[0] > asked, "the first deadline lies before the lock was asked for");
    its_driver.close().await?;
    let deadline = until().ok_or_else(|| Failure::new("the lock was lost while it was renewed"))?;
    let next = coordinator(&ctx).await?.lock("l");
    let lost = async {
        guard.lost().await;
        Instant::now()
    };
    let (lost, next) = soon("the loss and the next holder", futures::future::join(lost, next.acquire())).await?;
    let (_next, held) = (next?, Instant::now());
    ensure!(lost >= deadline, "it was lost {:?} before its deadline", deadline - lost);
    ensure!(held > deadline, "another held the lock {:?} before the deadline", deadline - held);
    ensure_eq!(guard.held_until(), None, "the deadline of a lost lock");
    let node = coordinator(&ctx).await?;
    let other = node.lock("other").acquire().await?;
    node.shutdown().await?;
    ensure_eq!(other.held_until(), None, "the deadline of a released lock");
    Ok(())
}

async fn a_removed_lock_is_lost(ctx: Context) -> CaseResult {
    let guard = coordinator(&ctx).await?.lock("l").ttl(short(&ctx)).acquire().await?;
    remove(&ctx.driver(), LOCKS).await?;
    soon("the loss", guard.lost()).await?;
    ensure!(!guard.is_held(), "the guard says held");
    Ok(())
}

async fn a_stale_token_writes_nothing(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let stale = one.lock("l").acquire().await?;
    remove(&ctx.driver(), LOCKS).await?;
    let newer = other.lock("l").acquire().await?;
    newer.put("balance", "100").await?;
    ensure!(stale.is_held(), "the case is about a guard that does not know yet");
    fails_with(stale.put("balance", "0").await, ErrorKind::Lost, "a write under a stale token")?;
    let transaction = Transaction::new().delete(Area::USER.key("balance")?);
    fails_with(stale.commit(transaction).await, ErrorKind::Lost, "a transaction under a stale token")?;
    ensure!(!stale.is_held(), "a guard whose write was refused as lost says held");
    ensure_eq!(other.get("balance").await?, Some(b"100".to_vec()), "what the newer holder wrote");
    Ok(())
}

async fn callbacks_tell_of_failure_and_loss(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let (failures, losses) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (failed, lost) = (failures.clone(), losses.clone());
    // Time enough for several renewals, on a slow machine too.
    let lock = doomed.lock("l").ttl(short(&ctx) * 3);
    let lock = lock.on_renewal_failure(move |error| {
        failed.fetch_add(u32::from(error.kind() == ErrorKind::Closed), Ordering::SeqCst);
    });
    let lock = lock.on_lost(move || {
        lost.fetch_add(1, Ordering::SeqCst);
    });
    let guard = lock.acquire().await?;
    its_driver.close().await?;
    soon("the loss", guard.lost()).await?;
    let told = async || Ok((losses.load(Ordering::SeqCst) > 0).then_some(()));
    eventually("the loss is told", told).await?;
    ensure!(failures.load(Ordering::SeqCst) >= 2, "{failures:?} failed renewals were told before the loss");
    drop(guard);
    ensure_eq!(losses.load(Ordering::SeqCst), 1, "how often the loss was told");
    Ok(())
}

async fn once_lost_it_stays_lost(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let guard = node.lock("l").ttl(short(&ctx)).acquire().await?;
    remove(&ctx.driver(), LOCKS).await?;
    soon("the loss", guard.lost()).await?;
    fails_with(guard.extend(short(&ctx)).await, ErrorKind::Lost, "extending it")?;
    fails_with(guard.put("x", "1").await, ErrorKind::Lost, "writing under it")?;
    fails_with(guard.release().await, ErrorKind::Lost, "releasing it")?;
    ensure_eq!(node.get("x").await?, None, "what was written under a lost lock");
    Ok(())
}

async fn what_a_body_finished_is_never_an_error(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let body = async |_: &linchpin::LockGuard| {
        its_driver.close().await?;
        Ok::<_, Error>("paid")
    };
    ensure_eq!(doomed.lock("l").with_lock(body).await??, "paid", "the result of the body");
    Ok(())
}

/// Panics past the hook that prints a backtrace: a run in which all is well should not show one.
fn panics_quietly() {
    std::panic::resume_unwind(Box::new("a callback that panics, on purpose"));
}

async fn a_callback_that_panics_harms_nobody_else(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let ttl = kept(&ctx);
    let panics = node.lock("panics").ttl(ttl).on_lost(panics_quietly).acquire().await?;
    remove(&ctx.driver(), LOCKS).await?;
    soon("the loss", panics.lost()).await?;
    let kept = node.lock("kept").ttl(ttl).acquire().await?;
    let other = coordinator(&ctx).await?.lock("kept").wait(ttl * 2).acquire().await;
    fails_with(other, ErrorKind::Timeout, "waiting for a lock that is renewed")?;
    ensure!(kept.is_held(), "the other lock was lost");
    Ok(())
}

async fn with_lock_ends_the_body_when_it_is_lost(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let driver = ctx.driver();
    let body = async |_: &linchpin::LockGuard| {
        remove(&driver, LOCKS).await?;
        std::future::pending::<CaseResult>().await
    };
    let ended = soon("the end of the body", node.lock("l").ttl(short(&ctx)).with_lock(body)).await?;
    match ended {
        Err(error) if error.kind() == ErrorKind::Lost => Ok(()),
        other => Err(Failure::new(format!("expected the error lost, got {}", crate::failure::shown(&other.is_ok())))),
    }
}

async fn a_lost_lock_can_be_taken_again(ctx: Context) -> CaseResult {
    let (node, ttl) = (coordinator(&ctx).await?, kept(&ctx));
    let guard = node.lock("l").ttl(ttl).acquire().await?;
    let token = guard.token();
    remove(&ctx.driver(), LOCKS).await?;
    soon("the loss", guard.lost()).await?;
    let again = soon("the lock", node.lock("l").ttl(ttl).acquire()).await??;
    ensure!(again.token() > token, "the token of the lock that was taken again is not newer");
    // What is left of the first time must not end the second.
    drop(guard);
    let other = coordinator(&ctx).await?.lock("l").wait(ttl * 2).acquire().await;
    fails_with(other, ErrorKind::Timeout, "waiting for a lock that was taken again")?;
    ensure!(again.is_held(), "a lock that was taken again says lost, but its holder lives");
    again.release().await?;
    Ok(())
}
