//! How the Postgres adapter connects, fails and comes back: logins, TLS, roles, the schema, a `PgBouncer` in between, a
//! server that ends connections, dies and returns. Local servers, because these need configurations of their own.

mod bouncer;
mod clock;
mod crowd;
mod faults;
mod held;
mod idle;
mod leftovers;
mod logins;
mod paths;
mod runtimes;
mod schema;
mod shared;
mod snapshots;
mod standby;
mod tls;
mod together;
mod unpolled;

use linchpin::{Coordinator, Driver, Key};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::{PostgresServer, sql};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

/// Ends all connections of linchpin, and says how many.
const END_ALL: &str =
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'linchpin'";
/// Connecting and answering are given up after this; the tests allow twice that.
const LIMIT: Duration = Duration::from_millis(1500);

fn config(url: &str) -> PostgresConfig {
    PostgresConfig::from_url(url).expect("a good URL").connect_timeout(LIMIT).response_timeout(LIMIT)
}

async fn connect(url: &str) -> Arc<dyn Driver> {
    PostgresCoordination::connect(config(url)).await.expect("connects").driver()
}

async fn coordinator(url: &str) -> Coordinator {
    Coordinator::over(connect(url).await).connect().await.expect("connects")
}

async fn refused(config: PostgresConfig) -> linchpin::Error {
    let started = Instant::now();
    let error = PostgresCoordination::connect(config).await.expect_err("it must not connect");
    assert!(started.elapsed() < LIMIT * 2, "it took {:?}", started.elapsed());
    error
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

async fn server() -> PostgresServer {
    PostgresServer::start_local(&[]).await.expect("a server")
}

/// A server whose `pg_hba.conf` has these lines, after those that let `postgres` in with nothing.
async fn guarded(folder: &TempDir, lines: &str, settings: &[&str]) -> PostgresServer {
    let path = folder.path().join("hba");
    let admins = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n";
    std::fs::write(&path, format!("{admins}{lines}\n")).expect("written");
    let hba = format!("hba_file={}", path.display());
    let settings = settings.iter().copied().chain([&*hba]);
    let arguments: Vec<_> = settings.flat_map(|setting| ["-c", setting]).collect();
    PostgresServer::start_local(&arguments).await.expect("a server")
}

/// What the server says to its administrator.
async fn ask(server: &PostgresServer, query: &str) -> String {
    sql(&server.url(), query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Where the server listens.
fn address(server: &PostgresServer) -> SocketAddr {
    let url = server.url();
    let (_, rest) = url.split_once('@').expect("a user");
    rest.split('/').next().expect("an address").parse().expect("an address")
}

/// The URL of another database of the server.
fn url_of(server: &PostgresServer, database: &str) -> String {
    let url = server.url();
    let (server, _) = url.rsplit_once('/').expect("a database");
    format!("{server}/{database}")
}

/// A pool as an application has it.
async fn pool(url: &str, connections: u32) -> sqlx::PgPool {
    // A PgBouncer does not take sqlx's choice of digits.
    let options = url.parse::<PgConnectOptions>().expect("a good URL").extra_float_digits(None);
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(1));
    pool.connect_with(options.ssl_mode(PgSslMode::Disable)).await.expect("a pool")
}

/// The server's URL for this user, or `user:password`.
fn url_for(server: &PostgresServer, user: &str) -> String {
    server.url().replace("postgres@", &format!("{user}@"))
}
