//! Many clients whose connections break again and again, and a judge who sees everything that they were told.

use super::super::history::judged;
use super::super::prelude::*;
use super::writes::{first_answer, patience, trouble};
use crate::history::Workload;
use linchpin::RetryPolicy;
use linchpin_core::layers::Layers;

cases! { Faults "faults";
    histories_hold_while_connections_break [] HISTORIES_HOLD_WHILE_CONNECTIONS_BREAK
        "While connections break what clients are told is linearizable: an unknown write is applied once or never";
}

async fn histories_hold_while_connections_break(ctx: Context) -> CaseResult {
    const OPERATIONS: usize = 3_000;
    const HANDLES: usize = 4;
    let faults = ctx.faults()?.clone();
    let first_answer = first_answer(&ctx, HANDLES).await?;
    let layers = || Layers::default().retry(RetryPolicy::NEVER).timeout(patience(first_answer));
    let mut handles: Vec<Arc<dyn Driver>> = Vec::new();
    while handles.len() < HANDLES {
        handles.push(layers().wrap(ctx.another().await?));
    }
    let workload = Workload::new(fastrand::u64(..), OPERATIONS).clients(8).visibility(Duration::from_secs(1));
    let before = faults.proxy()?.taken();
    let troubled = tokio::spawn(trouble(faults.clone(), first_answer));
    // The last look at everything has to be answered.
    let proxy = faults.proxy()?;
    let calm = || {
        troubled.abort();
        proxy.mend();
    };
    let history = workload.run_then(&handles, calm).await;
    let summary = judged(&ctx, history).await?;
    // Who sends again what may have been lost, and counts it once, leaves nothing unknown.
    let broken = faults.proxy()?.taken() - before;
    ensure!(broken >= HANDLES, "{broken} connections broke, so nothing was tried: {summary}");
    ensure!(summary.committed > OPERATIONS / 100, "too little was done: {summary}");
    Ok(())
}
