//! The contract, sentence by sentence, and the cases that prove each.

/// A chapter, one sentence each: what cases call it, and how it reads.
macro_rules! chapter {
    ($chapter:ident $title:literal; $($clause:ident $text:literal;)+) => {
        $(pub(crate) static $clause: $crate::contract::Clause = $crate::contract::Clause($text);)+

        pub(crate) static $chapter: $crate::contract::Chapter =
            $crate::contract::Chapter { title: $title, clauses: &[$(&$clause),+] };
    };
}

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

use super::Chapter;

pub(crate) use capabilities::*;
pub(crate) use election::*;
pub(crate) use errors::*;
pub(crate) use layers::*;
pub(crate) use lock::*;
pub(crate) use members::*;
pub(crate) use messages::*;
pub(crate) use names::*;
pub(crate) use outages::*;
pub(crate) use port::*;
pub(crate) use regressions::*;
pub(crate) use state::*;
pub(crate) use streams::*;
pub(crate) use time::*;
pub(crate) use transactions::*;
pub(crate) use watch::*;

/// The contract, in the order in which one reads it.
pub(super) static CHAPTERS: &[&Chapter] = &[
    &NAMESPACES,
    &PATTERNS,
    &STATE,
    &REVISIONS,
    &RANGES,
    &TRANSACTIONS,
    &COUNTERS,
    &IDS,
    &TIME,
    &WATCHES,
    &MESSAGES,
    &ACKNOWLEDGED,
    &RECORDS,
    &CLAIMS,
    &SETTLEMENTS,
    &DELAYS,
    &DEAD_LETTERS,
    &KEEPING,
    &ERRORS,
    &CLOSING,
    &CAPABILITIES,
    &KEYS,
    &PORT_MESSAGES,
    &NODES,
    &LEADERSHIP,
    &HEALTH,
    &LAYERS,
    &OUTAGES,
    &HOLDING,
    &WAITING,
    &LOSING,
    &CAMPAIGNING,
    &LEADING,
    &OBSERVING,
    &STAYING,
    &WATCHING,
];
