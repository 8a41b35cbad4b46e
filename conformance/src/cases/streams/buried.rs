//! What dead letters have and count.

use super::super::prelude::*;
use crate::stream_calls::{append, append_records, claim, settle, settle_own, take, take_one};
use crate::waiting::LONG;
use linchpin_core::{Action, Claim, Position, Record, Retention, Settled, StreamName};

cases! { Streams "streams";
    what_is_rejected_is_trimmed [DeadLetters] WHAT_SOME_GROUP_HAS_NOT_SETTLED_IS_KEPT
        "`trim` drops what was rejected";
    a_stale_reject_buries_nothing [DeadLetters] SETTLED_IS_STALE
        "Settling what was delivered again is stale, a reject too";
    a_dead_letter_keeps_its_id [DeadLetters, RecordIds] DEAD_LETTER_KEEPS_WHAT_IT_WAS
        "A delivery has the id as appended, a dead letter too";
    dead_letters_that_are_dropped_are_not_counted [DeadLetters] INSPECT_COUNTS
        "`GroupInfo::dead`: records in its dead letters";
    dead_letters_have_a_last_position [DeadLetters] DEAD_LETTERS_ARE_A_STREAM
        "Dead letters are as any other stream";
}

async fn what_is_rejected_is_trimmed(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2"]).await?;
    for held in take(&driver, claim("s", "g", "m")?, 2).await? {
        settle_own(&driver, &held, Action::Reject { reason: "broken".to_owned() }).await?;
    }
    ensure_eq!(driver.trim(&stream, Retention::Unsettled).await?, 2, "the rejected records that were dropped");
    Ok(())
}

async fn a_stale_reject_buries_nothing(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["slow"]).await?;
    let slow = take_one(&driver, claim("s", "g", "m1")?.visibility(Duration::from_millis(100))).await?;
    let current = take_one(&driver, claim("s", "g", "m2")?.visibility(LONG)).await?;
    let reject = Action::Reject { reason: "late".to_owned() };
    ensure_eq!(settle(&driver, &slow.receipt, reject).await?, Settled::Stale, "rejecting what was delivered again");
    settle_own(&driver, &current, Action::Ack).await
}

async fn a_dead_letter_keeps_its_id(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_records(&driver, "s", &[Record::new("1").with_id("order-7")?]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Reject { reason: "broken".to_owned() }).await?;
    let dead = Claim { stream: held.receipt.stream.dead_letters(&held.receipt.group), ..claim("s", "u", "m")? };
    ensure_eq!(take_one(&driver, dead).await?.id.as_deref(), Some("order-7"), "the id of a dead letter");
    Ok(())
}

async fn dead_letters_that_are_dropped_are_not_counted(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2"]).await?;
    let mut group = None;
    for held in take(&driver, claim("s", "g", "m")?, 2).await? {
        settle_own(&driver, &held, Action::Reject { reason: "broken".to_owned() }).await?;
        group = Some(held.receipt.group);
    }
    let dead = stream.dead_letters(&group.ok_or_else(|| Failure::new("none"))?);
    ensure_eq!(driver.trim(&dead, Retention::Newest(1)).await?, 1, "the dead letters dropped");
    ensure_eq!(driver.inspect(&stream).await?.groups[0].dead, 1, "the dead letters counted");
    Ok(())
}

async fn dead_letters_have_a_last_position(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Reject { reason: "broken".to_owned() }).await?;
    let info = driver.inspect(&held.receipt.stream.dead_letters(&held.receipt.group)).await?;
    ensure_eq!((info.length, info.last), (1, Some(Position(1))), "length and last position of dead letters");
    Ok(())
}
