//! Nodes.

use super::super::prelude::*;
use crate::calls::present;
use crate::failure::here;
use crate::waiting::{LONG, timed};
use linchpin_core::{Area, DEFAULT_GROUP};

cases! { Port "port";
    a_registered_node_is_listed [Ttl] REGISTERED_NODE_IS_LISTED
        "`register_node` announces a node; `list_nodes`: the nodes that are alive, ascending";
    a_node_has_its_metadata [Ttl] NODE_HAS_ITS_METADATA
        "`get_node_metadata`: the metadata of a node that is alive; without any it has `{}`";
    registering_again_replaces_the_metadata [Ttl] NODE_HAS_ITS_METADATA
        "`register_node` announces a node with the metadata given";
    a_registration_lasts_a_minute [Ttl] REGISTRATION_LASTS_A_MINUTE
        "`register_node` announces a node: it is listed for 60 seconds, or as long as its heartbeats say";
    a_heartbeat_alone_expires_a_node [Ttl] HEARTBEATS_KEEP_A_NODE
        "`heartbeat` keeps a node listed for `ttl` from now: this TTL alone is what expires it";
    heartbeats_keep_a_node [Ttl] HEARTBEATS_KEEP_A_NODE
        "`heartbeat` keeps a node listed for `ttl` from now, each time again";
    a_late_heartbeat_lists_it_again [Ttl] LATE_HEARTBEAT_LISTS_IT_AGAIN
        "A node that had expired is listed again, with the metadata that this handle registered it with";
    a_heartbeat_of_a_stranger_lists_it [Ttl] LATE_HEARTBEAT_LISTS_IT_AGAIN
        "`heartbeat` keeps a node listed for `ttl` from now, also one that nobody registered";
}

const SHORT: Duration = Duration::from_millis(300);

async fn a_registered_node_is_listed(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    ensure_eq!(other.list_nodes().await?, Vec::<String>::new(), "the nodes before");
    for node in ["node-2", "node-10", "Node/1", "é*"] {
        port.register_node(node, None).await?;
    }
    other.register_node("node-1", None).await?;
    ensure_eq!(other.list_nodes().await?, ["Node/1", "node-1", "node-10", "node-2", "é*"], "the nodes");
    ensure_eq!(port.list_nodes().await?, other.list_nodes().await?, "the nodes of both handles");
    Ok(())
}

async fn a_node_has_its_metadata(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    port.register_node("plain", None).await?;
    port.register_node("rich", Some(&bytes)).await?;
    port.register_node("empty", Some(b"")).await?;
    ensure_eq!(other.get_node_metadata("plain").await?.as_deref(), Some(&b"{}"[..]), "without metadata");
    ensure_eq!(other.get_node_metadata("rich").await?, Some(bytes), "with metadata");
    ensure_eq!(other.get_node_metadata("empty").await?.as_deref(), Some(&b""[..]), "with empty metadata");
    ensure_eq!(other.get_node_metadata("nobody").await?, None, "the metadata of no node");
    Ok(())
}

async fn registering_again_replaces_the_metadata(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    port.register_node("n", Some(b"1")).await?;
    other.register_node("n", Some(b"2")).await?;
    ensure_eq!(port.get_node_metadata("n").await?.as_deref(), Some(&b"2"[..]), "the metadata");
    port.register_node("n", None).await?;
    ensure_eq!(port.get_node_metadata("n").await?.as_deref(), Some(&b"{}"[..]), "the metadata");
    ensure_eq!(port.list_nodes().await?, ["n"], "the nodes");
    Ok(())
}

/// Sends a heartbeat and waits until the node is not listed any more, which must be in time.
#[track_caller]
fn expires_after_heartbeat(
    ctx: &Context,
    port: &dyn DistributedCoordination,
    node: &str,
) -> impl Future<Output = CaseResult> {
    here(async move {
        let ttl = ctx.ttl(SHORT);
        let beat = timed(port.heartbeat(node, ttl)).await?;
        let look = async || Ok((!port.list_nodes().await?.iter().any(|listed| listed == node)).then_some(()));
        beat.window(ttl, ctx.ttl_slack()).sees(format!("the end of {node:?}"), look).await?;
        ensure_eq!(port.get_node_metadata(node).await?, None, "the metadata of a node that expired");
        Ok(())
    })
}

async fn a_heartbeat_alone_expires_a_node(ctx: Context) -> CaseResult {
    let port = ctx.port();
    port.register_node("brief", None).await?;
    port.register_node("lasting", None).await?;
    expires_after_heartbeat(&ctx, &*port, "brief").await?;
    ensure_eq!(port.list_nodes().await?, ["lasting"], "the nodes left");
    Ok(())
}

async fn heartbeats_keep_a_node(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    let ttl = ctx.ttl(SHORT * 5);
    port.register_node("n", Some(b"kept")).await?;
    for _ in 0..5 {
        port.heartbeat("n", ttl).await?;
        tokio::time::sleep(ttl / 3).await;
        ensure_eq!(other.list_nodes().await?, ["n"], "the nodes between two heartbeats");
    }
    ensure_eq!(other.get_node_metadata("n").await?.as_deref(), Some(&b"kept"[..]), "the metadata");
    Ok(())
}

async fn a_late_heartbeat_lists_it_again(ctx: Context) -> CaseResult {
    let port = ctx.port();
    port.register_node("n", Some(b"mine")).await?;
    expires_after_heartbeat(&ctx, &*port, "n").await?;
    port.heartbeat("n", ctx.ttl(LONG)).await?;
    let other = ctx.another_port().await?;
    ensure_eq!(other.list_nodes().await?, ["n"], "the nodes");
    ensure_eq!(other.get_node_metadata("n").await?.as_deref(), Some(&b"mine"[..]), "the metadata");
    Ok(())
}

async fn a_heartbeat_of_a_stranger_lists_it(ctx: Context) -> CaseResult {
    let port = ctx.port();
    port.heartbeat("stranger", ctx.ttl(LONG)).await?;
    ensure_eq!(port.list_nodes().await?, ["stranger"], "the nodes");
    ensure_eq!(port.get_node_metadata("stranger").await?.as_deref(), Some(&b"{}"[..]), "the metadata");
    expires_after_heartbeat(&ctx, &*port, "stranger").await
}

async fn a_registration_lasts_a_minute(ctx: Context) -> CaseResult {
    const MINUTE: Duration = Duration::from_mins(1);
    /// What a slow machine may need until it looks.
    const LOOKING: Duration = Duration::from_secs(5);
    ctx.port().register_node("n", None).await?;
    let node = present(&ctx.driver(), &Area::node(DEFAULT_GROUP, "n")?).await?;
    let lasts = node.ttl.is_some_and(|left| left + LOOKING > MINUTE && left <= ctx.ttl(MINUTE));
    ensure!(lasts, "a node that was just registered is listed for {:?} from now", node.ttl);
    Ok(())
}
