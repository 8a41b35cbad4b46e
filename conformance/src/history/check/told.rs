//! What operations tell of single keys, in the order of revisions.

use super::transactions::{Fate, Found, Transaction};
use crate::history::record::{Event, Operation, Read, Reply, Seen, Write};
use linchpin_core::{Condition, Guard, Key, MutationResult, Revision};
use std::collections::HashMap;

/// Something that an operation tells of a key.
#[derive(Clone, Copy)]
pub(super) struct Told<'h> {
    pub(super) revision: u64,
    /// Of what is told of one revision, what comes first.
    pub(super) phase: Phase,
    pub(super) what: What<'h>,
    pub(super) by: &'h Operation,
}

/// When, seen from the write of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Before,
    Write,
    After,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What<'h> {
    /// This stood there.
    Entry(Option<&'h Seen>),
    /// A guard held.
    Holds(Condition),
    /// There was something to delete, or nothing.
    Existed(bool),
    /// What stood there counted so much; nothing counts 0.
    Counted(i64),
    /// A text was written; when the key came to be, if that was told.
    Put { value: &'h str, created: Option<u64> },
    /// Something was added; whether the sum was told.
    Added { delta: i64, exact: bool },
    /// It was removed, if it was there.
    Deleted,
}

/// What is told of each key, in the order of revisions.
#[derive(Default)]
pub(super) struct Tales<'h>(HashMap<&'h Key, Vec<Told<'h>>>);

impl<'h> Tales<'h> {
    pub(super) fn new(operations: &'h [Operation], transactions: &[Transaction<'h>]) -> Self {
        let mut tales = Self::default();
        for by in operations {
            if let Event::Get { keys, reply: Reply::Answered(Read { revision, entries }) } = &by.event {
                for (key, entry) in keys.iter().zip(entries) {
                    tales.tell(key, revision.0, Phase::After, What::Entry(entry.as_ref()), by);
                }
            }
        }
        for transaction in transactions {
            tales.tell_transaction(transaction);
        }
        for told in tales.0.values_mut() {
            told.sort_by_key(|told| (told.revision, told.phase));
        }
        tales
    }

    /// The keys with what is told of them, in the order of their names: the same violation every time.
    pub(super) fn into_sorted(self) -> Vec<(&'h Key, Vec<Told<'h>>)> {
        let mut tales: Vec<_> = self.0.into_iter().collect();
        tales.sort_unstable_by_key(|(key, _)| *key);
        tales
    }

    fn tell(&mut self, key: &'h Key, revision: u64, phase: Phase, what: What<'h>, by: &'h Operation) {
        self.0.entry(key).or_default().push(Told { revision, phase, what, by });
    }

    fn tell_transaction(&mut self, transaction: &Transaction<'h>) {
        let (body, by) = (transaction.body, transaction.by);
        match transaction.fate {
            Fate::Committed { revision, results } => {
                // What wrote nothing is of a revision that another one's writes may have.
                let before = if transaction.wrote_at().is_some() { Phase::Before } else { Phase::After };
                self.hold(&body.guards, revision, before, by);
                for (mutation, result) in body.mutations.iter().zip(results) {
                    self.result(mutation, *result, revision, before, by);
                }
            }
            Fate::SeenAt(revision) => {
                self.hold(&body.guards, revision, Phase::Before, by);
                for mutation in &body.mutations {
                    let what = match mutation {
                        Write::Put { value, .. } => What::Put { value, created: None },
                        Write::Add { delta, .. } => What::Added { delta: *delta, exact: false },
                        Write::Delete { .. } => What::Deleted,
                    };
                    self.tell(mutation.key(), revision, Phase::Write, what, by);
                }
            }
            Fate::Refused { guard, found, revision } => {
                // The first guard that did not hold is told: those before it did.
                self.hold(&body.guards[..guard], revision, Phase::After, by);
                let found = match found {
                    Found::Nothing => None,
                    Found::Entry(seen) => Some(seen),
                    Found::Untold => return,
                };
                self.tell(&body.guards[guard].key, revision, Phase::After, What::Entry(found), by);
            }
            Fate::Failed | Fate::Unknown => {}
        }
    }

    fn hold(&mut self, guards: &'h [Guard], revision: u64, phase: Phase, by: &'h Operation) {
        for guard in guards {
            self.tell(&guard.key, revision, phase, What::Holds(guard.condition), by);
        }
    }

    fn result(&mut self, mutation: &'h Write, result: MutationResult, revision: u64, before: Phase, by: &'h Operation) {
        let key = mutation.key();
        match (mutation, result) {
            (Write::Put { value, .. }, MutationResult::Put { created: Revision(created), .. }) => {
                self.tell(key, revision, Phase::Write, What::Put { value, created: Some(created) }, by);
            }
            (Write::Add { delta, .. }, MutationResult::Added { value }) => {
                self.tell(key, revision, Phase::Before, What::Counted(value.wrapping_sub(*delta)), by);
                self.tell(key, revision, Phase::Write, What::Added { delta: *delta, exact: true }, by);
            }
            (Write::Delete { .. }, MutationResult::Deleted { existed }) => {
                self.tell(key, revision, before, What::Existed(existed), by);
                if existed {
                    self.tell(key, revision, Phase::Write, What::Deleted, by);
                }
            }
            // The kinds were compared before.
            _ => {}
        }
    }
}
