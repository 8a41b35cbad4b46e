//! Runs a command of the user's for as long as something is held.

mod child;
mod hold;
mod job;
pub(crate) mod tether;

pub(crate) use job::JobArgs;

use crate::exit::{Failure, SOFTWARE, code_of};
use crate::global::Global;
use crate::signals::{Signals, asks_to_end};
use child::Child;
use linchpin::Held;
use std::ffi::OsString;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A command to run, and what becomes of it when what is held is lost.
pub(crate) struct Job<'a> {
    pub(crate) command: &'a [OsString],
    pub(crate) environment: [(&'static str, String); 2],
    pub(crate) on_lost: OnLost,
}

/// What to do about the loss of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLost {
    /// SIGTERM this time before it would be lost, and SIGKILL then.
    Terminate(Duration),
    /// Leave the command alone.
    Warn,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// By itself, or by a signal that was handed on to it: with this exit code.
    Itself(u8),
    /// It was ended because what was held was lost or about to be; `asked` if a signal had asked us to end.
    ForLoss { asked: bool },
}

/// Runs a command until it ends, or until its job says so because what is held runs out. Signals are handed on to it;
/// `what` says in warnings what is held.
pub(crate) async fn run(global: &Global, job: &Job<'_>, what: &str, held: &Held) -> Result<ChildEnd, Failure> {
    let failed = |error: io::Error| Failure::new(SOFTWARE, format!("the command cannot be looked after: {error}"));
    let _taken = global.take_signals();
    let mut signals = Signals::catch().map_err(failed)?;
    let mut child = Child::start(job)?;
    let runs_out = async {
        match job.on_lost {
            OnLost::Terminate(grace) => hold::running_out(held, grace).await,
            OnLost::Warn => std::future::pending().await,
        }
    };
    let (mut lost, mut runs_out) = (pin!(held.lost()), pin!(runs_out));
    let (mut still_held, mut asked) = (true, false);
    loop {
        tokio::select! {
            // First: what ended while we stood still may have ended after the loss.
            biased;
            () = &mut lost, if still_held => {
                still_held = false;
                match job.on_lost {
                    OnLost::Terminate(_) => {
                        global.voice().warn(&format!("{what} was lost; ending the command"));
                        child.kill().await.map_err(failed)?;
                        return Ok(ChildEnd::ForLoss { asked });
                    }
                    OnLost::Warn => global.voice().warn(&format!("{what} was lost; the command goes on without it")),
                }
            }
            status = child.wait() => return Ok(ChildEnd::Itself(code_of(status.map_err(failed)?))),
            deadline = &mut runs_out => {
                global.voice().warn(&format!("{what} is about to be lost; ending the command"));
                asked |= end(&mut child, &mut signals, deadline, lost).await.map_err(failed)?;
                return Ok(ChildEnd::ForLoss { asked });
            }
            signal = signals.next() => {
                asked |= asks_to_end(signal);
                child.hand_on(signal);
            }
        }
    }
}

/// SIGTERM, and SIGKILL at the deadline or the loss; whether a signal asked us to end meanwhile.
///
/// The deadline stays where it was when the command was told, also if a renewal succeeds after all: or a command that does
/// not listen would go on for as long as renewals do.
async fn end(
    child: &mut Child,
    signals: &mut Signals,
    deadline: Instant,
    mut lost: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<bool> {
    let mut asked = false;
    child.terminate();
    loop {
        tokio::select! {
            () = &mut lost => break,
            () = sleep_until(deadline) => break,
            ended = child.ended() => {
                ended?;
                break;
            }
            signal = signals.next() => {
                asked |= asks_to_end(signal);
                child.hand_on(signal);
            }
        }
    }
    child.kill().await?;
    Ok(asked)
}
