//! Writes while connections break again and again: what is known of them is true.

use super::super::prelude::*;
use super::{impatient, until_back};
use crate::Direction;
use crate::failure::here;
use crate::faults::Faults;
use crate::waiting::together;
use linchpin::{Coordinator, RetryPolicy};
use std::time::Instant;

cases! { Faults "faults";
    retries_apply_nothing_twice [TransactionIds] RETRIES_APPLY_NOTHING_TWICE
        "With retries a write whose outcome is unknown is sent again, and never applied twice";
    what_is_safe_was_not_applied [] WHAT_IS_SAFE_WAS_NOT_APPLIED
        "Without retries every error tells the truth: what says not applied was not, what is unknown was at most once";
}

const WRITERS: usize = 4;
const WRITES: i64 = 150;

/// What a writer knows of its writes.
#[derive(Clone, Copy, Default)]
struct WriteLog {
    applied: i64,
    unknown: i64,
}

/// How long the backend takes until as many handles as lose their connections at once have their first answers: to a
/// read and to a write. Connections that live for less get nothing done.
#[track_caller]
pub(super) fn first_answer(ctx: &Context, handles: usize) -> impl Future<Output = Result<Duration, Failure>> {
    here(async move {
        let started = Instant::now();
        let first = async |_| {
            let (driver, key) = (ctx.another().await?, Key::new("first")?);
            let check = Transaction::new().delete(key.clone());
            futures::future::try_join(driver.get(&[key]), driver.commit(&check)).await?;
            Ok::<_, Failure>(())
        };
        futures::future::try_join_all((0..handles).map(first)).await?;
        Ok(started.elapsed())
    })
}

/// How often a case tries to lose the answer to a call. A connection that was idle may be asked whether it lives before
/// a call goes out over it: where that answer is lost, the call was never sent.
pub(super) const TRIES: usize = 5;

/// What a case says that never lost the answer to its call.
pub(super) const NEVER_SENT: &str = "where answers are held back, no call reached the server";

/// Lets a handle do what its calls leave to be done behind them, and use its connection: so the next call most likely
/// goes out over that one at once, also where answers are held back.
#[track_caller]
pub(super) fn settled(driver: &Arc<dyn Driver>) -> impl Future<Output = CaseResult> {
    here(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        driver.get(&[Key::new("first")?]).await?;
        Ok(())
    })
}

/// How long a call waits while there is trouble: not for long, and for longer than a first answer takes.
pub(super) fn patience(first_answer: Duration) -> Duration {
    (first_answer * 2).max(Duration::from_millis(200))
}

/// Breaks connections in every way, and lets them live for a little longer than they need; after a while it leaves them
/// alone, so that what is still to be done ends in time on a busy machine too.
pub(super) async fn trouble(faults: Faults, first_answer: Duration) -> CaseResult {
    const TROUBLED: Duration = Duration::from_secs(8);
    let (started, mut round) = (Instant::now(), 0);
    while started.elapsed() < TROUBLED {
        tokio::time::sleep(first_answer + Duration::from_millis(20 + round * 7 % 40)).await;
        match round % 3 {
            0 => {}
            1 => faults.proxy()?.hold(Direction::Answers),
            _ => faults.proxy()?.hold(Direction::Requests),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        faults.proxy()?.cut();
        tokio::time::sleep(Duration::from_millis(10)).await;
        faults.proxy()?.mend();
        round += 1;
    }
    std::future::pending().await
}

async fn write(node: Coordinator) -> Result<WriteLog, Failure> {
    let mut known = WriteLog::default();
    for _ in 0..WRITES {
        match node.incr("n", 1, None).await {
            Ok(_) => known.applied += 1,
            Err(error) if error.maybe_applied() => known.unknown += 1,
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(known)
}

/// Counts with all writers while there is trouble; what they know, and the counter.
#[track_caller]
fn count(ctx: &Context, policy: RetryPolicy) -> impl Future<Output = Result<(WriteLog, i64), Failure>> {
    here(async move {
        let (faults, first_answer) = (ctx.faults()?.clone(), first_answer(ctx, WRITERS).await?);
        let mut nodes = Vec::new();
        for _ in 0..WRITERS {
            let node = Coordinator::over(ctx.another().await?).retry(policy).timeout(patience(first_answer));
            nodes.push(node.connect().await?);
        }
        let writing = together(nodes.into_iter().map(write));
        let known = tokio::select! {
            known = writing => known?,
            trouble = trouble(faults.clone(), first_answer) => trouble.map(|()| Vec::new())?,
        };
        faults.proxy()?.mend();
        let total = known.into_iter().fold(WriteLog::default(), |all, one| WriteLog {
            applied: all.applied + one.applied,
            unknown: all.unknown + one.unknown,
        });
        // What was held back is lost with its connection; what the server has by now is all that it will have.
        let beside = impatient(ctx.beside().await?).await?;
        let value = until_back("the counter", || beside.get("n")).await?;
        let counter = value.and_then(|value| String::from_utf8_lossy(&value).parse().ok()).unwrap_or(0);
        Ok((total, counter))
    })
}

async fn retries_apply_nothing_twice(ctx: Context) -> CaseResult {
    let policy = RetryPolicy { attempts: 100, total: Duration::from_secs(20), ..RetryPolicy::default() };
    let (known, counter) = count(&ctx, policy).await?;
    let all = WRITES * i64::try_from(WRITERS).unwrap_or_default();
    ensure!(known.applied > all / 2, "{} of {all} writes were acknowledged: too few to prove anything", known.applied);
    ensure_exactly_once(known, counter)
}

async fn what_is_safe_was_not_applied(ctx: Context) -> CaseResult {
    let (known, counter) = count(&ctx, RetryPolicy::NEVER).await?;
    ensure_exactly_once(known, counter)
}

/// What was acknowledged was applied once, what is unknown once or never, and the rest never.
#[track_caller]
fn ensure_exactly_once(WriteLog { applied, unknown }: WriteLog, counter: i64) -> CaseResult {
    ensure!(
        (applied..=applied + unknown).contains(&counter),
        "{applied} writes were acknowledged and {unknown} are unknown, but {counter} were applied"
    );
    Ok(())
}
