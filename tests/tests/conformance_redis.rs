//! Holds the Redis adapter to the contract.

use linchpin_conformance::{Harness, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_redis::{RedisConfig, RedisCoordination};
use linchpin_tests::servers::RedisServer;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

#[derive(Default)]
struct Redis(OnceLock<RedisServer>);

impl Redis {
    fn server(&self) -> &RedisServer {
        self.0.get().expect("the suite starts the backend before it asks for anything")
    }
}

#[async_trait]
impl Harness for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn describe(&self) -> String {
        format!("redis, origin: {}", self.server().origin())
    }

    async fn start(&self) -> Result<(), String> {
        let server = RedisServer::start().await?;
        self.0.set(server).map_err(|_| "started twice".to_owned())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = RedisConfig::from_url(&self.server().url())?.namespace(namespace.clone());
        Ok(Arc::new(RedisCoordination::connect(config).await?))
    }
}

fn main() -> ExitCode {
    linchpin_conformance::run(Redis::default())
}
