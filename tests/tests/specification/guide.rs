//! `spec/2`, the implementation guide: its tests, in its order.

use crate::specification::sync::{DistributedConfig, DistributedSync, SyncOperation, SyncOperationType};
use crate::specification::{Checked, next, on_both, redis_url};
use linchpin::{DistributedCoordination, MemoryCoordination, RedisCoordination};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

on_both! { test_leader_election, test_notify_operation, test_pattern_invalidation, test_clear_operation }

/// Without `#[ignore]`: the server is the test's own, and none that has to run on localhost:6379.
#[tokio::test]
async fn test_redis_publish_subscribe() -> Checked {
    let coord = RedisCoordination::new(&redis_url().await?, "node-1".to_string(), None).await?;

    let mut sub = coord.subscribe("test:*").await?;
    coord.publish("test:channel", b"hello").await?;

    let msg = next(&mut sub).await?;
    assert_eq!(msg.payload, b"hello");
    Ok(())
}

#[tokio::test]
async fn test_memory_publish_subscribe() -> Checked {
    let coord = MemoryCoordination::new();

    let mut sub = coord.subscribe("test:*").await?;
    coord.publish("test:channel", b"hello").await?;

    let msg = next(&mut sub).await?;
    assert_eq!(msg.payload, b"hello");
    Ok(())
}

async fn test_leader_election(coord: Arc<dyn DistributedCoordination>) -> Checked {
    // Node 1 acquires leadership
    assert!(coord.try_acquire_leadership("node-1", Duration::from_secs(10)).await?);

    // Node 2 cannot acquire while node 1 is leader
    assert!(!coord.try_acquire_leadership("node-2", Duration::from_secs(10)).await?);

    // Node 1 releases
    coord.release_leadership("node-1").await?;

    // Node 2 can now acquire
    assert!(coord.try_acquire_leadership("node-2", Duration::from_secs(10)).await?);
    Ok(())
}

/// Takes the port, which the specification opens here: for it is to run on both.
fn create_test_sync(coord: Arc<dyn DistributedCoordination>) -> DistributedSync {
    let config = DistributedConfig {
        node_id: "test-node".to_string(),
        cluster_nodes: vec![],
        heartbeat_interval_ms: 1000,
        leader_election_timeout_ms: 2000,
    };
    DistributedSync::new(config, coord)
}

async fn test_notify_operation(coord: Arc<dyn DistributedCoordination>) -> Checked {
    // Added, here and at the end: somebody hears what is published.
    let mut sub = coord.subscribe("riptide:sync:*").await?;
    let sync = create_test_sync(coord);

    let operation = SyncOperation {
        id: "op-1".to_string(),
        operation_type: SyncOperationType::Set,
        key: "test-key".to_string(),
        value: Some(b"test-value".to_vec()),
        ttl: Some(60),
        timestamp: SystemTime::now(),
        origin_node: "test-node".to_string(),
        priority: 1,
    };

    sync.notify_operation(operation.clone()).await?;

    let heard: SyncOperation = serde_json::from_slice(&next(&mut sub).await?.payload)?;
    assert_eq!(heard, operation);
    Ok(())
}

async fn test_pattern_invalidation(coord: Arc<dyn DistributedCoordination>) -> Checked {
    // Added, here and at the end: there is something to invalidate, and something to keep.
    for key in ["cache:a", "cache:b", "other"] {
        coord.set(key, b"value", None).await?;
    }
    let sync = create_test_sync(coord.clone());

    let operation = SyncOperation {
        id: "op-2".to_string(),
        operation_type: SyncOperationType::InvalidatePattern,
        key: "cache:*".to_string(),
        value: None,
        ttl: None,
        timestamp: SystemTime::now(),
        origin_node: "test-node".to_string(),
        priority: 1,
    };

    sync.apply_invalidate_operation(&operation).await?;

    assert_eq!(coord.keys("*").await?, ["other"]);
    Ok(())
}

/// The guide's "add more tests for all operations": the one that phase 4 shows and no test calls.
async fn test_clear_operation(coord: Arc<dyn DistributedCoordination>) -> Checked {
    coord.set("cache:a", b"value", None).await?;
    coord.register_node("test-node", None).await?;
    let sync = create_test_sync(coord.clone());

    let operation = SyncOperation {
        id: "op-3".to_string(),
        operation_type: SyncOperationType::Clear,
        key: "*".to_string(),
        value: None,
        ttl: None,
        timestamp: SystemTime::now(),
        origin_node: "test-node".to_string(),
        priority: 1,
    };

    sync.apply_clear_operation(&operation).await?;

    assert!(coord.keys("*").await?.is_empty() && coord.list_nodes().await?.is_empty());
    Ok(())
}

/// Without `#[ignore]`, `REDIS_URL` and localhost:6379: the server is the test's own.
#[tokio::test]
async fn test_distributed_sync_with_redis() -> Checked {
    let redis_url = redis_url().await?;

    let coord = RedisCoordination::new(&redis_url, "node-1".to_string(), None).await?;
    let coord = Arc::new(coord) as Arc<dyn DistributedCoordination>;

    let config = DistributedConfig {
        node_id: "node-1".to_string(),
        cluster_nodes: vec![],
        heartbeat_interval_ms: 5000,
        leader_election_timeout_ms: 10000,
    };

    let sync = DistributedSync::new(config, coord);

    // Added, here and at the end: another node, with a connection of its own, hears what is published.
    let other = RedisCoordination::new(&redis_url, "node-2".to_string(), None).await?;
    let mut sub = other.subscribe("riptide:sync:*").await?;

    // Test operations against real Redis; the specification leaves this one's fields out.
    let operation = SyncOperation {
        id: "op-1".to_string(),
        operation_type: SyncOperationType::Set,
        key: "test-key".to_string(),
        value: Some(b"test-value".to_vec()),
        ttl: Some(60),
        timestamp: SystemTime::now(),
        origin_node: "node-1".to_string(),
        priority: 1,
    };
    sync.notify_operation(operation.clone()).await?;

    let heard: SyncOperation = serde_json::from_slice(&next(&mut sub).await?.payload)?;
    assert_eq!(heard, operation);
    Ok(())
}
