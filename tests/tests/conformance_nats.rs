//! Holds the NATS adapter to the contract.

mod nats_harness;

use linchpin_tests::servers::NatsServer;
use nats_harness::Nats;
use std::process::ExitCode;

fn main() -> ExitCode {
    Nats::new("nats", || Box::pin(NatsServer::start()), true).run()
}
