//! `PgBouncer`: how it is started, and asked whether it is ready.

use super::clock::Time;
use super::process::Process;
use super::server::Server;
use super::sql::sql;
use super::{Place, PostgresServer, Program, Software};
use async_trait::async_trait;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// A local `PgBouncer` in front of a Postgres server, whose databases it offers to everybody without a password.
/// It is gone once this is dropped.
pub struct PgBouncer(Process<Bouncer>);

impl PgBouncer {
    /// Starts one and waits until it answers. The mode says how long a client keeps its connection to the
    /// server: a `session`, a `transaction` or a `statement`.
    ///
    /// # Errors
    ///
    /// Says what is missing and how to get it, or what it said instead of becoming ready.
    pub async fn start(server: &PostgresServer, pool_mode: &str) -> Result<Self, String> {
        let url = server.url();
        let address = url.split_once('@').and_then(|(_, rest)| rest.split('/').next());
        let (host, port) =
            address.and_then(|address| address.rsplit_once(':')).ok_or("the server's URL has no port")?;
        let mode = format!("pool_mode = {pool_mode}");
        let databases = format!("* = host={host} port={port} user=postgres");
        Process::start(Bouncer::program(), &[&mode, "[databases]", &databases], Time::Machines).await.map(Self)
    }

    /// Where to connect: `postgres://postgres@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

/// Its further arguments are lines of its file.
enum Bouncer {}

#[async_trait]
impl Software for Bouncer {
    const NAME: &'static str = "pgbouncer";
    const REFUSES_ROOT: bool = true;

    fn program() -> Program {
        Program {
            candidates: vec!["pgbouncer".into(), "/usr/sbin/pgbouncer".into()],
            missing: "pgbouncer is not on PATH: `make setup` installs it where it can; by hand: \
                      apt install pgbouncer (Debian), brew install pgbouncer (macOS)",
        }
    }

    fn arguments(place: &Place<'_>, _further: &[String]) -> Vec<String> {
        place.folder.map(|folder| file(folder).display().to_string()).into_iter().collect()
    }

    /// The folder's name in there is how it is recognised.
    async fn prepare(place: &Place<'_>, program: &Path, further: &[String]) -> Result<PathBuf, String> {
        let folder = place.folder.ok_or("pgbouncer runs as a local process only")?;
        let lines = format!(
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pidfile = {}\nmax_client_conn = 200\ndefault_pool_size = 50\n{}\n",
            place.port,
            folder.join("pid").display(),
            further.join("\n"),
        );
        fs::write(file(folder), lines).map_err(|error| format!("cannot configure pgbouncer: {error}"))?;
        Ok(program.to_owned())
    }

    fn url(port: u16, _further: &[String]) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    async fn answers(place: &Place<'_>) -> bool {
        let console = format!("postgres://postgres@127.0.0.1:{}/pgbouncer", place.port);
        let config = timeout(Duration::from_secs(1), sql(&console, "SHOW CONFIG")).await;
        config.is_ok_and(|config| config.is_ok_and(|config| config.contains(place.name)))
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("pgbouncer.ini")
}
