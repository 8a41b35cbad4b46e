//! The machine's rules, one test each.

mod expiry;
mod streams;
mod transactions;

use linchpin_core::{Entry, Key, Mutation, MutationResult, Outcome, Revision, Transaction};
use linchpin_machine::{Machine, Time};
use std::time::Duration;

/// So many milliseconds after some point in 2023.
fn at(millis: u64) -> Time {
    Time::from_micros(1_700_000_000_000_000 + millis * 1000)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("valid")
}

fn put(name: &str, value: &'static str, ttl: Option<u64>) -> Transaction {
    Transaction::new().put(key(name), value, ttl.map(millis))
}

fn commit(machine: &mut Machine, now: Time, transaction: &Transaction) -> Outcome {
    machine.commit(now, transaction).outcome.expect("decided")
}

/// The result of a single mutation.
fn result(machine: &mut Machine, now: Time, mutation: Mutation) -> MutationResult {
    let transaction = Transaction { mutations: vec![mutation], ..Transaction::new() };
    commit(machine, now, &transaction).results().expect("committed")[0]
}

fn read(machine: &Machine, now: Time, name: &str) -> Option<Entry> {
    machine.get(now, &[key(name)]).entries.remove(0)
}

fn version(machine: &Machine, now: Time, name: &str) -> Revision {
    read(machine, now, name).expect("present").version
}
