//! Groups.

use super::super::prelude::*;
use crate::stream_calls::{
    append, append_records, claim, settle, settle_own, sorted_texts, take, take_nothing, take_one, text,
};
use crate::waiting::LONG;
use linchpin_core::{Action, GroupInfo, Position, Record, Retention, Settled, StreamInfo, StreamName};

cases! { Streams "streams";
    every_group_sees_every_record [Streams] EVERY_GROUP_SEES_EVERY_RECORD
        "A group sees every record";
    a_group_sees_what_was_before_it [Streams] EVERY_GROUP_SEES_EVERY_RECORD
        "A group comes to be with its first claim and sees every record still in the stream";
    a_receipt_is_of_its_group [Streams] RECEIPT_IS_OF_ITS_GROUP
        "A receipt is one delivery of one record to one group";
    inspect_counts [Streams] INSPECT_COUNTS
        "`inspect`: what a stream holds, and where each group stands";
    inspect_counts_what_waits [Delays] INSPECT_COUNTS
        "`GroupInfo::pending`: records delivered but not settled, or waiting for a retry or a delay";
    inspect_counts_what_is_left_of_a_trim [Streams] INSPECT_COUNTS
        "`GroupInfo::lag`: records that the group has not looked at yet, without those that were dropped";
    inspect_lists_groups_in_order [Streams] INSPECT_COUNTS
        "`StreamInfo::groups`: the groups, ascending by name";
    inspect_of_nothing_is_zero [Streams] INSPECT_OF_NOTHING_IS_ZERO
        "`inspect`: all zero for a stream that nobody appended to";
    inspect_counts_dead_letters [DeadLetters] INSPECT_COUNTS
        "`GroupInfo::dead`: records in its dead letters";
}

async fn every_group_sees_every_record(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    take_nothing(&driver, &claim("s", "from the start", "m")?, "nothing was appended yet").await?;
    append(&driver, "s", &["1", "2", "3"]).await?;
    for group in ["from the start", "b", "c"] {
        let taken = take(&driver, claim("s", group, "m")?, 3).await?;
        ensure_eq!(sorted_texts(&taken), ["1", "2", "3"], "what group {group:?} sees");
        ensure!(taken.iter().all(|one| one.receipt.delivery == 1), "first deliveries to {group:?}: {taken:?}");
        for delivery in &taken {
            settle_own(&driver, delivery, Action::Ack).await?;
        }
        take_nothing(&driver, &claim("s", group, "m")?, "the group has acknowledged all").await?;
    }
    Ok(())
}

async fn a_group_sees_what_was_before_it(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["before"]).await?;
    let early = take_one(&driver, claim("s", "early", "m")?).await?;
    settle_own(&driver, &early, Action::Ack).await?;
    append(&driver, "s", &["between"]).await?;
    let taken = take(&ctx.another().await?, claim("s", "late", "m")?, 2).await?;
    ensure_eq!(sorted_texts(&taken), ["before", "between"], "what a later group sees");
    Ok(())
}

async fn a_receipt_is_of_its_group(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["shared"]).await?;
    let a = take_one(&driver, claim("s", "a", "m")?).await?;
    let b = take_one(&driver, claim("s", "b", "m")?).await?;
    settle_own(&driver, &a, Action::Ack).await?;
    settle_own(&driver, &b, Action::Retry { after: Duration::ZERO }).await?;
    take_nothing(&driver, &claim("s", "a", "m")?, "group a has acknowledged it").await?;
    ensure_eq!(take_one(&driver, claim("s", "b", "m")?).await?.receipt.delivery, 2, "group b's delivery count");
    ensure_eq!(settle(&driver, &a.receipt, Action::Ack).await?, Settled::Stale, "acknowledging for group a again");
    Ok(())
}

/// What is known of a group.
#[track_caller]
fn group(name: &str, pending: u64, lag: u64, dead: u64) -> Result<GroupInfo, Failure> {
    Ok(GroupInfo { name: claim("s", name, "m")?.group, pending, lag, dead })
}

async fn inspect_counts(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]).await?;
    let last = Some(Position(10));
    let untouched = StreamInfo { length: 10, last, groups: Vec::new() };
    ensure_eq!(driver.inspect(&stream).await?, untouched, "a stream without groups");
    let taken = take(&driver, claim("s", "g", "m")?, 4).await?;
    let claimed = StreamInfo { length: 10, last, groups: vec![group("g", 4, 6, 0)?] };
    ensure_eq!(driver.inspect(&stream).await?, claimed, "after 4 of 10 were claimed");
    settle_own(&driver, &taken[0], Action::Ack).await?;
    settle_own(&driver, &taken[1], Action::Retry { after: Duration::ZERO }).await?;
    let settled = StreamInfo { length: 10, last, groups: vec![group("g", 3, 6, 0)?] };
    ensure_eq!(ctx.another().await?.inspect(&stream).await?, settled, "after one was acknowledged, one given back");
    Ok(())
}

async fn inspect_counts_what_waits(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append_records(&driver, "s", &[Record::new("delayed").with_delay(LONG)]).await?;
    append(&driver, "s", &["held", "back", "acknowledged"]).await?;
    let taken = take(&driver, claim("s", "g", "m")?.visibility(LONG), 3).await?;
    take_nothing(&driver, &claim("s", "g", "m")?, "three are held and one is delayed").await?;
    ensure_eq!(driver.inspect(&stream).await?.groups, [group("g", 4, 0, 0)?], "with three held and one delayed");
    settle_own(&driver, &taken[1], Action::Retry { after: LONG }).await?;
    settle_own(&driver, &taken[2], Action::Ack).await?;
    ensure_eq!(driver.inspect(&stream).await?.groups, [group("g", 3, 0, 0)?], "with one of each");
    Ok(())
}

async fn inspect_counts_what_is_left_of_a_trim(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4", "5"]).await?;
    driver.trim(&stream, Retention::Newest(3)).await?;
    take_one(&driver, claim("s", "late", "m")?).await?;
    let info = StreamInfo { length: 3, last: Some(Position(5)), groups: vec![group("late", 1, 2, 0)?] };
    ensure_eq!(driver.inspect(&stream).await?, info, "a group that came after two were dropped");
    Ok(())
}

async fn inspect_lists_groups_in_order(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    for name in ["b", "a", "é", "B", "ab"] {
        take_one(&driver, claim("s", name, "m")?).await?;
    }
    let expected = ["B", "a", "ab", "b", "é"].map(|name| group(name, 1, 1, 0));
    let expected = expected.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?.groups, expected, "the groups");
    Ok(())
}

async fn inspect_of_nothing_is_zero(ctx: Context) -> CaseResult {
    let info = ctx.driver().inspect(&StreamName::new("nobody")?).await?;
    ensure_eq!(info, StreamInfo::default(), "a stream that nobody appended to");
    Ok(())
}

async fn inspect_counts_dead_letters(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3"]).await?;
    for _ in 0..2 {
        let held = take_one(&driver, claim("s", "g", "m")?).await?;
        settle_own(&driver, &held, Action::Reject { reason: "broken".to_owned() }).await?;
    }
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "3", "the last record");
    ensure_eq!(driver.inspect(&stream).await?.groups, [group("g", 1, 0, 2)?], "the group");
    Ok(())
}
