//! The command's process, and those that it starts.

use super::{Job, OnLost, tether};
use crate::exit::{Failure, NOT_FOUND, NOT_RUNNABLE, SOFTWARE};
use crate::signals::asks_to_end;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::process::ExitStatus;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

pub(super) struct Child {
    process: tokio::process::Child,
    pid: Pid,
    /// Whether it leads a process group of its own.
    ///
    /// It does if none of our streams is a terminal: then all that it starts can be ended with it. On a terminal it
    /// stays in our group, or it could not read from there and Ctrl-Z would stop us alone; then only it is ended.
    leads_group: bool,
}

impl Child {
    pub(super) fn start(job: &Job<'_>) -> Result<Self, Failure> {
        let (program, arguments) = job.command.split_first().ok_or_else(|| Failure::invalid("no command is given"))?;
        let tethered = matches!(job.on_lost, OnLost::Terminate(_));
        let mut command = match tether::program().filter(|_| tethered) {
            Some((own, tether)) => {
                let mut command = Command::new(own);
                command.args(tether).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).envs(job.environment.clone()).kill_on_drop(tethered);
        let leads_group = !(io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal());
        if leads_group {
            command.process_group(0);
        }
        let process = command.spawn().map_err(|error| not_run(program, &error))?;
        let pid = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or_else(|| Failure::new(SOFTWARE, "the command has no process id"))?;
        Ok(Self { process, pid, leads_group })
    }

    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Hands on a signal that came to us.
    pub(super) fn hand_on(&self, signal: Signal) {
        // Ctrl-C on a terminal reaches the whole group: twice would be taken for impatience.
        if self.leads_group || signal != Signal::INT {
            self.send(signal);
            // What is stopped would not see it; it need not, unless it is to end.
            if asks_to_end(signal) || signal == Signal::HUP {
                self.send(Signal::CONT);
            }
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.send(Signal::TERM);
        // What is stopped would not see it.
        self.send(Signal::CONT);
    }

    /// Returns when it has ended. It is not waited for: until then nobody else can get its number, nor that of its
    /// group, and what is left of the group can be killed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ended(&self) -> io::Result<()> {
        let mut changes = signal(SignalKind::child())?;
        let looked = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(self.pid), looked)?.is_none() {
            changes.recv().await;
        }
        Ok(())
    }

    /// SIGKILL, to what is left of its group too.
    pub(super) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.send(Signal::KILL);
        self.process.wait().await
    }

    fn send(&self, signal: Signal) {
        // It fails if the process has just ended; that is all that can be wrong.
        let _ = if self.leads_group { kill_process_group(self.pid, signal) } else { kill_process(self.pid, signal) };
    }
}

/// Why a command was not run, with the exit code that a shell has for it.
pub(super) fn not_run(program: &OsStr, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
    Failure::new(code, format!("cannot run {}: {error}", program.display()))
}
