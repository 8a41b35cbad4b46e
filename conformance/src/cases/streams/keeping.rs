//! Trimming and clearing.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{
    append, append_records, claim, settle, settle_own, sorted_texts, take, take_nothing, take_one, text,
};
use crate::waiting::LONG;
use linchpin_core::{Action, Position, Record, Retention, Settled, StreamInfo, StreamName};

cases! { Streams "streams";
    the_newest_are_kept [Streams] NEWEST_ARE_KEPT
        "`Retention::Newest`: the newest so many records";
    what_stands_from_a_position_is_kept [Streams] NEWEST_ARE_KEPT
        "`Retention::From`: records at or after this position";
    what_is_not_settled_is_kept [Streams] WHAT_IS_NOT_SETTLED_IS_KEPT + COMPONENTS_CONTRIB_4174
        "`trim` drops old records, but none that a group has not settled";
    what_is_settled_is_trimmed [Streams] WHAT_IS_NOT_SETTLED_IS_KEPT
        "`trim` drops old records, and returns how many";
    what_was_given_back_is_kept [Streams] WHAT_IS_NOT_SETTLED_IS_KEPT
        "`trim` drops none that a group has not settled: what was given back is not";
    what_is_delayed_is_kept [Delays] WHAT_IS_NOT_SETTLED_IS_KEPT
        "`trim` drops none that a group has not settled: what waits for its delay is not";
    what_some_group_has_not_settled_is_kept [Streams] WHAT_SOME_GROUP_HAS_NOT_SETTLED_IS_KEPT
        "`Retention::Unsettled`: what some group has not settled; everything, where there is no group";
    trimming_nothing_is_no_error [Streams] NEWEST_ARE_KEPT
        "`trim` returns how many records it dropped: none where there is nothing";
    positions_go_on_after_trimming [Streams] POSITIONS_GO_ON_AFTER_TRIMMING
        "`Position`: growing by one, and never used twice";
    positions_go_on_after_clearing_an_empty_stream [Streams] POSITIONS_GO_ON_AFTER_TRIMMING
        "After a `clear` no position of a name comes twice, though nothing was left in the stream";
    a_cleared_stream_says_no_last_position [Streams] CLEARED_STREAM_SAYS_NO_LAST_POSITION
        "`StreamInfo::last`: the newest record ever appended, also if it was dropped since; `None` after a `clear`";
    clear_removes_streams_and_groups [Streams] CLEAR_REMOVES_STREAMS_BY_PREFIX + DAPR_4302
        "`clear` removes every stream with its groups";
    a_receipt_from_before_a_clear_is_stale [Streams] POSITIONS_GO_ON_AFTER_TRIMMING
        "After a `clear` no position of a name comes twice: a receipt from before fits nothing that came after";
    clear_removes_streams_by_prefix [Streams] CLEAR_REMOVES_STREAMS_BY_PREFIX
        "`clear` removes every stream whose name starts with `prefix`, and nothing else";
    clear_removes_dead_letters [DeadLetters] CLEAR_REMOVES_STREAMS_BY_PREFIX
        "`clear` removes every stream with its groups and dead letters";
}

#[track_caller]
fn length(driver: &Arc<dyn Driver>, stream: &str) -> impl Future<Output = Result<u64, Failure>> {
    here(async move { Ok(driver.inspect(&StreamName::new(stream)?).await?.length) })
}

async fn the_newest_are_kept(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4", "5"]).await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(2)).await?, 3, "the records dropped");
    ensure_eq!(driver.trim(&stream, Retention::Newest(2)).await?, 0, "the records dropped the second time");
    let info = StreamInfo { length: 2, last: Some(Position(5)), groups: Vec::new() };
    ensure_eq!(driver.inspect(&stream).await?, info, "the trimmed stream");
    let taken = take(&driver, claim("s", "g", "m")?, 2).await?;
    ensure_eq!(sorted_texts(&taken), ["4", "5"], "the records left");
    take_nothing(&driver, &claim("s", "g", "m")?, "the others were trimmed").await
}

async fn what_stands_from_a_position_is_kept(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4", "5"]).await?;
    ensure_eq!(driver.trim(&stream, Retention::From(Position(4))).await?, 3, "the records dropped");
    ensure_eq!(driver.trim(&stream, Retention::From(Position(2))).await?, 0, "the records dropped before an older one");
    let taken = take(&driver, claim("s", "g", "m")?, 2).await?;
    ensure_eq!(taken.iter().map(|one| one.receipt.position.0).min(), Some(4), "the first position left");
    ensure_eq!(length(&driver, "s").await?, 2, "the length");
    Ok(())
}

