//! Who holds a lock, holds it alone.

use super::super::prelude::*;
use crate::failure::here;
use crate::recipes::{coordinator, kept, keys_in, short};
use crate::waiting::{PATIENCE, eventually, soon};
use futures::future::try_join_all;
use linchpin::lock::LOCKS;
use linchpin::{Coordinator, Lock};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

cases! { Lock "lock";
    one_holder_at_a_time [Ttl, Watch, MultiKey] ONE_HOLDER_AT_A_TIME + REDISSON_5761
        "One holder at a time among all who name a lock alike: what is read and written under it is never lost";
    tokens_grow_with_every_holder [Ttl, Watch] TOKENS_GROW_WITH_EVERY_HOLDER
        "The fencing token grows with every holder, also after a clear";
    try_acquire_does_not_wait [Ttl, Watch] TRY_ACQUIRE_DOES_NOT_WAIT
        "`try_acquire` takes the lock if nobody holds it or waits for it, and says so at once otherwise";
    a_free_lock_costs_two_requests [Ttl, Watch, MultiKey, PrefixGuards] FREE_LOCK_COSTS_TWO_REQUESTS
        "A free lock is taken with one request, and released with one";
    a_held_lock_outlives_its_ttl [Ttl, Watch] HELD_LOCK_OUTLIVES_ITS_TTL + REDISSON_5697
        "A lease is renewed at a third of its TTL: a lock is held for longer than its TTL while its holder lives";
    a_released_lock_is_renewed_no_more [Ttl, Watch] RELEASED_LOCK_IS_RENEWED_NO_MORE + REDISSON_7272
        "What was released, dropped or cancelled is renewed no more, and leaves nothing behind";
    renewals_go_in_batches [Ttl, Watch, MultiKey] RENEWALS_GO_IN_BATCHES + ELSEWHERE_RENEWALS_GO_IN_BATCHES
        "All leases of a coordinator are renewed together in batches";
    without_renewal_it_runs_out [Ttl, Watch] WITHOUT_RENEWAL_IT_RUNS_OUT
        "A lock without renewal passes on after its TTL, and can be extended by hand";
    other_names_are_other_locks [Ttl, Watch] OTHER_NAMES_ARE_OTHER_LOCKS + SPRING_INTEGRATION_11157
        "Two names are two locks, whatever characters they are made of";
    a_guarded_write_is_read_by_the_port [Ttl, Watch, MultiKey] GUARDED_WRITE_IS_READ_BY_THE_PORT
        "A guarded write writes a key of the port's in one transaction with the check of the token";
    with_lock_releases_after_the_body [Ttl, Watch] WITH_LOCK_RELEASES_AFTER_THE_BODY
        "`with_lock` runs the body while holding the lock and releases it after";
    try_with_lock_does_not_wait [Ttl, Watch] TRY_WITH_LOCK_DOES_NOT_WAIT
        "`try_with_lock` runs the body under a free lock and releases it after, and runs nothing under a busy one";
    shutdown_releases_everything [Ttl, Watch] SHUTDOWN_RELEASES_EVERYTHING
        "`shutdown` releases every lock; later calls fail with `Closed`";
    a_dropped_guard_releases [Ttl, Watch] DROPPED_GUARD_RELEASES
        "Dropping a guard releases the lock in the background";
    any_wait_will_do [Ttl, Watch] ANY_WAIT_WILL_DO
        "A free lock is taken even with no time to wait, and a wait may be as long as can be written";
    bad_input_is_refused [Ttl, Watch] BAD_INPUT_IS_REFUSED
        "A name that is no name and a TTL that is too short are `InvalidArgument` before anything is sent";
}

async fn one_holder_at_a_time(ctx: Context) -> CaseResult {
    const NODES: u32 = 4;
    const TURNS: u32 = 5;
    let inside = Arc::new(AtomicU32::new(0));
    let node = async |inside: Arc<AtomicU32>| {
        let node = coordinator(&ctx).await?;
        for _ in 0..TURNS {
            let guard = node.lock("till").wait(PATIENCE).acquire().await?;
            ensure_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "others inside the lock");
            let count = node.get("count").await?.map_or(0, |text| String::from_utf8_lossy(&text).parse().unwrap_or(0));
            guard.put("count", (count + 1).to_string()).await?;
            inside.fetch_sub(1, Ordering::SeqCst);
            guard.release().await?;
        }
        Ok::<_, Failure>(())
    };
    try_join_all((0..NODES).map(|_| node(inside.clone()))).await?;
    let count = coordinator(&ctx).await?.get("count").await?;
    ensure_eq!(count, Some((NODES * TURNS).to_string().into_bytes()), "the count written under the lock");
    Ok(())
}

