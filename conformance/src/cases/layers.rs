//! What goes around a driver: what is tried again, and for how long.

use super::prelude::*;
use crate::calls::put;
use crate::doubles::{Trouble, Troubled};
use crate::failure::here;
use crate::need::Need;
use crate::stream_calls::{append, claim, take_one};
use crate::waiting::{ON_THE_WAY, timed};
use futures::future::BoxFuture;
use linchpin_core::layers::{Layers, RetryPolicy};
use linchpin_core::{Action, Page, Pattern, Range, Record, Retention, Revision, Settlement, StreamName, TransactionId};

cases! { Errors "errors";
    what_may_have_been_applied_is_repeated_if_that_is_harmless [] RETRIES_APPLY_NOTHING_TWICE
        "`Unknown` is repeated only when the call is idempotent: a read, a check, an extend, what has an id, a claim";
    what_was_surely_not_applied_is_repeated [] RETRIES_APPLY_NOTHING_TWICE
        "`Safe` is repeated, whatever the call; a health check is not, it tells how it is now";
    what_will_not_help_is_not_repeated [] RETRIES_APPLY_NOTHING_TWICE
        "`Never` is not repeated, whatever the call";
    a_waiting_claim_is_repeated_for_what_is_left [Streams] WAITING_CLAIM_IS_REPEATED_FOR_WHAT_IS_LEFT
        "A claim that breaks while it waits is repeated for what is left of its wait, which does not count as time spent on retries";
}

type Answer = linchpin_core::Result<()>;

/// A call, and whether it may be repeated though it may have been applied.
struct CallKind {
    what: &'static str,
    harmless: bool,
    call: fn(Arc<dyn Driver>, Subjects) -> BoxFuture<'static, Answer>,
}

/// What the calls are about.
#[derive(Clone)]
struct Subjects {
    version: Revision,
    /// A delivery that is the caller's, where there are streams.
    settlement: Option<Settlement>,
}

macro_rules! asked {
    ($what:literal, $harmless:literal, |$driver:ident, $known:ident| $call:expr) => {
        CallKind {
            what: $what,
            harmless: $harmless,
            call: |$driver, $known| {
                Box::pin(async move {
                    let _ = &$known;
                    $call.map(|_| ())
                })
            },
        }
    };
}

fn key() -> linchpin_core::Result<Key> {
    Key::new("k")
}

/// Every call that the backend declares.
fn calls(ctx: &Context) -> Vec<CallKind> {
    let has = |need: Need| need.is_declared(ctx.capabilities());
    let mut calls = vec![
        asked!("a get", true, |driver, known| driver.get(&[key()?]).await),
        asked!("a scan", true, |driver, known| driver.scan(&Range::all(), &Page::first()).await),
        asked!("a check", true, |driver, known| driver.commit(&Transaction::new().present(key()?)).await),
        asked!("a clear", false, |driver, known| driver.clear("nobody/").await),
    ];
    if has(Need::TransactionIds) {
        calls.extend([
            asked!("a put", true, |driver, known| driver.commit(&Transaction::new().put(key()?, "2", None)).await),
            asked!("an add with an id", true, |driver, known| {
                driver.commit(&Transaction::new().add(Key::new("n")?, 1, None).with_id(TransactionId::random())).await
            }),
        ]);
    } else {
        calls.push(asked!("a put", false, |driver, known| driver
            .commit(&Transaction::new().put(key()?, "2", None))
            .await));
    }
    if has(Need::Ttl) {
        calls.push(asked!("an extend", true, |driver, known| {
            driver.commit(&Transaction::new().extend(key()?, known.version, Duration::from_mins(1))).await
        }));
    }
    if has(Need::Watch) {
        calls.push(asked!("a watch", true, |driver, known| driver.watch(&Range::all()).await));
    }
    if has(Need::Messages) {
        calls.extend([
            asked!("a publish", false, |driver, known| driver.publish(&Channel::new("c")?, "1".into()).await),
            asked!("a subscribe", true, |driver, known| driver.subscribe(&Pattern::new("*")?).await),
        ]);
    }
    if has(Need::Streams) {
        calls.extend(stream_calls(has(Need::RecordIds)));
    }
    calls
}

fn stream() -> linchpin_core::Result<StreamName> {
    StreamName::new("s")
}