async fn what_is_not_settled_is_kept(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4"]).await?;
    let mut taken = take(&driver, claim("s", "g", "m")?, 3).await?;
    taken.sort_by_key(|one| one.receipt.position);
    settle_own(&driver, &taken[2], Action::Ack).await?;
    settle_own(&driver, &taken[0], Action::Ack).await?;
    driver.trim(&stream, Retention::Newest(0)).await?;
    // The second is claimed and the fourth was never looked at: both must still come.
    settle_own(&driver, &taken[1], Action::Retry { after: Duration::ZERO }).await?;
    let left = take(&driver, claim("s", "g", "m")?, 2).await?;
    ensure_eq!(sorted_texts(&left), ["2", "4"], "the records that were not settled");
    for delivery in &left {
        settle_own(&driver, delivery, Action::Ack).await?;
    }
    driver.trim(&stream, Retention::Newest(0)).await?;
    ensure_eq!(length(&driver, "s").await?, 0, "the length after all were settled and trimmed");
    Ok(())
}

async fn what_is_settled_is_trimmed(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4"]).await?;
    for group in ["quick", "slow"] {
        let count = if group == "quick" { 4 } else { 2 };
        for delivery in take(&driver, claim("s", group, "m")?, count).await? {
            settle_own(&driver, &delivery, Action::Ack).await?;
        }
    }
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 2, "the records that both groups have settled");
    ensure_eq!(length(&driver, "s").await?, 2, "the length");
    let left = take(&driver, claim("s", "slow", "m")?, 2).await?;
    ensure_eq!(sorted_texts(&left), ["3", "4"], "what the slow group has not seen yet");
    Ok(())
}

async fn what_was_given_back_is_kept(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["back at once", "settled", "back later"]).await?;
    let taken = take(&driver, claim("s", "g", "m")?.visibility(LONG), 3).await?;
    for (delivery, action) in
        taken.iter().zip([Action::Retry { after: Duration::ZERO }, Action::Ack, Action::Retry { after: LONG }])
    {
        settle_own(&driver, delivery, action).await?;
    }
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 0, "the records dropped while the first waits");
    let back = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!((text(&back).as_str(), back.receipt.delivery), ("back at once", 2), "what was given back");
    settle_own(&driver, &back, Action::Ack).await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 2, "the records dropped while the last waits");
    ensure_eq!(length(&driver, "s").await?, 1, "the length");
    Ok(())
}

async fn what_is_delayed_is_kept(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    let delay = Duration::from_secs(2);
    append(&driver, "s", &["before"]).await?;
    append_records(&driver, "s", &[Record::new("delayed").with_delay(delay)]).await?;
    append(&driver, "s", &["after"]).await?;
    for delivery in take(&driver, claim("s", "g", "m")?.visibility(LONG), 2).await? {
        ensure!(text(&delivery) != "delayed", "a delayed record was delivered too early");
        settle_own(&driver, &delivery, Action::Ack).await?;
    }
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 1, "the records dropped while one is delayed");
    let delayed = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!((text(&delayed).as_str(), delayed.receipt.delivery), ("delayed", 1), "what was delayed");
    settle_own(&driver, &delayed, Action::Ack).await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 2, "the records dropped in the end");
    Ok(())
}

async fn what_some_group_has_not_settled_is_kept(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4"]).await?;
    ensure_eq!(driver.trim(&stream, Retention::Unsettled).await?, 0, "the records dropped without a group");
    for (group, settled) in [("quick", 4), ("slow", 2)] {
        for delivery in take(&driver, claim("s", group, "m")?, settled).await? {
            settle_own(&driver, &delivery, Action::Ack).await?;
        }
    }
    ensure_eq!(driver.trim(&stream, Retention::Unsettled).await?, 2, "the records that both groups have settled");
    ensure_eq!(driver.trim(&stream, Retention::Unsettled).await?, 0, "the records dropped the second time");
    let left = take(&driver, claim("s", "slow", "m")?, 2).await?;
    ensure_eq!(sorted_texts(&left), ["3", "4"], "what the slow group has not seen yet");
    for delivery in &left {
        settle_own(&driver, delivery, Action::Ack).await?;
    }
    ensure_eq!(driver.trim(&stream, Retention::Unsettled).await?, 2, "the records dropped once all are settled");
    Ok(())
}

