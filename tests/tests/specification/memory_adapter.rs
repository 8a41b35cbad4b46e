//! `spec/4`, the memory adapter: its usage, its features, its patterns and its expiry, by the names and
//! arguments of the port trait (`spec/1` leads). Over Redis too: "same interface, real distributed coordination".

use crate::specification::{Checked, SOON, next, on_both};
use linchpin::DistributedCoordination;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

on_both! { usage_example, features_implemented, pattern_matching, expiration_management }

async fn usage_example(coord: Arc<dyn DistributedCoordination>) -> Checked {
    // Cache operations: `cache_set` and `cache_get`
    coord.set("user:123", b"alice", Some(Duration::from_mins(1))).await?;
    let value = coord.get("user:123").await?;
    assert_eq!(value.as_deref(), Some(&b"alice"[..]));

    // Pub/sub: one pattern and no list of channels; subscribed first, because a message goes to those
    // subscribed when it is sent; `publish` does not count them, `publish_with_ack` does.
    let mut sub = coord.subscribe("events").await?;
    coord.publish("events", b"message").await?;
    let msg = next(&mut sub).await?;
    assert_eq!(msg.payload, b"message");
    let (count, msg) = tokio::join!(coord.publish_with_ack("events", b"message", SOON), next(&mut sub));
    assert_eq!((count?, msg?.payload), (1, b"message".to_vec()));

    // Leader election: the port has one, so without the name "sync-leader"
    let is_leader = coord.try_acquire_leadership("node-1", Duration::from_secs(30)).await?;
    assert!(is_leader);

    // Node registration: metadata is bytes, and the TTL is the heartbeat's
    let mut metadata = HashMap::new();
    metadata.insert("host".to_string(), "server1".to_string());
    let metadata = serde_json::to_vec(&metadata)?;
    coord.register_node("node-1", Some(metadata.as_slice())).await?;
    coord.heartbeat("node-1", Duration::from_mins(1)).await?;
    assert_eq!(coord.get_node_metadata("node-1").await?, Some(metadata));
    Ok(())
}

async fn features_implemented(coord: Arc<dyn DistributedCoordination>) -> Checked {
    // `cache_incr`: with a TTL, up and down
    assert_eq!(coord.incr("counter", 2, Some(Duration::from_mins(1))).await?, 2);
    assert_eq!(coord.incr("counter", -1, None).await?, 1);
    // `cache_ttl`
    let left = coord.ttl("counter").await?.ok_or("no TTL")?;
    assert!(left > Duration::from_secs(30) && left <= Duration::from_mins(1), "{left:?}");
    // `cache_exists`, `cache_delete`
    assert!(coord.exists("counter").await? && coord.delete("counter").await?);
    assert!(!coord.exists("counter").await? && !coord.delete("counter").await?);
    // `cache_delete_pattern`
    for key in ["cache:user:1", "cache:user:2", "cache:order:1"] {
        coord.set(key, b"value", None).await?;
    }
    assert_eq!(coord.delete_pattern("cache:user:*").await?, 2);
    assert_eq!(coord.keys("*").await?, ["cache:order:1"]);

    // Subscribers for multiple channels
    let mut sub = coord.subscribe("channel-[12]").await?;
    for channel in ["channel-1", "channel-2"] {
        coord.publish(channel, b"message").await?;
        assert_eq!(next(&mut sub).await?.channel, channel);
    }

    // `get_leader`, `release_leadership`
    assert_eq!(coord.get_leader().await?, None);
    assert!(coord.try_acquire_leadership("node-1", Duration::from_secs(30)).await?);
    assert_eq!(coord.get_leader().await?.as_deref(), Some("node-1"));
    assert!(!coord.release_leadership("node-2").await? && coord.release_leadership("node-1").await?);

    // `get_active_nodes`, `send_heartbeat`
    coord.register_node("node-1", None).await?;
    coord.heartbeat("node-1", Duration::from_mins(1)).await?;
    assert_eq!(coord.list_nodes().await?, ["node-1"]);
    Ok(())
}

async fn pattern_matching(coord: Arc<dyn DistributedCoordination>) -> Checked {
    for key in ["cache:user:123", "user:123", "exact", "exactly"] {
        coord.set(key, b"value", None).await?;
    }
    assert_eq!(coord.keys("cache:*").await?, ["cache:user:123"]);
    // What ends in `:123` is the cached one too.
    assert_eq!(coord.keys("*:123").await?, ["cache:user:123", "user:123"]);
    assert_eq!(coord.keys("exact").await?, ["exact"]);
    Ok(())
}

/// Cache entries, leadership and nodes expire, none of them before its time.
async fn expiration_management(coord: Arc<dyn DistributedCoordination>) -> Checked {
    const TTL: Duration = Duration::from_millis(300);
    let asked = Instant::now();
    coord.set("key", b"value", Some(TTL)).await?;
    assert!(coord.try_acquire_leadership("node-1", TTL).await?);
    coord.register_node("node-1", None).await?;
    coord.heartbeat("node-1", TTL).await?;
    let (mut key, mut leader, mut node) = (true, true, true);
    while key || leader || node {
        tokio::time::sleep(Duration::from_millis(20)).await;
        key = coord.exists("key").await?;
        leader = coord.get_leader().await?.is_some();
        node = !coord.list_nodes().await?.is_empty();
        assert!((key && leader && node) || asked.elapsed() >= TTL, "key {key}, leader {leader}, node {node}");
    }
    Ok(())
}
