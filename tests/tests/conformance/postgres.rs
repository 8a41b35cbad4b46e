//! The Postgres adapter.

use crate::server::{Adapter, Served};
use linchpin_conformance::{ClockStep, Options, async_trait, run_with};
use linchpin_core::{Driver, Namespace};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::{self, PostgresServer, sql};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many handles there have been.
struct Postgres(AtomicU64);

impl Postgres {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

async fn ask(server: &PostgresServer, statement: &str) -> Result<String, String> {
    sql(&server.url(), statement).await.map_err(|error| error.to_string())
}

/// What a server's clock tells.
async fn seconds(server: &PostgresServer) -> Result<i64, String> {
    let told = ask(server, "SELECT extract(epoch FROM clock_timestamp())::bigint").await?;
    told.parse().map_err(|error| format!("the server's clock tells {told:?}: {error}"))
}

#[async_trait]
impl Adapter for Postgres {
    type Software = servers::Postgres;

    async fn connect(&self, url: &str, namespace: &Namespace) -> linchpin_core::Result<Arc<dyn Driver>> {
        let mut config = PostgresConfig::from_url(url)?.namespace(namespace.clone());
        // Handles that connect alike share connections. Every second one is as in a process of its own.
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        if number % 2 == 1 {
            config = config.response_timeout(Duration::from_secs(5) + Duration::from_micros(number));
        }
        Ok(PostgresCoordination::connect(config).await?.into())
    }

    fn address(&self, url: &str) -> Option<SocketAddr> {
        url.split_once('@')?.1.split('/').next()?.parse().ok()
    }

    fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://postgres@{address}/postgres")
    }

    async fn step_clock(&self, server: &PostgresServer, step: ClockStep) -> Result<bool, String> {
        let before = seconds(server).await?;
        let stepped = server.step_clock(step.micros()).await?;
        let went = seconds(server).await? - before;
        let followed = (step.micros() / 1_000_000 - went).abs() <= 5;
        if stepped && !followed {
            Err(format!("the server's clock went {went} s and not {step:?}"))
        } else {
            Ok(stepped)
        }
    }

    async fn lose_everything(&self, server: &PostgresServer) -> Result<bool, String> {
        let statement = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'linchpin' \
             AND tablename <> 'version' LOOP EXECUTE 'TRUNCATE linchpin.' || t; END LOOP; END $$";
        ask(server, statement).await.map(|_| true)
    }
}

/// Holds it to the contract. A new session takes the server some 40 ms of work until it has planned what we ask, so a
/// small machine has enough to do with few cases at a time.
fn hold(harness: Served<Postgres>) -> ExitCode {
    const AT_A_TIME: usize = 4;
    run_with(harness, &Options::from_env().parallelism(AT_A_TIME))
}

pub(crate) fn run() -> ExitCode {
    let harness = Served::new("postgres", Postgres::new(), || Box::pin(PostgresServer::start()));
    hold(harness.faulty(|| Box::pin(PostgresServer::start_with_own_clock())))
}

/// On Postgres 18: a local server, whatever the environment says.
pub(crate) fn run_18() -> ExitCode {
    let harness = Served::new("postgres-18", Postgres::new(), || Box::pin(PostgresServer::start_18(&[])));
    hold(harness.faulty(|| Box::pin(PostgresServer::start_18_with_own_clock())))
}
