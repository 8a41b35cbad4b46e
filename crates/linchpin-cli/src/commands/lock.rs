//! `linchpin lock`: a command that runs on one machine at a time.

use crate::exit::{Failure, LOST, TEMPORARY};
use crate::global::Global;
use crate::output::Voice;
use crate::supervise::{self, ChildEnd, Job, JobArgs, OnLost};
use crate::waiting;
use linchpin::{Coordinator, ErrorKind, LockGuard};
use std::process::ExitCode;
use std::time::Duration;

/// Run a command while holding a lock, one holder at a time
///
/// Like flock(1), over all machines that name the same server. Who asks first gets the lock first. It is renewed while
/// the command runs, and released when the command ends; what the command left in the background goes on without it.
///
/// The command finds the lock's name in LINCHPIN_LOCK, and in LINCHPIN_FENCING_TOKEN a number that is greater than that
/// of every holder before: a resource that refuses a smaller number than it has seen is safe from a holder that was
/// paused and does not know yet that it lost the lock.
///
/// If the lock cannot be renewed because the server cannot be reached, the command gets SIGTERM while --grace is left, and
/// SIGKILL when that is over: so early that it is gone before another holds the lock. Told to end, it ends: a renewal that
/// succeeds after that does not call it back, and the exit code is 79. A lock that turns out to be lost already, removed
/// by hand say, leaves no time: SIGKILL comes at once. SIGINT, SIGTERM, SIGHUP, SIGUSR1 and
/// SIGUSR2 are handed on to the command. Away from a terminal it leads a process group of its own, and what it started in
/// there ends with it; on a terminal it alone does.
///
/// What this cannot do: while linchpin itself stands still (SIGSTOP, a machine that sleeps), the command may go on, and is
/// ended when linchpin goes on. If linchpin is killed (SIGKILL), the command is killed with it on Linux, but not what the
/// command started; on other systems it goes on. Then only the fencing token protects what the command writes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// Give up after this time; without, wait for ever
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Give up at once if somebody holds the lock or waits for it
    #[arg(long)]
    no_wait: bool,
    /// The exit code for giving up
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = TEMPORARY)]
    conflict_exit_code: u8,
    /// What to do with the command when the lock is about to be lost
    #[arg(long, value_name = "ACTION", value_enum, default_value_t)]
    on_lost: Action,
    /// Under which name to hold it, for others to see; a random one unless told
    #[arg(long, value_name = "NODE")]
    holder: Option<String>,
    #[command(flatten)]
    job: JobArgs,
}

const EXAMPLES: &str = "\
Examples:
  linchpin lock nightly-report -- ./report.sh
  linchpin lock deploy --no-wait -E 3 -- make deploy
  linchpin lock counter --wait 30s --ttl 1m -- sh -c 'echo $LINCHPIN_FENCING_TOKEN'

Exit codes: the command's own (128+N if signal N ended it); 75 or CODE if the lock was not free in time; 69 if the \
server cannot be reached or does not answer; 79 if the lock was lost or about to be, and the command ended for it. All of them: `linchpin --help`.";

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Action {
    /// End it before: SIGTERM while --grace is left, then SIGKILL
    #[default]
    Terminate,
    /// Warn when it is lost and let the command go on: two may then run at once
    Warn,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let grace = args.job.grace()?;
    let coordinator = global.connect_as(args.holder.as_deref()).await?;
    let guard = acquire(global.voice(), coordinator, &args).await?;
    let what = format!("the lock {:?}", args.name);
    let job = Job {
        command: &args.job.command,
        environment: [("LINCHPIN_LOCK", args.name.clone()), ("LINCHPIN_FENCING_TOKEN", guard.token().to_string())],
        on_lost: match args.on_lost {
            Action::Terminate => OnLost::Terminate(grace),
            Action::Warn => OnLost::Warn,
        },
    };
    let ended = supervise::run(global, &job, &what, &guard).await?;
    match ended {
        ChildEnd::Itself(code) => {
            release(global, guard, &what).await;
            Ok(ExitCode::from(code))
        }
        ChildEnd::ForLoss { .. } => Ok(ExitCode::from(LOST)),
    }
}

async fn acquire(voice: Voice, coordinator: &Coordinator, args: &Args) -> Result<LockGuard, Failure> {
    let lock = coordinator.lock(&args.name).ttl(args.job.ttl);
    let lock = lock.on_renewal_failure(voice.on_renewal_failure(format!("the lock {:?}", args.name)));
    let conflict = |message: String| Failure::new(args.conflict_exit_code, message);
    if args.no_wait {
        let held = format!("the lock {:?} is held by another, or waited for", args.name);
        return lock.try_acquire().await?.ok_or_else(|| conflict(held));
    }
    let lock = match args.wait {
        Some(wait) => lock.wait(wait),
        None => lock,
    };
    let acquired = waiting::showing(format!("waiting for the lock {:?}", args.name), lock.acquire()).await;
    match acquired {
        // Others hold it, or nobody answers: that is not the same.
        Err(error)
            if error.kind() == ErrorKind::Timeout && args.wait.is_some() && waiting::answers(coordinator).await =>
        {
            Err(conflict(error.to_string()))
        }
        acquired => Ok(acquired?),
    }
}

/// The command has ended with the lock in hand; what becomes of the release does not change how.
async fn release(global: &Global, guard: LockGuard, what: &str) {
    if guard.is_held()
        && let Err(error) = guard.release().await
    {
        global.voice().warn(&format!("{what} could not be released and passes on with its TTL: {error}"));
    }
}
