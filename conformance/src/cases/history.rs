//! Many clients at once, and a judge who sees everything that they were told.

use super::prelude::*;
use crate::failure::here;
use crate::history::{History, Load, Recorder, Summary, Workload};
use crate::recipes::coordinator;
use crate::waiting::{ENOUGH, together};
use linchpin_core::Revision;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

cases! { History "history";
    state_is_linearizable [] ONE_OF_MANY_CREATORS_WINS
        "`get` and `commit` are linearizable: whatever many clients are told at once, one order explains it all";
    transactions_are_atomic_under_load [MultiKey] TRANSFERS_KEEP_THE_SUM
        "All or nothing, linearizable: nobody sees a part of a transaction, however many there are at once";
    streams_deliver_and_settle [Streams] CLAIM_IS_EXCLUSIVE
        "A group sees every record, one member at a time, until it is acknowledged, and never after that";
    locks_never_overlap [Ttl, Watch] ONE_HOLDER_AT_A_TIME
        "However many contend for a lock, no two hold it at the same time, and tokens grow in the order of holding";
}

/// How many operations the clients of all these cases do together; on a slow machine, or where much else goes on, a part
/// is enough.
const OPERATIONS: usize = 10_000;

/// Handles that the 16 clients share: connections of their own contend in other ways than one does.
const HANDLES: usize = 4;

async fn state_is_linearizable(ctx: Context) -> CaseResult {
    let summary = worked(&ctx, Load::State, OPERATIONS).await?;
    let enough = OPERATIONS / 100;
    ensure!(summary.reads > enough && summary.committed > enough, "too little was done: {summary}");
    ensure!(summary.refused > OPERATIONS / 1_000, "hardly a guard refused, so nobody contended: {summary}");
    Ok(())
}

async fn transactions_are_atomic_under_load(ctx: Context) -> CaseResult {
    let summary = worked(&ctx, Load::Transactions, OPERATIONS / 2).await?;
    let enough = OPERATIONS / 80;
    ensure!(summary.reads > enough && summary.committed > enough, "too little was done: {summary}");
    Ok(())
}

async fn streams_deliver_and_settle(ctx: Context) -> CaseResult {
    let summary = worked(&ctx, Load::Streams, OPERATIONS / 2).await?;
    ensure!(summary.appended > OPERATIONS / 80, "too little was done: {summary}");
    ensure!(summary.delivered > summary.appended, "two groups were delivered less than there was: {summary}");
    Ok(())
}

async fn locks_never_overlap(ctx: Context) -> CaseResult {
    const NODES: u32 = 6;
    const TURNS: u32 = 25;
    let (recorder, turns) = (Arc::new(Recorder::new()), Arc::new(AtomicUsize::new(0)));
    let (started, mut nodes) = (Instant::now(), Vec::new());
    for client in 0..NODES {
        let (node, recorder, turns) = (coordinator(&ctx).await?, recorder.clone(), turns.clone());
        nodes.push(async move {
            for turn in (0..TURNS).take_while(|_| started.elapsed() < ENOUGH) {
                turns.fetch_add(1, Ordering::Relaxed);
                let name = if (client + turn) % 3 == 0 { "back" } else { "front" };
                let called = recorder.now();
                let guard = node.lock(name).acquire().await?;
                let token = Revision(guard.token().0);
                recorder.acquired(client, name, called, token);
                // Long enough for another to be seen holding it too.
                tokio::time::sleep(Duration::from_millis(1)).await;
                recorder.releases(client, name, token);
                guard.release().await?;
            }
            Ok(())
        });
    }
    together(nodes).await?;
    let summary = judged(&ctx, History::of(&recorder, 0)).await?;
    ensure_eq!(summary.held, turns.load(Ordering::Relaxed), "how often a lock was held");
    Ok(())
}

/// What the judge says of a run on several handles, of which every call must be answered.
#[track_caller]
fn worked(ctx: &Context, load: Load, operations: usize) -> impl Future<Output = Result<Summary, Failure>> {
    here(async move {
        let mut handles = vec![ctx.driver()];
        while handles.len() < HANDLES {
            handles.push(ctx.another().await?);
        }
        let history = Workload::new(fastrand::u64(..), operations).load(load).run(&handles).await;
        let seed = history.seed;
        let summary = judged(ctx, history).await?;
        if let Some(error) = &summary.first_error {
            return Err(Failure::new(format!("a call failed, without any fault: {error}; {summary} (seed {seed})")));
        }
        ensure!(summary.operations >= operations / 20, "too little was done: {summary}");
        Ok(summary)
    })
}

/// What the judge says of a history. It is kept as JSON lines where `LINCHPIN_HISTORY_DIR` says, and somewhere in any
/// case if it must not be; a violation has the seed, and the operations that show what is wrong.
#[track_caller]
pub(super) fn judged(ctx: &Context, history: History) -> impl Future<Output = Result<Summary, Failure>> {
    here(async move {
        // It takes a processor for seconds: a thread of its own, or whatever else runs on this one is late.
        let judging = tokio::task::spawn_blocking(move || (history.check(), history)).await;
        let (verdict, history) = judging.map_err(|error| Failure::new(format!("the judge: {error}")))?;
        let wanted = std::env::var_os("LINCHPIN_HISTORY_DIR").filter(|dir| !dir.is_empty());
        let mut kept = String::new();
        if wanted.is_some() || verdict.is_err() {
            let dir = wanted.map_or_else(std::env::temp_dir, Into::into);
            let file = dir.join(format!("{}-{}.jsonl", ctx.capabilities().backend, ctx.namespace()));
            let written = std::fs::create_dir_all(&dir).and_then(|()| history.write_json_lines(&file));
            kept = match written {
                Ok(()) => format!("the whole history is in {}", file.display()),
                Err(error) => format!("the whole history could not be written to {}: {error}", file.display()),
            };
        }
        verdict.map_err(|violation| Failure::new(format!("{violation}\n{kept}")))
    })
}
