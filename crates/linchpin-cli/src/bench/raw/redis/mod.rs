//! Redis and Valkey, with the crate `redis`.

mod monitor;
mod plain;
mod same_work;
mod token_queue;

use super::{Idle, Raw};
use crate::bench::PAYLOAD;
use crate::bench::problem::{Problem, Result};
use crate::bench::report::{Backend, ServerFacts};
use futures::future::try_join_all;
use futures::stream::{BoxStream, StreamExt};
use linchpin::Capabilities;
use monitor::Monitor;
use plain::Plain;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, IntoConnectionInfo};
use same_work::SameWork;
use std::collections::BTreeMap;
use std::time::Duration;
use token_queue::{TokenQueue, TokenTaker};

/// What the adapter gives the server to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Server {
    client: redis::Client,
    namespace: String,
}

impl Server {
    /// Nothing is sent yet.
    pub(crate) fn new(url: &str, namespace: &str) -> Result<Self> {
        // The query is linchpin's own. TCP is set as the adapter sets it: small commands do not wait.
        let url = url.split('?').next().unwrap_or(url);
        let refused = |_| Problem::invalid("the raw client does not accept this URL");
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(refused)?.set_tcp_settings(tcp);
        Ok(Self { client: redis::Client::open(info).map_err(refused)?, namespace: namespace.to_owned() })
    }

    /// A name of this run. The braces are the same as in the adapter's names: one pattern finds both.
    fn name(&self, name: &str) -> String {
        format!("bench:{{{}}}:{name}", self.namespace)
    }

    /// A connection such as the adapter has for its commands.
    async fn connection(&self) -> Result<MultiplexedConnection> {
        self.connect(Some(RESPONSE_TIMEOUT)).await
    }

    /// A connection for commands that block.
    async fn blocking(&self) -> Result<MultiplexedConnection> {
        self.connect(None).await
    }

    async fn connect(&self, response: Option<Duration>) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(response);
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The pattern of all names of this run.
    fn everything(&self) -> String {
        format!("*{{{}}}*", self.namespace)
    }
}

impl Raw for Server {
    type SameWork = SameWork;
    type Plain = Plain;
    type Taker = TokenTaker;
    type Idle = IdleConnection;
    type Counter = Monitor;

    async fn same_work(&self) -> Result<SameWork> {
        SameWork::connect(self).await
    }

    async fn plain(&self) -> Result<Plain> {
        Plain::connect(self).await
    }

    async fn listen(&self) -> Result<BoxStream<'static, ()>> {
        let mut pubsub = self.client.get_async_pubsub().await?;
        pubsub.psubscribe(self.everything()).await?;
        Ok(pubsub.into_on_message().map(drop).boxed())
    }

    async fn takers(&self, name: &str, count: usize) -> Result<Vec<TokenTaker>> {
        let queue = TokenQueue::new(self, name).await?;
        try_join_all((0..count).map(|_| queue.taker())).await
    }

    async fn idle(&self) -> Result<IdleConnection> {
        let (mut connection, key) = (self.connection().await?, self.name("idle"));
        connection.set::<_, _, ()>(&key, PAYLOAD).await?;
        Ok(IdleConnection { connection, key })
    }

    async fn counter(&self) -> Result<Option<Monitor>> {
        let monitor = self.client.get_async_monitor().await?;
        Ok(Some(Monitor::new(monitor, self.connection().await?)))
    }

    async fn facts(&self, linchpin: &Capabilities, connected: u64) -> Result<ServerFacts> {
        let mut connection = self.connection().await?;
        let info: String = redis::cmd("INFO").arg("clients").query_async(&mut connection).await?;
        let clients = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        let clients: u64 = clients.and_then(|count| count.trim().parse().ok()).unwrap_or_default();
        let mut setting = async |name: &str| {
            // Managed servers forbid CONFIG.
            let answer = redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await;
            answer.ok().and_then(|answer: Vec<String>| answer.into_iter().nth(1))
        };
        let mut settings = BTreeMap::new();
        for name in ["appendonly", "appendfsync"] {
            settings.insert(name.to_owned(), setting(name).await);
        }
        Ok(ServerFacts {
            backend: Backend::Redis,
            version: linchpin.version.clone(),
            durability: linchpin.durability.why.clone(),
            settings,
            other_clients: Some(clients.saturating_sub(connected + 1)),
        })
    }

    async fn sweep(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let mut cursor = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(self.everything()).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
            if !keys.is_empty() {
                redis::cmd("UNLINK").arg(keys).exec_async(&mut connection).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

pub(crate) struct IdleConnection {
    connection: MultiplexedConnection,
    key: String,
}

impl Idle for IdleConnection {
    async fn round_trip(&mut self) -> Result<()> {
        self.connection.get::<_, Vec<u8>>(&self.key).await?;
        Ok(())
    }
}
