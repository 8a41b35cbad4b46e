//! The driver: each method checks, then hands over to the module that does it.

use crate::changes::Changes;
use crate::config::PostgresConfig;
use crate::connection::{Connector, Pool};
use crate::error::STANDBY;
use crate::forgetting::Forgetting;
use crate::hub::Hub;
use crate::lane::Lane;
use crate::messages::Messages;
use crate::names::Names;
use crate::notices::Telling;
use crate::server::{self, Facts};
use crate::state::State;
use crate::streams::Streams;
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::claims::Queues;
use linchpin_core::life::{CLOSING, Life};
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, GroupName, Health, Key, Namespace, NodeId, Outcome, Page,
    Pattern, PortState, Range, Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo,
    StreamName, Subscription, Transaction, WatchStream,
};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A handle to one namespace of a Postgres database. Clones are the same handle; closing one closes all. The background
/// tasks end with the last of the handle and its watches and subscriptions.
#[derive(Clone)]
pub struct PostgresCoordination(Arc<Handle>);

struct Handle {
    address: Arc<str>,
    node: Option<NodeId>,
    namespace: Namespace,
    capabilities: Capabilities,
    pool: Arc<Pool>,
    state: Arc<State>,
    changes: Arc<Changes>,
    hub: Arc<Hub>,
    messages: Arc<Messages>,
    streams: Arc<Streams>,
    claims: Queues<Streams>,
    notices: Arc<Lane<Telling>>,
    port: PortState,
    life: Life,
}

impl PostgresCoordination {
    /// Connects to `postgres_url` and lives in the namespace `key_prefix`, or the URL's without one. `node_id` names this
    /// handle where it is printed for debugging.
    ///
    /// # Errors
    /// As [`PostgresCoordination::connect`]; `InvalidArgument` also for a prefix that is no [`Namespace`] and an id that
    /// is no [`NodeId`].
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened. The schema may be set up or not.
    pub async fn new(postgres_url: &str, node_id: String, key_prefix: Option<String>) -> Result<Self> {
        let mut config = PostgresConfig::from_url(postgres_url)?;
        if let Some(prefix) = key_prefix {
            config = config.namespace(Namespace::new(prefix)?);
        }
        Self::open_as(config, Some(NodeId::new(node_id)?)).await
    }

    /// Connects, asks the server what it is, and sets up the schema `linchpin` if it is not there.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` if it cannot be reached or is a standby, `ResourceExhausted` if it has no connection left, `Unauthorized` if it does not accept the user, password or
    /// certificate or the role lacks a privilege, `Unsupported` if it is older than 13, has a schema of another version,
    /// or is behind a pooler that gives each transaction another connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened. The schema may be set up or not.
    pub async fn connect(config: PostgresConfig) -> Result<Self> {
        Self::open_as(config, None).await
    }

    async fn open_as(config: PostgresConfig, node: Option<NodeId>) -> Result<Self> {
        let connector = Arc::new(Connector::new(&config)?);
        let names = Arc::new(Names::new(&config.namespace));
        let life = Life::in_runtime();
        let pool = Pool::new(connector.clone(), life.clone());
        let facts = server::prepare(&connector, &pool, &names).await?;
        let notices = Arc::new(Lane::new(pool.clone(), Telling(names.clone())));
        let hub = Arc::new(Hub::new(connector.clone(), names.clone(), life.clone()));
        let forgetting = Arc::new(Forgetting::new(&pool));
        let state = Arc::new(State::new(names.clone(), pool.clone(), notices.clone(), forgetting.clone()));
        let changes = Arc::new(Changes::new(state.clone(), hub.clone()));
        end_with(&life, &changes, &hub);
        let streams =
            Arc::new(Streams::new(names.clone(), pool.clone(), hub.clone(), notices.clone(), forgetting.clone()));
        Ok(Self(Arc::new(Handle {
            address: connector.address.clone(),
            node,
            capabilities: server::capabilities(&facts),
            namespace: config.namespace,
            changes,
            messages: Arc::new(Messages::new(names, pool.clone(), hub.clone(), notices.clone(), forgetting)),
            claims: Queues::new(life.clone(), streams.clone()),
            streams,
            state,
            pool,
            hub,
            notices,
            port: PortState::default(),
            life,
        })))
    }
}

/// Ends watches and subscriptions with the handle. It does not keep them alive.
fn end_with(life: &Life, changes: &Arc<Changes>, hub: &Arc<Hub>) {
    let (changes, hub) = (Arc::downgrade(changes), Arc::downgrade(hub));
    life.on_end(move |ended| {
        changes.upgrade().inspect(|changes| changes.close(ended));
        hub.upgrade().inspect(|hub| hub.close(ended));
    });
}

impl fmt::Debug for PostgresCoordination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { address, node, namespace, life, .. } = &*self.0;
        f.debug_struct("PostgresCoordination")
            .field("address", address)
            .field("node", node)
            .field("namespace", namespace)
            .field("life", life)
            .finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for PostgresCoordination {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn port_state(&self) -> &PortState {
        &self.0.port
    }

    fn share(&self) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let handle = &*self.0;
        handle.life.run("get", handle.state.get(keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_scan(page)?;
            handle.state.scan(range, page).await
        };
        handle.life.run("scan", call).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_commit(transaction)?;
            handle.state.commit(transaction).await
        };
        handle.life.run("commit", call).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_watch()?;
            handle.changes.watch(range).await
        };
        handle.life.run("watch", call).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_publish(channel, &payload)?;
            handle.messages.publish(channel, payload).await
        };
        handle.life.run("publish", call).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_subscribe()?;
            handle.messages.subscribe(pattern).await
        };
        handle.life.run("subscribe", call).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_append(stream, records)?;
            handle.streams.append(stream, records).await
        };
        handle.life.run("append", call).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_claim(claim)?;
            handle.claims.claim(claim).await
        };
        handle.life.run("claim", call).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_settle(settlements)?;
            handle.streams.settle(settlements).await
        };
        handle.life.run("settle", call).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_streams("inspect")?;
            handle.streams.inspect(stream).await
        };
        handle.life.run("inspect", call).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_streams("trim")?;
            handle.streams.trim(stream, keep).await
        };
        handle.life.run("trim", call).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let handle = &*self.0;
        let call = async {
            handle.capabilities.admit_streams("remove_group")?;
            handle.streams.remove_group(stream, group).await
        };
        handle.life.run("remove_group", call).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        let handle = &*self.0;
        let call = async {
            handle.state.clear(prefix).await?;
            handle.streams.clear(prefix).await
        };
        handle.life.run("clear", call).await
    }

    async fn health(&self) -> Result<Health> {
        let handle = &*self.0;
        handle.life.run("health", handle.health()).await
    }

    async fn close(&self) -> Result<()> {
        let handle = self.0.clone();
        let closing = async move {
            // They ring the doorbell.
            tokio::join!(handle.state.close(CLOSING), handle.claims.close(CLOSING));
            handle.notices.close(CLOSING).await;
            handle.pool.close();
        };
        self.0.life.close_by(closing).await;
        Ok(())
    }
}

impl Handle {
    async fn health(&self) -> Result<Health> {
        let asked = Instant::now();
        let facts = Facts::ask(&self.pool, "health").await?;
        let latency = asked.elapsed();
        let mut degraded = facts.map_or_else(|| vec![STANDBY.to_owned()], |facts| facts.degraded());
        if self.hub.is_broken() {
            degraded.push("the connection for watches and subscriptions is being rebuilt".to_owned());
        }
        Ok(Health::new(latency, degraded))
    }
}
