//! How things fail.

use super::prelude::*;
use crate::calls::{add, counter, present, put};
use crate::doubles::{Trouble, Troubled};
use crate::failure::here;
use crate::readers::Listener;
use crate::stream_calls::{append, claim, take_one};
use crate::waiting::{soon, timed};
use futures::StreamExt;
use linchpin::Coordinator;
use linchpin_core::layers::{Layers, RetryPolicy};
use linchpin_core::{Action, Area, GroupName, Page, Pattern, Range, Record, Retention, Retry, Settlement, StreamName};
use std::error::Error as _;
use std::fmt;

cases! { Errors "errors";
    an_oversize_value_is_told_by_its_key [] OVERSIZE_VALUE_IS_TOLD_BY_ITS_KEY
        "An error has its operation and key; no payload";
    an_oversize_message_is_told_by_its_channel [Messages] OVERSIZE_VALUE_IS_TOLD_BY_ITS_KEY
        "An error has its operation and channel; no payload";
    an_oversize_record_is_told_by_its_stream [Streams] OVERSIZE_VALUE_IS_TOLD_BY_ITS_KEY
        "An error has its operation and stream; no payload";
    a_conflict_is_told_by_its_key [] OVERSIZE_VALUE_IS_TOLD_BY_ITS_KEY
        "An error has its operation and key: of a counter that is none";
    what_is_refused_was_not_applied [] WHAT_IS_REFUSED_WAS_NOT_APPLIED
        "Retry: `Never`, sending it again will not help; nothing was sent";
    display_is_one_line [] DISPLAY_IS_ONE_LINE
        "Display: one line, lower case, no secret, no payload";
    a_closed_handle_answers_closed [] CLOSED_HANDLE_ANSWERS_CLOSED
        "After `close`, later calls fail with `Closed`";
    a_closed_handle_has_no_messages [Messages] CLOSED_HANDLE_ANSWERS_CLOSED
        "After `close`, later calls fail with `Closed`: publishing and subscribing too";
    a_closed_handle_has_no_streams [Streams] CLOSED_HANDLE_ANSWERS_CLOSED
        "After `close`, later calls fail with `Closed`: every call about streams too";
    a_closed_handle_watches_nothing [Watch] CLOSED_HANDLE_WATCHES_NOTHING
        "`close` ends watches; later ones fail with `Closed`";
    closing_ends_subscriptions [Messages] CLOSED_HANDLE_WATCHES_NOTHING
        "`close` ends subscriptions";
    closing_twice_does_nothing [] CLOSING_TWICE_DOES_NOTHING
        "A second `close` does nothing";
    closing_one_handle_leaves_the_others [] CLOSING_ONE_HANDLE_LEAVES_THE_OTHERS
        "`close` ends a handle's background tasks and connections, and no other handle's";
    a_lost_answer_is_not_applied_twice [TransactionIds] RETRIES_APPLY_NOTHING_TWICE
        "`Unknown` is repeated only when the call is idempotent, as a transaction with an id is: nothing is applied twice";
    exhausted_retries_say_never [] EXHAUSTED_RETRIES_SAY_NEVER
        "After the last attempt the error is marked `Never`, and still says whether it may have been applied";
    an_attempt_ends_in_time [] ATTEMPT_ENDS_IN_TIME
        "An attempt that gets no answer ends after its timeout: a write may have been applied then, a read was not";
}

/// What no error may show: part of a value.
const PAYLOAD: &str = "top-secret-payload";

/// `size` bytes that would be recognized in an error.
fn payload(size: usize) -> Vec<u8> {
    PAYLOAD.bytes().cycle().take(size).collect()
}

/// Whether the error is written as the contract says.
#[track_caller]
fn is_well_written(error: &Error) -> CaseResult {
    let text = error.to_string();
    ensure!(!text.contains('\n') && text.len() < 500, "not one short line: {text:?}");
    ensure!(!text.starts_with(char::is_uppercase), "it starts with a capital: {text:?}");
    ensure!(text.starts_with(error.operation()), "{text:?} does not start with its operation {:?}", error.operation());
    ensure!(!text.contains(PAYLOAD) && !format!("{error:?}").contains(PAYLOAD), "the payload is in it: {error:?}");
    let said_twice = error.source().is_some_and(|source| text.contains(&source.to_string()));
    ensure!(!said_twice, "the source is in it as well as behind it: {text:?}");
    Ok(())
}