async fn tokens_grow_with_every_holder(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let mut newest = None;
    for round in 0..6 {
        let node = if round % 2 == 0 { &one } else { &other };
        let guard = node.lock("fenced").wait(PATIENCE).acquire().await?;
        ensure!(Some(guard.token()) > newest, "token {} after {newest:?}", guard.token());
        newest = Some(guard.token());
        if round == 3 {
            drop(guard);
            one.flush_all().await?;
        } else {
            guard.release().await?;
        }
    }
    Ok(())
}

async fn try_acquire_does_not_wait(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let guard = one.lock("busy").try_acquire().await?;
    let guard = guard.ok_or_else(|| Failure::new("nobody holds the lock, and still it was not taken"))?;
    ensure!(other.lock("busy").try_acquire().await?.is_none(), "another took a lock that is held");
    ensure!(one.lock("busy").try_acquire().await?.is_none(), "the holder took its own lock again");
    guard.release().await?;
    ensure!(other.lock("busy").try_acquire().await?.is_some(), "a released lock was not taken");
    Ok(())
}

async fn a_free_lock_costs_two_requests(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let requests = || node.metrics().operations.values().map(|metrics| metrics.calls).sum::<u64>();
    for (nth, tried) in [false, true, false].into_iter().enumerate() {
        let lock = node.lock("l");
        let held = if tried { lock.try_acquire().await? } else { Some(lock.acquire().await?) };
        held.ok_or_else(|| Failure::new("a free lock was not taken"))?.release().await?;
        ensure_eq!(requests(), 2 * (nth as u64 + 1), "requests after {} locks", nth + 1);
    }
    Ok(())
}

async fn a_held_lock_outlives_its_ttl(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let ttl = kept(&ctx);
    let guard = one.lock("long").ttl(ttl).acquire().await?;
    let error = fails_with(other.lock("long").wait(ttl * 2).acquire().await, ErrorKind::Timeout, "waiting for it")?;
    ensure_eq!(error.subject(), Some("long"), "the lock that the error names");
    ensure!(guard.is_held(), "the guard says lost, but its holder lives");
    guard.release().await?;
    Ok(())
}

async fn renewals_go_in_batches(ctx: Context) -> CaseResult {
    const HELD: u32 = 100;
    let node = coordinator(&ctx).await?;
    // Long enough for none to be lost on a machine that has more to do.
    let ttl = ctx.ttl(Duration::from_millis(2400));
    let locks = (0..HELD).map(async |n: u32| node.lock(format!("batch:{n}")).ttl(ttl).acquire().await);
    let guards = try_join_all(locks).await?;
    let commits = |node: &Coordinator| node.metrics().operations.get("commit").map_or(0, |m| m.calls);
    let (before, started) = (commits(&node), Instant::now());
    // Waits for renewals that surely came: without one, the locks would be lost by then.
    let other = coordinator(&ctx).await?.lock("batch:0").wait(ttl * 2).acquire().await;
    fails_with(other, ErrorKind::Timeout, "waiting for a lock that is renewed")?;
    let rounds = u64::try_from(started.elapsed().as_millis() / (ttl / 3).as_millis()).unwrap_or(u64::MAX) + 1;
    let batches =
        u64::from(HELD).div_ceil(u64::try_from(ctx.capabilities().limits.transaction_operations).unwrap_or(1));
    let used = commits(&node) - before;
    // Locks that were taken apart need some batches more each round, far fewer than there are locks.
    let most = rounds * (batches + u64::from(HELD) / 5);
    ensure!(used <= most, "{used} commits for {HELD} leases in {rounds} rounds: more than {most}");
    ensure!(guards.iter().all(|guard| guard.is_held()), "not every lock is still held");
    Ok(())
}

async fn without_renewal_it_runs_out(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let ttl = kept(&ctx);
    let guard = one.lock("once").ttl(ttl).without_renewal().acquire().await?;
    let asked = Instant::now();
    guard.extend(ttl + short(&ctx)).await?;
    let next = soon("the lock that runs out", other.lock("once").acquire()).await??;
    ensure!(asked.elapsed() >= ttl + short(&ctx), "it passed on after {:?}", asked.elapsed());
    ensure!(!guard.is_held(), "the guard says held, but another holds the lock");
    ensure!(next.token() > guard.token(), "the successor's token is not newer");
    Ok(())
}

async fn other_names_are_other_locks(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let long = "x".repeat(512);
    let names = ["a", "a/b", "1:a", "a/", "/a", "A", "a*", "{a}", "a\nb", "🦀", "lock/a", &long];
    let mut guards = Vec::new();
    for name in names {
        let guard = node.lock(name).try_acquire().await?;
        guards.push(guard.ok_or_else(|| Failure::new(format!("{name:?} was taken for another lock")))?);
    }
    Ok(())
}

