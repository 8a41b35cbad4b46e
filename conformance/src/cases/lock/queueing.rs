//! First come, first served, and nobody is woken in vain.

use super::super::prelude::*;
use crate::recipes::{coordinator, keys_in, node, short};
use crate::waiting::{PATIENCE, eventually, soon};
use linchpin::{Coordinator, LockGuard};
use linchpin_core::{Area, Driver};
use std::sync::Arc;
use tokio::task::JoinHandle;

cases! { Lock "lock";
    first_come_first_served [Ttl, Watch]
        "Waiters hold the lock in the order in which they came";
    one_release_wakes_one_waiter [Ttl, Watch]
        "A release wakes one waiter: the server's work per hand-over does not grow with the queue";
    a_wait_ends_in_time_and_leaves_nothing [Ttl, Watch]
        "A wait that ends in `Timeout` leaves no place in the queue behind";
    a_waiter_that_gives_up_is_skipped [Ttl, Watch]
        "Dropping a waiter's future gives up its place";
    a_dead_waiter_never_blocks_the_queue [Ttl, Watch]
        "A waiter that dies is skipped when its key expires";
}

type Waiter = JoinHandle<Result<LockGuard, Error>>;

/// Starts to wait, and returns once the place in the queue is taken.
async fn queue_up(node: &Coordinator, driver: &Arc<dyn Driver>, places: usize) -> Result<Waiter, Failure> {
    let lock = node.lock("q").acquire();
    let waiter = tokio::spawn(lock);
    eventually("a place in the queue", async || Ok((keys_in(driver, Area::Locks).await? == places).then_some(())))
        .await?;
    Ok(waiter)
}

/// The lock that a waiter gets, in time.
async fn served(waiter: Waiter, within: Duration) -> Result<LockGuard, Failure> {
    let served = tokio::time::timeout(within, waiter).await;
    let served = served.map_err(|_| Failure::new(format!("a waiter was not served within {within:?}")))?;
    Ok(served.map_err(|error| Failure::new(error.to_string()))??)
}

async fn first_come_first_served(ctx: Context) -> CaseResult {
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let mut waiters = Vec::new();
    for place in 2..7 {
        waiters.push(queue_up(&coordinator(&ctx).await?, &ctx.driver(), place).await?);
    }
    let mut held = holder;
    for waiter in waiters {
        ensure!(!waiter.is_finished(), "a waiter was served before its turn");
        let token = held.token();
        held.release().await?;
        held = served(waiter, PATIENCE).await?;
        ensure!(held.token() > token, "the next token is not newer");
    }
    Ok(())
}

async fn one_release_wakes_one_waiter(ctx: Context) -> CaseResult {
    const WAITERS: u64 = 8;
    let mut held = coordinator(&ctx).await?.lock("q").acquire().await?;
    let node = coordinator(&ctx).await?;
    let mut waiters = Vec::new();
    for place in 0..WAITERS {
        waiters.push(queue_up(&node, &ctx.driver(), usize::try_from(place).unwrap_or(0) + 2).await?);
    }
    let calls = |what: &str| node.metrics().operations.get(what).map_or(0, |metrics| metrics.calls);
    let settled = async || Ok((calls("watch") == WAITERS).then_some(()));
    eventually("every waiter watches the one before it", settled).await?;
    let (scans, watches) = (calls("scan"), calls("watch"));
    for waiter in waiters {
        held.release().await?;
        held = served(waiter, PATIENCE).await?;
    }
    ensure_eq!(calls("scan") - scans, WAITERS, "looks at the queue for {WAITERS} hand-overs");
    ensure_eq!(calls("watch") - watches, 0, "further watches for {WAITERS} hand-overs");
    Ok(())
}

async fn a_wait_ends_in_time_and_leaves_nothing(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let holder = node.lock("q").acquire().await?;
    let wait = node.lock("q").wait(Duration::from_millis(100)).acquire();
    let error = fails_with(soon("the wait", wait).await?, ErrorKind::Timeout, "waiting for a lock that is held")?;
    ensure!(!error.maybe_applied(), "a wait that ended says that it may have been applied");
    let driver = ctx.driver();
    eventually("only the holder's place is left", async || {
        Ok((keys_in(&driver, Area::Locks).await? == 1).then_some(()))
    })
    .await?;
    holder.release().await?;
    ensure_eq!(keys_in(&driver, Area::Locks).await?, 0, "places after the release");
    Ok(())
}

async fn a_waiter_that_gives_up_is_skipped(ctx: Context) -> CaseResult {
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let quitter = queue_up(&coordinator(&ctx).await?, &ctx.driver(), 2).await?;
    let patient = queue_up(&coordinator(&ctx).await?, &ctx.driver(), 3).await?;
    quitter.abort();
    let driver = ctx.driver();
    eventually("the quitter's place is gone", async || Ok((keys_in(&driver, Area::Locks).await? == 2).then_some(())))
        .await?;
    ensure!(!patient.is_finished(), "a waiter was served while the lock is held");
    holder.release().await?;
    served(patient, PATIENCE).await?.release().await?;
    Ok(())
}

async fn a_dead_waiter_never_blocks_the_queue(ctx: Context) -> CaseResult {
    let holder = coordinator(&ctx).await?.lock("q").acquire().await?;
    let (doomed, its_driver) = node(&ctx).await?;
    let ttl = short(&ctx);
    let waiter = tokio::spawn(doomed.lock("q").ttl(ttl).acquire());
    let driver = ctx.driver();
    eventually("a place in the queue", async || Ok((keys_in(&driver, Area::Locks).await? == 2).then_some(()))).await?;
    let patient = queue_up(&coordinator(&ctx).await?, &driver, 3).await?;
    // A process that is gone: nothing renews or removes its place.
    its_driver.close().await?;
    holder.release().await?;
    served(patient, PATIENCE + ttl).await?.release().await?;
    waiter.abort();
    Ok(())
}
