//! The NATS adapter on a cluster of three servers, with three copies of every stream.

use linchpin_conformance::{Harness, Options, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_nats::{NatsConfig, NatsCoordination};
use linchpin_tests::servers::NatsCluster;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[derive(Default)]
struct Cluster(OnceLock<NatsCluster>);

#[async_trait]
impl Harness for Cluster {
    fn name(&self) -> &'static str {
        "nats-cluster"
    }

    fn describe(&self) -> String {
        "nats, a cluster of three local servers".to_owned()
    }

    async fn start(&self) -> Result<(), String> {
        let cluster = NatsCluster::start().await?;
        self.0.set(cluster).map_err(|_| "started twice".to_owned())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let cluster = self.0.get().expect("the suite starts the backend before it asks for anything");
        // All handles at one server: what is published at another may overtake the news of a subscription.
        let config = NatsConfig::from_url(&cluster.url_of(0))?.replicas(3).namespace(namespace.clone());
        Ok(NatsCoordination::connect(config).await?.into())
    }
}

pub(crate) fn run() -> ExitCode {
    // Every write waits for a second server, and three of them share this machine.
    let options = Options::from_env().case_limit(Duration::from_mins(2));
    linchpin_conformance::run_with(Cluster::default(), &options)
}
