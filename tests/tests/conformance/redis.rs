//! The Redis adapter.

use crate::server::{Adapter, Served, Start};
use linchpin_conformance::{ClockStep, async_trait, run as hold};
use linchpin_core::{Driver, Namespace};
use linchpin_redis::{RedisConfig, RedisCoordination};
use linchpin_tests::servers::{self, RedisServer, RedisVersion};
use redis::AsyncConnectionConfig;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

struct Redis;

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a server past the adapter.
async fn ask<T: redis::FromRedisValue>(server: &RedisServer, command: &redis::Cmd) -> Result<T, String> {
    let ask = async {
        // Unless told, the client waits for half a second, which a busy machine may take.
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let client = redis::Client::open(server.url())?;
        let mut raw = client.get_multiplexed_async_connection_with_config(&patient).await?;
        command.query_async(&mut raw).await
    };
    ask.await.map_err(|error: redis::RedisError| error.to_string())
}

#[async_trait]
impl Adapter for Redis {
    type Software = servers::Redis;

    async fn connect(&self, url: &str, namespace: &Namespace) -> linchpin_core::Result<Arc<dyn Driver>> {
        let config = RedisConfig::from_url(url)?.namespace(namespace.clone());
        Ok(RedisCoordination::connect(config).await?.into())
    }

    fn address(&self, url: &str) -> Option<SocketAddr> {
        url.trim_start_matches("redis://").parse().ok()
    }

    fn url_at(&self, address: SocketAddr) -> String {
        format!("redis://{address}")
    }

    async fn step_clock(&self, server: &RedisServer, step: ClockStep) -> Result<bool, String> {
        let time = redis::cmd("TIME");
        let (before, _): (i64, i64) = ask(server, &time).await?;
        let stepped = server.step_clock(step.micros()).await?;
        // Valkey looks at its clock now and then only.
        for _ in 0..20 {
            let (after, _): (i64, i64) = ask(server, &time).await?;
            if !stepped || (step.micros() / 1_000_000 - (after - before)).abs() <= 5 {
                return Ok(stepped);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the server's clock does not go {step:?}"))
    }

    async fn lose_everything(&self, server: &RedisServer) -> Result<bool, String> {
        ask::<()>(server, &redis::cmd("FLUSHALL")).await.map(|()| true)
    }
}

pub(crate) fn run() -> ExitCode {
    let own_clock: Start<Redis> = || Box::pin(RedisServer::start_with_own_clock());
    hold(Served::new("redis", Redis, || Box::pin(RedisServer::start())).faulty(own_clock))
}

/// Other versions are held to the contract without faults: what these show, one version shows for all.
pub(crate) fn run_6() -> ExitCode {
    hold(Served::new("redis-6.2", Redis, || Box::pin(RedisServer::start_version(RedisVersion::Redis6))))
}

pub(crate) fn run_8() -> ExitCode {
    hold(Served::new("redis-8.2", Redis, || Box::pin(RedisServer::start_version(RedisVersion::Redis8))))
}

pub(crate) fn run_valkey() -> ExitCode {
    hold(Served::new("valkey-9.1", Redis, || Box::pin(RedisServer::start_version(RedisVersion::Valkey9))))
}
