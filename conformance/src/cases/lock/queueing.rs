//! First come, first served, and nobody is woken in vain.

use super::super::prelude::*;
use crate::failure::here;
use crate::recipes::{coordinator, keys_in, node, short};
use crate::waiting::{FIRST_LOOK, LONG, ON_THE_WAY, PATIENCE, eventually, soon, timed};
use linchpin::lock::LOCKS;
use linchpin::{Coordinator, LockGuard};
use linchpin_core::{Page, Range};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use tokio::task::JoinHandle;

cases! { Lock "lock";
    first_come_first_served [Ttl, Watch] FIRST_COME_FIRST_SERVED + REDISSON_5761
        "Waiters hold the lock in the order in which they came";
    many_processes_hold_it_in_turn [Ttl, Watch] FIRST_COME_FIRST_SERVED + REDISSON_1104
        "However many processes wait, they hold the lock in the order in which they came, and who has gone is skipped";
    one_release_wakes_one_waiter [Ttl, Watch] ONE_RELEASE_WAKES_ONE_WAITER + SPRING_INTEGRATION_3690
        "A release wakes one waiter: among those who wait in one process a hand-over is one request, however many";
    a_wait_ends_in_time_and_leaves_nothing [Ttl, Watch] WAIT_ENDS_IN_TIME_AND_LEAVES_NOTHING
        "A wait that ends in `Timeout` leaves no place in the queue behind";
    a_waiter_that_gives_up_is_skipped [Ttl, Watch] WAITER_THAT_GIVES_UP_IS_SKIPPED + REDISSON_1104
        "Dropping a waiter's future gives up its place";
    a_dead_waiter_never_blocks_the_queue [Ttl, Watch] WAITER_THAT_GIVES_UP_IS_SKIPPED + REDISSON_1104
        "A waiter that dies is skipped when its key expires";
    many_dead_waiters_cost_one_ttl [Ttl, Watch] WAITER_THAT_GIVES_UP_IS_SKIPPED + REDISSON_1104 + REDISSON_2099
        "However many waiters die, the next one that lives is served within one TTL, whoever waited in vain meanwhile";
    a_waiter_that_lost_its_place_queues_up_again [Ttl, Watch] WAITER_THAT_LOST_ITS_PLACE_QUEUES_UP_AGAIN + ETCD_19597
        "A waiter whose place has gone does not win by it: it notices, and queues up again behind the others";
    a_cancelled_attempt_leaves_nothing [Ttl, Watch] RELEASED_LOCK_IS_RENEWED_NO_MORE + REDISSON_7272
        "Wherever an attempt is cut off, nothing of it is left: neither a place in the queue nor a lock";
    shutdown_ends_every_wait [Ttl, Watch] SHUTDOWN_ENDS_EVERY_WAIT
        "`shutdown` ends every wait with `Closed`, and no place in a queue is left when it returns";
}

type Waiter = JoinHandle<Result<LockGuard, Error>>;

/// Starts to wait, and returns once the place in the queue is taken.
#[track_caller]
fn queue_up(
    node: &Coordinator,
    driver: &Arc<dyn Driver>,
    places: usize,
) -> impl Future<Output = Result<Waiter, Failure>> {
    here(async move {
        // Renewed only after what follows is done: a renewal is a request too.
        let lock = node.lock("q").ttl(LONG);
        let mut waiter = tokio::spawn(async move { lock.acquire().await });
        let places =
            eventually("a place in the queue", async || Ok((keys_in(driver, LOCKS).await? == places).then_some(())));
        tokio::select! {
            taken = places => taken?,
            ended = &mut waiter => {
                let ended = ended.map_err(|error| Failure::new(error.to_string()))??;
                return Err(Failure::new(format!("the lock is held, and a waiter got it: {ended:?}")));
            }
        }
        Ok(waiter)
    })
}

/// The lock that a waiter gets, in time.
#[track_caller]
fn served(waiter: Waiter, within: Duration) -> impl Future<Output = Result<LockGuard, Failure>> {
    here(async move {
        let served = tokio::time::timeout(within, waiter).await;
        let served = served.map_err(|_| Failure::new(format!("a waiter was not served within {within:?}")))?;
        Ok(served.map_err(|error| Failure::new(error.to_string()))??)
    })
}

/// One holds the lock after the other, in this order and none before its turn.
#[track_caller]
fn held_in_turn(holder: LockGuard, waiters: Vec<Waiter>) -> impl Future<Output = CaseResult> {
    here(async move {
        let mut held = holder;
        for waiter in waiters {
            ensure!(!waiter.is_finished(), "a waiter was served before its turn");
            let token = held.token();
            held.release().await?;
            held = served(waiter, PATIENCE).await?;
            ensure!(held.token() > token, "the next token is not newer");
        }
        Ok(())
    })
}

