//! The port's nodes and the members recipe are one.

use super::super::prelude::*;
use crate::recipes::{called, coordinator, kept};
use crate::waiting::LONG;
use linchpin_core::DEFAULT_GROUP;

cases! { Members "members";
    a_node_of_the_port_is_seen [Ttl] NODE_OF_THE_PORT_IS_SEEN
        "A node that was registered through the port is seen by the members of the group `default`";
    a_member_is_a_node_of_the_port [Ttl] NODE_OF_THE_PORT_IS_SEEN
        "A member of the group `default` is a node of the port, with its metadata";
    a_heartbeat_of_the_port_spares_a_member [Ttl] HEARTBEAT_OF_THE_PORT_SPARES_A_MEMBER
        "Heartbeats and registrations through the port do not take a member off the list";
}

async fn a_node_of_the_port_is_seen(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), coordinator(&ctx).await?);
    port.register_node("plain", None).await?;
    port.register_node("é*/1", Some(b"\0m")).await?;
    port.heartbeat("stranger", ctx.ttl(LONG)).await?;
    let members = node.members(DEFAULT_GROUP).list().await?;
    let told: Vec<_> = members.iter().map(|member| (member.id.as_str(), &member.metadata[..])).collect();
    ensure_eq!(told, [("plain", &b"{}"[..]), ("stranger", b"{}"), ("é*/1", b"\0m")], "the members");
    ensure!(members.iter().all(|member| member.capabilities.is_empty()), "capabilities came from nowhere: {members:?}");
    Ok(())
}

async fn a_member_is_a_node_of_the_port(ctx: Context) -> CaseResult {
    let (port, node) = (ctx.port(), called(&ctx, "n1").await?);
    let member = node.members(DEFAULT_GROUP).metadata("\0m").capabilities(["c"]).join().await?;
    let _elsewhere = node.members("others").id("n2").join().await?;
    ensure_eq!(port.list_nodes().await?, ["n1"], "the nodes");
    ensure_eq!(port.get_node_metadata("n1").await?.as_deref(), Some(&b"\0m"[..]), "the metadata");
    ensure_eq!(port.stats().await?.cluster_size, 1, "the size of the cluster");
    member.leave().await?;
    ensure_eq!(port.list_nodes().await?, Vec::<String>::new(), "the nodes after it left");
    Ok(())
}

async fn a_heartbeat_of_the_port_spares_a_member(ctx: Context) -> CaseResult {
    let (port, node, ttl) = (ctx.port(), called(&ctx, "n1").await?, kept(&ctx));
    let _member = node.members(DEFAULT_GROUP).metadata("m").ttl(ttl * 2).join().await?;
    // One that would end it before its next renewal, one that lengthens it, and a registration.
    port.heartbeat("n1", ttl / 4).await?;
    let until = std::time::Instant::now() + ttl * 3;
    while std::time::Instant::now() < until {
        ensure_eq!(port.list_nodes().await?, ["n1"], "the nodes");
        tokio::time::sleep(ttl / 10).await;
    }
    port.heartbeat("n1", ctx.ttl(LONG)).await?;
    port.register_node("n1", Some(b"by the port")).await?;
    tokio::time::sleep(ttl).await;
    ensure_eq!(port.get_node_metadata("n1").await?.as_deref(), Some(&b"by the port"[..]), "the metadata");
    Ok(())
}
