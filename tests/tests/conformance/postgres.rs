//! The Postgres adapter.

use futures::future::BoxFuture;
use linchpin_conformance::{ClockStep, FaultServer, Harness, Options, async_trait, run_with};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::{PostgresServer, sql};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// Starts a server of the version that a run is on.
type Start = fn() -> BoxFuture<'static, Result<PostgresServer, String>>;

/// The harness, with the start of the servers that fault cases have for themselves.
struct Postgres {
    name: &'static str,
    start: Start,
    faulty: Start,
    server: OnceLock<PostgresServer>,
}

impl Postgres {
    const fn new(name: &'static str, start: Start, faulty: Start) -> Self {
        Self { name, start, faulty, server: OnceLock::new() }
    }

    /// Holds it to the contract. A new session takes the server some 40 ms of work until it has planned what we ask, so a
    /// small machine has enough to do with few cases at a time.
    fn run(self) -> ExitCode {
        const AT_A_TIME: usize = 4;
        run_with(self, &Options::from_env().parallelism(AT_A_TIME))
    }

    fn server(&self) -> &PostgresServer {
        self.server.get().expect("the suite starts the backend before it asks for anything")
    }
}

async fn connect(url: &str, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
    let config = PostgresConfig::from_url(url)?.namespace(namespace.clone());
    Ok(PostgresCoordination::connect(config).await?.into())
}

#[async_trait]
impl Harness for Postgres {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> String {
        format!("{}, origin: {}", self.name, self.server().origin())
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
            _ => Ok(Some(Arc::new(Faulty((self.faulty)().await?)))),
        }
    }
}

/// A server that one fault case has for itself.
struct Faulty(PostgresServer);

#[async_trait]
impl FaultServer for Faulty {
    fn address(&self) -> Option<SocketAddr> {
        let url = self.0.url();
        url.split_once('@')?.1.split('/').next()?.parse().ok()
    }

    async fn connect(&self, through: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let url = through.map_or_else(|| self.0.url(), |proxy| format!("postgres://postgres@{proxy}/postgres"));
        connect(&url, namespace).await
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
        let before = self.seconds().await?;
        let stepped = self.0.step_clock(step.micros()).await?;
        let went = self.seconds().await? - before;
        let followed = (step.micros() / 1_000_000 - went).abs() <= 5;
        if stepped && !followed {
            Err(format!("the server's clock went {went} s and not {step:?}"))
        } else {
            Ok(stepped)
        }
    }

    async fn lose_everything(&self) -> Result<bool, String> {
        let statement = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'linchpin' \
             AND tablename <> 'version' LOOP EXECUTE 'TRUNCATE linchpin.' || t; END LOOP; END $$";
        self.ask(statement).await.map(|_| true)
    }
}

impl Faulty {
    async fn ask(&self, statement: &str) -> Result<String, String> {
        sql(&self.0.url(), statement).await.map_err(|error| error.to_string())
    }

    /// What its clock tells.
    async fn seconds(&self) -> Result<i64, String> {
        let told = self.ask("SELECT extract(epoch FROM clock_timestamp())::bigint").await?;
        told.parse().map_err(|error| format!("the server's clock tells {told:?}: {error}"))
    }
}

pub(crate) fn run() -> ExitCode {
    Postgres::new("postgres", || Box::pin(PostgresServer::start()), || Box::pin(PostgresServer::start_with_own_clock()))
        .run()
}

/// On Postgres 18: a local server, whatever the environment says.
pub(crate) fn run_18() -> ExitCode {
    Postgres::new(
        "postgres-18",
        || Box::pin(PostgresServer::start_18(&[])),
        || Box::pin(PostgresServer::start_18_with_own_clock()),
    )
    .run()
}
