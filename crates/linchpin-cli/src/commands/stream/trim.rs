//! `linchpin stream trim`.

use super::Which;
use crate::exit::Failure;
use crate::global::Global;
use crate::output::object;
use linchpin::{Position, Retention};
use std::process::ExitCode;

/// Remove old records, and print how many
///
/// What a group has not settled yet is kept in any case.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Keep {
    /// Keep the newest so many records
    #[arg(long, value_name = "N")]
    newest: Option<u64>,
    /// Keep the records at or after this position
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// Keep what some group has not settled; nothing is removed while there is no group
    #[arg(long)]
    settled: bool,
}

const EXAMPLES: &str = "\
Examples:
  linchpin stream trim orders --newest 10000
  linchpin stream trim orders --settled
  linchpin stream trim orders --dead-letters billing --newest 0";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let stream = args.which.name()?;
    // The definition takes exactly one of them.
    let keep = match args.keep {
        Keep { settled: true, .. } => Retention::Unsettled,
        Keep { from: Some(position), .. } => Retention::From(Position(position)),
        Keep { newest, .. } => Retention::Newest(newest.unwrap_or_default()),
    };
    let removed = global.connect().await?.driver().trim(&stream, keep).await?;
    global.print(|| removed.to_string(), || object([("removed", removed.into())])).await?;
    Ok(ExitCode::SUCCESS)
}
