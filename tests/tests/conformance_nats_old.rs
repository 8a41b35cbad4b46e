//! Holds the NATS adapter to what it declares of a server that is older than what it needs for everything: 2.9.10.

mod nats_harness;

use linchpin_tests::servers::NatsServer;
use nats_harness::Nats;
use std::process::ExitCode;

fn main() -> ExitCode {
    Nats::new("nats-2.9", || Box::pin(NatsServer::start_old()), false).run()
}
