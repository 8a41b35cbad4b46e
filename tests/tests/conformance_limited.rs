//! Holds a driver that declares as little as the contract allows to it: what it does not declare has to be
//! refused, and the suite has to say so instead of skipping.

mod limited;

use limited::LimitedHarness;
use linchpin_core::{Capabilities, Limits, TransactionScope, WatchCompleteness};
use std::process::ExitCode;

fn nothing_else(capabilities: &mut Capabilities) {
    "limited".clone_into(&mut capabilities.backend);
    capabilities.transactions = TransactionScope::SingleKey;
    capabilities.transaction_ids = None;
    capabilities.prefix_guards = false;
    capabilities.watch = WatchCompleteness::None;
    capabilities.ttl = None;
    capabilities.messages = None;
    capabilities.streams = None;
    capabilities.limits = Limits::MINIMUM;
}

fn main() -> ExitCode {
    linchpin_conformance::run(LimitedHarness {
        name: "limited",
        describe: "memory that declares single-key transactions and nothing else",
        limit: nothing_else,
    })
}
