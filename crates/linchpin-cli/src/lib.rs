//! The `linchpin` command: locks, elections, messages, state and streams from a shell.
//!
//! ```sh
//! export LINCHPIN_URL=redis://localhost:6379
//! linchpin lock nightly-report -- ./report.sh
//! linchpin set greeting hello && linchpin get greeting
//! linchpin sub 'orders:*' --output json
//! ```
//!
//! How it is built: `cli` is the one definition that help, man pages and completions are made from, and the one
//! list of subcommands. Each subcommand is a file in `commands` with its `Args` and its `run`. `global` is what
//! they share: the connection, which is shut down however the command ends, and the way things are printed.
//! `supervise` runs a command of the user's while a lock or a leadership is held. `exit` is the one table of
//! exit codes.

#![expect(clippy::doc_markdown, reason = "doc comments of arguments are help texts, where backticks would show")]

#[cfg(not(unix))]
compile_error!("the linchpin command needs Unix: it hands signals on and looks after process groups");

#[cfg(feature = "bench")]
mod bench;
mod cli;
mod commands;
#[cfg(feature = "conformance")]
mod conformance;
mod exit;
mod global;
mod input;
mod output;
#[cfg(any(feature = "bench", feature = "conformance"))]
#[cfg_attr(
    not(all(feature = "bench", feature = "conformance")),
    allow(dead_code, unused_imports, reason = "each report takes what it needs of it")
)]
mod page;
#[cfg(any(feature = "bench", feature = "conformance"))]
mod report_file;
mod signals;
mod supervise;
mod until;
mod waiting;

use cli::Cli;
use exit::{Failure, SOFTWARE};
use global::Global;
use signals::{Signals, asks_to_end};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

/// How long giving back what is held may take, before it is left to its TTL.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// The command, as the arguments of this process say. The program `linchpin` is no more than this; one of your own that
/// knows an adapter more is two lines:
///
/// ```no_run
/// # use linchpin_memory::Memory as Sqlite;
/// fn main() -> linchpin::Result<std::process::ExitCode> {
///     linchpin::register::<Sqlite>()?;
///     Ok(linchpin_cli::main())
/// }
/// ```
pub fn main() -> ExitCode {
    if let Some(ended) = supervise::tether::if_asked() {
        return ended;
    }
    let cli = Cli::of_this_process();
    // The main thread waits for the command and for signals; leases are renewed by the others, whatever it does.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("linchpin: cannot start: {error}");
            return ExitCode::from(SOFTWARE);
        }
    };
    let ended = runtime.block_on(session(cli));
    // Not waiting for a thread that reads a terminal.
    runtime.shutdown_background();
    ended
}

/// Runs the command, gives back what it held, and says what went wrong.
async fn session(Cli { options, command }: Cli) -> ExitCode {
    let global = Global::new(options);
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return global.report(&Failure::new(SOFTWARE, format!("cannot catch signals: {error}"))),
    };
    let ended = interruptible(&global, &mut signals, Box::pin(command.run(&global))).await;
    let closed = tokio::select! {
        closed = tokio::time::timeout(CLOSE_WITHIN, global.close()) => closed,
        // Whoever asks twice will not wait.
        () = asked_to_end(&mut signals) => Ok(Ok(())),
    };
    match ended {
        Ok(code) => {
            if !matches!(closed, Ok(Ok(()))) {
                global.voice().warn("not everything could be given back to the backend; it passes with its TTL");
            }
            code
        }
        Err(failure) => global.report(&failure),
    }
}

async fn asked_to_end(signals: &mut Signals) {
    while !asks_to_end(signals.next().await) {}
}

/// Drops the command when a signal comes, unless the command takes care of signals itself: then it is told.
async fn interruptible(
    global: &Global,
    signals: &mut Signals,
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let mut command = pin!(command);
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => {
                if !global.takes_signals() {
                    return Err(Failure::of_signal(signal));
                }
                global.hand_on(signal);
            }
            ended = &mut command => return ended,
        }
    }
}