async fn a_guarded_write_is_read_by_the_port(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let guard = node.lock("w").acquire().await?;
    guard.put("order:7", "paid").await?;
    ensure_eq!(node.get("order:7").await?, Some(b"paid".to_vec()), "what was written under the lock");
    Ok(())
}

async fn with_lock_releases_after_the_body(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let seen = node.lock("body").with_lock(async |guard| guard.is_held()).await?;
    ensure!(seen, "the body ran without the lock");
    ensure!(node.lock("body").try_acquire().await?.is_some(), "the lock was not released after the body");
    Ok(())
}

async fn try_with_lock_does_not_wait(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let lock = one.lock("busy");
    let held = lock.try_with_lock(async |_| other.lock("busy").try_with_lock(async |_| "ran").await).await?;
    ensure_eq!(held.ok_or_else(|| Failure::new("no body ran under a free lock"))??, None, "a body under a busy lock");
    let after = other.lock("busy").try_with_lock(async |guard| guard.is_held()).await?;
    ensure_eq!(after, Some(true), "whether the lock was free after the body, and held under the next");
    Ok(())
}

async fn shutdown_releases_everything(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    one.try_acquire_leadership(one.node_id().as_str(), PATIENCE * 4).await?;
    let guards = (one.lock("a").acquire().await?, one.lock("b").acquire().await?);
    one.shutdown().await?;
    ensure!(!guards.0.is_held() && !guards.1.is_held(), "a guard says held after the shutdown");
    for name in ["a", "b"] {
        ensure!(other.lock(name).try_acquire().await?.is_some(), "{name} was not released");
    }
    ensure_eq!(other.get_leader().await?, None, "the leader after its shutdown");
    fails_with(one.lock("a").acquire().await, ErrorKind::Closed, "a lock after the shutdown")?;
    fails_with(one.get("x").await, ErrorKind::Closed, "the port after the shutdown")?;
    one.shutdown().await?;
    Ok(())
}

async fn a_dropped_guard_releases(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    drop(one.lock("dropped").acquire().await?);
    free(&other, "dropped").await?;
    // The last guard may outlive its coordinator.
    let guard = one.lock("orphan").acquire().await?;
    drop(one);
    drop(guard);
    free(&other, "orphan").await
}

/// Waits until a lock can be taken.
#[track_caller]
fn free(node: &Coordinator, name: &str) -> impl Future<Output = CaseResult> {
    here(async move {
        let taken = async || Ok(node.lock(name).try_acquire().await?.map(drop));
        eventually("the lock is free", taken).await
    })
}

async fn any_wait_will_do(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    for _ in 0..20 {
        node.lock("free").wait(Duration::ZERO).acquire().await?.release().await?;
    }
    node.lock("free").wait(Duration::MAX).acquire().await?.release().await?;
    Ok(())
}

async fn bad_input_is_refused(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let before = node.metrics();
    let refused = async |lock: Lock| fails_with(lock.acquire().await, ErrorKind::InvalidArgument, "the lock");
    for name in ["", "a\0b", &"x".repeat(513)] {
        refused(node.lock(name)).await?;
    }
    refused(node.lock("short").ttl(Duration::from_millis(299))).await?;
    refused(node.lock("zero").ttl(Duration::ZERO)).await?;
    refused(node.lock("huge").ttl(Duration::MAX)).await?;
    ensure_eq!(node.metrics(), before, "what was sent");
    Ok(())
}

async fn a_released_lock_is_renewed_no_more(ctx: Context) -> CaseResult {
    let (node, driver, ttl) = (coordinator(&ctx).await?, ctx.driver(), kept(&ctx));
    let lock = || node.lock("l").ttl(ttl);
    let guard = lock().acquire().await?;
    let waits = tokio::time::timeout(ttl, lock().acquire()).await;
    ensure!(waits.is_err(), "a waiter was served while the lock is held");
    guard.release().await?;
    drop(soon("the lock", lock().acquire()).await??);
    let empty = async || Ok((keys_in(&driver, LOCKS).await? == 0).then_some(()));
    eventually("nobody has a place in the queue", empty).await?;
    let commits = || node.metrics().operations.get("commit").map_or(0, |metrics| metrics.calls);
    // What was sent before may be answered in the first of these times; a renewal would be sent in each.
    let quiet = async || {
        let before = commits();
        tokio::time::sleep(ttl * 2).await;
        Ok((commits() == before).then_some(()))
    };
    eventually("two TTLs in which nothing is renewed", quiet).await?;
    ensure_eq!(keys_in(&driver, LOCKS).await?, 0, "the places in the queue after two TTLs");
    Ok(())
}
