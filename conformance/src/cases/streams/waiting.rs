//! Long polls.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, append_records, claim, settle, settle_own, take_one, text};
use crate::waiting::{LONG, ON_THE_WAY, soon, timed, together};
use linchpin_core::{Action, Claim, Record};
use tokio::time::{Instant, sleep};

cases! { Streams "streams";
    a_waiting_claim_wakes_for_a_record [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "`claim` waits up to `wait` for the first record, and no longer once it is there";
    a_waiting_claim_ends_empty [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "`claim` waits up to `wait` for the first record; empty if none came";
    a_waiting_claim_wakes_for_a_retry [Streams] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll is woken by a record that was given back";
    a_waiting_claim_wakes_for_an_abandoned_record [Streams] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll is woken by a record whose visibility time has passed, within the slack";
    a_waiting_claim_wakes_for_a_delayed_record [Delays] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll is woken by a record whose delay has passed, within the slack";
    a_waiting_claim_wakes_for_what_is_delayed_meanwhile [Delays] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll is woken by a record that is appended with a delay, when that has passed";
    a_waiting_claim_wakes_for_a_late_retry [Streams] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll is woken by a record that was given back to be retried later, when that time has come";
    a_waiting_claim_wakes_for_a_shortened_claim [Streams] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll is woken by a record that is held for less than before, when that time has passed";
    a_waiting_claim_wakes_for_a_dead_letter [DeadLetters] WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A long poll of dead letters is woken by a record that is rejected, or was delivered too often";
    a_waiting_claim_wakes_for_a_removed_group [Streams] REMOVED_GROUP_BEGINS_ANEW
        "A long poll whose group is removed is that of a new group, which sees what is still there";
    a_claim_that_nobody_polls_holds_nobody_up [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "A claim whose future is kept and not polled keeps no other of its group and handle from what comes";
    one_record_wakes_one_of_many [Streams] MEMBERS_SHARE_THE_RECORDS + COMPONENTS_CONTRIB_4577
        "A member's claim is exclusive: of many that wait, one gets the record";
    a_waiting_claim_outlives_a_clear [Streams] WAITING_CLAIM_OUTLIVES_A_CLEAR + DAPR_4302
        "A claim that waits while its stream is cleared, or the next one, brings what is appended afterwards";
}

const PAUSE: Duration = Duration::from_millis(150);

/// How often one waits. Who is not woken is late each time; a machine that has more to do is now and then.
const ROUNDS: usize = 3;

/// Fails if a claim was woken late in every round.
#[track_caller]
fn ensure_woken(ctx: &Context, late: Option<Duration>, why: &str) -> CaseResult {
    let late = late.unwrap_or_default();
    ensure!(late <= ctx.stream_slack() + ON_THE_WAY, "woken {late:?} after {why}, and later the other times");
    Ok(())
}

async fn a_waiting_claim_wakes_for_a_record(ctx: Context) -> CaseResult {
    let (waiting, appending) = (ctx.driver(), ctx.another().await?);
    let mut least = None;
    // The first round waits at a stream that is not there yet.
    for _ in 0..ROUNDS {
        let (claimed, appended) = futures::join!(timed(take_one(&waiting, claim("s", "g", "m")?)), async {
            sleep(PAUSE).await;
            append(&appending, "s", &["wake up"]).await.map(|_| Instant::now())
        });
        let (claimed, appended) = (claimed?, appended?);
        let late = claimed.answered.saturating_duration_since(appended);
        least = Some(least.unwrap_or(late).min(late));
        ensure_eq!(text(&claimed.value), "wake up", "the payload");
    }
    ensure_woken(&ctx, least, "the record was there")
}

async fn a_waiting_claim_ends_empty(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["claimed by another"]).await?;
    take_one(&driver, claim("s", "g", "m1")?.visibility(LONG)).await?;
    let wait = Duration::from_millis(300);
    for stream in ["s", "nobody"] {
        let waited = timed(driver.claim(&claim(stream, "g", "m2")?.wait(wait))).await?;
        ensure!(waited.value.is_empty(), "delivered: {:?}", waited.value);
        let took = waited.answered - waited.sent;
        // It may end a little early: nobody is harmed by an empty answer.
        let in_time = took >= wait.mul_f64(0.9) && took <= wait + ON_THE_WAY;
        ensure!(in_time, "a claim that waits {wait:?} ended after {took:?}");
    }
    Ok(())
}

async fn a_waiting_claim_wakes_for_a_retry(ctx: Context) -> CaseResult {
    let (waiting, holding) = (ctx.driver(), ctx.another().await?);
    let mut least = None;
    for stream in ["s1", "s2", "s3"] {
        append(&holding, stream, &["given back"]).await?;
        let held = take_one(&holding, claim(stream, "g", "m1")?.visibility(LONG)).await?;
        let (claimed, settled) = futures::join!(timed(take_one(&waiting, claim(stream, "g", "m2")?)), async {
            sleep(PAUSE).await;
            settle(&holding, &held.receipt, Action::Retry { after: Duration::ZERO }).await.map(|_| Instant::now())
        });
        let (claimed, settled) = (claimed?, settled?);
        let late = claimed.answered.saturating_duration_since(settled);
        least = Some(least.unwrap_or(late).min(late));
        ensure_eq!(claimed.value.receipt.delivery, 2, "the delivery count");
    }
    ensure_woken(&ctx, least, "the record was given back")
}

async fn a_waiting_claim_wakes_for_an_abandoned_record(ctx: Context) -> CaseResult {
    let (driver, waiting, visibility) = (ctx.driver(), ctx.another().await?, PAUSE * 2);
    let mut least = None;
    for stream in ["s1", "s2", "s3"] {
        append(&driver, stream, &["abandoned"]).await?;
        let held = timed(take_one(&driver, claim(stream, "g", "m1")?.visibility(visibility))).await?;
        let again = timed(take_one(&waiting, claim(stream, "g", "m2")?)).await?;
        let late = held.window(visibility, ctx.stream_slack()).lateness("the redelivery", &again)?;
        least = Some(least.unwrap_or(late).min(late));
        ensure_eq!(again.value.receipt.delivery, 2, "the delivery count");
    }
    ensure_woken(&ctx, least, "the visibility time and its slack had passed")
}

async fn a_waiting_claim_wakes_for_a_delayed_record(ctx: Context) -> CaseResult {
    let (driver, waiting, delay) = (ctx.driver(), ctx.another().await?, PAUSE * 2);
    let record = [Record::new("delayed").with_delay(delay)];
    let mut least = None;
    for _ in 0..ROUNDS {
        let appended = timed(append_records(&driver, "s", &record)).await?;
        let taken = timed(take_one(&waiting, claim("s", "g", "m")?)).await?;
        let late = appended.window(delay, ctx.stream_slack()).lateness("the delivery of a delayed record", &taken)?;
        least = Some(least.unwrap_or(late).min(late));
    }
    ensure_woken(&ctx, least, "its delay and the slack had passed")
}

async fn a_waiting_claim_wakes_for_what_is_delayed_meanwhile(ctx: Context) -> CaseResult {
    let (waiting, appending) = (ctx.driver(), ctx.another().await?);
    let (claimed, appended) = futures::join!(take_one(&waiting, claim("s", "g", "m")?), async {
        sleep(PAUSE).await;
        timed(append_records(&appending, "s", &[Record::new("delayed").with_delay(PAUSE * 2)])).await
    });
    ensure_eq!(text(&claimed?), "delayed", "the payload");
    appended?.window(PAUSE * 2, ctx.stream_slack()).ensure_now("the delivery of a delayed record")
}

/// Waits for a record while its holder does something with it, after which it must come `after` so long.
#[track_caller]
fn wakes_after(ctx: &Context, action: Action, after: Duration) -> impl Future<Output = CaseResult> {
    here(async move {
        let (waiting, holding) = (ctx.driver(), ctx.another().await?);
        append(&holding, "s", &["held"]).await?;
        let held = take_one(&holding, claim("s", "g", "m1")?.visibility(LONG)).await?;
        let (claimed, settled) = futures::join!(take_one(&waiting, claim("s", "g", "m2")?), async {
            sleep(PAUSE).await;
            timed(settle(&holding, &held.receipt, action)).await
        });
        ensure_eq!(claimed?.receipt.delivery, 2, "the delivery count");
        settled?.window(after, ctx.stream_slack()).ensure_now("the redelivery")
    })
}

async fn a_waiting_claim_wakes_for_a_late_retry(ctx: Context) -> CaseResult {
    wakes_after(&ctx, Action::Retry { after: PAUSE * 2 }, PAUSE * 2).await
}

async fn a_waiting_claim_wakes_for_a_shortened_claim(ctx: Context) -> CaseResult {
    wakes_after(&ctx, Action::Extend { visibility: PAUSE * 2 }, PAUSE * 2).await
}

async fn a_waiting_claim_wakes_for_a_dead_letter(ctx: Context) -> CaseResult {
    let (waiting, failing) = (ctx.driver(), ctx.another().await?);
    append(&failing, "s", &["rejected", "exhausted"]).await?;
    let rejected = take_one(&failing, claim("s", "g", "m")?.visibility(LONG)).await?;
    let exhausted = take_one(&failing, claim("s", "g", "m")?.visibility(LONG)).await?;
    settle_own(&failing, &exhausted, Action::Retry { after: Duration::ZERO }).await?;
    let dead = rejected.receipt.stream.dead_letters(&rejected.receipt.group);
    let dead = Claim { stream: dead, ..claim("s", "undertakers", "m")? };
    for died in ["rejected", "exhausted"] {
        let (letter, settled) = futures::join!(timed(take_one(&waiting, dead.clone())), async {
            sleep(PAUSE).await;
            if died == "rejected" {
                settle_own(&failing, &rejected, Action::Reject { reason: "broken".to_owned() }).await?;
            } else {
                failing.claim(&claim("s", "g", "m")?.max_deliveries(1)).await?;
            }
            Ok::<_, Failure>(Instant::now())
        });
        let (letter, settled) = (letter?, settled?);
        ensure_eq!(text(&letter.value), died, "the dead letter");
        let late = letter.answered.saturating_duration_since(settled);
        ensure!(late <= ctx.stream_slack() + ON_THE_WAY, "woken {late:?} after a record was {died}");
    }
    Ok(())
}

async fn a_waiting_claim_wakes_for_a_removed_group(ctx: Context) -> CaseResult {
    let (waiting, removing) = (ctx.driver(), ctx.another().await?);
    append(&removing, "s", &["still there"]).await?;
    let done = take_one(&removing, claim("s", "g", "m1")?).await?;
    settle_own(&removing, &done, Action::Ack).await?;
    let (claimed, removed) = futures::join!(timed(take_one(&waiting, claim("s", "g", "m2")?)), async {
        sleep(PAUSE).await;
        removing.remove_group(&done.receipt.stream, &done.receipt.group).await.map(|there| (there, Instant::now()))
    });
    let (claimed, (there, removed)) = (claimed?, removed?);
    ensure!(there, "the group that is waited in was not there");
    let late = claimed.answered.saturating_duration_since(removed);
    ensure!(late <= ctx.stream_slack() + ON_THE_WAY, "woken {late:?} after its group was removed");
    ensure_eq!(text(&claimed.value), "still there", "the payload");
    Ok(())
}

async fn a_claim_that_nobody_polls_holds_nobody_up(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let (kept, waits) = (claim("s", "g", "m1")?.wait(LONG), claim("s", "g", "m2")?);
    let mut unpolled = driver.claim(&kept);
    let given = tokio::time::timeout(PAUSE, &mut unpolled).await;
    ensure!(given.is_err(), "a claim of nothing ended: {given:?}");
    // One for each.
    let taken = soon("a claim beside one that nobody polls", timed(take_one(&driver, waits)));
    let (claimed, appended) = futures::join!(taken, async {
        sleep(PAUSE).await;
        append(&driver, "s", &["one", "another"]).await.map(|_| Instant::now())
    });
    let late = claimed??.answered.saturating_duration_since(appended?);
    ensure!(late <= ctx.stream_slack() + ON_THE_WAY, "woken {late:?} after the records were there");
    let given = soon("the record of a claim that is polled again", unpolled).await??;
    ensure_eq!(given.len(), 1, "what a claim is given that is polled again");
    Ok(())
}

async fn one_record_wakes_one_of_many(ctx: Context) -> CaseResult {
    let mut waiting = Vec::new();
    for n in 0..5 {
        let (handle, claim) = (ctx.another().await?, claim("s", "g", &format!("m{n}"))?.wait(PAUSE * 4));
        waiting.push(async move { Ok(handle.claim(&claim).await?) });
    }
    let (claimed, appended) = futures::join!(together(waiting), async {
        sleep(PAUSE).await;
        append(&ctx.driver(), "s", &["one"]).await
    });
    appended?;
    let deliveries: Vec<_> = claimed?.concat();
    ensure_eq!(deliveries.len(), 1, "the deliveries of one record to five members that wait");
    Ok(())
}

async fn a_waiting_claim_outlives_a_clear(ctx: Context) -> CaseResult {
    let (waiting, clearing) = (ctx.driver(), ctx.another().await?);
    append(&clearing, "s", &["cleared"]).await?;
    take_one(&clearing, claim("s", "g", "m1")?.visibility(LONG)).await?;
    let wait = Duration::from_secs(2);
    let long_poll = claim("s", "g", "m2")?.wait(wait).visibility(PAUSE * 3);
    let polled = timed(async { Ok::<_, Failure>(waiting.claim(&long_poll).await) });
    let (polled, appended) = futures::join!(polled, async {
        sleep(PAUSE).await;
        clearing.clear("").await?;
        append(&clearing, "s", &["appended"]).await
    });
    appended?;
    let polled = polled?;
    let took = polled.answered - polled.sent;
    ensure!(took <= wait + ON_THE_WAY, "a claim that waits {wait:?} ended after {took:?}");
    let brought = match polled.value {
        Ok(deliveries) => deliveries,
        Err(error) if error.is_transient() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let delivery = match brought.into_iter().next() {
        Some(delivery) => delivery,
        None => take_one(&waiting, claim("s", "g", "m2")?).await?,
    };
    ensure_eq!(text(&delivery), "appended", "the record that was appended after the clear");
    settle_own(&waiting, &delivery, Action::Ack).await
}