async fn an_oversize_value_is_told_by_its_key(ctx: Context) -> CaseResult {
    let value = payload(ctx.capabilities().limits.value + 1);
    let put = Transaction::new().put(Key::new("order:7")?, value, None);
    let error = fails_with(ctx.driver().commit(&put).await, ErrorKind::InvalidArgument, "a value over the limit")?;
    ensure_eq!((error.operation(), error.subject()), ("commit", Some("order:7")), "operation and key");
    is_well_written(&error)
}

async fn an_oversize_message_is_told_by_its_channel(ctx: Context) -> CaseResult {
    let message = payload(ctx.capabilities().limits.message + 1);
    let published = ctx.driver().publish(&Channel::new("news")?, message.into()).await;
    let error = fails_with(published, ErrorKind::InvalidArgument, "a message over the limit")?;
    ensure_eq!((error.operation(), error.subject()), ("publish", Some("news")), "operation and channel");
    is_well_written(&error)
}

async fn an_oversize_record_is_told_by_its_stream(ctx: Context) -> CaseResult {
    let record = Record::new(payload(ctx.capabilities().limits.record + 1));
    let appended = ctx.driver().append(&StreamName::new("orders")?, &[record]).await;
    let error = fails_with(appended, ErrorKind::InvalidArgument, "a record over the limit")?;
    ensure_eq!((error.operation(), error.subject()), ("append", Some("orders")), "operation and stream");
    is_well_written(&error)
}

async fn a_conflict_is_told_by_its_key(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    put(&driver, &key, PAYLOAD).await?;
    let added = driver.commit(&Transaction::new().add(key, 1, None)).await;
    let error = fails_with(added, ErrorKind::Conflict, "adding to text")?;
    ensure_eq!((error.operation(), error.subject()), ("commit", Some("hits")), "operation and key");
    is_well_written(&error)
}

async fn what_is_refused_was_not_applied(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "no number").await?;
    let twice = Transaction::new().put(key.clone(), "1", None).delete(key.clone());
    let add = Transaction::new().add(key, 1, None);
    for (transaction, kind) in [(twice, ErrorKind::InvalidArgument), (add, ErrorKind::Conflict)] {
        let error = fails_with(driver.commit(&transaction).await, kind, format!("{transaction:?}"))?;
        ensure_eq!(error.retry(), Retry::Never, "whether to send {transaction:?} again");
        ensure!(!error.maybe_applied() && !error.is_transient(), "it was surely not applied: {error:?}");
    }
    Ok(())
}

async fn display_is_one_line(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let hostile = Key::new(format!("a\nb\t{}", "x".repeat(400)))?;
    put(&driver, &hostile, PAYLOAD).await?;
    let add = Transaction::new().add(hostile.clone(), 1, None);
    is_well_written(&fails_with(driver.commit(&add).await, ErrorKind::Conflict, "adding to text")?)?;
    let twice = Transaction::new().put(hostile.clone(), PAYLOAD, None).delete(hostile);
    is_well_written(&fails_with(driver.commit(&twice).await, ErrorKind::InvalidArgument, "a key changed twice")?)?;
    let page = Page { limit: 0, ..Page::first() };
    is_well_written(&fails_with(driver.scan(&Range::all(), &page).await, ErrorKind::InvalidArgument, "no page")?)?;
    driver.close().await?;
    is_well_written(&fails_with(driver.get(&[]).await, ErrorKind::Closed, "a closed handle")?)
}

/// The call must fail because its handle was closed.
#[track_caller]
fn closed<T: fmt::Debug>(result: linchpin_core::Result<T>, what: &str) -> CaseResult {
    fails_with(result, ErrorKind::Closed, format_args!("{what} on a closed handle")).map(|_| ())
}

