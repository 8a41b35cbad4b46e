//! A line over which bytes come slowly: what is large takes its time, and comes.

use super::super::prelude::*;
use crate::calls::numbered;
use crate::readers::Watcher;
use crate::stream_calls::{append, append_records, claim, take_nothing, take_one, text};
use crate::waiting::{LONG, soon};
use linchpin_core::{Range, Record, WatchEvent};
use std::num::NonZeroU32;

cases! { Faults "faults";
    large_records_come_over_a_slow_line [Streams] LARGE_RECORDS_COME_OVER_A_SLOW_LINE
        "Every claim brings some of what is there, however long all of it would be on its way";
    a_large_range_is_watched_over_a_slow_line [Watch] LARGE_RECORDS_COME_OVER_A_SLOW_LINE
        "A range is watched that takes longer to arrive than an attempt may take";
    a_claim_that_was_closed_under_way_holds_nothing [Streams] CLAIM_THAT_WAS_CLOSED_HOLDS_NOTHING
        "A claim that was on its way when its handle was closed takes nothing that is appended later";
}

const SIZE: usize = 100 * 1024;

/// Lets 4 MiB a second through of what the server answers.
fn slow_down(ctx: &Context) -> CaseResult {
    let rate = NonZeroU32::new(4 * 1024 * 1024).ok_or_else(|| Failure::new("no rate"))?;
    ctx.faults()?.proxy()?.throttle(crate::Direction::Answers, rate);
    Ok(())
}

async fn large_records_come_over_a_slow_line(ctx: Context) -> CaseResult {
    const RECORDS: usize = 100;
    let driver = ctx.driver();
    let record = Record::new(vec![b'r'; SIZE.min(ctx.capabilities().limits.value)]);
    for _ in 0..RECORDS / 10 {
        append_records(&driver, "s", &vec![record.clone(); 10]).await?;
    }
    slow_down(&ctx)?;
    let all = claim("s", "g", "m")?.max(RECORDS).wait(Duration::from_secs(1)).visibility(LONG);
    let mut taken = 0;
    while taken < RECORDS {
        let some = driver.claim(&all).await?.len();
        ensure!(some > 0, "{taken} of {RECORDS} records came, then a claim brought none");
        taken += some;
    }
    Ok(())
}

async fn a_large_range_is_watched_over_a_slow_line(ctx: Context) -> CaseResult {
    const KEYS: usize = 240;
    let (driver, keys) = (ctx.driver(), numbered("k", KEYS)?);
    let value = vec![b'v'; SIZE.min(ctx.capabilities().limits.value)];
    for key in keys {
        driver.commit(&Transaction::new().put(key, value.clone(), None)).await?;
    }
    slow_down(&ctx)?;
    // Told in the order in which their keys came to be, so all is read before the first is told.
    let mut watcher = Watcher::open(&driver, &Range::all()).await?.patient();
    while !matches!(watcher.next().await?, WatchEvent::Synced { .. }) {}
    ensure_eq!(watcher.entries.len(), KEYS, "the present entries");
    Ok(())
}

async fn a_claim_that_was_closed_under_way_holds_nothing(ctx: Context) -> CaseResult {
    const WAY: Duration = Duration::from_millis(200);
    let beside = ctx.beside().await?;
    for wait in [Duration::ZERO, LONG] {
        let driver = ctx.another().await?;
        take_nothing(&driver, &claim("s", "g", "closed")?, "nothing is appended yet").await?;
        ctx.faults()?.proxy()?.delay(crate::Direction::Requests, WAY);
        let claiming = claim("s", "g", "closed")?.wait(wait).visibility(LONG);
        let mut claiming = driver.claim(&claiming);
        ensure!(tokio::time::timeout(WAY / 4, &mut claiming).await.is_err(), "it was answered before it arrived");
        soon("the end of closing", driver.close()).await??;
        append(&beside, "s", &["later"]).await?;
        // What still is on its way arrives.
        tokio::time::sleep(WAY * 2).await;
        let delivery = take_one(&beside, claim("s", "g", "next")?).await?;
        ensure_eq!(
            (text(&delivery), delivery.receipt.delivery),
            ("later".to_owned(), 1),
            "the record, and its delivery"
        );
        ctx.faults()?.proxy()?.mend();
    }
    Ok(())
}
