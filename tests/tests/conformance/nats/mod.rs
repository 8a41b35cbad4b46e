//! The NATS adapter on one server, and [on three](cluster).

mod cluster;

pub(crate) use cluster::run as run_cluster;

use crate::server::{Adapter, Served, Start};
use linchpin_conformance::async_trait;
use linchpin_core::{Driver, Namespace};
use linchpin_nats::{NatsConfig, NatsCoordination};
use linchpin_tests::servers::{self, NatsServer};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

struct Nats;

#[async_trait]
impl Adapter for Nats {
    type Software = servers::Nats;

    async fn connect(&self, url: &str, namespace: &Namespace) -> linchpin_core::Result<Arc<dyn Driver>> {
        let config = NatsConfig::from_url(url)?.namespace(namespace.clone());
        Ok(NatsCoordination::connect(config).await?.into())
    }

    fn address(&self, url: &str) -> Option<SocketAddr> {
        url.trim_start_matches("nats://").parse().ok()
    }

    fn url_at(&self, address: SocketAddr) -> String {
        format!("nats://{address}")
    }

    async fn lose_everything(&self, server: &NatsServer) -> Result<bool, String> {
        let lose = async {
            let client = async_nats::connect(server.url()).await?;
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

fn hold(name: &'static str, start: Start<Nats>) -> ExitCode {
    linchpin_conformance::run(Served::new(name, Nats, start).faulty(start))
}

pub(crate) fn run() -> ExitCode {
    hold("nats", || Box::pin(NatsServer::start()))
}

/// On the oldest server that is supported, 2.9.10.
pub(crate) fn run_old() -> ExitCode {
    hold("nats-2.9", || Box::pin(NatsServer::start_old()))
}