async fn a_closed_handle_answers_closed(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    driver.close().await?;
    closed(driver.get(std::slice::from_ref(&key)).await, "get")?;
    closed(driver.scan(&Range::all(), &Page::first()).await, "scan")?;
    closed(driver.commit(&Transaction::new().put(key.clone(), "1", None)).await, "commit")?;
    closed(driver.clear("").await, "clear")?;
    closed(driver.health().await, "health")?;
    closed(ctx.driver().get(&[key]).await, "get on a clone of it")?;
    ensure!(!driver.capabilities().backend.is_empty(), "a closed handle does not know its backend any more");
    Ok(())
}

async fn a_closed_handle_has_no_messages(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    driver.close().await?;
    closed(driver.publish(&Channel::new("c")?, "1".into()).await, "publish")?;
    closed(driver.subscribe(&Pattern::new("*")?).await.map(|_| "a subscription"), "subscribe")
}

async fn a_closed_handle_has_no_streams(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1"]).await?;
    let receipt = take_one(&driver, claim("s", "g", "m")?).await?.receipt;
    driver.close().await?;
    closed(driver.append(&stream, &[Record::new("2")]).await, "append")?;
    closed(driver.claim(&claim("s", "g", "m")?).await, "claim")?;
    closed(driver.settle(&[Settlement { receipt, action: Action::Ack }]).await, "settle")?;
    closed(driver.inspect(&stream).await, "inspect")?;
    closed(driver.trim(&stream, Retention::Newest(0)).await, "trim")?;
    closed(driver.remove_group(&stream, &GroupName::new("g")?).await, "remove_group")
}

async fn a_closed_handle_watches_nothing(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut watch = driver.watch(&Range::all()).await?;
    driver.close().await?;
    // What was under way may still come; then it ends.
    while let Some(event) = soon("the end of a closed handle's watch", watch.next()).await? {
        if let Err(error) = event {
            ensure_eq!(error.kind(), ErrorKind::Closed, "the error that ends a closed handle's watch");
        }
    }
    closed(driver.watch(&Range::all()).await.map(|_| "a watch"), "watch")
}

async fn closing_ends_subscriptions(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut subscription = driver.subscribe(&Pattern::new("*")?).await?;
    let mut other = Listener::open(&ctx.another().await?, "*").await?;
    driver.close().await?;
    while let Some(event) = soon("the end of a closed handle's subscription", subscription.next()).await? {
        if let Err(error) = event {
            ensure_eq!(error.kind(), ErrorKind::Closed, "the error that ends a closed handle's subscription");
        }
    }
    ctx.another().await?.publish(&Channel::new("c")?, "1".into()).await?;
    ensure_eq!(other.text().await?.1, "1", "what another handle's subscriber is told");
    Ok(())
}

async fn closing_twice_does_nothing(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for _ in 0..3 {
        driver.close().await?;
    }
    ctx.driver().close().await?;
    Ok(())
}

async fn closing_one_handle_leaves_the_others(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    for n in 0..3 {
        let other = ctx.another().await?;
        put(&other, &key, n.to_string()).await?;
        other.close().await?;
        ensure_eq!(present(&driver, &key).await?.value, n.to_string(), "the value, read by a handle that is open");
    }
    Ok(())
}

/// A driver of which some calls are in trouble, and the same with layers around it.
fn troubled(ctx: &Context, trouble: Trouble, calls: u32, layers: Layers) -> (Troubled, Arc<dyn Driver>) {
    let troubled = Troubled::over(ctx.driver(), trouble, calls);
    (troubled.clone(), layers.wrap(troubled.driver()))
}

