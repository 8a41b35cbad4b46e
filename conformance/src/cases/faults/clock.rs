//! A server whose clock is stepped while it runs, under keys, claims and locks that live.

use super::super::prelude::*;
use super::patient;
use crate::ClockStep::{Back, Forward};
use crate::calls::{present, put, read};
use crate::failure::here;
use crate::lease::Lease;
use crate::recipes::kept;
use crate::stream_calls::{append, claim, settle_own, take_one};
use crate::waiting::{LONG, PATIENCE, soon, timed};
use linchpin_core::Action;
use tokio::time::Instant;

cases! { Faults "faults";
    a_clock_that_steps_back_revives_nothing [Ttl] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "The server's clock decides, and one that steps back revives nothing and stops no time";
    a_clock_that_steps_back_under_reads_stops_no_time [Ttl] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "A server's clock that steps back stops no time, though nobody has written since the key was";
    a_clock_that_steps_back_under_renewals_stops_no_time [Ttl] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "A server's clock that steps back stops no time, though there were only renewals";
    a_clock_that_steps_back_under_writes_stops_no_time [Ttl] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "A server's clock that steps back stops no time, whatever else is written";
    a_clock_that_steps_back_keeps_no_dead_holder [Ttl, Watch] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "A lock whose holder died passes on in time although the server's clock steps back";
    a_clock_that_steps_back_keeps_no_dead_member [Streams] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "What a member that died has claimed comes again in time although the server's clock steps back";
    a_clock_that_steps_forward_takes_no_more_than_it_went [Ttl] CLOCK_THAT_STEPS_FORWARD_TAKES_NO_MORE_THAN_IT_WENT
        "A server's clock that steps forward ends a key early by no more than it went, and time goes on";
    a_clock_that_is_put_right_stops_no_time [Ttl] CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "A server's clock that was ahead and is put right stops no time and revives nothing";
}

/// How far a clock is stepped: much more than whatever ends here has to live.
const STEP: Duration = Duration::from_secs(30);

/// How far what has no reason to be noted more often may be off after a step.
const NOTED: Duration = Duration::from_secs(1);

/// The TTL of what must end although the clock is stepped: longer than the server is asked before.
const TTL: Duration = Duration::from_millis(3500);

/// For how long a server is asked before its clock is stepped: longer than it may be off.
const ASKED: Duration = Duration::from_millis(2500);

/// A server that is asked again and again.
struct Asked {
    first: Instant,
    last: Instant,
}

impl Asked {
    fn now() -> Self {
        Self { first: Instant::now(), last: Instant::now() }
    }

    /// Lets some time pass, and says whether the server is to be asked once more.
    async fn again(&mut self) -> bool {
        let again = self.first.elapsed() < ASKED;
        if again {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.last = Instant::now();
        }
        again
    }
}

/// Steps the clock back. How long a server that sees time pass only when it is asked may have missed, when it was asked
/// last at `asked`.
#[track_caller]
fn steps_back(ctx: &Context, asked: Instant) -> impl Future<Output = Result<Duration, Failure>> {
    here(async move {
        ctx.faults()?.step_clock(Back(STEP)).await?;
        read(&ctx.driver(), &Key::new("first after the step")?).await?;
        Ok(asked.elapsed() + NOTED)
    })
}

/// Fails unless a key ends in time, but for what a step of the clock took out of it, and stays gone.
#[track_caller]
fn ends(ctx: &Context, key: &Key, lease: Lease, missed: Duration) -> impl Future<Output = CaseResult> {
    here(async move {
        let (driver, mut lease) = (ctx.driver(), lease);
        lease.end.latest += missed;
        lease.ends_in_time(&driver, key).await?;
        ensure!(read(&driver, key).await?.is_none(), "what had ended came back to life");
        Ok(())
    })
}

async fn a_clock_that_steps_back_revives_nothing(ctx: Context) -> CaseResult {
    let (driver, ttl) = (ctx.driver(), ctx.ttl(Duration::from_millis(300)));
    let (before, after) = (Key::new("before")?, Key::new("after")?);
    let lease = Lease::put(&ctx, &driver, &before, ttl).await?;
    lease.ends_in_time(&driver, &before).await?;
    let newest = put(&driver, &Key::new("k")?, "v").await?;
    ctx.faults()?.step_clock(Back(Duration::from_hours(1))).await?;
    ensure!(read(&driver, &before).await?.is_none(), "what had ended came back to life");
    let lease = Lease::put(&ctx, &driver, &after, ttl).await?;
    ensure!(lease.version > newest, "revision {} came after {newest}", lease.version);
    lease.ends_in_time(&driver, &after).await
}

async fn a_clock_that_steps_back_under_reads_stops_no_time(ctx: Context) -> CaseResult {
    let (driver, reader, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(TTL)).await?;
    let mut asked = Asked::now();
    while asked.again().await {
        present(&reader, &key).await?;
    }
    let missed = steps_back(&ctx, asked.last).await?;
    ends(&ctx, &key, lease, missed).await
}

