//! What the server is, what it can do, and what its user may.

use crate::commands::{CHANGES, CHANNELS, KEY_CHANGES, LOG, Prefix, WAKE};
use crate::connection::Connection;
use crate::{state, streams};
use linchpin_core::{
    Capabilities, Durability, Error, ErrorKind, MessageSupport, Namespace, Result, StreamSupport, TransactionScope,
    TtlSupport, WatchCompleteness,
};
use std::collections::HashMap;
use std::time::Duration;

/// How long after its time an end or a due record may go unnoticed.
const SLACK: Duration = Duration::from_millis(250);
const MIB: usize = 1024 * 1024;

/// What the server says of itself.
pub(crate) struct ServerInfo(HashMap<String, String>);

impl ServerInfo {
    pub(crate) async fn ask(connection: &Connection, operation: &'static str) -> Result<Self> {
        let text: String = connection.send(operation, &redis::cmd("INFO")).await.map_err(Error::of_read)?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()))
    }

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

    pub(crate) fn degraded(&self) -> Vec<String> {
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
pub(crate) async fn check_rights(connection: &Connection, prefix: &Prefix, namespace: &Namespace) -> Result<()> {
    let mut commands = redis::pipe();
    commands.cmd("GET").arg(prefix.name("meta"));
    // Of nothing, and where nobody can listen.
    for channel in [LOG, CHANGES, KEY_CHANGES, CHANNELS, WAKE] {
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

/// What it can do.
///
/// # Errors
/// `Unsupported` if it is too old, or part of a cluster.
pub(crate) async fn capabilities(info: &ServerInfo, connection: &Connection) -> Result<Capabilities> {
    let mut numbers = info.field("redis_version").split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 2) {
        let found = info.version();
        return Err(Error::unsupported("connect", &found, "what linchpin needs: Redis 6.2 or later"));
    }
    if info.field("redis_mode") == "cluster" {
        return Err(Error::unsupported("connect", "redis", "Redis Cluster; connect to a server that is not in one"));
    }
    let mut capabilities = Capabilities::minimum("redis");
    capabilities.version = info.version();
    capabilities.transactions = TransactionScope::MultiKey;
    capabilities.transaction_ids = Some(state::ID_WINDOW);
    capabilities.prefix_guards = true;
    capabilities.watch = WatchCompleteness::LatestVersion;
    capabilities.key_watches = true;
    capabilities.ttl = Some(TtlSupport::within(SLACK));
    capabilities.messages = Some(MessageSupport::new(true));
    capabilities.streams = Some(StreamSupport::full(streams::DEDUPE_WINDOW, SLACK));
    let limits = &mut capabilities.limits;
    (limits.value, limits.message, limits.record) = (MIB, MIB + 1024, MIB);
    (limits.transaction_operations, limits.transaction_bytes, limits.batch) = (1024, 8 * MIB, 512);
    capabilities.durability = durability(info, connection).await;
    Ok(capabilities)
}

async fn durability(info: &ServerInfo, connection: &Connection) -> Durability {
    if info.field("aof_enabled") != "1" {
        let why = "no append-only file (appendonly no): a restart loses what came after the last snapshot";
        return Durability::new(false, false, why);
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
    Durability::new(true, always, why)
}
