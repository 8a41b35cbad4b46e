//! `linchpin leader`: who leads.

use crate::exit::{ABSENT, Failure};
use crate::global::Global;
use crate::output::{object, one_line, put_bytes};
use linchpin::DEFAULT_GROUP;
use std::process::ExitCode;

/// Print who leads
///
/// The leader's node id; with --output json also its term and the value that it proclaimed. Exit code 1 if nobody
/// leads.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The election; `default` is the one of the library's `try_acquire_leadership`
    #[arg(default_value = DEFAULT_GROUP)]
    election: String,
}

const EXAMPLES: &str = "\
Examples:
  linchpin leader scheduler
  linchpin leader scheduler --output json | jq -r .value";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let Some(leader) = global.connect().await?.election(args.election).leader().await? else {
        return Ok(ExitCode::from(ABSENT));
    };
    let json = || {
        let mut told = object([("node", leader.node_id.as_str().into()), ("term", leader.term.0.into())]);
        put_bytes(&mut told, "value", &leader.value);
        told
    };
    global.print(|| one_line(leader.node_id.as_str()), json).await?;
    Ok(ExitCode::SUCCESS)
}