async fn first_come_first_served(ctx: Context) -> CaseResult {
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let mut waiters = Vec::new();
    for place in 2..7 {
        waiters.push(queue_up(&coordinator(&ctx).await?, &ctx.driver(), place).await?);
    }
    held_in_turn(holder, waiters).await
}

async fn many_processes_hold_it_in_turn(ctx: Context) -> CaseResult {
    /// So many that a waiter need not be told of all who come and go before it.
    const WAITERS: usize = 24;
    let (driver, mut nodes, mut waiters) = (ctx.driver(), Vec::new(), Vec::new());
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    for place in 2..WAITERS + 2 {
        let node = coordinator(&ctx).await?;
        waiters.push(queue_up(&node, &driver, place).await?);
        nodes.push(node);
    }
    // Two processes wait twice; one place goes from the middle, and those just before the last ones go.
    for (node, place) in [(0, 2), (WAITERS - 1, 3)] {
        waiters.push(queue_up(&nodes[node], &driver, WAITERS + place).await?);
    }
    for gone in [WAITERS - 2, WAITERS - 3, 7] {
        waiters.remove(gone).abort();
    }
    let left = waiters.len() + 1;
    eventually("their places are given up", async || Ok((keys_in(&driver, LOCKS).await? == left).then_some(())))
        .await?;
    held_in_turn(holder, waiters).await
}

async fn one_release_wakes_one_waiter(ctx: Context) -> CaseResult {
    const WAITERS: u64 = 8;
    let mut held = coordinator(&ctx).await?.lock("q").acquire().await?;
    let node = coordinator(&ctx).await?;
    let mut waiters = Vec::new();
    for place in 0..WAITERS {
        waiters.push(queue_up(&node, &ctx.driver(), usize::try_from(place).unwrap_or(0) + 2).await?);
    }
    let watches = || node.metrics().operations.get("watch").map_or(0, |metrics| metrics.calls);
    eventually("the queue is watched", async || Ok((watches() > 0).then_some(()))).await?;
    ensure_eq!(watches(), 1, "watches of one process with {WAITERS} waiters");
    let requests = || node.metrics().operations.values().map(|metrics| metrics.calls).sum::<u64>();
    let before = requests();
    for waiter in waiters {
        held.release().await?;
        held = served(waiter, PATIENCE).await?;
    }
    // The last holds it still. The first who released was another node; the answer to the last who queued up may have
    // come after it was seen in the queue.
    let made = requests() - before;
    ensure!(made <= WAITERS, "{WAITERS} hand-overs made {made} requests: one each, the release, is enough");
    Ok(())
}

async fn a_wait_ends_in_time_and_leaves_nothing(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let holder = node.lock("q").acquire().await?;
    let wait = Duration::from_millis(300);
    let waited = timed(async { Ok::<_, Failure>(node.lock("q").wait(wait).acquire().await) }).await?;
    let error = fails_with(waited.value, ErrorKind::Timeout, "waiting for a lock that is held")?;
    let took = waited.answered - waited.sent;
    ensure!(took >= wait && took <= FIRST_LOOK + ON_THE_WAY, "a wait of {wait:?} ended after {took:?}");
    ensure!(!error.maybe_applied(), "a wait that ended says that it may have been applied");
    let driver = ctx.driver();
    eventually("only the holder's place is left", async || Ok((keys_in(&driver, LOCKS).await? == 1).then_some(())))
        .await?;
    holder.release().await?;
    ensure_eq!(keys_in(&driver, LOCKS).await?, 0, "places after the release");
    Ok(())
}

async fn a_waiter_that_gives_up_is_skipped(ctx: Context) -> CaseResult {
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let quitter = queue_up(&coordinator(&ctx).await?, &ctx.driver(), 2).await?;
    let patient = queue_up(&coordinator(&ctx).await?, &ctx.driver(), 3).await?;
    quitter.abort();
    let driver = ctx.driver();
    eventually("the quitter's place is gone", async || Ok((keys_in(&driver, LOCKS).await? == 2).then_some(()))).await?;
    ensure!(!patient.is_finished(), "a waiter was served while the lock is held");
    holder.release().await?;
    served(patient, PATIENCE).await?.release().await?;
    Ok(())
}

async fn a_dead_waiter_never_blocks_the_queue(ctx: Context) -> CaseResult {
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let (doomed, its_driver) = node(&ctx).await?;
    let ttl = short(&ctx);
    let lock = doomed.lock("q").ttl(ttl);
    let waiter = tokio::spawn(async move { lock.acquire().await });
    let driver = ctx.driver();
    eventually("a place in the queue", async || Ok((keys_in(&driver, LOCKS).await? == 2).then_some(()))).await?;
    let patient = queue_up(&coordinator(&ctx).await?, &driver, 3).await?;
    // A process that is gone: nothing renews or removes its place.
    its_driver.close().await?;
    holder.release().await?;
    served(patient, PATIENCE + ttl).await?.release().await?;
    waiter.abort();
    Ok(())
}

