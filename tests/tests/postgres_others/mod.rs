//! What others who use the same Postgres can do to the adapter: another role, whoever writes to its tables, an application
//! that holds a stream, many members at once. Local servers, because these have roles and settings of their own.

mod commit_one;
mod feed;
mod own_changes;
mod roles;
mod streams;
mod topics;

use linchpin::{Driver, Key, Namespace, Transaction};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::{PostgresServer, sql};
use std::sync::Arc;
use std::time::Duration;

/// What takes longer does not happen.
const SOON: Duration = Duration::from_secs(10);

/// A server that counts the calls of functions.
async fn server() -> PostgresServer {
    PostgresServer::start_local(&["-c", "track_functions=all"]).await.expect("a server")
}

/// A handle to the namespace `shop`.
async fn connect(server: &PostgresServer) -> Arc<dyn Driver> {
    let config = PostgresConfig::from_url(&server.url()).expect("a good URL");
    let shop = Namespace::new("shop").expect("a good name");
    PostgresCoordination::connect(config.namespace(shop)).await.expect("connects").driver()
}

/// What the server says to its administrator.
async fn ask(server: &PostgresServer, query: &str) -> String {
    sql(&server.url(), query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// How often the server ran a function: it counts once a session is idle.
async fn calls(server: &PostgresServer, function: &str) -> u64 {
    let question = format!("SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = '{function}'");
    ask(server, &question).await.parse().expect("a number")
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

async fn put(driver: &Arc<dyn Driver>, name: &str, value: &'static str) {
    driver.commit(&Transaction::new().put(key(name), value, None)).await.expect("a commit");
}
