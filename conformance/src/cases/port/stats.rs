//! Health and statistics.

use super::super::prelude::*;
use crate::readers::next_message;
use crate::waiting::{LONG, eventually};

cases! { Port "port";
    a_healthy_backend_is_healthy [] HEALTHY_BACKEND_IS_HEALTHY
        "`health_check`: `true` if the backend is healthy";
    stats_name_the_backend [] STATS_NAME_THE_BACKEND
        "`CoordinationStats::metadata`: `backend`, `version`, `latency_ms`, `window_seconds`";
    stats_know_the_cluster [Ttl] STATS_KNOW_THE_CLUSTER
        "`CoordinationStats`: nodes that are alive, and the leader, if there is one";
    stats_count_messages [Messages] STATS_COUNT_MESSAGES
        "`CoordinationStats`: messages that this handle published and its subscribers took, per second";
    shared_handles_count_together [Messages] STATS_COUNT_MESSAGES
        "`CoordinationStats`: a handle and those that it shares count as one";
    stats_count_subscriptions [Messages] STATS_COUNT_MESSAGES + REDISSON_4064
        "`CoordinationStats::active_subscriptions`: subscriptions of this handle that are open";
}

async fn a_healthy_backend_is_healthy(ctx: Context) -> CaseResult {
    let port = ctx.port();
    // A busy machine may answer late once.
    let look = async || Ok(port.health_check().await?.then_some(()));
    eventually("a healthy backend", look).await
}

async fn stats_name_the_backend(ctx: Context) -> CaseResult {
    let stats = ctx.port().stats().await?;
    let named = |name: &str| stats.metadata.get(name).map(String::as_str);
    ensure_eq!(named("backend"), Some(ctx.capabilities().backend.as_str()), "the backend");
    ensure_eq!(named("version"), Some(ctx.capabilities().version.as_str()), "the version");
    let latency = named("latency_ms").and_then(|latency| latency.parse::<f64>().ok());
    ensure!(latency.is_some_and(|latency| latency >= 0.0), "latency_ms is {:?}", named("latency_ms"));
    ensure_eq!(named("window_seconds"), Some("60"), "the window");
    ensure_eq!((stats.cluster_size, stats.current_leader), (0, None), "nodes and leader of an empty cluster");
    Ok(())
}

async fn stats_know_the_cluster(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    port.register_node("a", None).await?;
    other.register_node("b", None).await?;
    other.try_acquire_leadership("b", ctx.ttl(LONG)).await?;
    for port in [&port, &other] {
        let stats = port.stats().await?;
        ensure_eq!((stats.cluster_size, stats.current_leader.as_deref()), (2, Some("b")), "nodes and leader");
    }
    Ok(())
}

async fn stats_count_messages(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    let mut stream = other.subscribe("c").await?;
    for _ in 0..100 {
        port.publish("c", b"1").await?;
    }
    for _ in 0..100 {
        next_message(&mut stream).await?;
    }
    let (published, received) = (port.stats().await?, other.stats().await?);
    let rates = (published.publish_rate, received.receive_rate);
    // The handles are some seconds old at most, and less than one counts as one.
    ensure!(rates.0 > 3.0 && rates.0 <= 100.0, "100 messages published are {} per second", rates.0);
    ensure!(rates.1 > 3.0 && rates.1 <= 100.0, "100 messages taken are {} per second", rates.1);
    let others = (published.receive_rate, received.publish_rate);
    ensure!(others == (0.0, 0.0), "the rates of what the handles did not do: {others:?}");
    Ok(())
}

async fn stats_count_subscriptions(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    let first = port.subscribe("a").await?;
    let second = port.subscribe("*").await?;
    ensure_eq!(port.stats().await?.active_subscriptions, 2, "open subscriptions");
    ensure_eq!(other.stats().await?.active_subscriptions, 0, "open subscriptions of another handle");
    drop(first);
    ensure_eq!(port.stats().await?.active_subscriptions, 1, "open subscriptions after one was dropped");
    drop(second);
    ensure_eq!(port.stats().await?.active_subscriptions, 0, "open subscriptions after both were dropped");
    Ok(())
}

async fn shared_handles_count_together(ctx: Context) -> CaseResult {
    let (port, shared) = (ctx.port(), ctx.port());
    let _subscription = shared.subscribe("c").await?;
    shared.publish("c", b"1").await?;
    let stats = port.stats().await?;
    ensure!(stats.publish_rate.total_cmp(&0.0).is_gt(), "a message of a shared handle was not counted");
    ensure_eq!(stats.active_subscriptions, 1, "subscriptions");
    Ok(())
}
