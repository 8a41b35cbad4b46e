//! The driver: each method checks, then hands over to the module that does it.

use crate::changes::Changes;
use crate::config::PostgresConfig;
use crate::connection::{Connector, Pool};
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
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Error, GroupName, Health, Key, Namespace, NodeId,
    Outcome, Page, Pattern, PortState, Range, Reach, Record, Result, Retention, ScanPage, Settled, Settlement,
    Snapshot, StreamInfo, StreamName, Subscription, Transaction, WatchStream,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long closing waits for what is on its way.
const CLOSING: Duration = Duration::from_secs(1);

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
    messages: Messages,
    streams: Streams,
    notices: Arc<Lane<Telling>>,
    port: PortState,
    closed: AtomicBool,
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
    /// `Unavailable` or `Timeout` if it cannot be reached, `Unauthorized` if it does not accept the user, password or
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
        let pool = Arc::new(Pool::new(connector.clone()));
        let facts = server::prepare(&connector, &pool, &names).await?;
        let notices = Arc::new(Lane::new(connector.clone(), Telling(names.clone())));
        let hub = Arc::new(Hub::new(connector.clone(), names.clone()));
        let state = Arc::new(State::new(names.clone(), pool.clone(), connector.clone(), notices.clone()));
        let streams = Streams::new(names.clone(), pool.clone(), hub.clone(), notices.clone());
        Ok(Self(Arc::new(Handle {
            address: connector.address.clone(),
            node,
            capabilities: server::capabilities(&facts),
            namespace: config.namespace,
            changes: Arc::new(Changes::new(state.clone(), hub.clone())),
            messages: Messages::new(names, pool.clone(), hub.clone(), notices.clone()),
            streams,
            state,
            pool,
            hub,
            notices,
            port: PortState::default(),
            closed: AtomicBool::new(false),
        })))
    }

    fn handle(&self, operation: &'static str) -> Result<&Handle> {
        if self.0.closed.load(Ordering::Acquire) { Err(Error::closed(operation)) } else { Ok(&self.0) }
    }
}

impl fmt::Debug for PostgresCoordination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { address, node, namespace, closed, .. } = &*self.0;
        f.debug_struct("PostgresCoordination")
            .field("address", address)
            .field("node", node)
            .field("namespace", namespace)
            .field("closed", closed)
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
        self.handle("get")?.state.get(keys).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let handle = self.handle("scan")?;
        handle.capabilities.admit_scan(page)?;
        handle.state.scan(range, page).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let handle = self.handle("commit")?;
        handle.capabilities.admit_commit(transaction)?;
        handle.state.commit(transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let handle = self.handle("watch")?;
        handle.capabilities.admit_watch()?;
        handle.changes.watch(range).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let handle = self.handle("publish")?;
        handle.capabilities.admit_publish(channel, &payload)?;
        handle.messages.publish(channel, payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let handle = self.handle("subscribe")?;
        handle.capabilities.admit_subscribe()?;
        handle.messages.subscribe(pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let handle = self.handle("append")?;
        handle.capabilities.admit_append(stream, records)?;
        handle.streams.append(stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let handle = self.handle("claim")?;
        handle.capabilities.admit_claim(claim)?;
        handle.streams.claim(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let handle = self.handle("settle")?;
        handle.capabilities.admit_settle(settlements)?;
        handle.streams.settle(settlements).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        let handle = self.handle("inspect")?;
        handle.capabilities.admit_streams("inspect")?;
        handle.streams.inspect(stream).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let handle = self.handle("trim")?;
        handle.capabilities.admit_streams("trim")?;
        handle.streams.trim(stream, keep).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let handle = self.handle("remove_group")?;
        handle.capabilities.admit_streams("remove_group")?;
        handle.streams.remove_group(stream, group).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        let handle = self.handle("clear")?;
        handle.state.clear(prefix).await?;
        handle.streams.clear(prefix).await
    }

    async fn health(&self) -> Result<Health> {
        let handle = self.handle("health")?;
        let asked = Instant::now();
        let facts = Facts::ask(&handle.pool, "health").await?;
        let latency = asked.elapsed();
        let mut degraded = facts.degraded();
        if handle.hub.is_broken() {
            degraded.push("the connection for watches and subscriptions is being rebuilt".to_owned());
        }
        Ok(Health::new(latency, degraded))
    }

    async fn close(&self) -> Result<()> {
        let handle = &self.0;
        if !handle.closed.swap(true, Ordering::AcqRel) {
            handle.changes.close();
            handle.hub.close();
            // Commits first: they ring the doorbell.
            handle.state.close(CLOSING).await;
            handle.notices.close(CLOSING).await;
            handle.pool.close();
        }
        Ok(())
    }
}
