//! `linchpin demo`: what linchpin does, in seven seconds.

/// What the example prints goes through here: where it cannot be written, the demo ends, and does not panic.
macro_rules! println {
    ($($text:tt)*) => {
        $crate::commands::demo::print(format_args!($($text)*))
    };
}

#[expect(dead_code, reason = "the example has a main of its own")]
mod example;

use crate::exit::Failure;
use crate::global::Global;
use crate::output;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::sync::SetOnce;

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

/// Why something could not be printed, once that is so.
static UNPRINTED: SetOnce<io::Error> = SetOnce::const_new();

pub(crate) async fn run(global: &Global, Args {}: Args) -> Result<ExitCode, Failure> {
    // A private memory is of one handle only, and the demo has three.
    let url = global.url().filter(|url| *url != "memory://").unwrap_or("memory://demo");
    tokio::select! {
        biased;
        () = output::nobody_reads() => Err(Failure::nobody_reads()),
        failure = unprinted() => Err(failure),
        ended = example::run(url) => {
            ended?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(line: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        // The first one counts.
        let _ = UNPRINTED.set(error);
    }
}

async fn unprinted() -> Failure {
    let error = UNPRINTED.wait().await;
    io::Error::new(error.kind(), error.to_string()).into()
}
