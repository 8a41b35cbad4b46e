//! Holds the NATS adapter to the contract.

use linchpin_conformance::{FaultServer, Harness, Options, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_nats::{NatsConfig, NatsCoordination};
use linchpin_tests::servers::NatsServer;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[derive(Default)]
struct Nats(OnceLock<NatsServer>);

impl Nats {
    fn server(&self) -> &NatsServer {
        self.0.get().expect("the suite starts the backend before it asks for anything")
    }
}

async fn connect(url: &str, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
    let config = NatsConfig::from_url(url)?.namespace(namespace.clone());
    Ok(Arc::new(NatsCoordination::connect(config).await?))
}

#[async_trait]
impl Harness for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn describe(&self) -> String {
        format!("nats, origin: {}", self.server().origin())
    }

    async fn start(&self) -> Result<(), String> {
        let server = NatsServer::start().await?;
        self.0.set(server).map_err(|_| "started twice".to_owned())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        connect(&self.server().url(), namespace).await
    }

    async fn fault_server(&self) -> Result<Option<Arc<dyn FaultServer>>, String> {
        // A server that somebody else runs is not harmed.
        match self.server().origin() {
            "url" => Ok(None),
            _ => Ok(Some(Arc::new(Faulty(NatsServer::start().await?)))),
        }
    }
}

/// A server that one fault case has for itself.
struct Faulty(NatsServer);

#[async_trait]
impl FaultServer for Faulty {
    fn address(&self) -> Option<SocketAddr> {
        self.0.url().trim_start_matches("nats://").parse().ok()
    }

    async fn connect(&self, through: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        connect(&through.map_or_else(|| self.0.url(), |proxy| format!("nats://{proxy}")), namespace).await
    }

    async fn pause(&self) -> Result<(), String> {
        self.0.pause().await
    }

    async fn resume(&self) -> Result<(), String> {
        self.0.resume().await
    }

    async fn kill(&self) -> Result<(), String> {
        self.0.kill().await
    }

    async fn restart(&self) -> Result<(), String> {
        self.0.restart().await
    }

    async fn lose_everything(&self) -> Result<bool, String> {
        let lose = async {
            let client = async_nats::connect(self.0.url()).await?;
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

fn main() -> ExitCode {
    // A transaction over several keys costs a server with one copy a sync to its disk, and the histories are made of them.
    let options = Options::from_env().case_limit(Duration::from_secs(120));
    linchpin_conformance::run_with(Nats::default(), &options)
}
