//! How large records and batches may be, and what makes no sense.

use super::super::prelude::*;
use crate::stream_calls::{append_records, claim, take, take_one};
use bytes::Bytes;
use linchpin_core::{Action, MAX_TTL, Position, Receipt, Record, Settled, Settlement, StreamName};

cases! { Streams "streams";
    record_at_the_limit [Streams] RECORD_AT_THE_LIMIT
        "`limits.record`: a record of exactly the limit, payload and headers, is appended";
    record_over_the_limit_is_refused [Streams] RECORD_OVER_THE_LIMIT_IS_REFUSED
        "Over the limit is `InvalidArgument` before anything is sent: a record's payload and headers";
    batch_at_the_limit [Streams] BATCH_AT_THE_LIMIT
        "`limits.batch`: as many records or settlements of one call as declared";
    batches_over_the_limit_are_refused [Streams] RECORD_OVER_THE_LIMIT_IS_REFUSED
        "Over the limit is `InvalidArgument` before anything is sent: records or settlements of one call";
    senseless_claims_are_refused [Streams] SENSELESS_CLAIMS_ARE_REFUSED
        "A claim's `max`, visibility and `max_deliveries` are greater than zero";
    senseless_settlements_are_refused [Streams] SENSELESS_SETTLEMENTS_ARE_REFUSED
        "A visibility of zero, or a time over 100 years, is `InvalidArgument`";
    a_long_reason_is_refused [DeadLetters] LONG_REASON_IS_REFUSED
        "`Reject`: why, at most 512 bytes";
    a_long_delay_is_refused [Delays] HUNDRED_YEARS_OF_DELAY_ARE_HELD_BACK
        "A delay over 100 years is `InvalidArgument`";
}

async fn record_at_the_limit(ctx: Context) -> CaseResult {
    let (driver, limit) = (ctx.driver(), ctx.capabilities().limits.record);
    let payload: Bytes = std::iter::repeat_with(|| fastrand::u8(..)).take(limit - 9).collect();
    let record = Record::new(payload.clone()).with_header("name", "value");
    append_records(&driver, "s", &[record, Record::new(vec![0; limit])]).await?;
    let delivery = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure!(delivery.payload == payload, "the largest payload came back as another one");
    ensure_eq!(take_one(&driver, claim("s", "g", "m")?).await?.payload.len(), limit, "the second payload's length");
    Ok(())
}

async fn record_over_the_limit_is_refused(ctx: Context) -> CaseResult {
    let (driver, limit) = (ctx.driver(), ctx.capabilities().limits.record);
    let payload = Record::new(vec![0; limit + 1]);
    let headers = Record::new(vec![0; limit - 8]).with_header("name", "value");
    for over in [payload, headers] {
        let appended = driver.append(&StreamName::new("s")?, &[Record::new("small"), over]).await;
        fails_with(appended, ErrorKind::InvalidArgument, "a record over the limit")?;
    }
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?.length, 0, "the length");
    Ok(())
}

async fn batch_at_the_limit(ctx: Context) -> CaseResult {
    let (driver, limit) = (ctx.driver(), ctx.capabilities().limits.batch);
    let records: Vec<_> = (0..limit).map(|n| Record::new(n.to_string())).collect();
    append_records(&driver, "s", &records).await?;
    let taken = take(&driver, claim("s", "g", "m")?, limit).await?;
    let acks: Vec<_> =
        taken.iter().map(|one| Settlement { receipt: one.receipt.clone(), action: Action::Ack }).collect();
    let settled = driver.settle(&acks).await?;
    ensure!(settled.iter().all(|one| *one == Settled::Done), "the answers: {settled:?}");
    ensure_eq!(settled.len(), limit, "the number of answers");
    Ok(())
}

async fn batches_over_the_limit_are_refused(ctx: Context) -> CaseResult {
    let (driver, over) = (ctx.driver(), ctx.capabilities().limits.batch + 1);
    let appended = driver.append(&StreamName::new("s")?, &vec![Record::new(""); over]).await;
    fails_with(appended, ErrorKind::InvalidArgument, format!("{over} records"))?;
    let claimed = driver.claim(&claim("s", "g", "m")?.max(over)).await;
    fails_with(claimed, ErrorKind::InvalidArgument, format!("a claim of {over} records"))?;
    let settled = driver.settle(&vec![settlement(Action::Ack)?; over]).await;
    fails_with(settled, ErrorKind::InvalidArgument, format!("{over} settlements"))?;
    Ok(())
}

#[track_caller]
fn settlement(action: Action) -> Result<Settlement, Failure> {
    let claim = claim("s", "g", "m")?;
    let receipt = Receipt { stream: claim.stream, group: claim.group, position: Position(1), delivery: 1 };
    Ok(Settlement { receipt, action })
}

async fn senseless_claims_are_refused(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let sound = claim("s", "g", "m")?;
    let senseless = [
        sound.clone().max(0),
        sound.clone().visibility(Duration::ZERO),
        sound.clone().visibility(MAX_TTL + Duration::from_nanos(1)),
        sound.max_deliveries(0),
    ];
    for claim in senseless {
        fails_with(driver.claim(&claim).await, ErrorKind::InvalidArgument, format!("{claim:?}"))?;
    }
    Ok(())
}

async fn senseless_settlements_are_refused(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for visibility in [Duration::ZERO, MAX_TTL + Duration::from_nanos(1)] {
        let settled = driver.settle(&[settlement(Action::Extend { visibility })?]).await;
        fails_with(settled, ErrorKind::InvalidArgument, format!("extending to {visibility:?}"))?;
    }
    Ok(())
}

async fn a_long_reason_is_refused(ctx: Context) -> CaseResult {
    let reason = "r".repeat(513);
    let settled = ctx.driver().settle(&[settlement(Action::Reject { reason })?]).await;
    fails_with(settled, ErrorKind::InvalidArgument, "a reason of 513 bytes")?;
    Ok(())
}

async fn a_long_delay_is_refused(ctx: Context) -> CaseResult {
    let (driver, delay) = (ctx.driver(), MAX_TTL + Duration::from_nanos(1));
    let appended = driver.append(&StreamName::new("s")?, &[Record::new("").with_delay(delay)]).await;
    fails_with(appended, ErrorKind::InvalidArgument, "a record delayed for more than 100 years")?;
    let settled = driver.settle(&[settlement(Action::Retry { after: delay })?]).await;
    fails_with(settled, ErrorKind::InvalidArgument, "a retry after more than 100 years")?;
    Ok(())
}
