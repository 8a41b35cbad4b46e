//! Locks, leaderships and members whose server or connection fails: they go on, or say that they are lost.

use super::super::prelude::*;
use super::writes::{NEVER_SENT, TRIES, settled};
use super::{impatient, patient, survives_restart, until_back};
use crate::failure::here;
use crate::recipes::{keys_in, short};
use crate::waiting::{LONG, ON_THE_WAY, eventually, soon};
use linchpin::lock::LOCKS;
use linchpin::{Coordinator, LockGuard};
use std::time::Instant;

/// No server takes as long to start again, be the machine ever so busy.
const OUTAGE: Duration = Duration::from_secs(20);

cases! { Faults "faults";
    a_lock_outlives_a_short_outage [Ttl, Watch] LOCK_OUTLIVES_A_SHORT_OUTAGE
        "A lock whose TTL is longer than an outage is held through it, with the same token";
    a_lock_is_lost_in_a_long_pause [Ttl, Watch, MultiKey] LOCK_IS_LOST_IN_A_LONG_PAUSE
        "A lock whose server stood still for longer than its TTL is reported lost, and its token writes nothing";
    a_holder_that_is_cut_off_knows_before_the_next_holds [Ttl, Watch] HOLDER_THAT_IS_CUT_OFF_KNOWS_BEFORE_THE_NEXT_HOLDS
        "A holder that is cut off reports lost before another can hold the lock";
    a_lock_that_is_granted_too_late_is_not_held [Ttl, Watch] HOLDER_THAT_IS_CUT_OFF_KNOWS_BEFORE_THE_NEXT_HOLDS
        "A lock whose grant arrives after its TTL is not handed out: another may hold it by then";
    a_waiter_is_served_after_a_cut [Ttl, Watch] WAITER_IS_SERVED_AFTER_A_CUT + REDISSON_5761
        "A waiter that was cut off when the lock was released gets it: no wake-up is lost";
    one_leader_after_a_cut [Ttl, Watch] HOLDER_THAT_IS_CUT_OFF_KNOWS_BEFORE_THE_NEXT_HOLDS + CURATOR_1121
        "A leader that is cut off counts itself out before the next leads, and comes back as no leader";
    a_member_that_was_cut_off_is_back [Ttl] MEMBER_THAT_WAS_CUT_OFF_IS_BACK
        "A member that was cut off for longer than its TTL is gone, and joins again by itself";
    a_lock_that_is_dropped_in_an_outage_passes_on_after_it [Ttl, Watch]
        LOCK_THAT_IS_DROPPED_IN_AN_OUTAGE_PASSES_ON_AFTER_IT
        "What was given up while the backend was away is given back when it is there again, also if its TTL was shortened";
    a_failed_release_passes_on_in_time [Ttl, Watch] FAILED_RELEASE_PASSES_ON_IN_TIME + CURATOR_1193
        "A release that fails leaves nothing behind for longer than the TTL";
    a_shutdown_that_is_given_up_renews_nothing [Ttl, Watch] SHUTDOWN_THAT_IS_GIVEN_UP_RENEWS_NOTHING
        "A shutdown that is given up renews nothing any more: what it did not release passes with its TTL";
}

async fn a_lock_outlives_a_short_outage(ctx: Context) -> CaseResult {
    if !survives_restart(&ctx) {
        return Ok(());
    }
    let node = patient(ctx.driver()).await?;
    let guard = node.lock("l").ttl(ctx.ttl(OUTAGE)).acquire().await?;
    let token = guard.token();
    ctx.faults()?.kill().await?;
    ctx.faults()?.restart().await?;
    until_back("a write under the lock", || guard.put("k", "v")).await?;
    ensure!(guard.is_held() && guard.token() == token, "a lock was lost in an outage shorter than its TTL");
    guard.release().await?;
    let next = soon("the next holder", node.lock("l").acquire()).await??;
    ensure!(next.token() > token, "the next token is not newer");
    Ok(())
}

