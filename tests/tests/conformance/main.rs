//! Holds the adapters to the contract, one after the other. The first argument may choose one of them, the next which
//! cases: `cargo test --test conformance -- redis streams.`

mod layered;
mod limited;
mod memory;
mod nats;
mod postgres;
mod redis;
mod server;
mod streams_over_keys;

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

type Run = fn() -> ExitCode;

const BACKENDS: [(&str, Run); 14] = [
    ("memory", memory::run),
    ("layered-memory", layered::run),
    ("single-key", limited::run_single_key),
    ("limited", limited::run_limited),
    ("streams-over-keys", streams_over_keys::run),
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

/// Says to a process of this program which backend is its own: each has one, so that none sees what another left behind.
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
    let mut code = ExitCode::SUCCESS;
    for (name, _) in BACKENDS.iter().filter(|backend| chosen.is_none_or(|(chosen, _)| backend.0 == *chosen)) {
        // As Cargo announces a program.
        eprintln!("     Running conformance of {name}");
        if let Err(reason) = hold(name, &arguments) {
            eprintln!("conformance of {name}: {reason}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Runs the cases on a backend, in a process of its own.
fn hold(name: &str, arguments: &[OsString]) -> Result<(), String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new(program).args(arguments).env(OWN, name).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}
