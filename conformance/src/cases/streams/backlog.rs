//! What cannot be delivered now, and stands in front of what can.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, append_records, claim, take, take_one, text};
use crate::waiting::{LONG, PATIENCE};
use linchpin_core::{Action, Claim, Record, Settled, Settlement, StreamName};

cases! { Streams "streams";
    delayed_records_hold_nothing_up [Delays] DELAYED_RECORDS_HOLD_NOTHING_UP
        "A delay holds back its record, and none behind it, however many are delayed";
    exhausted_records_hold_nothing_up [DeadLetters] DELAYED_RECORDS_HOLD_NOTHING_UP
        "A record delivered as often as the claim allows is not delivered, and holds back none behind it";
    large_records_come_in_several_claims [Streams] CLAIM_BRINGS_NO_MORE_THAN_ASKED
        "`Claim::max`: at most; what is left of many large records comes with the next claim";
}

/// More than any backend looks at in one step.
const MANY: usize = 3000;

/// Appends many records, as many at a time as every backend takes.
#[track_caller]
fn append_many(driver: &Arc<dyn Driver>, record: Record) -> impl Future<Output = Result<(), Failure>> {
    here(async move {
        for left in (0..MANY).step_by(120) {
            append_records(driver, "s", &vec![record.clone(); 120.min(MANY - left)]).await?;
        }
        Ok(())
    })
}

/// A claim that looks once must bring the one record that is due, as must one that waits.
#[track_caller]
fn the_due_one_comes(driver: &Arc<dyn Driver>, once: Claim, waiting: Claim) -> impl Future<Output = CaseResult> {
    here(async move {
        for claim in [once, waiting.wait(PATIENCE)] {
            let found: Vec<_> = driver.claim(&claim.max(10)).await?.iter().map(text).collect();
            ensure_eq!(found, ["due"], "what a claim brings of one record that is due behind {MANY} that are not");
        }
        Ok(())
    })
}

async fn delayed_records_hold_nothing_up(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_many(&driver, Record::new("delayed").with_delay(LONG)).await?;
    append(&driver, "s", &["due"]).await?;
    the_due_one_comes(&driver, claim("s", "a", "m")?, claim("s", "b", "m")?).await
}

/// Gives many records to a group, which gives all of them back.
#[track_caller]
fn exhaust(driver: &Arc<dyn Driver>, group: &str) -> impl Future<Output = CaseResult> {
    here(async move {
        let mut left = MANY;
        let mut given_back = Vec::new();
        while left > 0 {
            let held = take(driver, claim("s", group, "m")?.visibility(LONG), left.min(120)).await?;
            left -= held.len();
            given_back.extend(held.into_iter().map(|delivery| delivery.receipt));
        }
        for some in given_back.chunks(120) {
            let retry = Action::Retry { after: Duration::ZERO };
            let settlements = some.iter().map(|receipt| Settlement { receipt: receipt.clone(), action: retry.clone() });
            let settled = driver.settle(&settlements.collect::<Vec<_>>()).await?;
            ensure!(settled.iter().all(|one| *one == Settled::Done), "a record was not given back: {settled:?}");
        }
        Ok(())
    })
}

async fn exhausted_records_hold_nothing_up(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_many(&driver, Record::new("exhausted")).await?;
    for group in ["a", "b"] {
        exhaust(&driver, group).await?;
    }
    append(&driver, "s", &["due"]).await?;
    let limited = |group| Ok::<_, Failure>(claim("s", group, "m")?.max_deliveries(1));
    the_due_one_comes(&driver, limited("a")?, limited("b")?).await?;
    for group in driver.inspect(&StreamName::new("s")?).await?.groups {
        ensure_eq!((group.pending, group.dead), (1, MANY as u64), "pending and dead in group {}", group.name);
    }
    Ok(())
}

async fn large_records_come_in_several_claims(ctx: Context) -> CaseResult {
    const SIZE: usize = 100 * 1024;
    let driver = ctx.driver();
    let payload = |n: u8| Record::new(vec![n; SIZE]);
    for some in (0..100_u8).collect::<Vec<_>>().chunks(8) {
        append_records(&driver, "s", &some.iter().copied().map(payload).collect::<Vec<_>>()).await?;
    }
    let mut next = 0_u8;
    while next < 100 {
        let wait = Duration::from_secs(1);
        let some = driver.claim(&claim("s", "g", "m")?.max(100).wait(wait).visibility(LONG)).await?;
        ensure!(!some.is_empty(), "{next} of 100 records came, then none within {wait:?}");
        for delivery in some {
            ensure!(delivery.payload.iter().all(|byte| *byte == next), "record {next} came as another one, or later");
            ensure_eq!(delivery.payload.len(), SIZE, "the length of record {next}");
            next += 1;
        }
    }
    append(&driver, "s", &["small"]).await?;
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "small", "the record after the large ones");
    Ok(())
}