async fn a_lock_is_lost_in_a_long_pause(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let stale = node.lock("l").ttl(ttl).acquire().await?;
    ctx.faults()?.pause().await?;
    soon("the loss", stale.lost()).await?;
    tokio::time::sleep(ttl / 2).await;
    ctx.faults()?.resume().await?;
    let newer = soon("the next holder", until_back("the lock", async || other.lock("l").acquire().await)).await??;
    newer.put("k", "new").await?;
    fails_with(stale.put("k", "old").await, ErrorKind::Lost, "a write under a lost lock")?;
    ensure_eq!(other.get("k").await?.as_deref(), Some(&b"new"[..]), "what the holder wrote");
    ensure!(newer.token() > stale.token(), "the next token is not newer");
    Ok(())
}

async fn a_holder_that_is_cut_off_knows_before_the_next_holds(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let asked = Instant::now();
    let guard = node.lock("l").ttl(ttl).acquire().await?;
    ctx.faults()?.proxy()?.cut();
    let lost = async {
        guard.lost().await;
        Instant::now()
    };
    let next = async { other.lock("l").acquire().await.map(|guard| (guard, Instant::now())) };
    let (lost, next) = soon("the loss and the next holder", futures::future::join(lost, next)).await?;
    let (next, held) = next?;
    ensure!(lost < held, "the next one held the lock {:?} before the holder knew", lost - held);
    ensure!(held - asked >= ttl, "it passed on after {:?}, before its TTL", held - asked);
    ensure!(next.token() > guard.token(), "the next token is not newer");
    Ok(())
}

async fn a_lock_that_is_granted_too_late_is_not_held(ctx: Context) -> CaseResult {
    let (node, driver) = (patient(ctx.driver()).await?, ctx.beside().await?);
    let other = patient(driver.clone()).await?;
    // What a backend learns at the first call it knows by then.
    node.lock("l").acquire().await?.release().await?;
    let late = granted_unheard(&ctx, &node, &driver).await?;
    let held = soon("the next holder", other.lock("l").ttl(LONG).acquire()).await??;
    ctx.faults()?.proxy()?.mend();
    let mut late = std::pin::pin!(late);
    let early = tokio::time::timeout(ON_THE_WAY, &mut late).await;
    ensure!(early.is_err(), "a lock that had passed on was handed out: {early:?}");
    let token = held.token();
    held.release().await?;
    let served = soon("the lock", until_served(late)).await??;
    ensure!(served.is_held() && served.token() > token, "the lock that was handed out is not held");
    Ok(())
}

type Waiter = tokio::task::JoinHandle<Result<LockGuard, Error>>;

/// Has the lock granted to a node that does not hear of it.
#[track_caller]
fn granted_unheard(
    ctx: &Context,
    node: &Coordinator,
    beside: &Arc<dyn Driver>,
) -> impl Future<Output = Result<Waiter, Failure>> {
    here(async move {
        let proxy = ctx.faults()?.proxy()?;
        for _ in 0..TRIES {
            settled(&ctx.driver()).await?;
            keys_in(beside, LOCKS).await?;
            proxy.hold(crate::Direction::Answers);
            let (lock, asked) = (node.lock("l").ttl(short(ctx)), Instant::now());
            let late = tokio::spawn(async move { lock.acquire().await });
            while asked.elapsed() < short(ctx) {
                if keys_in(beside, LOCKS).await? == 1 {
                    return Ok(late);
                }
            }
            proxy.mend();
            match soon("the lock", until_served(late)).await??.release().await {
                // It had come late already.
                Err(error) if error.kind() == ErrorKind::Lost => {}
                released => released?,
            }
        }
        Err(Failure::new(NEVER_SENT))
    })
}

#[track_caller]
fn until_served(
    waiter: impl Future<Output = Result<Result<LockGuard, Error>, tokio::task::JoinError>>,
) -> impl Future<Output = Result<LockGuard, Failure>> {
    here(async move { Ok(waiter.await.map_err(|error| Failure::new(error.to_string()))??) })
}

async fn a_waiter_is_served_after_a_cut(ctx: Context) -> CaseResult {
    let (node, holder) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?);
    let guard = holder.lock("l").acquire().await?;
    let lock = node.lock("l").ttl(ctx.ttl(OUTAGE));
    let waiting = tokio::spawn(async move { lock.acquire().await });
    let watches = async || Ok(node.metrics().operations.get("watch").map(drop));
    eventually("the waiter waits", watches).await?;
    ctx.faults()?.proxy()?.cut();
    guard.release().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(!waiting.is_finished(), "a waiter that is cut off had an answer");
    ctx.faults()?.proxy()?.mend();
    soon("the lock", waiting).await?.map_err(|error| Failure::new(error.to_string()))??.release().await?;
    Ok(())
}

