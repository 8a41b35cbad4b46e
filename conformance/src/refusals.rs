//! What is not declared is refused with `Unsupported`: one body per [`Need`](crate::Need).

use crate::case::CaseResult;
use crate::context::Context;
use crate::failure::{Failure, ensure, fails_with};
use crate::stream_calls::claim;
use linchpin_core::{
    Action, Channel, ErrorKind, GroupName, Key, Pattern, Position, Range, Receipt, Record, Result, Retention, Revision,
    Settlement, StreamName, Transaction, TransactionId,
};
use std::fmt::Debug;
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

#[track_caller]
fn unsupported<T: Debug>(result: Result<T>, what: &str) -> CaseResult {
    fails_with(result, ErrorKind::Unsupported, format_args!("{what}, which the backend does not declare")).map(|_| ())
}

pub(crate) async fn multi_key(ctx: Context) -> CaseResult {
    let (a, b) = (Key::new("a")?, Key::new("b")?);
    let two = Transaction::new().put(a.clone(), "1", None).put(b.clone(), "1", None);
    unsupported(ctx.driver().commit(&two).await, "a commit that writes two keys")?;
    let guarded = Transaction::new().absent(a.clone()).put(b.clone(), "1", None);
    unsupported(ctx.driver().commit(&guarded).await, "a commit that guards another key than it writes")?;
    let stored = ctx.driver().get(&[a, b]).await?;
    ensure!(stored.entries.iter().all(Option::is_none), "a refused transaction was applied");
    Ok(())
}

pub(crate) async fn transaction_ids(ctx: Context) -> CaseResult {
    let named = Transaction::new().put(Key::new("a")?, "1", None).with_id(TransactionId::random());
    unsupported(ctx.driver().commit(&named).await, "a transaction with an id")
}

pub(crate) async fn prefix_guards(ctx: Context) -> CaseResult {
    let key = Key::new("a")?;
    let guarded = Transaction::new().prefix_absent(key.clone()).put(key, "1", None);
    unsupported(ctx.driver().commit(&guarded).await, "a guard on a prefix")
}

pub(crate) async fn ttl(ctx: Context) -> CaseResult {
    let key = Key::new("a")?;
    let put = Transaction::new().put(key.clone(), "1", Some(MINUTE));
    unsupported(ctx.driver().commit(&put).await, "a put with a ttl")?;
    let add = Transaction::new().add(key.clone(), 1, Some(MINUTE));
    unsupported(ctx.driver().commit(&add).await, "an add with a ttl")?;
    let extend = Transaction::new().extend(key, Revision(1), MINUTE);
    unsupported(ctx.driver().commit(&extend).await, "extending a ttl")
}

pub(crate) async fn watch(ctx: Context) -> CaseResult {
    let watch = ctx.driver().watch(&Range::all()).await;
    unsupported(watch.map(|_| "a watch"), "a watch")
}

pub(crate) async fn messages(ctx: Context) -> CaseResult {
    let published = ctx.driver().publish(&Channel::new("a")?, "hello".into()).await;
    unsupported(published, "a message")?;
    let subscription = ctx.driver().subscribe(&Pattern::new("*")?).await;
    unsupported(subscription.map(|_| "a subscription"), "a subscription")
}

pub(crate) async fn streams(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    unsupported(driver.append(&stream, &[Record::new("hello")]).await, "an append")?;
    unsupported(driver.claim(&claim("s", "g", "m")?).await, "a claim")?;
    unsupported(driver.settle(&[settlement(Action::Ack)?]).await, "a settlement")?;
    unsupported(driver.inspect(&stream).await, "looking at a stream")?;
    unsupported(driver.trim(&stream, Retention::Newest(1)).await, "trimming a stream")?;
    unsupported(driver.remove_group(&stream, &GroupName::new("g")?).await, "removing a group")
}

pub(crate) async fn record_ids(ctx: Context) -> CaseResult {
    let record = Record::new("hello").with_id("1")?;
    unsupported(ctx.driver().append(&StreamName::new("s")?, &[record]).await, "a record with an id")
}

pub(crate) async fn delays(ctx: Context) -> CaseResult {
    let record = Record::new("hello").with_delay(MINUTE);
    unsupported(ctx.driver().append(&StreamName::new("s")?, &[record]).await, "a delayed record")?;
    let retry = settlement(Action::Retry { after: MINUTE })?;
    unsupported(ctx.driver().settle(&[retry]).await, "a delayed retry")
}

pub(crate) async fn dead_letters(ctx: Context) -> CaseResult {
    let limited = claim("s", "g", "m")?.max_deliveries(3);
    unsupported(ctx.driver().claim(&limited).await, "a claim that gives up after some deliveries")?;
    let reject = settlement(Action::Reject { reason: "broken".to_owned() })?;
    unsupported(ctx.driver().settle(&[reject]).await, "rejecting a record")
}

/// A settlement of a delivery that never was: it must be refused before anybody could notice that.
#[track_caller]
fn settlement(action: Action) -> Result<Settlement, Failure> {
    let claim = claim("s", "g", "m")?;
    let receipt = Receipt { stream: claim.stream, group: claim.group, position: Position(1), delivery: 1 };
    Ok(Settlement { receipt, action })
}