async fn trimming_nothing_is_no_error(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for keep in [Retention::Newest(0), Retention::Newest(u64::MAX), Retention::From(Position(u64::MAX))] {
        ensure_eq!(driver.trim(&StreamName::new("nobody")?, keep).await?, 0, "the records dropped of nothing");
    }
    append(&driver, "s", &["1"]).await?;
    let kept = driver.trim(&StreamName::new("s")?, Retention::Newest(u64::MAX)).await?;
    ensure_eq!(kept, 0, "the records dropped where more may be kept than there are");
    Ok(())
}

async fn positions_go_on_after_trimming(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3"]).await?;
    ensure_eq!(driver.trim(&stream, Retention::From(Position(100))).await?, 3, "the records dropped");
    let info = StreamInfo { length: 0, last: Some(Position(3)), groups: Vec::new() };
    ensure_eq!(driver.inspect(&stream).await?, info, "the empty stream");
    ensure_eq!(append(&driver, "s", &["4"]).await?, [Position(4)], "the next position");
    Ok(())
}

async fn positions_go_on_after_clearing_an_empty_stream(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3"]).await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 3, "the records dropped");
    driver.clear("").await?;
    ensure_eq!(append(&driver, "s", &["4"]).await?, [Position(4)], "the position after a clear");
    for _ in 0..2 {
        driver.clear("s").await?;
    }
    take_nothing(&driver, &claim("s", "g", "m")?, "the stream was cleared").await?;
    driver.clear("s").await?;
    ensure_eq!(append(&driver, "s", &["5"]).await?, [Position(5)], "the position after several clears");
    let delivery = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!(text(&delivery), "5", "the payload");
    Ok(())
}

async fn a_cleared_stream_says_no_last_position(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    take_nothing(&driver, &claim("s", "g", "m")?, "nothing was appended yet").await?;
    ensure_eq!(driver.inspect(&stream).await?.last, None, "the last position before anything was appended");
    append(&driver, "s", &["1", "2"]).await?;
    driver.clear("").await?;
    ensure_eq!(driver.inspect(&stream).await?.last, None, "the last position after a clear");
    take_nothing(&driver, &claim("s", "g", "m")?, "the stream was cleared").await?;
    ensure_eq!(driver.inspect(&stream).await?.last, None, "the last position after a claim of what was cleared");
    append(&driver, "s", &["3"]).await?;
    ensure_eq!(driver.inspect(&stream).await?.last, Some(Position(3)), "the last position of a new record");
    let taken = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &taken, Action::Ack).await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 1, "the records dropped");
    ensure_eq!(driver.inspect(&stream).await?.last, Some(Position(3)), "the last position after it was dropped");
    Ok(())
}

async fn clear_removes_streams_and_groups(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    driver.clear("").await?;
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?, StreamInfo::default(), "the cleared stream");
    take_nothing(&driver, &claim("s", "g", "m")?, "the stream was cleared").await?;
    ensure_eq!(settle(&driver, &held.receipt, Action::Ack).await?, Settled::Stale, "a receipt from before");
    append(&driver, "s", &["new"]).await?;
    let fresh = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!(fresh.receipt.delivery, 1, "the delivery count of a new record");
    Ok(())
}

async fn a_receipt_from_before_a_clear_is_stale(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["old"]).await?;
    let old = take_one(&driver, claim("s", "g", "m1")?).await?;
    for _ in 0..2 {
        driver.clear("").await?;
        append(&driver, "s", &["new"]).await?;
        let new = take_one(&driver, claim("s", "g", "m2")?).await?;
        ensure_eq!(settle(&driver, &old.receipt, Action::Ack).await?, Settled::Stale, "a receipt from before");
        ensure_eq!(settle(&driver, &new.receipt, Action::Ack).await?, Settled::Done, "the receipt of now");
    }
    Ok(())
}

async fn clear_removes_streams_by_prefix(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for stream in ["a*", "a*/b", "a", "ab", "b/a*"] {
        append(&driver, stream, &["1"]).await?;
    }
    driver.clear("a*").await?;
    for (stream, left) in [("a*", 0), ("a*/b", 0), ("a", 1), ("ab", 1), ("b/a*", 1)] {
        ensure_eq!(length(&driver, stream).await?, left, "the length of {stream:?}");
    }
    Ok(())
}

async fn clear_removes_dead_letters(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Reject { reason: "broken".to_owned() }).await?;
    let dead = StreamName::new("s")?.dead_letters(&held.receipt.group);
    driver.clear("s").await?;
    ensure_eq!(driver.inspect(&dead).await?, StreamInfo::default(), "the cleared dead letters");
    Ok(())
}