async fn one_leader_after_a_cut(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let election = node.election("e").ttl(ttl);
    let leads = election.campaign().await?;
    ctx.faults()?.proxy()?.cut();
    let lost = async {
        leads.lost().await;
        Instant::now()
    };
    let next = other.election("e").ttl(ttl);
    let elected = async { next.campaign().await.map(|leads| (leads, Instant::now())) };
    let (lost, elected) = soon("the loss and the next leader", futures::future::join(lost, elected)).await?;
    let (next, since) = elected?;
    ensure!(lost < since, "the next one led {:?} before the leader knew", lost - since);
    ctx.faults()?.proxy()?.mend();
    let leader = until_back("the leader", || election.leader()).await?;
    ensure!(!leads.is_leader(), "a leader that was cut off came back as leader");
    // On a slow machine its own time may have run out.
    if next.is_leader() {
        ensure_eq!(leader.map(|leader| leader.term), Some(next.term()), "the term of who leads");
    }
    let again = election.try_campaign().await?;
    ensure!(again.is_none() || !next.is_leader(), "two lead");
    Ok(())
}

async fn a_member_that_was_cut_off_is_back(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let _membership = node.members("g").id("n").metadata("m").ttl(ttl).join().await?;
    for way in ["cut", "pause"] {
        let members = other.members("g");
        if way == "cut" {
            ctx.faults()?.proxy()?.cut();
            let gone = async || Ok(members.list().await?.is_empty().then_some(()));
            eventually("the member that is cut off is gone", gone).await?;
            ctx.faults()?.proxy()?.mend();
        } else {
            ctx.faults()?.pause().await?;
            tokio::time::sleep(ttl * 2).await;
            ctx.faults()?.resume().await?;
        }
        eventually("the member is back", || async {
            let back = until_back("the list", || members.list()).await?;
            Ok((back.len() == 1 && back[0].metadata == "m").then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn a_lock_that_is_dropped_in_an_outage_passes_on_after_it(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (impatient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let guard = node.lock("l").ttl(LONG).acquire().await?;
    // The holder counts itself out by the new TTL; the key has the old one.
    guard.extend(ttl).await?;
    ctx.faults()?.proxy()?.cut();
    drop(guard);
    tokio::time::sleep(ttl * 3).await;
    ctx.faults()?.proxy()?.mend();
    soon("the next holder", other.lock("l").acquire()).await??.release().await?;
    Ok(())
}

async fn a_failed_release_passes_on_in_time(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let guard = node.lock("l").ttl(ttl).acquire().await?;
    ctx.faults()?.proxy()?.cut();
    let released = tokio::time::timeout(ttl / 2, guard.release()).await;
    ensure!(!matches!(released, Ok(Ok(()))), "a release succeeded without a connection");
    soon("the next holder", other.lock("l").acquire()).await??.release().await?;
    ctx.faults()?.proxy()?.mend();
    let again = until_back("the lock", async || node.lock("l").acquire().await).await?;
    soon("the release", again.release()).await??;
    Ok(())
}

async fn a_shutdown_that_is_given_up_renews_nothing(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, short(&ctx));
    let guard = node.lock("l").ttl(ttl).acquire().await?;
    ctx.faults()?.pause().await?;
    // A call on its way: the shutdown waits for it.
    let another = node.lock("another");
    let asked = tokio::spawn(async move { another.acquire().await });
    let given_up = tokio::time::timeout(ttl / 4, node.shutdown()).await;
    ctx.faults()?.resume().await?;
    ensure!(given_up.is_err(), "a shutdown ended while the server stood still: {given_up:?}");
    ensure!(!guard.is_held(), "a lock is held after a shutdown that was given up");
    let next = soon("the next holder", until_back("the lock", async || other.lock("l").acquire().await)).await??;
    asked.abort();
    next.release().await?;
    Ok(())
}
