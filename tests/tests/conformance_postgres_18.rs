//! Holds the Postgres adapter to the contract on Postgres 18: a local server, whatever the environment says.

mod postgres_harness;

use linchpin_tests::servers::PostgresServer;
use postgres_harness::Postgres;
use std::process::ExitCode;

fn main() -> ExitCode {
    Postgres::new(
        "postgres-18",
        || Box::pin(PostgresServer::start_18(&[])),
        || Box::pin(PostgresServer::start_18_with_own_clock()),
    )
    .run()
}
