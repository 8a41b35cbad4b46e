//! Each record, each settlement and each stream is on its own.

use super::super::prelude::*;
use crate::stream_calls::{
    append, append_records, claim, settle, settle_own, sorted_texts, take, take_nothing, take_one, text,
};
use crate::waiting::{LONG, timed};
use linchpin_core::{Action, Position, Receipt, Record, Retention, Settled, Settlement, StreamName};

cases! { Streams "streams";
    a_repeat_replaces_nothing [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once: the first";
    clearing_one_leaves_the_others_whole [RecordIds] CLEAR_REMOVES_STREAMS_BY_PREFIX
        "`clear` removes what starts with the prefix and no other: ids, groups and claims of others stay";
    a_position_drops_nothing_unsettled [Streams] WHAT_IS_NOT_SETTLED_IS_KEPT
        "`trim` from a position drops nothing that a group has not settled";
    each_record_of_a_batch_has_its_delay [Delays] DELAYED_RECORD_BLOCKS_NO_OTHER
        "A delay holds back its own record and no other";
    late_settlements_count [DeadLetters] LATE_ACKNOWLEDGEMENT_COUNTS_UNTIL_REDELIVERY
        "A settlement that comes after the visibility time counts until redelivery, whatever it does";
    twice_in_one_call_is_stale [Streams] SETTLED_IS_STALE
        "Settling what was settled is `Stale`, in the same call too";
    each_retry_of_a_call_has_its_delay [Delays] EACH_SETTLEMENT_IS_ON_ITS_OWN
        "Settlements are each on their own";
    a_bad_settlement_settles_nothing [Streams] RECORD_OVER_THE_LIMIT_IS_REFUSED
        "What is refused was not applied, nothing of the call";
    whatever_never_was_is_stale [Streams] SETTLED_IS_STALE
        "Settling what never was delivered is stale, whatever is asked";
    each_record_of_a_claim_comes_again [Streams] ABANDONED_RECORD_COMES_AGAIN
        "A record whose visibility time has passed is delivered again, each of a claim";
}

async fn a_repeat_replaces_nothing(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    for n in ["first", "second"] {
        driver.append(&stream, &[Record::new(n).with_id("a")?.with_header("n", n)]).await?;
    }
    let taken = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!((text(&taken).as_str(), taken.headers[0].1.as_str()), ("first", "first"), "the record of a repeated id");
    Ok(())
}

async fn clearing_one_leaves_the_others_whole(ctx: Context) -> CaseResult {
    let (driver, kept) = (ctx.driver(), StreamName::new("kept")?);
    let record = Record::new("1").with_id("a")?;
    driver.append(&kept, std::slice::from_ref(&record)).await?;
    append(&driver, "kept", &["2"]).await?;
    append(&driver, "s", &["1"]).await?;
    let held = take_one(&driver, claim("kept", "g", "m")?.visibility(LONG)).await?;
    let before = driver.inspect(&kept).await?;
    driver.clear("s").await?;
    ensure_eq!(driver.inspect(&kept).await?, before, "a stream after another one was cleared");
    ensure!(driver.append(&kept, &[record]).await?[0].duplicate, "a stream forgot an id when another one was cleared");
    take_one(&driver, claim("kept", "g", "m2")?.visibility(LONG)).await?;
    take_nothing(&driver, &claim("kept", "g", "m3")?, "both records are claimed").await?;
    settle_own(&driver, &held, Action::Ack).await
}

async fn a_position_drops_nothing_unsettled(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1", "2", "3", "4"]).await?;
    let held = take(&driver, claim("s", "g", "m")?.visibility(LONG), 2).await?;
    settle_own(&driver, &held[0], Action::Ack).await?;
    driver.trim(&stream, Retention::From(Position(4))).await?;
    settle_own(&driver, &held[1], Action::Retry { after: Duration::ZERO }).await?;
    let left = take(&driver, claim("s", "g", "m")?, 3).await?;
    ensure_eq!(sorted_texts(&left), ["2", "3", "4"], "the records that were not settled");
    Ok(())
}

async fn each_record_of_a_batch_has_its_delay(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let late = |text: &'static str| Record::new(text).with_delay(LONG);
    append_records(&driver, "s", &[late("1"), Record::new("2"), late("3"), Record::new("4")]).await?;
    let taken = take(&driver, claim("s", "g", "m")?, 2).await?;
    ensure_eq!(sorted_texts(&taken), ["2", "4"], "the records that are not delayed");
    take_nothing(&driver, &claim("s", "g", "m")?, "the others are delayed").await
}

async fn late_settlements_count(ctx: Context) -> CaseResult {
    let (driver, visibility) = (ctx.driver(), Duration::from_millis(100));
    for (stream, action) in [
        ("a", Action::Retry { after: LONG }),
        ("b", Action::Extend { visibility: LONG }),
        ("c", Action::Reject { reason: "late".to_owned() }),
    ] {
        append(&driver, stream, &["late"]).await?;
        let held = timed(take_one(&driver, claim(stream, "g", "m")?.visibility(visibility))).await?;
        held.window(visibility, ctx.stream_slack()).has_passed().await;
        settle_own(&driver, &held.value, action).await?;
        take_nothing(&driver, &claim(stream, "g", "m")?, "what was settled late, before it was delivered again")
            .await?;
    }
    Ok(())
}

async fn twice_in_one_call_is_stale(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1"]).await?;
    let receipt = take_one(&driver, claim("s", "g", "m")?).await?.receipt;
    let twice = [Action::Ack, Action::Retry { after: Duration::ZERO }, Action::Ack]
        .map(|action| Settlement { receipt: receipt.clone(), action });
    ensure_eq!(
        driver.settle(&twice).await?,
        [Settled::Done, Settled::Stale, Settled::Stale],
        "one receipt three times in a call"
    );
    take_nothing(&driver, &claim("s", "g", "m")?, "the record was acknowledged").await
}

async fn each_retry_of_a_call_has_its_delay(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["later", "now"]).await?;
    let held = take(&driver, claim("s", "g", "m")?.visibility(LONG), 2).await?;
    let afters = held.iter().map(|d| if text(d) == "now" { Duration::ZERO } else { LONG });
    let all: Vec<_> = held
        .iter()
        .zip(afters)
        .map(|(d, after)| Settlement { receipt: d.receipt.clone(), action: Action::Retry { after } })
        .collect();
    driver.settle(&all).await?;
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "now", "what was given back at once");
    take_nothing(&driver, &claim("s", "g", "m")?, "the other is to be retried later").await
}

