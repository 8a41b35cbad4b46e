//! `linchpin del`: deleting keys.

use crate::exit::{ABSENT, Failure};
use crate::global::Global;
use crate::output::object;
use std::process::ExitCode;

/// Delete keys, and print how many there were
///
/// Exit code 1 if there was none of them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The keys
    #[arg(value_name = "KEY", required_unless_present = "pattern")]
    keys: Vec<String>,
    /// Delete the keys that match this instead: `*` any run of characters, `?` one, `[a-z]` one of these
    #[arg(long, conflicts_with = "keys")]
    pattern: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  linchpin del greeting session:7
  linchpin del --pattern 'session:*'";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let coordinator = global.connect().await?;
    let deleted = match &args.pattern {
        Some(pattern) => coordinator.delete_pattern(pattern).await?,
        None => coordinator.delete_many(&args.keys.iter().map(String::as_str).collect::<Vec<_>>()).await?,
    };
    global.print(|| deleted.to_string(), || object([("deleted", deleted.into())])).await?;
    Ok(if deleted > 0 { ExitCode::SUCCESS } else { ExitCode::from(ABSENT) })
}
