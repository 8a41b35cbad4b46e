//! Ties the command to our life, on Linux: if we are killed, it is killed too.
//!
//! The parent-death signal is asked for by the process that is to have it, and stays with it when it becomes another
//! program. So we start ourselves once more, ask for the signal there, and become the command. It comes when the
//! thread that started the process ends, which is our main thread, the one that ends last. It reaches the command, not
//! what the command started, and not a program that runs with other rights than we do (set-uid).

use super::child::not_run;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Our own program, also if its file was replaced meanwhile.
const OURSELVES: &str = "/proc/self/exe";
/// Told apart from every subcommand by what a shell would not pass by accident.
const MARK: &str = "\u{1}tethered";

/// The program and its first arguments that run the command that follows tethered to us, where that can be had.
pub(super) fn program() -> Option<(&'static Path, [OsString; 2])> {
    let path = Path::new(OURSELVES);
    let us = getpid().as_raw_nonzero().to_string();
    (cfg!(target_os = "linux") && path.exists()).then(|| (path, [MARK.into(), us.into()]))
}

/// Becomes the command, if we were started for that; returns only if it could not.
pub(crate) fn if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let parent = arguments.next()?.to_str()?.parse().ok().and_then(Pid::from_raw)?;
    let program = arguments.next()?;
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || getppid() != Some(parent) {
        // It died before we could ask for the signal, and what it held passes on.
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(&program).args(arguments).exec();
    let failure = not_run(&program, &error);
    let _ = writeln!(io::stderr(), "linchpin: {}", failure.message);
    Some(ExitCode::from(failure.code))
}
