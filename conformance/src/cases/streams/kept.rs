//! What a stream keeps: records that wait, ids, positions, and the count of it all.

use super::super::prelude::*;
use crate::stream_calls::{append, append_records, claim, settle_own, take_one, text};
use crate::waiting::{LONG, ON_THE_WAY, timed};
use linchpin_core::{Action, Appended, Claim, Driver, GroupInfo, MemberName, Position, Record, Retention, StreamName};
use tokio::time::{Instant, sleep};

cases! { Streams "streams";
    trim_keeps_what_was_given_back [Streams]
        "`trim` drops no record that a group has not settled: none that was given back";
    trim_keeps_what_waits_for_a_retry [Delays]
        "`trim` drops no record that a group has not settled: none that is to be retried later";
    trim_keeps_what_is_delayed [Delays]
        "`trim` drops no record that a group has not settled: none whose delay has not passed";
    a_trimmed_record_keeps_its_id [RecordIds]
        "A record with an id is appended once per dedupe window, though it was trimmed since";
    a_record_keeps_its_id_for_seconds [RecordIds]
        "A record with an id is appended once per dedupe window, as long as that is declared";
    positions_go_on_after_an_empty_stream_was_cleared [Streams]
        "After a `clear` no position of a name comes twice, though nothing was left in the stream to be cleared";
    inspect_counts_what_waits [Delays]
        "`GroupInfo::pending`: records delivered and not settled, or waiting for a retry or a delay";
    a_waiting_claim_wakes_for_a_later_retry [Delays]
        "A long poll is woken by a record that was given back for later, when that has come";
    a_waiting_claim_wakes_for_a_dead_letter [DeadLetters]
        "A long poll on dead letters is woken by a record that dies";
}

const NOW: Action = Action::Retry { after: Duration::ZERO };

async fn length(driver: &dyn Driver) -> Result<u64, Failure> {
    Ok(driver.inspect(&StreamName::new("s")?).await?.length)
}

/// Trims all that may be: it must be nothing.
async fn trims_nothing(driver: &dyn Driver, why: &str) -> CaseResult {
    let before = length(driver).await?;
    for keep in [Retention::Newest(0), Retention::From(Position(1_000))] {
        ensure_eq!(driver.trim(&StreamName::new("s")?, keep).await?, 0, "the records dropped by {keep:?} where {why}");
        ensure_eq!(length(driver).await?, before, "the length after {keep:?} where {why}");
    }
    Ok(())
}

async fn trim_keeps_what_was_given_back(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["given back"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    settle_own(&driver, &held, NOW).await?;
    trims_nothing(&driver, "the only record was given back").await?;
    let again = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!((text(&again).as_str(), again.receipt.delivery), ("given back", 2), "the record, and its deliveries");
    Ok(())
}

async fn trim_keeps_what_waits_for_a_retry(ctx: Context) -> CaseResult {
    let (driver, after) = (ctx.driver(), Duration::from_millis(600));
    append(&driver, "s", &["later"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    settle_own(&driver, &held, Action::Retry { after }).await?;
    trims_nothing(&driver, "the only record is to be retried later").await?;
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "later", "the record, when its time has come");
    Ok(())
}

async fn trim_keeps_what_is_delayed(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["first"]).await?;
    let first = take_one(&driver, claim("s", "g", "m")?).await?;
    let delayed = Record::new("delayed").with_delay(Duration::from_millis(600));
    append_records(&driver, "s", &[delayed]).await?;
    trims_nothing(&driver, "one record is claimed and one delayed").await?;
    settle_own(&driver, &first, Action::Ack).await?;
    ensure_eq!(driver.trim(&StreamName::new("s")?, Retention::Newest(0)).await?, 1, "the records dropped");
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "delayed", "the record, when its time has come");
    Ok(())
}

/// Appends the record called "a".
async fn append_a(driver: &dyn Driver) -> Result<Appended, Failure> {
    let appended = driver.append(&StreamName::new("s")?, &[Record::new("a").with_id("a")?]).await?;
    appended.into_iter().next().ok_or_else(|| Failure::new("append answered nothing for a record"))
}

const AGAIN: Appended = Appended { position: Position(1), duplicate: true };

async fn a_trimmed_record_keeps_its_id(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_a(&driver).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Ack).await?;
    ensure_eq!(driver.trim(&StreamName::new("s")?, Retention::Newest(0)).await?, 1, "the records dropped");
    ensure_eq!(append_a(&driver).await?, AGAIN, "the record, appended again after it was trimmed");
    ensure_eq!(length(&driver).await?, 0, "the length");
    Ok(())
}

