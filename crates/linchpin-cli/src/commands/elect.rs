//! `linchpin elect`: a command that runs on the leader.

use crate::exit::{Failure, LOST};
use crate::global::Global;
use crate::supervise::{self, ChildEnd, Job, JobArgs, OnLost};
use crate::waiting;
use linchpin::{Election, Leadership};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout_at;

/// How long to wait before standing again where the backend could not be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Run a command while leading, one leader at a time
///
/// Waits until this node leads, then runs the command. If the leadership is about to be lost, the command is ended
/// as `linchpin lock` does it, and this node steps down if it still leads then, and stands again. When the command ends by itself, or by a signal that was handed on to it, this
/// node steps down and the next one leads.
///
/// The command finds the election's name in LINCHPIN_ELECTION, and its term in LINCHPIN_FENCING_TOKEN: greater than that
/// of every leader before. `linchpin leader` tells the others who leads. What is said of signals, process groups and the
/// fencing token in `linchpin help lock` is true here.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The election
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// Under which name to stand; a random one unless told
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// What to tell the others while leading: an address, say
    #[arg(long, value_name = "VALUE", default_value = "")]
    value: OsString,
    /// Do not stand again when the leadership is lost: exit code 79
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    job: JobArgs,
}

const EXAMPLES: &str = "\
Examples:
  linchpin elect scheduler -- ./scheduler
  linchpin elect scheduler --node $(hostname) --value 10.0.0.7:8080 --ttl 5s -- ./scheduler --port 8080
  linchpin leader scheduler

Exit codes: the command's own (128+N if signal N ended it); 79 with --once if the leadership was \
lost or about to be. All of them: \
`linchpin --help`.";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let grace = args.job.grace()?;
    let coordinator = global.connect_as(args.node.as_deref()).await?;
    let what = format!("the leadership of {:?}", args.name);
    let election = coordinator.election(&args.name).ttl(args.job.ttl).value(args.value.as_bytes());
    let election = election.on_renewal_failure(global.voice().on_renewal_failure(what.clone()));
    loop {
        let leadership = campaign(global, &election, &args.name).await?;
        let job = Job {
            command: &args.job.command,
            environment: [
                ("LINCHPIN_ELECTION", args.name.clone()),
                ("LINCHPIN_FENCING_TOKEN", leadership.term().to_string()),
            ],
            on_lost: OnLost::Terminate(grace),
        };
        match supervise::run(global, &job, &what, &leadership).await? {
            ChildEnd::Itself(code) => {
                resign(global, leadership, &what).await;
                return Ok(ExitCode::from(code));
            }
            ChildEnd::ForLoss { asked } if args.once || asked => return Ok(ExitCode::from(LOST)),
            ChildEnd::ForLoss { .. } => step_down(leadership).await,
        }
    }
}

/// The command ended before the leadership was lost: whoever leads next, and may be this node, need not wait for the TTL.
/// What it cannot give back in time runs out.
async fn step_down(leadership: Leadership) {
    if let Some(until) = leadership.held_until() {
        let _ = timeout_at(until, leadership.resign()).await;
    }
}

/// Waits until this node leads, also over times when the backend cannot be reached.
async fn campaign(global: &Global, election: &Election, name: &str) -> Result<Leadership, Failure> {
    loop {
        let elected = waiting::showing(format!("waiting to lead {name:?}"), election.campaign()).await;
        match elected {
            Err(error) if error.is_transient() => {
                global.voice().warn(&format!("{error}; standing again"));
                tokio::time::sleep(PAUSE).await;
            }
            elected => return Ok(elected?),
        }
    }
}

/// The command has ended as the leader's; what becomes of stepping down does not change how.
async fn resign(global: &Global, leadership: Leadership, what: &str) {
    if leadership.is_leader()
        && let Err(error) = leadership.resign().await
    {
        global.voice().warn(&format!("{what} could not be given back and passes on with its TTL: {error}"));
    }
}
