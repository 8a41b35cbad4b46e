//! The backend: each method hands over to the module that does it.

use crate::capabilities::{self, ServerInfo};
use crate::changes::Changes;
use crate::claims::Claims;
use crate::commands::Prefix;
use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::server::{Pubsub, Pushes};
use crate::{erase, messages, state, streams};
use bytes::Bytes;
use linchpin_adapter::claims::Queues;
use linchpin_adapter::{Backend, Coordination};
use linchpin_core::life::{CLOSING, Life};
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, GroupName, Health, Key, Namespace, Outcome, Page, Pattern, Range,
    Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, Subscription,
    Transaction, WatchStream,
};
use std::sync::Arc;
use std::time::Instant;

/// A handle to one namespace of a Redis or Valkey server.
pub type RedisCoordination = Coordination<Redis>;

/// One namespace of a Redis or Valkey server.
pub struct Redis {
    capabilities: Capabilities,
    connection: Connection,
    prefix: Prefix,
    changes: Arc<Changes>,
    hub: Arc<Pushes>,
    claims: Queues<Claims>,
}

impl Backend for Redis {
    type Config = RedisConfig;

    const NAME: &'static str = "RedisCoordination";

    async fn connect(config: RedisConfig, life: &Life) -> Result<Self> {
        let connection = Connection::open(&config, life).await?;
        let info = ServerInfo::ask(&connection, "connect").await?;
        let prefix = Prefix::new(&config.common.namespace, config.database);
        capabilities::check_rights(&connection, &prefix, &config.common.namespace).await?;
        let pubsub = Pubsub { connection: connection.clone(), prefix: prefix.clone() };
        let hub = Arc::new(Pushes::new(pubsub, life.clone()));
        let changes = Arc::new(Changes::new(connection.clone(), prefix.clone(), hub.clone()));
        let capabilities = capabilities::capabilities(&info, &connection).await?;
        life.ends(&changes, Changes::end);
        life.ends(&hub, Pushes::end);
        let claims = Claims::queues(connection.clone(), prefix.clone(), hub.clone());
        Ok(Self { capabilities, connection, prefix, changes, hub, claims })
    }

    async fn erase(config: RedisConfig, namespaces: &[Namespace]) -> Result<()> {
        erase::erase(&config, namespaces).await
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        state::get(&self.connection, &self.prefix, keys).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        state::scan(&self.connection, &self.prefix, range, page).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        state::commit(&self.connection, &self.prefix, transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.changes.watch(range).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        messages::publish(&self.connection, &self.prefix, channel, &payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        messages::subscribe(&self.hub, pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        streams::append(&self.connection, &self.prefix, stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.claims.claim(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        streams::settle(&self.connection, &self.prefix, settlements).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        streams::inspect(&self.connection, &self.prefix, stream).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        streams::trim(&self.connection, &self.prefix, stream, keep).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        streams::remove_group(&self.connection, &self.prefix, stream, group).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        state::clear(&self.connection, &self.prefix, prefix).await
    }

    async fn health(&self) -> Result<Health> {
        let asked = Instant::now();
        let info = ServerInfo::ask(&self.connection, "health").await?;
        let latency = asked.elapsed();
        let mut degraded = info.degraded();
        if self.hub.is_broken() {
            degraded.push("the connection for watches and subscriptions is being rebuilt".to_owned());
        }
        Ok(Health::new(latency, degraded))
    }

    async fn close(&self) {
        self.claims.close(CLOSING).await;
        self.connection.close();
    }
}
