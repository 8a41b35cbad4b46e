//! The driver: each method checks, then hands over to the module that does it.

use crate::bucket::{Bucket, Features};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::commit::Committer;
use crate::config::NatsConfig;
use crate::connection::Connection;
use crate::error::no_answer;
use crate::ids::ID_WINDOW;
use crate::messages::{self, Hub};
use crate::names::Names;
use crate::state;
use crate::streams::{DEDUPE_WINDOW, Streams};
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Durability, Error, ErrorKind, GroupName, Health, Key,
    Limits, MessageSupport, Namespace, NodeId, Outcome, Page, Pattern, PortState, Range, Reach, Record, Result,
    Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, StreamSupport, Subscription,
    Transaction, TransactionScope, TtlSupport, WatchCompleteness, WatchStream,
};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle to one namespace of a NATS server or cluster. Clones are the same handle; closing one closes all. The
/// background tasks end with the last of the handle and its watches and subscriptions.
#[derive(Clone)]
pub struct NatsCoordination(Arc<Handle>);

struct Handle {
    address: String,
    node: Option<NodeId>,
    namespace: Namespace,
    capabilities: Capabilities,
    bucket: Arc<Bucket>,
    committer: Committer,
    changes: Arc<Changes>,
    hub: Arc<Hub>,
    streams: Arc<Streams>,
    port: PortState,
    life: Life,
}

impl NatsCoordination {
    /// Connects to `url` and lives in the namespace `key_prefix`, or the URL's without one. `node_id` names this handle
    /// where it is printed for debugging.
    ///
    /// # Errors
    /// As [`NatsCoordination::connect`]; `InvalidArgument` also for a prefix that is no [`Namespace`] and an id that is
    /// no [`NodeId`].
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn new(url: &str, node_id: String, key_prefix: Option<String>) -> Result<Self> {
        let mut config = NatsConfig::from_url(url)?;
        if let Some(prefix) = key_prefix {
            config = config.namespace(Namespace::new(prefix)?);
        }
        Self::open_as(config, Some(NodeId::new(node_id)?)).await
    }

    /// Connects, asks the server what it is, and makes the namespace's stream if it is not there.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` if it cannot be reached, `Unauthorized` if it does not accept the login,
    /// `Unsupported` if it is older than 2.9, has no JetStream, or takes only small messages.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(config: NatsConfig) -> Result<Self> {
        Self::open_as(config, None).await
    }

    async fn open_as(config: NatsConfig, node: Option<NodeId>) -> Result<Self> {
        let connection = Connection::open(&config).await?;
        let server = connection.server();
        let version = read_version(&server.version);
        if version < (2, 9, 0) {
            let what = "what linchpin needs: NATS 2.9 or later, with JetStream";
            return Err(Error::unsupported("connect", &format!("nats {}", server.version), what));
        }
        if server.max_payload < MIN_PAYLOAD {
            let problem = format!("the server's max_payload is {}; linchpin needs {MIN_PAYLOAD}", server.max_payload);
            return Err(Error::new(ErrorKind::Unsupported, "connect", problem));
        }
        let names = Names::new(&config.namespace);
        let is_modern = version >= MODERN;
        let clock = Arc::new(Clock::new());
        let opening = Bucket::open(connection.clone(), names.clone(), clock, config.replicas, is_modern);
        let opened = tokio::time::timeout(config.response_timeout, opening).await;
        let bucket = opened.unwrap_or_else(|_| Err(no_answer("connect")))?;
        bucket.revision("connect").await?;
        let bucket = Arc::new(bucket);
        let changes = Arc::new(Changes::new(bucket.clone()));
        let hub = Arc::new(Hub::new(connection.clone(), names.clone()));
        let life = Life::in_runtime();
        let (watched, heard, connected) = (changes.clone(), hub.clone(), connection.clone());
        life.on_end(move |ended| {
            watched.end(ended);
            heard.end(ended);
            connected.close();
        });
        Ok(Self(Arc::new(Handle {
            address: config.address(),
            node,
            capabilities: capabilities(&server.version, server.max_payload, bucket.features),
            namespace: config.namespace,
            committer: Committer::new(bucket.features.replicas),
            changes,
            streams: Arc::new(Streams::new(connection, names, bucket.features.replicas, bucket.clock.clone())),
            hub,
            bucket,
            port: PortState::default(),
            life,
        })))
    }

    fn handle(&self, operation: &'static str) -> Result<&Handle> {
        self.0.life.admit(operation).map(|()| &*self.0)
    }
}

