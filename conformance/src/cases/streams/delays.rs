//! Delays: with one meaning on every backend.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, append_records, claim, settle_own, take, take_nothing, take_one, text};
use crate::waiting::{LONG, Timed, Window, timed};
use linchpin_core::{Action, Delivery, MAX_TTL, Position, Record};

cases! { Streams "streams";
    a_delay_is_honoured [Delays] DELAY_IS_HONOURED + OMNIQUEUE_RS_182
        "`Record::delay`: not delivered before this time has passed since it was appended";
    a_delayed_record_blocks_no_other [Delays] DELAYED_RECORD_BLOCKS_NO_OTHER
        "A delay holds back its record, and none behind it";
    a_delay_is_the_same_for_every_group [Delays] DELAY_IS_THE_SAME_FOR_EVERY_GROUP
        "A delay counts from when the record was appended, whenever a group first asks";
    delays_end_each_at_its_time [Delays] DELAY_IS_HONOURED
        "A delayed record is delivered when its time has come, whatever others wait for";
    no_delay_is_none [Delays] DELAY_IS_HONOURED
        "A delay of zero holds nothing back";
    a_retry_after_is_honoured [Delays] RETRY_AFTER_IS_HONOURED + OMNIQUEUE_RS_182 + WATERMILL_414
        "`Retry after d` is honoured: deliver it again, not before `after` has passed";
    a_retry_after_blocks_no_other [Delays] DELAYED_RECORD_BLOCKS_NO_OTHER
        "`Retry after d` holds back its record, and none behind it";
    a_hundred_years_of_delay_are_held_back [Delays] HUNDRED_YEARS_OF_DELAY_ARE_HELD_BACK
        "The longest delay is 100 years: every backend can count that far";
}

const DELAY: Duration = Duration::from_millis(300);

/// Looks until a record comes; it must come in the window.
#[track_caller]
fn comes(
    driver: &Arc<dyn Driver>,
    group: &str,
    window: Window,
    what: &str,
) -> impl Future<Output = Result<Delivery, Failure>> {
    here(async move {
        let claim = claim("s", group, "m")?.visibility(LONG);
        let look = async || Ok(driver.claim(&claim).await?.into_iter().next());
        window.sees(what, look).await
    })
}

#[track_caller]
fn append_delayed(
    driver: &Arc<dyn Driver>,
    text: &str,
    delay: Duration,
) -> impl Future<Output = Result<Timed<Vec<Position>>, Failure>> {
    here(async move {
        let record = Record::new(text.to_owned()).with_delay(delay);
        timed(append_records(driver, "s", &[record])).await
    })
}

async fn a_delay_is_honoured(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    take_nothing(&driver, &claim("s", "g", "m")?, "nothing was appended yet").await?;
    let appended = append_delayed(&driver, "delayed", DELAY).await?;
    let delivery = comes(&driver, "g", appended.window(DELAY, ctx.stream_slack()), "the delayed record").await?;
    ensure_eq!(text(&delivery), "delayed", "the payload");
    ensure_eq!(delivery.receipt.delivery, 1, "the delivery count");
    Ok(())
}

async fn a_delayed_record_blocks_no_other(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let delayed = append_delayed(&driver, "delayed", LONG).await?.value;
    let others = append(&driver, "s", &["1", "2"]).await?;
    ensure_eq!([delayed, others].concat(), [1, 2, 3].map(Position), "the positions");
    let mut told: Vec<_> = take(&driver, claim("s", "g", "m")?, 2).await?.iter().map(text).collect();
    told.sort_unstable();
    ensure_eq!(told, ["1", "2"], "the records delivered before the delayed one");
    take_nothing(&driver, &claim("s", "g", "m")?, "the record is delayed for long").await
}

async fn a_delay_is_the_same_for_every_group(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let appended = append_delayed(&driver, "delayed", DELAY).await?;
    let window = appended.window(DELAY, ctx.stream_slack());
    comes(&driver, "early", window, "the delayed record").await?;
    // A group that comes later does not wait once more.
    window.has_passed().await;
    let late = driver.claim(&claim("s", "late", "m")?).await?;
    ensure_eq!(late.len(), 1, "the records for a group that comes after the delay");
    Ok(())
}

async fn delays_end_each_at_its_time(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut windows = Vec::new();
    for n in [3_u32, 1, 2] {
        let delay = DELAY * n;
        let appended = append_delayed(&driver, &n.to_string(), delay).await?;
        windows.push((n, appended.window(delay, ctx.stream_slack())));
    }
    windows.sort_by_key(|(n, _)| *n);
    for (n, window) in windows {
        let delivery = comes(&driver, "g", window, &format!("delayed record {n}")).await?;
        ensure_eq!(text(&delivery), n.to_string(), "the payload");
    }
    Ok(())
}

async fn no_delay_is_none(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_delayed(&driver, "at once", Duration::ZERO).await?;
    ensure_eq!(driver.claim(&claim("s", "g", "m")?).await?.len(), 1, "the records there at once");
    Ok(())
}

async fn a_retry_after_is_honoured(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["later"]).await?;
    let mut held = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    for delivery in 2..=3 {
        let settled = timed(settle_own(&driver, &held, Action::Retry { after: DELAY })).await?;
        let window = settled.window(DELAY, ctx.stream_slack());
        held = comes(&driver, "g", window, "the record to be retried later").await?;
        ensure_eq!(held.receipt.delivery, delivery, "the delivery count");
    }
    Ok(())
}

async fn a_retry_after_blocks_no_other(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["later", "now"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Retry { after: LONG }).await?;
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "now", "the next record");
    take_nothing(&driver, &claim("s", "g", "m")?, "the record is to be retried after long").await
}

async fn a_hundred_years_of_delay_are_held_back(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_delayed(&driver, "for our heirs", MAX_TTL).await?;
    take_nothing(&driver, &claim("s", "g", "m")?, "the record is delayed for 100 years").await?;
    append(&driver, "s", &["now"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?.visibility(MAX_TTL)).await?;
    settle_own(&driver, &held, Action::Retry { after: MAX_TTL }).await?;
    take_nothing(&driver, &claim("s", "g", "m")?, "the record is to be retried after 100 years").await
}
