//! Which TTLs are granted and refused.

use super::super::prelude::*;
use crate::calls::{commit, present, read};
use crate::context::rounded_up;
use crate::failure::here;
use crate::lease::Lease;
use crate::waiting::{LONG, timed};
use linchpin_core::{MAX_TTL, MutationResult, Revision};

cases! { Ttl "ttl";
    granted_is_asked_rounded_up [Ttl] GRANTED_IS_ASKED_ROUNDED_UP + ELSEWHERE_FRACTIONS_OF_A_SECOND_COUNT
        "The TTL granted is never shorter than asked: a multiple of the granularity, rounded up";
    an_add_grants_the_same [Ttl] GRANTED_IS_ASKED_ROUNDED_UP
        "`Add`: a counter that this creates lives for its TTL, granted as any other";
    an_extend_grants_the_same [Ttl] GRANTED_IS_ASKED_ROUNDED_UP + ELSEWHERE_FRACTIONS_OF_A_SECOND_COUNT
        "`Extended` has the TTL granted, never shorter than asked";
    zero_is_refused [Ttl] ZERO_IS_REFUSED
        "A TTL of zero is `InvalidArgument`";
    less_than_the_minimum_is_refused [Ttl] ZERO_IS_REFUSED + ELSEWHERE_FRACTIONS_OF_A_SECOND_COUNT
        "A TTL below the backend's minimum is refused";
    more_than_the_maximum_is_refused [Ttl] HUNDRED_YEARS_ARE_GRANTED
        "The longest TTL is 100 years; a longer one is `InvalidArgument`";
    a_hundred_years_are_granted [Ttl] HUNDRED_YEARS_ARE_GRANTED
        "The longest TTL is 100 years: every backend can count that far";
    remaining_time_is_reported [Ttl] REMAINING_TIME_IS_REPORTED
        "An entry has how long it has left to live, by the server's clock at the time of reading";
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn granted_is_asked_rounded_up(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let odd = [ms(1), ms(999), ms(1001), ms(1500), ms(59_999), Duration::new(1, 1), Duration::new(2, 999_999_999)];
    let support = ctx.capabilities().ttl.ok_or_else(|| Failure::new("no ttl support is declared"))?;
    for asked in odd.into_iter().chain([support.minimum, support.minimum + Duration::from_nanos(1)]) {
        if asked < support.minimum {
            continue;
        }
        let granted = Lease::put(&ctx, &driver, &key, asked).await?.granted;
        ensure_eq!(granted, rounded_up(asked, support.granularity), "granted for {asked:?}");
    }
    Ok(())
}

async fn an_add_grants_the_same(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let ttl = ctx.ttl(LONG);
    commit(&driver, Transaction::new().add(key.clone(), 1, Some(ttl))).await?;
    let left = present(&driver, &key).await?.ttl;
    ensure!(left.is_some_and(|left| left <= ttl && left > ttl / 2), "a counter for {ttl:?} has {left:?} left");
    Ok(())
}

async fn an_extend_grants_the_same(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    let granularity = ctx.capabilities().ttl.map_or(Duration::ZERO, |ttl| ttl.granularity);
    for asked in [LONG + ms(1), LONG * 2 + ms(999), LONG + Duration::from_nanos(1)] {
        let granted = lease.extend(&ctx, &driver, &key, asked).await?.granted;
        ensure_eq!(granted, rounded_up(asked, granularity), "granted for {asked:?}");
    }
    Ok(())
}

/// Every mutation with this TTL must be refused.
#[track_caller]
fn is_refused(ctx: &Context, ttl: Duration) -> impl Future<Output = CaseResult> {
    here(async move {
        let (driver, key) = (ctx.driver(), Key::new("k")?);
        let put = Transaction::new().put(key.clone(), "1", Some(ttl));
        let add = Transaction::new().add(key.clone(), 1, Some(ttl));
        let extend = Transaction::new().extend(key.clone(), Revision(1), ttl);
        for transaction in [put, add, extend] {
            fails_with(driver.commit(&transaction).await, ErrorKind::InvalidArgument, format!("{transaction:?}"))?;
        }
        ensure_eq!(read(&driver, &key).await?, None, "the key of a refused ttl");
        Ok(())
    })
}

async fn zero_is_refused(ctx: Context) -> CaseResult {
    is_refused(&ctx, Duration::ZERO).await
}

async fn less_than_the_minimum_is_refused(ctx: Context) -> CaseResult {
    let minimum = ctx.capabilities().ttl.map_or(Duration::ZERO, |ttl| ttl.minimum);
    is_refused(&ctx, minimum.saturating_sub(Duration::from_nanos(1))).await?;
    is_refused(&ctx, minimum / 2).await
}

async fn more_than_the_maximum_is_refused(ctx: Context) -> CaseResult {
    is_refused(&ctx, MAX_TTL + Duration::from_nanos(1)).await?;
    is_refused(&ctx, Duration::MAX).await
}

async fn a_hundred_years_are_granted(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let lease = Lease::put(&ctx, &driver, &key, MAX_TTL).await?;
    ensure!(lease.granted >= MAX_TTL, "granted {:?}", lease.granted);
    lease.extend(&ctx, &driver, &key, MAX_TTL).await?;
    let left = present(&driver, &key).await?.ttl;
    ensure!(left.is_some_and(|left| left + LONG > MAX_TTL), "a key for 100 years has {left:?} left");
    Ok(())
}

async fn remaining_time_is_reported(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let ttl = ctx.ttl(LONG);
    let put = Transaction::new().put(key.clone(), "1", Some(ttl));
    let put = timed(commit(&driver, put)).await?;
    let [MutationResult::Put { ttl: Some(granted), .. }] = put.value.results[..] else {
        return Err(Failure::new(format!("a put with a ttl answered {:?}", put.value.results)));
    };
    let mut before = granted;
    for _ in 0..3 {
        tokio::time::sleep(ms(20)).await;
        let read = timed(present(&driver, &key)).await?;
        let left = read.value.ttl.ok_or_else(|| Failure::new("the entry has no ttl"))?;
        ensure!(left <= before, "{left:?} left, after {before:?}");
        // By the server's clock: what passed for us between the calls passed there as well.
        let least = granted.saturating_sub(read.answered - put.sent).saturating_sub(ms(1));
        let most = granted.saturating_sub(read.sent - put.answered) + ctx.ttl_slack() + ms(1);
        ensure!(least <= left && left <= most, "{left:?} left, but it is between {least:?} and {most:?}");
        before = left;
    }
    Ok(())
}
