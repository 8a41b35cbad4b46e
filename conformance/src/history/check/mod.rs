//! The judge. Revisions say in which order things happened, so that order need not be searched for: it only
//! has to explain every answer and to respect real time.

mod key;
mod locks;
mod order;
mod state;
mod streams;
mod told;
mod transactions;
mod unknown;

use super::record::{Decision, Event, Operation};
use std::fmt;

/// What a history that is as it should be consists of: a judge that was shown nothing approves of anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) operations: usize,
    pub(crate) reads: usize,
    pub(crate) committed: usize,
    pub(crate) refused: usize,
    /// Records that were appended, deliveries of them, and settlements of those.
    pub(crate) appended: usize,
    pub(crate) delivered: usize,
    pub(crate) settled: usize,
    /// How often a lock was held.
    pub(crate) held: usize,
    /// Calls that failed without an effect, and such of which that is not known.
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    /// Transactions of unknown outcome that somebody saw to be applied.
    pub(crate) applied_after_all: usize,
    /// Steps of counters that too many calls of unknown outcome could have made to say which.
    pub(crate) undecided: usize,
    /// What the first error said.
    pub(crate) first_error: Option<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, reads, committed, refused, appended, delivered, settled, held, failed, unknown, .. } =
            self;
        write!(f, "{operations} operations: {reads} reads, {committed} committed, {refused} refused, ")?;
        write!(f, "{appended} appended, {delivered} delivered, {settled} settled, {held} locks held, ")?;
        write!(f, "{failed} failed, {unknown} unknown ({} of them seen to be applied)", self.applied_after_all)
    }
}

/// Something that the contract does not allow, with the operations that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) seed: u64,
    pub(crate) text: String,
    pub(crate) operations: Vec<Operation>,
}

impl Violation {
    fn new<'h>(text: impl Into<String>, operations: impl IntoIterator<Item = &'h Operation>) -> Self {
        let mut operations: Vec<_> = operations.into_iter().cloned().collect();
        operations.dedup();
        Self { seed: 0, text: text.into(), operations }
    }

    pub(super) fn of_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// The text, then the operations as the lines that a file of the history has for them.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (seed {})", self.text, self.seed)?;
        for operation in &self.operations {
            match serde_json::to_string(operation) {
                Ok(line) => write!(f, "\n  {line}")?,
                Err(_) => write!(f, "\n  {operation:?}")?,
            }
        }
        Ok(())
    }
}

/// What a part of the judge says.
type Verdict<T = ()> = Result<T, Violation>;

/// Judges operations, in the order of their calls.
pub(super) fn check(operations: &[Operation]) -> Verdict<Summary> {
    let mut summary = count(operations);
    state::check(operations, &mut summary)?;
    streams::check(operations)?;
    locks::check(operations)?;
    Ok(summary)
}

fn count(operations: &[Operation]) -> Summary {
    let mut summary = Summary { operations: operations.len(), ..Summary::default() };
    for operation in operations {
        let error = match &operation.event {
            Event::Get { reply, .. } => {
                summary.reads += usize::from(reply.answer().is_some());
                reply.error()
            }
            Event::Commit { reply, .. } => {
                let committed = reply.answer().map(|decision| matches!(decision, Decision::Committed { .. }));
                summary.committed += usize::from(committed == Some(true));
                summary.refused += usize::from(committed == Some(false));
                reply.error()
            }
            Event::Append { reply, .. } => {
                summary.appended += reply.answer().map_or(0, Vec::len);
                reply.error()
            }
            Event::Claim { reply, .. } => {
                summary.delivered += reply.answer().map_or(0, Vec::len);
                reply.error()
            }
            Event::Settle { reply, .. } => {
                summary.settled += reply.answer().map_or(0, Vec::len);
                reply.error()
            }
            Event::Acquire { reply, .. } => {
                summary.held += usize::from(reply.answer().is_some());
                reply.error()
            }
            Event::Drained { .. } | Event::Release { .. } => None,
        };
        if let Some((error, unknown)) = error {
            summary.first_error.get_or_insert_with(|| error.to_owned());
            summary.unknown += usize::from(unknown);
            summary.failed += usize::from(!unknown);
        }
    }
    summary
}
