//! The same work by hand: what a good programmer would write on the raw client, for comparison.

mod monitor;
mod plain;
mod same_work;
mod token_queue;

pub(crate) use monitor::Monitor;
pub(crate) use plain::Plain;
pub(crate) use same_work::SameWork;
pub(crate) use token_queue::TokenQueue;

use super::problem::{Problem, Result};
use super::report::ServerFacts;
use futures::stream::{BoxStream, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo};
use std::time::Duration;

/// What the adapter gives the server to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The server as the raw client sees it. Everything lies under names of this run.
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
    pub(crate) fn name(&self, name: &str) -> String {
        format!("bench:{{{}}}:{name}", self.namespace)
    }

    /// A connection such as the adapter has for its commands.
    pub(crate) async fn connection(&self) -> Result<MultiplexedConnection> {
        self.connect(Some(RESPONSE_TIMEOUT)).await
    }

    /// A connection for commands that block.
    pub(crate) async fn blocking(&self) -> Result<MultiplexedConnection> {
        self.connect(None).await
    }

    async fn connect(&self, response: Option<Duration>) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(response);
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// A tick for each message on a channel of this run, the adapter's and ours.
    pub(crate) async fn listen(&self) -> Result<BoxStream<'static, ()>> {
        let mut pubsub = self.client.get_async_pubsub().await?;
        pubsub.psubscribe(self.everything()).await?;
        Ok(pubsub.into_on_message().map(drop).boxed())
    }

    /// The pattern of all names of this run.
    fn everything(&self) -> String {
        format!("*{{{}}}*", self.namespace)
    }

    pub(crate) async fn monitor(&self) -> Result<Monitor> {
        let monitor = self.client.get_async_monitor().await?;
        Ok(Monitor::new(monitor, self.connection().await?))
    }

    /// What the server says of itself; asked before anything else is connected but `connected` clients of ours.
    pub(crate) async fn facts(&self, linchpin: &linchpin::Capabilities, connected: u64) -> Result<ServerFacts> {
        let mut connection = self.connection().await?;
        let info: String = redis::cmd("INFO").arg("clients").query_async(&mut connection).await?;
        let clients = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        let clients: u64 = clients.and_then(|count| count.trim().parse().ok()).unwrap_or_default();
        let mut setting = async |name: &str| {
            // Managed servers forbid CONFIG.
            let answer = redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await;
            answer.ok().and_then(|answer: Vec<String>| answer.into_iter().nth(1))
        };
        Ok(ServerFacts {
            version: linchpin.version.clone(),
            durability: linchpin.durability.why.clone(),
            appendonly: setting("appendonly").await,
            appendfsync: setting("appendfsync").await,
            other_clients: clients.saturating_sub(connected + 1),
        })
    }

    /// Removes everything of this run, the adapter's and ours.
    pub(crate) async fn sweep(&self) -> Result<()> {
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
