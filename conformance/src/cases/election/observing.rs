//! Watching who leads.

use super::super::prelude::*;
use crate::failure::here;
use crate::recipes::{called, coordinator, short};
use crate::waiting::{ON_THE_WAY, soon};
use futures::StreamExt;
use linchpin::Leader;
use linchpin::election::LeaderStream;

cases! { Election "election";
    an_observer_is_told_who_leads_now [Ttl, Watch] OBSERVER_IS_TOLD_WHO_LEADS_NOW
        "`observe` tells first who leads now, or that nobody does";
    every_leader_is_told_in_order [Ttl, Watch] OBSERVER_IS_TOLD_WHO_LEADS_NOW
        "`observe` tells all leaders in the order of their terms, what they proclaim, and that nobody leads";
    the_last_leader_is_never_missed [Ttl, Watch] LAST_LEADER_IS_NEVER_MISSED
        "An observer that reads too slowly may miss leaders in between, never the last one";
    an_expired_leader_is_told [Ttl, Watch] EXPIRED_LEADER_IS_TOLD
        "`observe` tells that a leader has died once its TTL has passed";
}

#[track_caller]
fn next(leaders: &mut LeaderStream) -> impl Future<Output = Result<Option<Leader>, Failure>> {
    here(async move {
        let told = soon("the next leader", leaders.next()).await?;
        Ok(told.ok_or_else(|| Failure::new("the observation ended by itself"))??)
    })
}

async fn an_observer_is_told_who_leads_now(ctx: Context) -> CaseResult {
    let (node, other) = (called(&ctx, "n1").await?, coordinator(&ctx).await?);
    ensure_eq!(next(&mut other.election("e").observe().await?).await?, None, "who leads when nobody does");
    let leads = node.election("e").value("v").campaign().await?;
    let told = next(&mut other.election("e").observe().await?).await?;
    let told = told.ok_or_else(|| Failure::new("nobody was told to lead"))?;
    ensure_eq!((told.node_id.as_str(), told.term, &told.value[..]), ("n1", leads.term(), &b"v"[..]), "who leads");
    Ok(())
}

async fn every_leader_is_told_in_order(ctx: Context) -> CaseResult {
    let observer = coordinator(&ctx).await?;
    let mut leaders = observer.election("e").observe().await?;
    ensure_eq!(next(&mut leaders).await?, None, "who leads when nobody does");
    for round in 0..5 {
        let node = called(&ctx, &format!("n{round}")).await?;
        let leads = node.election("e").value("elected").campaign().await?;
        let told = next(&mut leaders).await?.ok_or_else(|| Failure::new("the leader was not told"))?;
        ensure_eq!((told.term, &told.value[..]), (leads.term(), &b"elected"[..]), "the leader of round {round}");
        leads.proclaim("ready").await?;
        let told = next(&mut leaders).await?.ok_or_else(|| Failure::new("the proclamation was not told"))?;
        ensure_eq!((told.term, &told.value[..]), (leads.term(), &b"ready"[..]), "what was proclaimed");
        leads.resign().await?;
        ensure_eq!(next(&mut leaders).await?, None, "who leads after the resignation");
    }
    Ok(())
}

async fn the_last_leader_is_never_missed(ctx: Context) -> CaseResult {
    const TERMS: usize = 300;
    let (node, observer) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let mut leaders = observer.election("e").observe().await?;
    for _ in 0..TERMS {
        let leads = node.election("e").try_campaign().await?;
        leads.ok_or_else(|| Failure::new("nobody leads, but a candidate was refused"))?.resign().await?;
    }
    let last = node.election("e").campaign().await?;
    let mut newest = None;
    while newest != Some(last.term()) {
        if let Some(leader) = next(&mut leaders).await? {
            ensure!(Some(leader.term) > newest, "term {} was told after {newest:?}", leader.term);
            newest = Some(leader.term);
        }
    }
    Ok(())
}

async fn an_expired_leader_is_told(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = crate::recipes::node(&ctx).await?;
    let ttl = short(&ctx);
    let leads = doomed.election("e").ttl(ttl).campaign().await?;
    let mut leaders = coordinator(&ctx).await?.election("e").observe().await?;
    ensure_eq!(next(&mut leaders).await?.map(|leader| leader.term), Some(leads.term()), "who leads");
    its_driver.close().await?;
    let closed = std::time::Instant::now();
    ensure_eq!(next(&mut leaders).await?, None, "who leads after the death of the leader");
    let (took, limit) = (closed.elapsed(), ttl + ctx.ttl_slack() + ON_THE_WAY);
    ensure!(took <= limit, "the death was told after {took:?}, the limit is {limit:?}");
    Ok(())
}
