//! Holds the Postgres adapter to the contract.

mod postgres_harness;

use linchpin_tests::servers::PostgresServer;
use postgres_harness::Postgres;
use std::process::ExitCode;

fn main() -> ExitCode {
    Postgres::new("postgres", || Box::pin(PostgresServer::start()), || Box::pin(PostgresServer::start_with_own_clock()))
        .run()
}