impl fmt::Debug for NatsCoordination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { address, node, namespace, life, .. } = &*self.0;
        f.debug_struct("NatsCoordination")
            .field("address", address)
            .field("node", node)
            .field("namespace", namespace)
            .field("life", life)
            .finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for NatsCoordination {
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
        let handle = self.handle("get")?;
        handle.life.run("get", state::get(&handle.bucket, &handle.committer.known, keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let handle = self.handle("scan")?;
        handle.capabilities.admit_scan(page)?;
        handle.life.run("scan", state::scan(&handle.bucket, range, page)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let handle = self.handle("commit")?;
        handle.capabilities.admit_commit(transaction)?;
        handle.life.run("commit", handle.committer.commit(&handle.bucket, transaction)).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let handle = self.handle("watch")?;
        handle.capabilities.admit_watch()?;
        handle.life.run("watch", handle.changes.watch(range)).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let handle = self.handle("publish")?;
        handle.capabilities.admit_publish(channel, &payload)?;
        handle
            .life
            .run("publish", messages::publish(&handle.bucket.connection, &handle.bucket.names, channel, payload))
            .await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let handle = self.handle("subscribe")?;
        handle.capabilities.admit_subscribe()?;
        handle.life.run("subscribe", handle.hub.subscribe(pattern)).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let handle = self.handle("append")?;
        handle.capabilities.admit_append(stream, records)?;
        handle.life.run("append", handle.streams.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let handle = self.handle("claim")?;
        handle.capabilities.admit_claim(claim)?;
        handle.life.run("claim", Box::pin(handle.streams.claim(claim))).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let handle = self.handle("settle")?;
        handle.capabilities.admit_settle(settlements)?;
        handle.life.run("settle", handle.streams.settle(settlements)).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        let handle = self.handle("inspect")?;
        handle.capabilities.admit_streams("inspect")?;
        handle.life.run("inspect", handle.streams.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let handle = self.handle("trim")?;
        handle.capabilities.admit_streams("trim")?;
        handle.life.run("trim", handle.streams.trim(stream, keep)).await
    }

    async fn remove_group(&self, _: &StreamName, _: &GroupName) -> Result<bool> {
        self.handle("remove_group")?.capabilities.admit_streams("remove_group")?;
        Err(Error::unsupported("remove_group", "nats", "removing a group"))
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        let handle = self.handle("clear")?;
        let clearing = async {
            state::clear(&handle.bucket, &handle.committer.known, prefix).await?;
            if handle.capabilities.streams.is_some() {
                handle.streams.clear(prefix).await?;
            }
            Ok(())
        };
        handle.life.run("clear", clearing).await
    }

    async fn health(&self) -> Result<Health> {
        let handle = self.handle("health")?;
        let asked = Instant::now();
        let degraded = handle.life.run("health", handle.bucket.degraded()).await?;
        Ok(Health::new(asked.elapsed(), degraded))
    }

    async fn close(&self) -> Result<()> {
        let handle = &self.0;
        handle.life.close();
        Ok(())
    }
}

/// The oldest server with batches that are stored as a whole. 2.12.0 has them too, but tears conditional ones.
const MODERN: (u64, u64, u64) = (2, 12, 1);

/// What headers, a subject and what JetStream adds may take of a message.
const OVERHEAD: usize = 24 * 1024;
const MIN_PAYLOAD: usize = Limits::MINIMUM.message + OVERHEAD;

/// Reads `2.14.4`, and `2.14.4-beta.1` as the same.
fn read_version(text: &str) -> (u64, u64, u64) {
    let mut numbers = text.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

fn capabilities(version: &str, max_payload: usize, features: Features) -> Capabilities {
    let Features { is_modern, replicas } = features;
    let most = (max_payload - OVERHEAD).min(1024 * 1024);
    Capabilities {
        backend: "nats".to_owned(),
        version: format!("nats {version}"),
        transactions: if is_modern { TransactionScope::MultiKey } else { TransactionScope::SingleKey },
        transaction_ids: is_modern.then_some(ID_WINDOW),
        prefix_guards: false,
        watch: WatchCompleteness::LatestVersion,
        ttl: is_modern.then_some(TtlSupport {
            granularity: Duration::from_secs(1),
            minimum: Duration::from_millis(1),
            slack: Duration::from_millis(500),
        }),
        messages: Some(MessageSupport { knows_nobody: true }),
        streams: is_modern.then_some(StreamSupport {
            dedupe_window: Some(DEDUPE_WINDOW),
            delays: true,
            dead_letters: true,
            slack: Duration::from_millis(250),
        }),
        limits: Limits {
            value: most - 1024,
            message: most,
            record: most - 1024,
            transaction_operations: 512,
            transaction_bytes: 16 * 1024 * 1024,
            batch: 512,
        },
        durability: Durability {
            survives_restart: true,
            survives_power_loss: false,
            why: format!(
                "file storage, {replicas} cop{}; a server syncs to its disk every sync_interval, 2 minutes by default, \
                 and does not tell what it is",
                if replicas == 1 { "y" } else { "ies" }
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(read_version("2.15.1"), (2, 15, 1));
        assert_eq!(read_version("2.12.0-preview.2"), (2, 12, 0));
        assert!(read_version("2.9.10") < MODERN && read_version("nonsense") < MODERN);
    }
}
