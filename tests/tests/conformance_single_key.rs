//! Holds a driver whose transactions span one key, and which knows no transaction ids, to the contract: the port and
//! the recipes have to do with that.

mod limited;

use limited::LimitedHarness;
use linchpin_core::{Capabilities, TransactionScope};
use std::process::ExitCode;

fn one_key(capabilities: &mut Capabilities) {
    "single-key".clone_into(&mut capabilities.backend);
    capabilities.transactions = TransactionScope::SingleKey;
    capabilities.transaction_ids = None;
    capabilities.prefix_guards = false;
}

fn main() -> ExitCode {
    linchpin_conformance::run(LimitedHarness {
        name: "single-key",
        describe: "memory that declares everything but transactions over several keys and transaction ids",
        limit: one_key,
    })
}
