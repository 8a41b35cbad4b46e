//! The contract, sentence by sentence, and the cases that prove each.

mod capabilities;
mod election;
mod errors;
mod layers;
mod lock;
mod members;
mod messages;
mod names;
mod outages;
mod port;
mod regressions;
mod state;
mod streams;
mod time;
mod transactions;
mod watch;

use super::{Chapter, Clause};

/// The contract, in the order in which one reads it.
pub(super) const CHAPTERS: &[Chapter] = &[
    names::NAMESPACES,
    names::PATTERNS,
    state::STATE,
    state::REVISIONS,
    state::RANGES,
    transactions::TRANSACTIONS,
    transactions::COUNTERS,
    transactions::IDS,
    time::TIME,
    watch::WATCHES,
    messages::MESSAGES,
    messages::ACKNOWLEDGED,
    streams::RECORDS,
    streams::CLAIMS,
    streams::SETTLEMENTS,
    streams::DELAYS,
    streams::DEAD_LETTERS,
    streams::KEEPING,
    errors::ERRORS,
    errors::CLOSING,
    capabilities::CAPABILITIES,
    port::KEYS,
    port::PORT_MESSAGES,
    port::NODES,
    port::LEADERSHIP,
    port::HEALTH,
    layers::LAYERS,
    outages::OUTAGES,
    lock::HOLDING,
    lock::WAITING,
    lock::LOSING,
    election::CAMPAIGNING,
    election::LEADING,
    election::OBSERVING,
    members::STAYING,
    members::WATCHING,
];

/// What broke in other libraries, and the cases that show that it does not here.
pub(super) const REGRESSIONS: &[Clause] = regressions::REGRESSIONS;
