//! What `close` ends, how soon, and what is said of what was under way.

use super::prelude::*;
use crate::calls::counter;
use crate::failure::here;
use crate::stream_calls::{append, claim, take_one, text};
use crate::waiting::{LONG, ON_THE_WAY, soon, timed};
use futures::StreamExt;
use linchpin_core::{Pattern, Range, Record, Retry, StreamName};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

cases! { Errors "errors";
    closing_ends_a_waiting_claim [Streams] CLOSING_ENDS_A_WAITING_CLAIM
        "`close` ends every wait of its handle with `Closed`, within a second: that of a claim";
    closing_ends_watches_in_time [Watch] CLOSING_ENDS_A_WAITING_CLAIM
        "`close` ends every wait of its handle, within a second: that for the next event of a watch";
    closing_ends_subscriptions_in_time [Messages] CLOSING_ENDS_A_WAITING_CLAIM
        "`close` ends every wait of its handle, within a second: that for the next message";
    a_claim_that_was_closed_holds_nothing [Streams] CLAIM_THAT_WAS_CLOSED_HOLDS_NOTHING
        "A claim that ended because its handle was closed takes nothing that is appended later";
    closed_leaves_no_doubt [] CLOSED_LEAVES_NO_DOUBT
        "A call on a handle that was closed before was surely not applied, and its error says so";
    closed_says_whether_there_is_doubt [] CLOSED_LEAVES_NO_DOUBT
        "A write under way when its handle is closed is done, or fails with `Closed`, which says if it may have been applied";
}

/// How long after `close` a wait may still last.
const IN_TIME: Duration = Duration::from_secs(1);

/// Long enough for a call that waits on purpose to have begun.
const BEGUN: Duration = Duration::from_millis(200);

/// Closes the handle once the wait has begun; what the wait ended with, which must be in time.
#[track_caller]
fn ends_in_time<T>(
    driver: &Arc<dyn Driver>,
    what: &str,
    wait: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Failure>> {
    here(async move {
        let closing = async {
            sleep(BEGUN).await;
            let closed = Instant::now();
            driver.close().await.map(|()| closed)
        };
        let wait = timed(async { Ok::<_, Failure>(wait.await) });
        let (waited, closed) = futures::join!(soon(format!("the end of {what} after close"), wait), closing);
        let (waited, closed) = (waited??, closed?);
        let late = waited.answered.saturating_duration_since(closed);
        ensure!(
            late <= IN_TIME + ON_THE_WAY,
            "{what} ended {late:?} after its handle was closed, not within {IN_TIME:?}"
        );
        Ok(waited.value)
    })
}

async fn closing_ends_a_waiting_claim(ctx: Context) -> CaseResult {
    for stream in ["s", "nobody"] {
        let driver = ctx.another().await?;
        if stream == "s" {
            append(&driver, stream, &["claimed by another"]).await?;
            take_one(&driver, claim(stream, "g", "m1")?.visibility(LONG)).await?;
        }
        let waiting = claim(stream, "g", "m2")?.wait(LONG);
        let ended = ends_in_time(&driver, "a waiting claim", driver.claim(&waiting)).await?;
        let error = fails_with(ended, ErrorKind::Closed, "a claim that waited when its handle was closed")?;
        ensure_eq!(error.retry(), Retry::Never, "whether to claim again on a closed handle");
    }
    Ok(())
}

async fn closing_ends_watches_in_time(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut watch = driver.watch(&Range::all()).await?;
    soon("Synced of a watch of nothing", watch.next()).await?;
    match ends_in_time(&driver, "the wait for an event", watch.next()).await? {
        None => Ok(()),
        Some(event) => fails_with(event, ErrorKind::Closed, "the next event of a closed handle's watch").map(|_| ()),
    }
}

async fn closing_ends_subscriptions_in_time(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut subscription = driver.subscribe(&Pattern::new("*")?).await?;
    match ends_in_time(&driver, "the wait for a message", subscription.next()).await? {
        None => Ok(()),
        Some(event) => {
            fails_with(event, ErrorKind::Closed, "the next event of a closed handle's subscription").map(|_| ())
        }
    }
}

async fn a_claim_that_was_closed_holds_nothing(ctx: Context) -> CaseResult {
    let other = ctx.driver();
    for round in 0..3 {
        let driver = ctx.another().await?;
        let waiting = claim("s", "g", "closed")?.wait(LONG).visibility(LONG);
        let ended = ends_in_time(&driver, "a waiting claim", driver.claim(&waiting)).await?;
        fails_with(ended, ErrorKind::Closed, "a claim that waited when its handle was closed")?;
        append(&other, "s", &[&round.to_string()]).await?;
        let delivery = take_one(&other, claim("s", "g", "next")?.visibility(LONG)).await?;
        ensure_eq!(text(&delivery), round.to_string(), "the record that was appended after the close");
        ensure_eq!(delivery.receipt.delivery, 1, "how often it was delivered");
    }
    Ok(())
}

async fn closed_leaves_no_doubt(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    driver.close().await?;
    let mut errors = vec![
        ("commit", driver.commit(&Transaction::new().put(key.clone(), "1", None)).await.err()),
        ("commit of an add", driver.commit(&Transaction::new().add(key.clone(), 1, None)).await.err()),
        ("get", driver.get(&[key]).await.err()),
        ("clear", driver.clear("").await.err()),
    ];
    if ctx.capabilities().messages.is_some() {
        errors.push(("publish", driver.publish(&Channel::new("c")?, "1".into()).await.err()));
    }
    if ctx.capabilities().streams.is_some() {
        let stream = StreamName::new("s")?;
        errors.push(("append", driver.append(&stream, &[Record::new("1")]).await.err()));
        errors.push(("claim", driver.claim(&claim("s", "g", "m")?.wait(LONG)).await.err()));
    }
    for (what, error) in errors {
        let error = error.ok_or_else(|| Failure::new(format!("{what} on a closed handle was answered")))?;
        let says = (error.kind(), error.retry(), error.maybe_applied());
        ensure_eq!(
            says,
            (ErrorKind::Closed, Retry::Never, false),
            "kind, retry and doubt of {what} on a closed handle"
        );
    }
    Ok(())
}

async fn closed_says_whether_there_is_doubt(ctx: Context) -> CaseResult {
    const WRITERS: usize = 8;
    let (reader, key) = (ctx.driver(), Key::new("hits")?);
    let driver = ctx.another().await?;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (driver, add) = (driver.clone(), Transaction::new().add(key.clone(), 1, None));
        // How many were answered, and the error that ended them.
        writers.spawn(async move {
            let mut done = 0_i64;
            loop {
                match driver.commit(&add).await {
                    Ok(_) => done += 1,
                    Err(error) => return (done, error),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    sleep(BEGUN).await;
    driver.close().await?;
    let (mut done, mut doubtful) = (0, 0);
    while let Some(ended) = soon("the end of a write under way when its handle is closed", writers.join_next()).await? {
        let (own, error) = ended.map_err(|error| Failure::new(format!("a writer panicked: {error}")))?;
        ensure_eq!(
            error.kind(),
            ErrorKind::Closed,
            "the error of a write under way when its handle is closed: {error}"
        );
        done += own;
        doubtful += i64::from(error.maybe_applied());
    }
    // What was on its way to the server arrives meanwhile.
    sleep(BEGUN).await;
    let counted = counter(&reader, &key).await?;
    let possible = done..=done + doubtful;
    ensure!(possible.contains(&counted), "{done} writes were done and {doubtful} may have been, but {counted} were");
    Ok(())
}
