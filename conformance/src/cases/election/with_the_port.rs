//! The port's leadership and the election recipe are one.

use super::super::prelude::*;
use crate::recipes::{called, coordinator, short};
use crate::waiting::{LONG, soon};
use linchpin_core::DEFAULT_GROUP;

cases! { Election "election";
    a_leader_of_the_port_is_seen [Ttl, Watch] LEADER_OF_THE_PORT_IS_SEEN
        "A leader that was acquired through the port is seen by the election called `default`";
    an_elected_leader_is_the_ports [Ttl, Watch] LEADER_OF_THE_PORT_IS_SEEN
        "The leader of the election called `default` is the port's leader";
    a_candidate_waits_for_a_leader_of_the_port [Ttl, Watch] LEADER_OF_THE_PORT_IS_SEEN
        "A candidate waits for a leader that was acquired through the port, and leads after it";
    the_port_does_not_cut_a_leader_short [Ttl, Watch] PORT_DOES_NOT_CUT_A_LEADER_SHORT
        "A leader that asks again through the port is told `true`, and its leadership is not cut short";
    the_port_can_end_a_leadership [Ttl, Watch] PORT_CAN_END_A_LEADERSHIP
        "`release_leadership` of a leader's own node ends its leadership, which is reported lost";
}

async fn a_leader_of_the_port_is_seen(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), coordinator(&ctx).await?);
    port.try_acquire_leadership("é*/1", ctx.ttl(LONG)).await?;
    let election = node.election(DEFAULT_GROUP);
    let leader = election.leader().await?.ok_or_else(|| Failure::new("the port's leader is not seen"))?;
    ensure_eq!((leader.node_id.as_str(), leader.value.len()), ("é*/1", 0), "the leader");
    ensure!(election.try_campaign().await?.is_none(), "two lead");
    Ok(())
}

async fn an_elected_leader_is_the_ports(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), called(&ctx, "n1").await?);
    let leads = node.election(DEFAULT_GROUP).value("v").campaign().await?;
    leads.proclaim("w").await?;
    ensure_eq!(port.get_leader().await?.as_deref(), Some("n1"), "the port's leader");
    ensure!(!port.try_acquire_leadership("n2", ctx.ttl(LONG)).await?, "two lead");
    ensure!(!port.release_leadership("n2").await?, "somebody else stepped down for it");
    ensure_eq!(port.stats().await?.current_leader.as_deref(), Some("n1"), "the leader in the stats");
    leads.resign().await?;
    ensure_eq!(port.get_leader().await?, None, "the port's leader after the resignation");
    Ok(())
}

async fn a_candidate_waits_for_a_leader_of_the_port(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), coordinator(&ctx).await?);
    port.try_acquire_leadership("p", ctx.ttl(LONG)).await?;
    let election = node.election(DEFAULT_GROUP);
    let waiting = tokio::spawn(async move { election.campaign().await });
    let settled = async || Ok(node.metrics().operations.get("watch").map(drop));
    crate::waiting::eventually("the candidate waits", settled).await?;
    ensure!(!waiting.is_finished(), "two lead");
    port.release_leadership("p").await?;
    let leads = soon("the election", waiting).await?.map_err(|error| Failure::new(error.to_string()))??;
    ensure_eq!(port.get_leader().await?.as_deref(), Some(node.node_id().as_str()), "the port's leader");
    leads.resign().await?;
    Ok(())
}

async fn the_port_does_not_cut_a_leader_short(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), called(&ctx, "n1").await?);
    let leads = node.election(DEFAULT_GROUP).ttl(short(&ctx) * 3).campaign().await?;
    ensure!(port.try_acquire_leadership("n1", short(&ctx)).await?, "the leader was refused through the port");
    ensure!(port.try_acquire_leadership("n1", ctx.ttl(LONG)).await?, "the leader was refused through the port");
    let lost = tokio::time::timeout(short(&ctx) * 4, leads.lost()).await;
    ensure!(lost.is_err(), "asking through the port cost the leader its leadership");
    ensure_eq!(port.get_leader().await?.as_deref(), Some("n1"), "the port's leader");
    Ok(())
}

async fn the_port_can_end_a_leadership(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), called(&ctx, "n1").await?);
    let leads = node.election(DEFAULT_GROUP).ttl(short(&ctx)).campaign().await?;
    ensure!(port.release_leadership("n1").await?, "the leader's own node could not step down");
    soon("the loss", leads.lost()).await?;
    ensure_eq!(port.get_leader().await?, None, "the port's leader");
    Ok(())
}
