//! When a holder renews and counts itself out, and what an attempt leaves that is cut off at the backend.

use super::super::prelude::*;
use crate::doubles::{Trouble, Troubled};
use crate::failure::here;
use crate::recipes::{coordinator, keys_in};
use crate::waiting::{LONG, eventually, soon};
use linchpin::lock::LOCKS;
use linchpin::{Coordinator, LockGuard, RetryPolicy};
use tokio::time::{Instant, timeout};

cases! { Lock "lock";
    a_holder_counts_itself_out_before_its_ttl [Ttl, Watch] HOLDER_COUNTS_ITSELF_OUT_BEFORE_ITS_TTL
        "A holder's deadline is its TTL from when it last asked, less 1 % and 50 ms at least";
    a_lease_is_renewed_at_a_third_of_its_ttl [Ttl, Watch] HELD_LOCK_OUTLIVES_ITS_TTL
        "A lease is renewed at a third of its TTL, neither at once nor when it is nearly over";
    an_attempt_cut_off_at_the_backend_leaves_nothing [Ttl, Watch] RELEASED_LOCK_IS_RENEWED_NO_MORE
        "An attempt that is dropped while the backend is silent leaves nothing, whether or not its place was taken by then";
}

/// A coordinator over a driver in trouble, which is asked once for everything.
#[track_caller]
fn over(troubled: &Troubled) -> impl Future<Output = Result<Coordinator, Failure>> {
    here(async move { Ok(Coordinator::over(troubled.driver()).retry(RetryPolicy::NEVER).connect().await?) })
}

async fn a_holder_counts_itself_out_before_its_ttl(ctx: Context) -> CaseResult {
    for (asked, margin) in [(600, 50), (20_000, 200)] {
        let (ttl, margin) = (ctx.ttl(Duration::from_millis(asked)), Duration::from_millis(margin));
        let (node, sent) = (coordinator(&ctx).await?, Instant::now());
        // What is not renewed has the deadline that it was granted with.
        let guard: LockGuard = node.lock("l").ttl(ttl).acquire().await?;
        let (until, granted) = (guard.held_until(), Instant::now());
        let until = until.ok_or_else(|| Failure::new("a lock that was just taken has no deadline"))?;
        ensure!(
            until >= sent + ttl - margin.max(ttl / 100),
            "its deadline is {:?} after it was asked for",
            until - sent
        );
        let latest = granted + ttl - margin;
        ensure!(until <= latest, "its deadline lies {:?} behind its TTL of {ttl:?} less {margin:?}", until - latest);
        guard.release().await?;
    }
    Ok(())
}

async fn a_lease_is_renewed_at_a_third_of_its_ttl(ctx: Context) -> CaseResult {
    let ttl = ctx.ttl(Duration::from_secs(3));
    let troubled = Troubled::over(ctx.another().await?, Trouble::Hangs, 0);
    let node = over(&troubled).await?;
    let guard = node.lock("l").ttl(ttl).acquire().await?;
    let sent = |nth: usize| troubled.commits().get(nth).copied();
    let taken = troubled.commits().len();
    let mut before = sent(taken - 1).ok_or_else(|| Failure::new("the lock was taken without a commit"))?;
    for round in 0..2 {
        let renewed = eventually("the renewal of a lease", async || Ok(sent(taken + round))).await?;
        let after = renewed - before;
        // A busy machine is late; one that is early renews more than it has to.
        let at_a_third = after >= ttl.mul_f64(0.3) && after <= ttl.mul_f64(0.6);
        ensure!(at_a_third, "renewal {round} of a lease of {ttl:?} was sent after {after:?}");
        before = renewed;
    }
    guard.release().await?;
    Ok(())
}

async fn an_attempt_cut_off_at_the_backend_leaves_nothing(ctx: Context) -> CaseResult {
    // What was left behind would stay while the case runs.
    let (driver, ttl) = (ctx.driver(), ctx.ttl(LONG));
    for trouble in [Trouble::Hangs, Trouble::HangsAfter] {
        for tried in [false, true] {
            let troubled = Troubled::over(ctx.another().await?, trouble, 1);
            let node = over(&troubled).await?;
            let attempt = async {
                let lock = node.lock("l").ttl(ttl);
                if tried {
                    lock.try_acquire().await.map(|guard| guard.is_some())
                } else {
                    lock.acquire().await.map(|_| true)
                }
            };
            let cut_off = timeout(Duration::from_millis(200), attempt).await;
            ensure!(cut_off.is_err(), "{trouble:?}: an attempt came to its end though nobody answered: {cut_off:?}");
            ensure!(troubled.calls() > 0, "{trouble:?}: the backend was asked nothing");
            let empty = async || Ok((keys_in(&driver, LOCKS).await? == 0).then_some(()));
            eventually(format!("{trouble:?}: nothing is left of an attempt that was dropped"), empty).await?;
            let next = coordinator(&ctx).await?;
            soon("the lock, after an attempt that was dropped", next.lock("l").acquire()).await??.release().await?;
            node.shutdown().await?;
        }
    }
    Ok(())
}
