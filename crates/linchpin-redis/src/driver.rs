//! The driver: each method checks, then hands over to the module that does it.

use crate::changes::Changes;
use crate::claims::Claims;
use crate::commands::{CHANNELS, LOG, Prefix, WAKE};
use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::hub::Hub;
use crate::{messages, state, streams};
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::claims::Queues;
use linchpin_core::life::CLOSING;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Durability, Error, ErrorKind, GroupName, Health, Key,
    Limits, MessageSupport, Namespace, NodeId, Outcome, Page, Pattern, PortState, Range, Reach, Record, Result,
    Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, StreamSupport, Subscription,
    Transaction, TransactionScope, TtlSupport, WatchCompleteness, WatchStream,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle to one namespace of a Redis or Valkey server. Clones are the same handle; closing one closes
/// all. The background tasks end with the last of the handle and its watches and subscriptions.
#[derive(Clone)]
pub struct RedisCoordination(Arc<Handle>);

struct Handle {
    address: String,
    node: Option<NodeId>,
    namespace: Namespace,
    capabilities: Capabilities,
    connection: Connection,
    prefix: Prefix,
    changes: Arc<Changes>,
    hub: Arc<Hub>,
    claims: Queues<Claims>,
    port: PortState,
}

impl RedisCoordination {
    /// Connects to `redis_url` and lives in the namespace `key_prefix`, or the URL's without one.
    /// `node_id` names this handle where it is printed for debugging.
    ///
    /// # Errors
    /// As [`RedisCoordination::connect`]; `InvalidArgument` also for a prefix that is no [`Namespace`] and
    /// an id that is no [`NodeId`].
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn new(redis_url: &str, node_id: String, key_prefix: Option<String>) -> Result<Self> {
        let mut config = RedisConfig::from_url(redis_url)?;
        if let Some(prefix) = key_prefix {
            config = config.namespace(Namespace::new(prefix)?);
        }
        Self::open_as(config, Some(NodeId::new(node_id)?)).await
    }

    /// Connects, asks the server what it is, and sees that the user has the rights that he needs.
    ///
    /// The handle lives in the current tokio runtime: once that has ended every call fails with `Closed`.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` if it cannot be reached, `Unauthorized` if it does not accept the user
    /// or password, or if the user may not use the keys and channels of the namespace, `ResourceExhausted` if it takes
    /// no more clients, `Unsupported` if it is older than 6.2 or part of a Redis Cluster.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        Self::open_as(config, None).await
    }

    async fn open_as(config: RedisConfig, node: Option<NodeId>) -> Result<Self> {
        let connection = Connection::open(&config).await?;
        let info = server_info(&connection, "connect").await?;
        let prefix = Prefix::new(&config.namespace, config.database);
        check_rights(&connection, &prefix, &config.namespace).await?;
        let hub = Arc::new(Hub::new(connection.clone(), prefix.clone()));
        let changes = Arc::new(Changes::new(connection.clone(), prefix.clone(), hub.clone()));
        let capabilities = capabilities(&info, &connection).await?;
        let (ending, told) = (Arc::downgrade(&hub), Arc::downgrade(&changes));
        connection.life().on_end(move |ended| {
            if let Some(changes) = told.upgrade() {
                changes.end(ended);
            }
            if let Some(hub) = ending.upgrade() {
                hub.end(ended);
            }
        });
        let claims = Claims::queues(connection.clone(), prefix.clone(), hub.clone());
        let (address, namespace, port) = (config.address(), config.namespace, PortState::default());
        let handle = Handle { address, node, namespace, capabilities, connection, prefix, changes, hub, claims, port };
        Ok(Self(Arc::new(handle)))
    }

    /// Makes a call, which ends when the handle does.
    async fn run<'h, T, F: Future<Output = Result<T>>>(
        &'h self,
        operation: &'static str,
        call: impl FnOnce(&'h Handle) -> F,
    ) -> Result<T> {
        let life = self.0.connection.life();
        life.admit(operation)?;
        life.run(operation, call(&self.0)).await
    }
}

