//! Runs a command of the user's for as long as something is held.

mod child;
mod job;
pub(crate) mod tether;

pub(crate) use job::JobArgs;

use crate::exit::{Failure, SOFTWARE, code_of};
use crate::global::Global;
use crate::signals::Signals;
use child::Child;
use std::ffi::OsString;
use std::io;
use std::pin::pin;
use std::time::Duration;

/// A command to run, and what becomes of it when what is held is lost.
pub(crate) struct Job<'a> {
    pub(crate) command: &'a [OsString],
    pub(crate) environment: [(&'static str, String); 2],
    pub(crate) on_lost: OnLost,
}

/// What to do when what is held is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLost {
    /// SIGTERM, and SIGKILL after this time.
    Terminate(Duration),
    /// Leave the command alone.
    Warn,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, or by a signal that was handed on to it: with this exit code.
    Itself(u8),
    /// It was ended because what was held was lost; `asked` if a signal had asked us to end before.
    ForLoss { asked: bool },
}

/// Runs a command until it ends, or until `lost` and then as its job says. Signals are handed on to it; `what` says in
/// warnings what is held.
pub(crate) async fn run(
    global: &Global,
    job: &Job<'_>,
    what: &str,
    lost: impl Future<Output = ()>,
) -> Result<Ended, Failure> {
    let failed = |error: io::Error| Failure::new(SOFTWARE, format!("the command cannot be looked after: {error}"));
    let _taken = global.take_signals();
    let mut signals = Signals::catch().map_err(failed)?;
    let mut child = Child::start(job)?;
    let (mut lost, mut held, mut asked) = (pin!(lost), true, false);
    loop {
        tokio::select! {
            // First: what ended while we stood still may have ended after the loss.
            biased;
            () = &mut lost, if held => {
                held = false;
                match job.on_lost {
                    OnLost::Terminate(grace) => {
                        global.voice().warn(&format!("{what} was lost; ending the command"));
                        child.end(grace).await.map_err(failed)?;
                        return Ok(Ended::ForLoss { asked });
                    }
                    OnLost::Warn => global.voice().warn(&format!("{what} was lost; the command goes on without it")),
                }
            }
            status = child.wait() => return Ok(Ended::Itself(code_of(status.map_err(failed)?))),
            signal = signals.next() => {
                asked = true;
                child.hand_on(signal);
            }
        }
    }
}
