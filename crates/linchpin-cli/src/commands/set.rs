//! `linchpin set`: writing a key.

use crate::exit::Failure;
use crate::global::Global;
use crate::input;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// Write a key, for ever or for a time
///
/// A value is any bytes. It replaces what was there, with its TTL. A value that starts with `-` goes after `--`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The key
    key: String,
    /// The value; `-` or nothing reads the standard input
    value: Option<OsString>,
    /// How long it lives; for ever unless told
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  linchpin set greeting hello
  linchpin set session:7 - --ttl 30m < session.json
  linchpin set offset -- -5";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let coordinator = global.connect().await?;
    let limit = coordinator.driver().capabilities().limits.value;
    let value = input::bytes(args.value, "value", limit).await?;
    coordinator.set(&args.key, &value, args.ttl).await?;
    Ok(ExitCode::SUCCESS)
}