impl fmt::Debug for RedisCoordination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handle { address, node, namespace, connection, .. } = &*self.0;
        f.debug_struct("RedisCoordination")
            .field("address", address)
            .field("node", node)
            .field("namespace", namespace)
            .field("life", connection.life())
            .finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for RedisCoordination {
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
        self.run("get", |handle| state::get(&handle.connection, &handle.prefix, keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.run("scan", async |handle| {
            handle.capabilities.admit_scan(page)?;
            state::scan(&handle.connection, &handle.prefix, range, page).await
        })
        .await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.run("commit", async |handle| {
            handle.capabilities.admit_commit(transaction)?;
            state::commit(&handle.connection, &handle.prefix, transaction).await
        })
        .await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.run("watch", async |handle| {
            handle.capabilities.admit_watch()?;
            handle.changes.watch(range).await
        })
        .await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.run("publish", async |handle| {
            handle.capabilities.admit_publish(channel, &payload)?;
            messages::publish(&handle.connection, &handle.prefix, channel, &payload).await
        })
        .await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.run("subscribe", async |handle| {
            handle.capabilities.admit_subscribe()?;
            messages::subscribe(&handle.hub, pattern).await
        })
        .await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.run("append", async |handle| {
            handle.capabilities.admit_append(stream, records)?;
            streams::append(&handle.connection, &handle.prefix, stream, records).await
        })
        .await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.run("claim", async |handle| {
            handle.capabilities.admit_claim(claim)?;
            handle.claims.claim(claim).await
        })
        .await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.run("settle", async |handle| {
            handle.capabilities.admit_settle(settlements)?;
            streams::settle(&handle.connection, &handle.prefix, settlements).await
        })
        .await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.run("inspect", async |handle| {
            handle.capabilities.admit_streams("inspect")?;
            streams::inspect(&handle.connection, &handle.prefix, stream).await
        })
        .await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.run("trim", async |handle| {
            handle.capabilities.admit_streams("trim")?;
            streams::trim(&handle.connection, &handle.prefix, stream, keep).await
        })
        .await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.run("remove_group", async |handle| {
            handle.capabilities.admit_streams("remove_group")?;
            streams::remove_group(&handle.connection, &handle.prefix, stream, group).await
        })
        .await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.run("clear", |handle| state::clear(&handle.connection, &handle.prefix, prefix)).await
    }

    async fn health(&self) -> Result<Health> {
        self.run("health", async |handle| {
            let asked = Instant::now();
            let info = server_info(&handle.connection, "health").await?;
            let latency = asked.elapsed();
            let mut degraded = info.degraded();
            if handle.hub.is_broken() {
                degraded.push("the connection for watches and subscriptions is being rebuilt".to_owned());
            }
            Ok(Health::new(latency, degraded))
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        let handle = self.0.clone();
        let closing = async move {
            handle.claims.close(CLOSING).await;
            handle.connection.close();
        };
        self.0.connection.life().close_by(closing).await;
        Ok(())
    }
}

/// What the server says of itself.
struct ServerInfo(HashMap<String, String>);

impl ServerInfo {
    fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Valkey keeps a `redis_version` for compatibility; its own is another.
    fn version(&self) -> String {
        match self.field("valkey_version") {
            "" => format!("redis {}", self.field("redis_version")),
            version => format!("valkey {version}"),
        }
    }

    fn degraded(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.field("loading") == "1" {
            reasons.push("the server is still loading its data".to_owned());
        }
        if self.field("role") == "slave" {
            reasons.push("the server is a replica and refuses writes".to_owned());
        }
        let policy = self.field("maxmemory_policy");
        if self.field("maxmemory") != "0" && policy != "noeviction" {
            reasons.push(format!("the server may drop keys: maxmemory-policy is {policy}, not noeviction"));
        }
        let number = |name: &str| self.field(name).parse::<u64>().unwrap_or_default();
        if self.field("maxmemory") != "0" && policy == "noeviction" && number("used_memory") >= number("maxmemory") {
            reasons.push("the server is out of memory (maxmemory) and refuses writes".to_owned());
        }
        if self.field("aof_last_write_status") == "err" || self.field("rdb_last_bgsave_status") == "err" {
            reasons.push("the server cannot write to its disk".to_owned());
        }
        reasons
    }
}

/// Sees that the user may use the keys and channels of the namespace. Scripts publish after they have written, and the
/// server takes nothing back where the user may not: that must be known before.
async fn check_rights(connection: &Connection, prefix: &Prefix, namespace: &Namespace) -> Result<()> {
    let mut commands = redis::pipe();
    commands.cmd("GET").arg(prefix.name("meta"));
    // Of nothing, and where nobody can listen.
    for channel in [LOG, CHANNELS, WAKE] {
        commands.cmd("PUBLISH").arg(prefix.channel(channel)).arg("");
    }
    let result = connection.send_all("connect", &commands).await;
    result.map(drop).map_err(|error| match error.kind() {
        ErrorKind::Unauthorized => {
            let problem = format!(
                "the user may not use the keys, or may not publish on the channels, of the namespace: \
                 ACL SETUSER ... ~linchpin:{{{namespace}}}:* &linchpin:{{{namespace}}}:* (NOPERM)"
            );
            Error::new(ErrorKind::Unauthorized, "connect", problem).with_source(error)
        }
        _ => error.of_read(),
    })
}

async fn server_info(connection: &Connection, operation: &'static str) -> Result<ServerInfo> {
    let text: String = connection.send(operation, &redis::cmd("INFO")).await.map_err(Error::of_read)?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Ok(ServerInfo(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()))
}

async fn capabilities(info: &ServerInfo, connection: &Connection) -> Result<Capabilities> {
    let mut numbers = info.field("redis_version").split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 2) {
        let found = info.version();
        return Err(Error::unsupported("connect", &found, "what linchpin needs: Redis 6.2 or later"));
    }
    if info.field("redis_mode") == "cluster" {
        return Err(Error::unsupported("connect", "redis", "Redis Cluster; connect to a server that is not in one"));
    }
    Ok(Capabilities {
        backend: "redis".to_owned(),
        version: info.version(),
        transactions: TransactionScope::MultiKey,
        transaction_ids: Some(state::ID_WINDOW),
        prefix_guards: true,
        watch: WatchCompleteness::LatestVersion,
        ttl: Some(TtlSupport {
            granularity: Duration::from_micros(1),
            minimum: Duration::from_millis(1),
            slack: Duration::from_millis(250),
        }),
        messages: Some(MessageSupport { knows_nobody: true }),
        streams: Some(StreamSupport {
            dedupe_window: Some(streams::DEDUPE_WINDOW),
            delays: true,
            dead_letters: true,
            slack: Duration::from_millis(250),
        }),
        limits: Limits {
            value: 1024 * 1024,
            message: 1024 * 1024 + 1024,
            record: 1024 * 1024,
            transaction_operations: 1024,
            transaction_bytes: 8 * 1024 * 1024,
            batch: 512,
        },
        durability: durability(info, connection).await,
    })
}

async fn durability(info: &ServerInfo, connection: &Connection) -> Durability {
    if info.field("aof_enabled") != "1" {
        let why = "no append-only file (appendonly no): a restart loses what came after the last snapshot".to_owned();
        return Durability { survives_restart: false, survives_power_loss: false, why };
    }
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("appendfsync");
    // Managed servers forbid CONFIG; then nothing better than the default is claimed.
    let answer: Vec<String> = connection.send("connect", &command).await.unwrap_or_default();
    let always = answer.get(1).is_some_and(|policy| policy == "always");
    let why = match answer.get(1) {
        Some(policy) => format!("append-only file with appendfsync {policy}"),
        None => "append-only file; the server does not tell how often it is flushed".to_owned(),
    };
    Durability { survives_restart: true, survives_power_loss: always, why }
}