async fn a_lost_answer_is_not_applied_twice(ctx: Context) -> CaseResult {
    const LOST: u32 = 3;
    let key = Area::USER.key("hits")?;
    let (lossy, driver) = troubled(&ctx, Trouble::AnswerLost, LOST, Layers::default());
    ensure_eq!(add(&driver, &key, 1).await?, 1, "the counter, as the last attempt was told");
    ensure_eq!(lossy.calls(), LOST + 1, "the attempts");
    let lossy = Troubled::over(ctx.driver(), Trouble::AnswerLost, LOST);
    let node = Coordinator::over(lossy.driver()).connect().await?;
    ensure_eq!(node.incr("hits", 1, None).await?, 2, "the counter, as the port was told");
    ensure_eq!(counter(&ctx.driver(), &key).await?, 2, "the counter after it was added to twice");
    if ctx.capabilities().streams.is_some() {
        a_record_without_an_id_is_sent_once(&ctx).await?;
    }
    Ok(())
}

async fn a_record_without_an_id_is_sent_once(ctx: &Context) -> CaseResult {
    let (stream, record) = (StreamName::new("s")?, Record::new("1"));
    let (lossy, driver) = troubled(ctx, Trouble::AnswerLost, 1, Layers::default());
    let appended = driver.append(&stream, &[record]).await;
    let error = fails_with(appended, ErrorKind::Timeout, "an append whose answer is lost")?;
    ensure_eq!((error.retry(), error.maybe_applied()), (Retry::Never, true), "what its error says");
    ensure_eq!(lossy.calls(), 1, "how often a record without an id was sent");
    ensure_eq!(ctx.driver().inspect(&stream).await?.length, 1, "the records in the stream");
    Ok(())
}

async fn exhausted_retries_say_never(ctx: Context) -> CaseResult {
    const ATTEMPTS: u32 = 3;
    let (key, policy) = (Key::new("k")?, RetryPolicy { attempts: ATTEMPTS, ..RetryPolicy::default() });
    let (away, driver) = troubled(&ctx, Trouble::NeverArrives, u32::MAX, Layers::default().retry(policy));
    let written = driver.commit(&Transaction::new().put(key.clone(), "1", None)).await;
    let error = fails_with(written, ErrorKind::Timeout, "a write that always fails")?;
    ensure_eq!((error.retry(), error.maybe_applied()), (Retry::Never, true), "what the write's error says");
    // Where it can have no id, it might be applied twice.
    let attempts = ctx.capabilities().transaction_ids.map_or(1, |_| ATTEMPTS);
    ensure_eq!(away.calls(), attempts, "the attempts to write");
    let error = fails_with(driver.get(&[key]).await, ErrorKind::Timeout, "a read that always fails")?;
    ensure_eq!((error.retry(), error.maybe_applied()), (Retry::Never, false), "what the read's error says");
    ensure_eq!(away.calls() - attempts, ATTEMPTS, "the attempts to read");
    Ok(())
}

/// The error of a call that nobody answers; it must come within twice the time that an attempt has.
#[track_caller]
fn given_up<T: fmt::Debug>(
    what: &str,
    limit: Duration,
    call: impl Future<Output = linchpin_core::Result<T>>,
) -> impl Future<Output = Result<Error, Failure>> {
    here(async move {
        let ended = timed(soon(what, call)).await?;
        let took = ended.answered - ended.sent;
        ensure!(took >= limit && took <= limit * 2, "{what} has {limit:?} for an attempt, and ended after {took:?}");
        fails_with(ended.value, ErrorKind::Timeout, what)
    })
}

async fn an_attempt_ends_in_time(ctx: Context) -> CaseResult {
    let (key, limit) = (Key::new("k")?, Duration::from_millis(500));
    let layers = Layers::default().timeout(limit).retry(RetryPolicy::NEVER);
    let (_, driver) = troubled(&ctx, Trouble::Hangs, u32::MAX, layers);
    let error = given_up("a read that nobody answers", limit, driver.get(std::slice::from_ref(&key))).await?;
    ensure!(!error.maybe_applied(), "a read says that it may have been applied: {error}");
    let put = Transaction::new().put(key, "1", None);
    let error = given_up("a write that nobody answers", limit, driver.commit(&put)).await?;
    ensure!(error.maybe_applied(), "a write that may have been applied says that it was not: {error}");
    Ok(())
}
