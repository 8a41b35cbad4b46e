//! Dead letters.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{
    append, append_records, claim, settle, settle_own, sorted_texts, take, take_nothing, take_one, text,
};
use crate::waiting::{LONG, eventually, timed};
use linchpin_core::{
    Action, Claim, Delivery, GroupName, MemberName, Record, Retention, Settled, StreamName, dead_letter,
};

cases! { Streams "streams";
    a_rejected_record_is_a_dead_letter_once [DeadLetters] REJECTED_RECORD_IS_A_DEAD_LETTER_ONCE
        "Rejected records go to the group's dead letters, once, and are never delivered again";
    a_dead_letter_keeps_what_it_was [DeadLetters] DEAD_LETTER_KEEPS_WHAT_IT_WAS
        "A dead letter has its payload and headers, and besides them why, how often and where";
    an_exhausted_record_is_a_dead_letter_once [DeadLetters] EXHAUSTED_RECORD_IS_A_DEAD_LETTER_ONCE + WATERMILL_414
        "A record delivered this often without being acknowledged goes to the dead letters instead of being delivered again";
    an_abandoned_record_is_exhausted_too [DeadLetters] EXHAUSTED_RECORD_IS_A_DEAD_LETTER_ONCE
        "A record delivered this often without being acknowledged goes to the dead letters, though nobody gave it back";
    without_a_limit_nothing_is_given_up [DeadLetters] WITHOUT_A_LIMIT_NOTHING_IS_GIVEN_UP
        "`Claim::max_deliveries`: `None` never gives up";
    dead_letters_are_the_groups_own [DeadLetters] DEAD_LETTERS_ARE_THE_GROUPS_OWN
        "Rejected records go to the group's dead letters; another group still gets the record";
    dead_letters_are_a_stream [DeadLetters] DEAD_LETTERS_ARE_A_STREAM
        "The dead letters of a group are read, claimed and trimmed like any other stream";
    a_dead_letter_has_no_dead_letters [DeadLetters] DEAD_LETTER_HAS_NO_DEAD_LETTERS
        "A dead letter that any group rejects, or was given too often, is dropped for that group, as if acknowledged";
    a_stale_reject_makes_no_dead_letter [DeadLetters] REJECTED_RECORD_IS_A_DEAD_LETTER_ONCE
        "Settling with a stale claim is refused, and nothing is changed";
}

/// A claim of one of the dead letters of group `g` of stream `s`.
#[track_caller]
fn dead(group: &str) -> Result<Claim, Failure> {
    let stream = StreamName::new("s")?.dead_letters(&GroupName::new(group)?);
    Ok(Claim::new(stream, GroupName::new("undertakers")?, MemberName::new("m")?))
}

fn reject(reason: &str) -> Action {
    Action::Reject { reason: reason.to_owned() }
}

/// The only dead letter of a group; it is looked for until it is there.
#[track_caller]
fn only_dead_letter(driver: &Arc<dyn Driver>, group: &str) -> impl Future<Output = Result<Delivery, Failure>> {
    here(async move {
        let letter = take_one(driver, dead(group)?).await?;
        take_nothing(driver, &dead(group)?, "a record goes to the dead letters once").await?;
        Ok(letter)
    })
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a str> {
    delivery.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

async fn a_rejected_record_is_a_dead_letter_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["broken", "sound"]).await?;
    let visibility = Duration::from_millis(150);
    let held = timed(take_one(&driver, claim("s", "g", "m")?.visibility(visibility))).await?;
    settle_own(&driver, &held.value, reject("it is broken")).await?;
    ensure_eq!(settle(&driver, &held.value.receipt, reject("again")).await?, Settled::Stale, "rejecting it again");
    held.window(visibility, ctx.stream_slack()).has_passed().await;
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "sound", "the next record");
    take_nothing(&driver, &claim("s", "g", "m")?, "the record was rejected").await?;
    let letter = only_dead_letter(&ctx.another().await?, "g").await?;
    ensure_eq!(text(&letter), "broken", "the dead letter");
    Ok(())
}

async fn a_dead_letter_keeps_what_it_was(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["first"]).await?;
    take_one(&driver, claim("s", "g", "m")?).await?;
    let record = Record::new("broken").with_header("type", "order").with_header("type", "twice");
    append_records(&driver, "s", &[record]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Retry { after: Duration::ZERO }).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    let longest = "é".repeat(256);
    settle_own(&driver, &held, reject(&longest)).await?;
    let letter = only_dead_letter(&driver, "g").await?;
    ensure_eq!(text(&letter), "broken", "the payload");
    let own = [("type".to_owned(), "order".to_owned()), ("type".to_owned(), "twice".to_owned())];
    ensure!(letter.headers.starts_with(&own), "the headers: {:?}", letter.headers);
    ensure_eq!(header(&letter, dead_letter::REASON), Some(&*longest), "the reason");
    ensure_eq!(header(&letter, dead_letter::DELIVERIES), Some("2"), "how often it had been delivered");
    ensure_eq!(header(&letter, dead_letter::POSITION), Some("2"), "where it stood");
    Ok(())
}

