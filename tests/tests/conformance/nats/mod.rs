//! The NATS adapter on one server, and [on three](cluster).

mod cluster;
mod not_yet;

pub(crate) use cluster::run as run_cluster;

use crate::server::{Adapter, Served, Start};
use linchpin_conformance::{Options, async_trait, run_with};
use linchpin_core::{Driver, Namespace};
use linchpin_nats::{NatsConfig, NatsCoordination};
use linchpin_tests::servers::{self, NatsServer};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

struct Nats {
    /// Whether the fault cases may delete what the server has.
    can_lose: bool,
}

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
        if !self.can_lose {
            return Ok(false);
        }
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

/// Runs the cases. A transaction over several keys costs a server with one copy a sync to its disk, and the
/// histories are made of them.
fn hold(name: &'static str, start: Start<Nats>, can_lose: bool) -> ExitCode {
    let options = Options::from_env().case_limit(Duration::from_mins(2)).leave_out(not_yet::NOT_YET);
    run_with(Served::new(name, Nats { can_lose }, start).faulty(start), &options)
}

pub(crate) fn run() -> ExitCode {
    hold("nats", || Box::pin(NatsServer::start()), true)
}

/// On a server that is older than what the adapter needs for everything, 2.9.10: what it declares of that.
pub(crate) fn run_old() -> ExitCode {
    hold("nats-2.9", || Box::pin(NatsServer::start_old()), false)
}