async fn a_bad_settlement_settles_nothing(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    let held = take(&driver, claim("s", "g", "m")?.visibility(LONG), 2).await?;
    let actions = [Action::Ack, Action::Extend { visibility: Duration::ZERO }];
    let all: Vec<_> =
        held.iter().zip(actions).map(|(d, action)| Settlement { receipt: d.receipt.clone(), action }).collect();
    fails_with(driver.settle(&all).await, ErrorKind::InvalidArgument, "a call with a senseless settlement")?;
    settle_own(&driver, &held[0], Action::Ack).await
}

async fn whatever_never_was_is_stale(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    let real = take_one(&driver, claim("s", "g", "m")?).await?.receipt;
    let never = [
        Receipt { position: Position(2), ..real.clone() },
        Receipt { position: Position(99), ..real.clone() },
        Receipt { group: claim("s", "nobody", "m")?.group, ..real.clone() },
        Receipt { delivery: real.delivery + 1, ..real },
    ];
    for receipt in never {
        for action in [Action::Retry { after: Duration::ZERO }, Action::Extend { visibility: LONG }] {
            ensure_eq!(settle(&driver, &receipt, action).await?, Settled::Stale, "settling {receipt:?}");
        }
    }
    Ok(())
}

async fn each_record_of_a_claim_comes_again(ctx: Context) -> CaseResult {
    let (driver, visibility) = (ctx.driver(), Duration::from_millis(200));
    append(&driver, "s", &["1", "2", "3"]).await?;
    let held = timed(take(&driver, claim("s", "g", "m")?.visibility(visibility), 3)).await?;
    held.window(visibility, ctx.stream_slack()).has_passed().await;
    let again = driver.claim(&claim("s", "g", "m")?.max(10)).await?;
    ensure_eq!(sorted_texts(&again), ["1", "2", "3"], "what comes again of a claim of three");
    Ok(())
}