async fn a_record_keeps_its_id_for_seconds(ctx: Context) -> CaseResult {
    /// No case waits longer than this.
    const LOOKED_AT: Duration = Duration::from_secs(3);
    let (driver, other) = (ctx.driver(), ctx.another().await?);
    let window = ctx.capabilities().streams.and_then(|streams| streams.dedupe_window).unwrap_or_default() / 2;
    append_a(&driver).await?;
    let until = Instant::now() + window.min(LOOKED_AT);
    let mut others = 0;
    while Instant::now() < until {
        // Others come meanwhile: what is kept is not only the last.
        others += 1;
        append_records(&other, "s", &[Record::new("other").with_id(format!("other {others}"))?]).await?;
        sleep(LOOKED_AT / 60).await;
    }
    ensure_eq!(append_a(&driver).await?, AGAIN, "the record, appended again after a while");
    ensure_eq!(length(&driver).await?, 1 + others, "the length");
    Ok(())
}

async fn positions_go_on_after_an_empty_stream_was_cleared(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3"]).await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 3, "the records dropped");
    for round in 1..=2 {
        driver.clear("").await?;
        let position = append(&driver, "s", &["next"]).await?[0];
        ensure!(position > Position(2 + round), "after clear {round} a record stands at {position:?} once more");
        driver.trim(&stream, Retention::Newest(0)).await?;
    }
    Ok(())
}

/// The only group must stand so.
async fn stands(driver: &dyn Driver, when: &str, pending: u64, lag: u64) -> CaseResult {
    let group = GroupInfo { name: claim("s", "g", "m")?.group, pending, lag, dead: 0 };
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?.groups, [group], "the group when {when}");
    Ok(())
}

async fn inspect_counts_what_waits(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let visibility = Duration::from_millis(300);
    append(&driver, "s", &["later", "abandoned"]).await?;
    let later = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    stands(&driver, "one of two is claimed", 1, 1).await?;
    settle_own(&driver, &later, Action::Retry { after: LONG }).await?;
    stands(&driver, "one of two is to be retried later", 1, 1).await?;
    let abandoned = timed(take_one(&driver, claim("s", "g", "m")?.visibility(visibility))).await?;
    stands(&driver, "one is to be retried later, one is claimed", 2, 0).await?;
    abandoned.window(visibility, ctx.stream_slack()).has_passed().await;
    stands(&driver, "one is to be retried later, one was abandoned", 2, 0).await?;
    let again = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    settle_own(&driver, &again, Action::Ack).await?;
    stands(&driver, "one is to be retried later, one is acknowledged", 1, 0).await?;
    append_records(&driver, "s", &[Record::new("delayed").with_delay(LONG), Record::new("now")]).await?;
    let now = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    stands(&driver, "one is to be retried later, one is delayed, one is claimed", 3, 0).await?;
    settle_own(&driver, &now, Action::Ack).await?;
    stands(&driver, "one is to be retried later, one is delayed", 2, 0).await
}

const PAUSE: Duration = Duration::from_millis(150);

async fn a_waiting_claim_wakes_for_a_later_retry(ctx: Context) -> CaseResult {
    let (waiting, holding, after) = (ctx.driver(), ctx.another().await?, Duration::from_millis(400));
    append(&holding, "s", &["given back"]).await?;
    let held = take_one(&holding, claim("s", "g", "m1")?.visibility(LONG)).await?;
    let (claimed, settled) = futures::join!(timed(take_one(&waiting, claim("s", "g", "m2")?)), async {
        sleep(PAUSE).await;
        timed(settle_own(&holding, &held, Action::Retry { after })).await
    });
    let (claimed, settled) = (claimed?, settled?);
    let window = settled.window(after, ctx.stream_slack());
    let (earliest, latest) = (window.earliest, window.latest + ON_THE_WAY);
    let came = claimed.answered;
    ensure!(came >= earliest, "a record to be retried after {after:?} came {:?} too early", earliest - came);
    ensure!(came <= latest, "a claim that waits was woken {:?} too late", came - latest);
    Ok(())
}

async fn a_waiting_claim_wakes_for_a_dead_letter(ctx: Context) -> CaseResult {
    let (waiting, holding) = (ctx.driver(), ctx.another().await?);
    let group = claim("s", "g", "m")?.group;
    let letters = StreamName::new("s")?.dead_letters(&group);
    let undertaker = Claim::new(letters, claim("s", "undertakers", "m")?.group, MemberName::new("m")?);
    for round in 0..2 {
        append(&holding, "s", &["dies"]).await?;
        let held = take_one(&holding, claim("s", "g", "m")?.visibility(LONG)).await?;
        let (claimed, died) = futures::join!(timed(take_one(&waiting, undertaker.clone())), async {
            sleep(PAUSE).await;
            settle_own(&holding, &held, Action::Reject { reason: "it dies".to_owned() }).await.map(|()| Instant::now())
        });
        let (claimed, died) = (claimed?, died?);
        let late = claimed.answered.saturating_duration_since(died);
        ensure!(late <= ctx.stream_slack() + ON_THE_WAY, "round {round}: woken {late:?} after the record was dead");
        settle_own(&waiting, &claimed.value, Action::Ack).await?;
    }
    Ok(())
}
