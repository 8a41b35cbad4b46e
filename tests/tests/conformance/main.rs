//! Holds the adapters to the contract, one after the other. The first argument may choose one of them, the next which
//! cases: `cargo test --test conformance -- redis streams.`

mod layered;
mod limited;
mod log;
mod memory;
mod nats;
mod postgres;
mod redis;
mod server;
mod streams_over_keys;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::{Mutex, PoisonError};

type Run = fn() -> ExitCode;

const BACKENDS: [(&str, Run); 16] = [
    ("memory", memory::run),
    ("layered-memory", layered::run),
    ("single-key", limited::run_single_key),
    ("limited", limited::run_limited),
    ("streams-over-keys", streams_over_keys::run),
    ("log", log::run),
    ("log-faulty", log::run_faulty),
    ("redis", redis::run),
    ("redis-6.2", redis::run_6),
    ("redis-8.2", redis::run_8),
    ("valkey-9.1", redis::run_valkey),
    ("nats", nats::run),
    ("nats-2.9", nats::run_old),
    ("nats-cluster", nats::run_cluster),
    ("postgres", postgres::run),
    ("postgres-18", postgres::run_18),
];

/// How many backends are held at once, as most of the time they wait: but those of NATS, whose servers keep two processors
/// busy.
const AT_ONCE: usize = 2;

/// Says to a process of this program which backend is its own.
const OWN: &str = "LINCHPIN_CONFORMANCE_BACKEND";

fn main() -> ExitCode {
    if let Ok(own) = env::var(OWN) {
        let found = BACKENDS.iter().find(|(name, _)| *name == own);
        return found.map_or(ExitCode::FAILURE, |(_, run)| run());
    }
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let chosen = arguments.first().and_then(|first| BACKENDS.iter().find(|(name, _)| first == name));
    if chosen.is_some() {
        arguments.remove(0);
    }
    let Some((chosen, _)) = chosen else { return hold_all(&arguments) };
    eprintln!("{}", announcement(chosen));
    let status = own_process(chosen, &arguments).and_then(|mut program| program.status());
    told(chosen, status)
}

/// As Cargo announces a program.
fn announcement(name: &str) -> String {
    format!("     Running conformance of {name}")
}

/// Runs the cases on every backend: the last ones first, which take longest.
fn hold_all(arguments: &[OsString]) -> ExitCode {
    let names = BACKENDS.iter().rev().map(|(name, _)| *name);
    let (busy, waiting): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with("nats"));
    let are_held = [hold_some(waiting, AT_ONCE, arguments), hold_some(busy, 1, arguments)];
    if are_held.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the cases on some backends, so many at once; whether all hold. What one says is shown in one piece.
fn hold_some(names: Vec<&'static str>, at_once: usize, arguments: &[OsString]) -> bool {
    let left = Mutex::new(names.into_iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let hold = |name: &str| {
        let output = own_process(name, arguments).and_then(|mut program| program.output());
        let mut shown = io::stderr().lock();
        let (out, err) = output.as_ref().map_or((&[][..], &[][..]), |output| (&output.stdout, &output.stderr));
        let written = writeln!(shown, "{}", announcement(name)).and_then(|()| shown.write_all(err));
        let written = written.and_then(|()| io::stdout().lock().write_all(out));
        told(name, written.and(output.map(|output| output.status))) == ExitCode::SUCCESS
    };
    let work = || std::iter::from_fn(next).map(hold).fold(true, |all, one| all & one);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(false)).fold(true, |all, one| all & one)
    })
}

/// Says why it failed, if it did.
fn told(name: &str, status: io::Result<ExitStatus>) -> ExitCode {
    let reason = match status {
        Ok(status) if status.success() => return ExitCode::SUCCESS,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    eprintln!("conformance of {name}: {reason}");
    ExitCode::FAILURE
}

/// Runs the cases on a backend, in a process of its own: none sees what another left behind.
fn own_process(name: &str, arguments: &[OsString]) -> io::Result<Command> {
    let mut program = Command::new(env::current_exe()?);
    program.args(arguments).env(OWN, name);
    Ok(program)
}