fn stream_calls(ids: bool) -> Vec<CallKind> {
    let mut calls = vec![
        asked!("an inspect", true, |driver, known| driver.inspect(&stream()?).await),
        asked!("an append", false, |driver, known| driver.append(&stream()?, &[Record::new("2")]).await),
        asked!("a trim", false, |driver, known| driver.trim(&stream()?, Retention::Newest(100)).await),
        asked!("a claim", true, |driver, known| {
            driver.claim(&claim("s", "another", "m").map_err(|_| Error::closed("claim"))?).await
        }),
        asked!("a settlement", false, |driver, known| {
            driver.settle(&known.settlement.into_iter().collect::<Vec<_>>()).await
        }),
    ];
    if ids {
        calls.extend([
            asked!("an append with ids", true, |driver, known| {
                driver.append(&stream()?, &[Record::new("3").with_id("3")?, Record::new("4").with_id("4")?]).await
            }),
            asked!("an append of which one has no id", false, |driver, known| {
                driver.append(&stream()?, &[Record::new("5").with_id("5")?, Record::new("6")]).await
            }),
        ]);
    }
    calls
}

/// Makes each call once, through layers, on a driver whose first call is in this trouble: it must be attempted so
/// often, and succeed if it was repeated.
#[track_caller]
fn attempts(ctx: &Context, trouble: Trouble, expected: impl Fn(&CallKind) -> u32) -> impl Future<Output = CaseResult> {
    here(async move {
        let driver = ctx.driver();
        let version = put(&driver, &key()?, "1").await?;
        for asked in calls(ctx) {
            let mut settlement = None;
            if asked.what == "a settlement" {
                append(&driver, "s", &["1"]).await?;
                let held = take_one(&driver, claim("s", "settling", "m")?).await?;
                settlement = Some(Settlement { receipt: held.receipt, action: Action::Ack });
            }
            let troubled = Troubled::over(driver.clone(), trouble, 1);
            let layered = Layers::default().wrap(troubled.driver());
            let answered = (asked.call)(layered, Subjects { version, settlement }).await;
            let expected = expected(&asked);
            ensure_eq!(troubled.calls(), expected, "the attempts at {}, of which the first is in trouble", asked.what);
            ensure!(answered.is_ok() == (expected > 1), "{}, attempted {expected} times: {answered:?}", asked.what);
        }
        Ok(())
    })
}

async fn what_may_have_been_applied_is_repeated_if_that_is_harmless(ctx: Context) -> CaseResult {
    attempts(&ctx, Trouble::AnswerLost, |asked| if asked.harmless { 2 } else { 1 }).await
}

async fn what_was_surely_not_applied_is_repeated(ctx: Context) -> CaseResult {
    attempts(&ctx, Trouble::Away, |_| 2).await?;
    let troubled = Troubled::over(ctx.driver(), Trouble::Away, 1);
    let health = Layers::default().wrap(troubled.driver()).health().await;
    ensure!(health.is_err() && troubled.calls() == 1, "a health check was attempted {} times", troubled.calls());
    Ok(())
}

async fn what_will_not_help_is_not_repeated(ctx: Context) -> CaseResult {
    attempts(&ctx, Trouble::Hopeless, |_| 1).await
}

async fn a_waiting_claim_is_repeated_for_what_is_left(ctx: Context) -> CaseResult {
    let (wait, breaks_after) = (Duration::from_millis(1_800), Duration::from_millis(800));
    // Shorter than the claim has waited when it breaks.
    let total = Duration::from_millis(500);
    let policy = RetryPolicy { total, max_pause: total / 5, ..RetryPolicy::default() };
    let troubled = Troubled::over(ctx.driver(), Trouble::BreaksAfter(breaks_after), 1);
    let layered = Layers::default().retry(policy).wrap(troubled.driver());
    let waited = timed(layered.claim(&claim("nobody", "g", "m")?.wait(wait))).await?;
    ensure!(waited.value.is_empty(), "delivered: {:?}", waited.value);
    let asked = troubled.waits();
    ensure_eq!(asked.len(), 2, "the attempts at a claim that broke once while it waited: {asked:?}");
    ensure_eq!(asked[0], wait, "how long the first attempt waits");
    ensure!(
        asked[1] <= wait.saturating_sub(breaks_after),
        "of {wait:?} it had waited {breaks_after:?}, then it waits {:?}",
        asked[1]
    );
    let took = waited.answered - waited.sent;
    ensure!(took >= wait.mul_f64(0.9) && took <= wait + ON_THE_WAY, "a claim that waits {wait:?} ended after {took:?}");
    Ok(())
}
