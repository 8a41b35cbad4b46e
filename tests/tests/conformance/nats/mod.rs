//! The NATS adapter on one server, and [on three](cluster).

mod cluster;
mod not_yet;

pub(crate) use cluster::run as run_cluster;

use futures::future::BoxFuture;
use linchpin_conformance::{FaultServer, Harness, Options, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_nats::{NatsConfig, NatsCoordination};
use linchpin_tests::servers::NatsServer;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Starts a server of the version that a run is on.
type Start = fn() -> BoxFuture<'static, Result<NatsServer, String>>;

/// The harness.
struct Nats {
    name: &'static str,
    start: Start,
    /// Whether the fault cases may delete what the server has.
    can_lose: bool,
    server: OnceLock<NatsServer>,
}

impl Nats {
    const fn new(name: &'static str, start: Start, can_lose: bool) -> Self {
        Self { name, start, can_lose, server: OnceLock::new() }
    }

    /// Runs the cases. A transaction over several keys costs a server with one copy a sync to its disk, and the
    /// histories are made of them.
    fn run(self) -> ExitCode {
        let options = Options::from_env().case_limit(Duration::from_secs(120)).leave_out(not_yet::NOT_YET);
        linchpin_conformance::run_with(self, &options)
    }

    fn server(&self) -> &NatsServer {
        self.server.get().expect("the suite starts the backend before it asks for anything")
    }
}

async fn connect(url: &str, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
    let config = NatsConfig::from_url(url)?.namespace(namespace.clone());
    Ok(NatsCoordination::connect(config).await?.into())
}

#[async_trait]
impl Harness for Nats {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> String {
        format!("nats, origin: {}", self.server().origin())
    }

    async fn start(&self) -> Result<(), String> {
        let server = (self.start)().await?;
        self.server.set(server).map_err(|_| "started twice".to_owned())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        connect(&self.server().url(), namespace).await
    }

    async fn fault_server(&self) -> Result<Option<Arc<dyn FaultServer>>, String> {
        // A server that somebody else runs is not harmed.
        match self.server().origin() {
            "url" => Ok(None),
            _ => Ok(Some(Arc::new(Faulty { server: (self.start)().await?, can_lose: self.can_lose }))),
        }
    }
}

/// A server that one fault case has for itself.
struct Faulty {
    server: NatsServer,
    can_lose: bool,
}

#[async_trait]
impl FaultServer for Faulty {
    fn address(&self) -> Option<SocketAddr> {
        self.server.url().trim_start_matches("nats://").parse().ok()
    }

    async fn connect(&self, through: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        connect(&through.map_or_else(|| self.server.url(), |proxy| format!("nats://{proxy}")), namespace).await
    }

    async fn pause(&self) -> Result<(), String> {
        self.server.pause().await
    }

    async fn resume(&self) -> Result<(), String> {
        self.server.resume().await
    }

    async fn kill(&self) -> Result<(), String> {
        self.server.kill().await
    }

    async fn restart(&self) -> Result<(), String> {
        self.server.restart().await
    }

    async fn keep_copy(&self) -> Result<bool, String> {
        self.server.keep_copy().await
    }

    async fn restart_with_copy(&self) -> Result<(), String> {
        self.server.restart_with_copy().await
    }

    async fn lose_everything(&self) -> Result<bool, String> {
        if !self.can_lose {
            return Ok(false);
        }
        let lose = async {
            let client = async_nats::connect(self.server.url()).await?;
            let names = client.request("$JS.API.STREAM.NAMES", "".into()).await?;
            let names: serde_json::Value = serde_json::from_slice(&names.payload)?;
            for name in names["streams"].as_array().into_iter().flatten().filter_map(|name| name.as_str()) {
                client.request(format!("$JS.API.STREAM.DELETE.{name}"), "".into()).await?;
            }
            Ok::<_, async_nats::Error>(true)
        };
        lose.await.map_err(|error| error.to_string())
    }
}

pub(crate) fn run() -> ExitCode {
    Nats::new("nats", || Box::pin(NatsServer::start()), true).run()
}

/// On a server that is older than what the adapter needs for everything, 2.9.10: what it declares of that.
pub(crate) fn run_old() -> ExitCode {
    Nats::new("nats-2.9", || Box::pin(NatsServer::start_old()), false).run()
}
