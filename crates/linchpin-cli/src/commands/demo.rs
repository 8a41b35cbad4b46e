//! `linchpin demo`: what linchpin does, in seven seconds.

#[expect(dead_code, reason = "the example has a main of its own")]
mod example;

use crate::exit::Failure;
use crate::global::Global;
use std::process::ExitCode;

/// Show what linchpin does: an election, a lock, messages, a crash
///
/// Three nodes of a little shop elect a leader, take turns at the till under a lock, keep their caches in step, and go on
/// when the leader crashes: 7 seconds. In memory, unless a URL is given; over a server start it in several terminals at
/// once, and all their nodes form one cluster, in the namespace `demo`. The code is crates/linchpin/examples/demo.rs of
/// linchpin's sources, to be copied.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

const EXAMPLES: &str = "\
Examples:
  linchpin demo
  linchpin demo --url redis://localhost:6379";

pub(crate) async fn run(global: &Global, Args {}: Args) -> Result<ExitCode, Failure> {
    // A private memory is of one handle only, and the demo has three.
    let url = global.url().filter(|url| *url != "memory://").unwrap_or("memory://demo");
    example::run(url).await?;
    Ok(ExitCode::SUCCESS)
}