async fn an_exhausted_record_is_a_dead_letter_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["hopeless"]).await?;
    let limited = claim("s", "g", "m")?.visibility(LONG).max_deliveries(3);
    for n in 1..=3 {
        let held = take_one(&driver, limited.clone()).await?;
        ensure_eq!(held.receipt.delivery, n, "the delivery count");
        settle_own(&driver, &held, Action::Retry { after: Duration::ZERO }).await?;
    }
    take_nothing(&driver, &limited, "the record was delivered three times").await?;
    take_nothing(&driver, &limited, "the record was delivered three times").await?;
    let letter = only_dead_letter(&driver, "g").await?;
    ensure_eq!(text(&letter), "hopeless", "the dead letter");
    ensure_eq!(header(&letter, dead_letter::REASON), Some(dead_letter::MAX_DELIVERIES), "the reason");
    ensure_eq!(header(&letter, dead_letter::DELIVERIES), Some("3"), "how often it had been delivered");
    Ok(())
}

async fn an_abandoned_record_is_exhausted_too(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["deadly", "next"]).await?;
    let visibility = Duration::from_millis(100);
    let limited = claim("s", "g", "m")?.max_deliveries(1);
    let held = timed(take_one(&driver, limited.clone().visibility(visibility))).await?;
    held.window(visibility, ctx.stream_slack()).has_passed().await;
    ensure_eq!(text(&take_one(&driver, limited.clone()).await?), "next", "the record after the exhausted one");
    take_nothing(&driver, &limited, "the record was delivered once").await?;
    ensure_eq!(text(&only_dead_letter(&driver, "g").await?), "deadly", "the dead letter");
    let settled = settle(&driver, &held.value.receipt, Action::Ack).await?;
    ensure_eq!(settled, Settled::Stale, "acknowledging a record that is a dead letter");
    Ok(())
}

async fn without_a_limit_nothing_is_given_up(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["stubborn"]).await?;
    for n in 1..=12 {
        let held = take_one(&driver, claim("s", "g", "m")?).await?;
        ensure_eq!(held.receipt.delivery, n, "the delivery count");
        settle_own(&driver, &held, Action::Retry { after: Duration::ZERO }).await?;
    }
    take_nothing(&driver, &dead("g")?, "nothing was given up").await
}

async fn dead_letters_are_the_groups_own(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["broken for one"]).await?;
    let held = take_one(&driver, claim("s", "picky", "m")?).await?;
    settle_own(&driver, &held, reject("not for me")).await?;
    let other = take_one(&driver, claim("s", "generous", "m")?).await?;
    ensure_eq!((text(&other).as_str(), other.receipt.delivery), ("broken for one", 1), "what the other group gets");
    take_nothing(&driver, &dead("generous")?, "the other group rejected nothing").await?;
    only_dead_letter(&driver, "picky").await?;
    Ok(())
}

async fn dead_letters_are_a_stream(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2", "3"]).await?;
    for reason in ["a", "b", "c"] {
        let held = take_one(&driver, claim("s", "g", "m")?).await?;
        settle_own(&driver, &held, reject(reason)).await?;
    }
    let stream = dead("g")?.stream;
    let look = async || Ok((driver.inspect(&stream).await?.length == 3).then_some(()));
    eventually("three dead letters", look).await?;
    let letters = take(&driver, dead("g")?, 3).await?;
    ensure_eq!(sorted_texts(&letters), ["1", "2", "3"], "the dead letters");
    settle_own(&driver, &letters[1], Action::Retry { after: Duration::ZERO }).await?;
    let again = take_one(&driver, dead("g")?).await?;
    ensure_eq!(again.receipt.delivery, 2, "the delivery count of a dead letter");
    for letter in [&letters[0], &letters[2], &again] {
        settle_own(&driver, letter, Action::Ack).await?;
    }
    let info = driver.inspect(&stream).await?;
    ensure_eq!(info.groups.len(), 1, "the groups of the dead letters");
    ensure_eq!(driver.trim(&stream, Retention::Newest(1)).await?, 2, "the dead letters trimmed");
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?.length, 3, "the length of the stream itself");
    Ok(())
}

async fn a_dead_letter_has_no_dead_letters(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["hopeless"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, reject("broken")).await?;
    let letters = held.receipt.stream.dead_letters(&held.receipt.group);
    // The group whose dead letters they are, and others.
    for group in ["g", "undertakers", "gravediggers"] {
        let read = Claim { stream: letters.clone(), ..claim("s", group, "m")? };
        let letter = take_one(&driver, read.clone().visibility(LONG)).await?;
        if group == "gravediggers" {
            settle_own(&driver, &letter, Action::Retry { after: Duration::ZERO }).await?;
            take_nothing(&driver, &read.clone().max_deliveries(1), "the dead letter was given once").await?;
        } else {
            settle_own(&driver, &letter, reject("hopeless")).await?;
        }
        take_nothing(&driver, &read, &format!("{group} is done with the dead letter")).await?;
        let settled = settle(&driver, &letter.receipt, Action::Ack).await?;
        ensure_eq!(settled, Settled::Stale, "acknowledging what {group} is done with");
        let info = driver.inspect(&letters).await?;
        let left_over = info.groups.iter().any(|group| group.pending > 0 || group.dead > 0);
        ensure!(!left_over, "the groups of the dead letters have something pending or dead: {:?}", info.groups);
        let own = letters.dead_letters(&GroupName::new(group)?);
        let left = u64::from(own == letters);
        ensure_eq!(driver.inspect(&own).await?.length, left, "the records in {own}");
    }
    ensure_eq!(driver.trim(&letters, Retention::Unsettled).await?, 1, "the dead letters that every group is done with");
    Ok(())
}

async fn a_stale_reject_makes_no_dead_letter(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["done"]).await?;
    let held = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &held, Action::Ack).await?;
    ensure_eq!(settle(&driver, &held.receipt, reject("late")).await?, Settled::Stale, "rejecting what is settled");
    take_nothing(&driver, &dead("g")?, "nothing was rejected in time").await
}