/// Returns once so many places are taken.
#[track_caller]
fn places(driver: &Arc<dyn Driver>, count: usize) -> impl Future<Output = CaseResult> {
    here(async move {
        let taken = async || Ok((keys_in(driver, LOCKS).await? == count).then_some(()));
        eventually(format!("{count} places in all queues"), taken).await
    })
}

async fn many_dead_waiters_cost_one_ttl(ctx: Context) -> CaseResult {
    const EACH: usize = 3;
    let (driver, ttl) = (ctx.driver(), ctx.ttl(Duration::from_secs(1)));
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let mut dying = Vec::new();
    for place in 2..2 + EACH {
        let (doomed, its_driver) = node(&ctx).await?;
        let lock = doomed.lock("q").ttl(ttl);
        dying.push((its_driver, tokio::spawn(async move { lock.acquire().await })));
        places(&driver, place).await?;
        // One that waits behind it in vain.
        let vain = doomed.lock("q").ttl(ttl).wait(Duration::from_millis(100)).acquire().await;
        fails_with(vain, ErrorKind::Timeout, "waiting for a lock that is held")?;
        places(&driver, place).await?;
    }
    let patient = queue_up(&coordinator(&ctx).await?, &driver, 2 + EACH).await?;
    for (its_driver, _) in &dying {
        its_driver.close().await?;
    }
    holder.release().await?;
    served(patient, ttl + ctx.ttl_slack() + ON_THE_WAY).await?.release().await?;
    for (_, waiter) in dying {
        waiter.abort();
    }
    Ok(())
}

async fn a_waiter_that_lost_its_place_queues_up_again(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let lock = coordinator(&ctx).await?.lock("q").ttl(short(&ctx));
    let robbed = tokio::spawn(async move { lock.acquire().await });
    places(&driver, 2).await?;
    let queue = driver.scan(&Range::prefix(LOCKS.prefix())?, &Page::first_keys()).await?.entries;
    let newest = queue.into_iter().max_by_key(|entry| entry.created);
    let place = newest.ok_or_else(|| Failure::new("nobody is in the queue"))?.key;
    let patient = queue_up(&coordinator(&ctx).await?, &driver, 3).await?;
    driver.commit(&Transaction::new().delete(place)).await?;
    // With its next renewal it learns that its place has gone, and takes one at the end.
    places(&driver, 3).await?;
    holder.release().await?;
    let held = served(patient, PATIENCE).await?;
    ensure!(!robbed.is_finished(), "who had lost its place was served before who came earlier");
    let token = held.token();
    held.release().await?;
    let held = served(robbed, PATIENCE).await?;
    ensure!(held.token() > token, "the next token is not newer");
    held.release().await?;
    Ok(())
}

/// Drops an attempt once it was polled so many times, or has waited for a moment.
async fn cancelled<T>(polls: usize, attempt: impl Future<Output = T>) {
    const MOMENT: Duration = Duration::from_millis(20);
    let mut attempt = pin!(attempt);
    let mut left = polls;
    let polled = poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        attempt.as_mut().poll(cx).map(drop)
    });
    // Where it was cut off makes no difference, nor whether it was done before.
    let _ = tokio::time::timeout(MOMENT, polled).await;
}

async fn a_cancelled_attempt_leaves_nothing(ctx: Context) -> CaseResult {
    const POLLS: usize = 17;
    // What was left behind would stay while the case runs.
    let (node, driver, ttl) = (coordinator(&ctx).await?, ctx.driver(), ctx.ttl(LONG));
    let holder = coordinator(&ctx).await?.lock("held").acquire().await?;
    for polls in 0..POLLS {
        cancelled(polls, node.lock("free").ttl(ttl).acquire()).await;
        cancelled(polls, node.lock("free").ttl(ttl).try_acquire()).await;
        cancelled(polls, node.lock("held").ttl(ttl).acquire()).await;
    }
    places(&driver, 1).await?;
    holder.release().await?;
    for name in ["free", "held"] {
        soon("the lock", node.lock(name).acquire()).await??.release().await?;
    }
    places(&driver, 0).await
}

async fn shutdown_ends_every_wait(ctx: Context) -> CaseResult {
    let (driver, node) = (ctx.driver(), coordinator(&ctx).await?);
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let mut waiters = Vec::new();
    for place in 2..6 {
        waiters.push(queue_up(&node, &driver, place).await?);
    }
    soon("the shutdown", node.shutdown()).await??;
    ensure_eq!(keys_in(&driver, LOCKS).await?, 1, "the places in the queue once the shutdown has returned");
    for waiter in waiters {
        let ended = soon("the end of a wait", waiter).await?.map_err(|error| Failure::new(error.to_string()))?;
        fails_with(ended, ErrorKind::Closed, "a wait of a coordinator that was shut down")?;
    }
    holder.release().await?;
    Ok(())
}
