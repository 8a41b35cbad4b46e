//! The application of the specification, once coupled to Redis and here given the port: `spec/1` section 5.1
//! and phase 4 of `spec/2`, without what they name and never show (`ConsensusManager`, `LeaderElection`).

use linchpin::DistributedCoordination;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) type PersistenceResult<T> = Result<T, crate::specification::Failure>;

#[allow(dead_code, reason = "the specification's fields; what its tests call reads none of them")]
#[derive(Debug, Clone)]
pub(crate) struct DistributedConfig {
    pub(crate) node_id: String,
    pub(crate) cluster_nodes: Vec<String>,
    pub(crate) heartbeat_interval_ms: u64,
    pub(crate) leader_election_timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncOperationType {
    Set,
    InvalidatePattern,
    Clear,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncOperation {
    pub(crate) id: String,
    pub(crate) operation_type: SyncOperationType,
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) ttl: Option<u64>,
    // The specification's `DateTime<Utc>`, without another crate.
    pub(crate) timestamp: SystemTime,
    pub(crate) origin_node: String,
    pub(crate) priority: u8,
}

#[allow(dead_code, reason = "the specification's fields; what its tests call does not read all of them")]
pub(crate) struct DistributedSync {
    config: DistributedConfig,
    coordination: Arc<dyn DistributedCoordination>,
}

impl DistributedSync {
    pub(crate) fn new(config: DistributedConfig, coordination: Arc<dyn DistributedCoordination>) -> Self {
        Self { config, coordination }
    }

    #[allow(clippy::needless_pass_by_value, reason = "the specification's signature")]
    pub(crate) async fn notify_operation(&self, operation: SyncOperation) -> PersistenceResult<()> {
        let channel = "riptide:sync:operations";
        let message = serde_json::to_vec(&operation)?;

        self.coordination.publish(channel, &message).await?;
        Ok(())
    }

    pub(crate) async fn apply_invalidate_operation(&self, operation: &SyncOperation) -> PersistenceResult<()> {
        let keys = self.coordination.keys(&operation.key).await?;

        if !keys.is_empty() {
            let key_refs: Vec<&str> = keys.iter().map(String::as_str).collect();
            let deleted = self.coordination.delete_many(&key_refs).await?;
            println!("Pattern invalidation applied: pattern {}, deleted {deleted}", operation.key);
        }
        Ok(())
    }

    pub(crate) async fn apply_clear_operation(&self, _operation: &SyncOperation) -> PersistenceResult<()> {
        self.coordination.flush_all().await?;
        println!("Cache clear operation applied");
        Ok(())
    }
}
