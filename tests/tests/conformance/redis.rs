//! The Redis adapter.

use futures::future::BoxFuture;
use linchpin_conformance::{ClockStep, FaultServer, Harness, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_redis::{RedisConfig, RedisCoordination};
use linchpin_tests::servers::{RedisServer, RedisVersion};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

type Start = fn() -> BoxFuture<'static, std::result::Result<RedisServer, String>>;

struct Redis {
    name: &'static str,
    start: Start,
    /// Whether the fault cases are run too.
    faults: bool,
    server: OnceLock<RedisServer>,
}

impl Redis {
    const fn new(name: &'static str, start: Start, faults: bool) -> Self {
        Self { name, start, faults, server: OnceLock::new() }
    }

    fn server(&self) -> &RedisServer {
        self.server.get().expect("the suite starts the backend before it asks for anything")
    }
}

#[async_trait]
impl Harness for Redis {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> String {
        format!("redis, origin: {}", self.server().origin())
    }

    async fn start(&self) -> Result<(), String> {
        let server = (self.start)().await?;
        self.server.set(server).map_err(|_| "started twice".to_owned())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = RedisConfig::from_url(&self.server().url())?.namespace(namespace.clone());
        Ok(RedisCoordination::connect(config).await?.into())
    }

    async fn fault_server(&self) -> Result<Option<Arc<dyn FaultServer>>, String> {
        // A server that somebody else runs is not harmed.
        match self.server().origin() {
            "url" => Ok(None),
            _ if !self.faults => Ok(None),
            _ => Ok(Some(Arc::new(Faulty(RedisServer::start_with_own_clock().await?)))),
        }
    }
}

/// A server that one fault case has for itself.
struct Faulty(RedisServer);

impl Faulty {
    /// Asks the server past the adapter.
    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> std::result::Result<T, String> {
        let ask = async {
            let mut raw = redis::Client::open(self.0.url())?.get_multiplexed_async_connection().await?;
            command.query_async(&mut raw).await
        };
        ask.await.map_err(|error: redis::RedisError| error.to_string())
    }
}

#[async_trait]
impl FaultServer for Faulty {
    fn address(&self) -> Option<SocketAddr> {
        self.0.url().trim_start_matches("redis://").parse().ok()
    }

    async fn connect(&self, through: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let url = through.map_or_else(|| self.0.url(), |proxy| format!("redis://{proxy}"));
        let config = RedisConfig::from_url(&url)?.namespace(namespace.clone());
        Ok(RedisCoordination::connect(config).await?.into())
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

    async fn keep_copy(&self) -> Result<bool, String> {
        self.0.keep_copy().await
    }

    async fn restart_with_copy(&self) -> Result<(), String> {
        self.0.restart_with_copy().await
    }

    async fn step_clock(&self, step: ClockStep) -> Result<bool, String> {
        let time = redis::cmd("TIME");
        let (before, _): (i64, i64) = self.ask(&time).await?;
        let stepped = self.0.step_clock(step.micros()).await?;
        // Valkey looks at its clock now and then only.
        for _ in 0..20 {
            let (after, _): (i64, i64) = self.ask(&time).await?;
            if !stepped || (step.micros() / 1_000_000 - (after - before)).abs() <= 5 {
                return Ok(stepped);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the server's clock does not go {step:?}"))
    }

    async fn lose_everything(&self) -> Result<bool, String> {
        self.ask::<()>(&redis::cmd("FLUSHALL")).await.map(|()| true)
    }
}

pub(crate) fn run() -> ExitCode {
    linchpin_conformance::run(Redis::new("redis", || Box::pin(RedisServer::start()), true))
}

/// Other versions are held to the contract without faults: what these show, one version shows for all.
pub(crate) fn run_6() -> ExitCode {
    let start: Start = || Box::pin(RedisServer::start_version(RedisVersion::Redis6));
    linchpin_conformance::run(Redis::new("redis-6.2", start, false))
}

pub(crate) fn run_8() -> ExitCode {
    let start: Start = || Box::pin(RedisServer::start_version(RedisVersion::Redis8));
    linchpin_conformance::run(Redis::new("redis-8.2", start, false))
}

pub(crate) fn run_valkey() -> ExitCode {
    let start: Start = || Box::pin(RedisServer::start_version(RedisVersion::Valkey9));
    linchpin_conformance::run(Redis::new("valkey-9.1", start, false))
}
