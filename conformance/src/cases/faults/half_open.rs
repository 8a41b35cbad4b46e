//! Connections on which nothing comes any more although nobody has closed them.

use super::super::prelude::*;
use super::writes::{NEVER_SENT, TRIES, settled};
use super::{impatient, in_time, patient, until_back};
use crate::Direction;
use crate::calls::put;
use crate::readers::{Listener, Watcher};
use crate::waiting::soon;
use linchpin_core::Range;

cases! { Faults "faults";
    a_half_open_connection_is_noticed [Watch, Messages] HALF_OPEN_CONNECTION_IS_NOTICED
        "A watch and a subscription on a half-open connection come back by themselves, and the gap is marked";
    answers_that_never_come_are_unknown [] TIMED_OUT_WRITE_IS_UNKNOWN
        "A write whose answer is lost is `Unknown`, and it was applied once";
    requests_that_never_arrive_end_in_time [] SILENT_SERVER_IS_A_TIMEOUT
        "A call whose request is lost ends in time, and the handle works again afterwards";
}

async fn a_half_open_connection_is_noticed(ctx: Context) -> CaseResult {
    /// How long nothing comes: longer than an adapter may take to notice it.
    const SILENCE: Duration = Duration::from_secs(4);
    let (node, beside) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?);
    let (mut listener, channel, key) = (Listener::open(node.driver(), "*").await?, Channel::new("c")?, Key::new("k")?);
    put(beside.driver(), &key, "0").await?;
    let (mut watcher, _) = Watcher::synced(node.driver(), &Range::all()).await?;
    for way in [Direction::Requests, Direction::Answers] {
        ctx.faults()?.proxy()?.hold(way);
    }
    let version = put(beside.driver(), &key, "1").await?;
    beside.driver().publish(&channel, "lost, or late".into()).await?;
    tokio::time::sleep(SILENCE).await;
    // The old connections never come to life again: what was held back is lost with them.
    ctx.faults()?.proxy()?.cut();
    ctx.faults()?.proxy()?.mend();
    watcher.until(&key, version).await?;
    listener.gap().await?;
    beside.driver().publish(&channel, "after".into()).await?;
    ensure_eq!(listener.text().await?.1, "after", "the message after the gap");
    Ok(())
}

async fn answers_that_never_come_are_unknown(ctx: Context) -> CaseResult {
    let (node, beside) = (impatient(ctx.driver()).await?, impatient(ctx.beside().await?).await?);
    for _ in 0..TRIES {
        until_back("a read", || node.get("n")).await?;
        let before = node.incr("n", 1, None).await?;
        settled(&ctx.driver()).await?;
        ctx.faults()?.proxy()?.hold(Direction::Answers);
        let lost = in_time("incr", node.incr("n", 1, None)).await?;
        ctx.faults()?.proxy()?.cut();
        ctx.faults()?.proxy()?.mend();
        let error = fails_with(lost, ErrorKind::Timeout, "without an answer")?;
        let applied = beside.incr("n", 0, None).await? - before;
        if applied > 0 {
            ensure!(error.maybe_applied(), "a write whose answer was lost says that it was not applied: {error}");
            ensure_eq!(applied, 1, "how often the write was applied");
            until_back("a read", || node.get("n")).await?;
            ensure_eq!(node.incr("n", 1, None).await?, before + 2, "the counter after one more");
            return Ok(());
        }
    }
    Err(Failure::new(NEVER_SENT))
}

async fn requests_that_never_arrive_end_in_time(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    until_back("the first write", || node.set("k", b"0", None)).await?;
    ctx.faults()?.proxy()?.hold(Direction::Requests);
    for _ in 0..3 {
        let lost = in_time("a read", node.get("k")).await?;
        ensure!(lost.is_err(), "a read succeeded whose request was lost");
    }
    ctx.faults()?.proxy()?.cut();
    ctx.faults()?.proxy()?.mend();
    soon("a read", until_back("a read", || node.get("k"))).await??;
    Ok(())
}