async fn a_clock_that_steps_back_under_renewals_stops_no_time(ctx: Context) -> CaseResult {
    let (driver, key, ttl) = (ctx.driver(), Key::new("k")?, ctx.ttl(TTL));
    for renewed_after in [false, true] {
        let mut lease = Lease::put(&ctx, &driver, &key, ttl).await?;
        let mut asked = Asked::now();
        while asked.again().await {
            lease = lease.extend(&ctx, &driver, &key, ttl).await?;
        }
        let missed = steps_back(&ctx, asked.last).await?;
        if renewed_after {
            lease = lease.extend(&ctx, &driver, &key, ttl).await?;
        }
        ends(&ctx, &key, lease, missed).await?;
    }
    Ok(())
}

async fn a_clock_that_steps_back_under_writes_stops_no_time(ctx: Context) -> CaseResult {
    let (driver, key, other) = (ctx.driver(), Key::new("k")?, Key::new("other")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(TTL)).await?;
    let mut asked = Asked::now();
    while asked.again().await {
        put(&driver, &other, "v").await?;
    }
    let missed = steps_back(&ctx, asked.last).await?;
    ends(&ctx, &key, lease, missed).await
}

async fn a_clock_that_steps_back_keeps_no_dead_holder(ctx: Context) -> CaseResult {
    let (node, other, ttl) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?, kept(&ctx));
    let held = node.lock("l").ttl(ttl).acquire().await?;
    // Held by its renewals alone, for longer than the next one is waited for.
    tokio::time::sleep(PATIENCE + ttl).await;
    ctx.faults()?.step_clock(Back(STEP)).await?;
    ctx.faults()?.proxy()?.cut();
    let dies = async {
        held.lost().await;
        Instant::now()
    };
    // Nobody has waited before.
    let passes_on = async { other.lock("l").acquire().await.map(|next| (next, Instant::now())) };
    let (lost, next) = soon("the loss and the next holder", futures::future::join(dies, passes_on)).await?;
    let (next, since) = next?;
    ensure!(lost < since, "the next one held the lock {:?} before the holder knew", lost - since);
    ensure!(next.token() > held.token(), "the next token is not newer");
    Ok(())
}

async fn a_clock_that_steps_back_keeps_no_dead_member(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["abandoned"]).await?;
    let held = take_one(&driver, claim("s", "g", "m1")?.visibility(TTL)).await?;
    let mut end = None;
    let mut asked = Asked::now();
    while asked.again().await {
        let extended = timed(settle_own(&driver, &held, Action::Extend { visibility: TTL })).await?;
        end = Some(extended.window(TTL, ctx.stream_slack()));
    }
    let missed = steps_back(&ctx, asked.last).await?;
    let mut end = end.ok_or_else(|| Failure::new("the claim was never extended"))?;
    end.latest += missed;
    let again = claim("s", "g", "m2")?;
    let look = async || Ok(driver.claim(&again).await?.into_iter().next());
    let delivery = end.sees("the redelivery", look).await?;
    ensure_eq!(delivery.receipt.delivery, held.receipt.delivery + 1, "the delivery count");
    Ok(())
}

/// Fails unless a key has as much of its time left as a step of the clock must leave it.
#[track_caller]
fn has_left(ctx: &Context, key: &Key, lease: Lease, taken: Duration) -> impl Future<Output = CaseResult> {
    here(async move {
        let asked = Instant::now();
        let left = present(&ctx.driver(), key).await?.ttl.ok_or_else(|| Failure::new("its TTL is gone"))?;
        let due = lease.end.earliest.saturating_duration_since(Instant::now()).saturating_sub(taken);
        ensure!(left >= due, "{key:?} has {left:?} left, {due:?} at least is due");
        let most = lease.end.latest.saturating_duration_since(asked) + NOTED * 2;
        ensure!(left <= most.min(lease.granted), "{key:?} has {left:?} left, {most:?} at most is due");
        Ok(())
    })
}

async fn a_clock_that_steps_forward_takes_no_more_than_it_went(ctx: Context) -> CaseResult {
    let (driver, long, short) = (ctx.driver(), Key::new("long")?, Key::new("short")?);
    let lasting = Lease::put(&ctx, &driver, &long, ctx.ttl(LONG)).await?;
    ctx.faults()?.step_clock(Forward(STEP)).await?;
    has_left(&ctx, &long, lasting, STEP).await?;
    let lease = Lease::put(&ctx, &driver, &short, ctx.ttl(Duration::from_millis(300))).await?;
    ensure!(lease.version > lasting.version, "revision {} came after {}", lease.version, lasting.version);
    lease.ends_in_time(&driver, &short).await?;
    has_left(&ctx, &long, lasting, STEP).await
}

async fn a_clock_that_is_put_right_stops_no_time(ctx: Context) -> CaseResult {
    let (driver, long, ended, key) = (ctx.driver(), Key::new("long")?, Key::new("ended")?, Key::new("k")?);
    let lasting = Lease::put(&ctx, &driver, &long, ctx.ttl(LONG)).await?;
    put(&driver, &ended, "v").await?;
    ctx.faults()?.step_clock(Forward(STEP)).await?;
    let brief = Lease::put(&ctx, &driver, &ended, ctx.ttl(Duration::from_millis(300))).await?;
    brief.ends_in_time(&driver, &ended).await?;
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(TTL)).await?;
    let mut asked = Asked::now();
    while asked.again().await {
        present(&driver, &key).await?;
    }
    let missed = steps_back(&ctx, asked.last).await?;
    ensure!(read(&driver, &ended).await?.is_none(), "what had ended came back to life");
    ends(&ctx, &key, lease, missed).await?;
    has_left(&ctx, &long, lasting, STEP).await
}
