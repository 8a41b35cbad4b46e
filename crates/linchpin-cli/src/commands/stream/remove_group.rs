//! `linchpin stream remove-group`.

use super::Which;
use crate::exit::{ABSENT, Failure};
use crate::global::Global;
use crate::output::object;
use linchpin::GroupName;
use std::process::ExitCode;

/// Remove a group that is no longer needed, so that it holds back trimming no more
///
/// Where it had come to, what its members have claimed and its dead letters go with it. A group of this name that claims
/// again is a new one, and begins with the oldest record. `linchpin stream inspect` lists the groups. Exit code 1 if there
/// was no such group. On NATS a group cannot be removed yet: exit code 78.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// The group
    group: String,
}

const EXAMPLES: &str = "\
Examples:
  linchpin stream remove-group orders billing
  linchpin stream remove-group orders --dead-letters billing undertakers";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let (stream, group) = (args.which.name()?, GroupName::new(&args.group)?);
    let removed = global.connect().await?.driver().remove_group(&stream, &group).await?;
    if global.is_json() {
        global.print_json(object([("removed", removed.into())])).await?;
    }
    if !removed {
        let message = format!("there is no group {:?} of {:?}", args.group, args.which.stream);
        return Err(Failure::new(ABSENT, message));
    }
    Ok(ExitCode::SUCCESS)
}
