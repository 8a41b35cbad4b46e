//! Transactions as the judge sees them: those sent under one id are one, and unknown ones whose writes were
//! seen are known.

use super::{Verdict, Violation};
use crate::history::record::{Decision, Event, Operation, Reply, Seen, Txn, Write};
use linchpin_core::{Condition, Key, MutationResult, Revision};
use std::collections::{HashMap, HashSet};

/// One transaction, sent once or, under an id, several times.
pub(super) struct Transaction<'h> {
    /// The send that its answer came with; else the first one that may have been applied.
    pub(super) by: &'h Operation,
    pub(super) body: &'h Txn,
    /// When it was first sent.
    pub(super) called: u64,
    /// When its answer came; the end of time if none did.
    pub(super) returned: u64,
    pub(super) fate: Fate<'h>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate<'h> {
    Committed {
        revision: u64,
        results: &'h [MutationResult],
    },
    Refused {
        guard: usize,
        found: Found<'h>,
        revision: u64,
    },
    /// Surely not applied.
    Failed,
    /// Applied once, or not, or not yet.
    Unknown,
    /// Its client was not told, but somebody saw what it wrote.
    SeenAt(u64),
}

/// What a guard found that did not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'h> {
    Nothing,
    Entry(&'h Seen),
    /// A repeat is told nothing of an entry that was replaced meanwhile, and what has an id may have been repeated
    /// below the client.
    Untold,
}

impl<'h> Found<'h> {
    fn new(found: Option<&'h Seen>, has_id: bool) -> Self {
        match found {
            Some(seen) => Self::Entry(seen),
            None if has_id => Self::Untold,
            None => Self::Nothing,
        }
    }

    /// Whether the guard was right to refuse.
    fn fails(self, condition: Condition) -> bool {
        match self {
            Self::Nothing => !condition.holds(None),
            Self::Entry(seen) => !condition.holds(Some(seen.version)),
            Self::Untold => true,
        }
    }
}

impl<'h> Transaction<'h> {
    fn new(by: &'h Operation, body: &'h Txn, reply: &'h Reply<Decision>) -> Self {
        let (fate, returned) = match reply {
            Reply::Answered(Decision::Committed { revision, results }) => {
                (Fate::Committed { revision: revision.0, results }, by.returned)
            }
            Reply::Answered(Decision::Refused { guard, found, revision }) => {
                let found = Found::new(found.as_ref(), body.id.is_some());
                (Fate::Refused { guard: *guard, found, revision: revision.0 }, by.returned)
            }
            Reply::Failed(_) => (Fate::Failed, by.returned),
            Reply::Unknown(_) => (Fate::Unknown, u64::MAX),
        };
        Self { by, body, called: by.called, returned, fate }
    }

    /// Takes in another send of the same transaction.
    fn merge(&mut self, other: Self) -> Verdict {
        if self.body != other.body {
            return Err(Violation::new("one id was given to two transactions", [self.by, other.by]));
        }
        let earlier = self.called.min(other.called);
        match (self.fate, other.fate) {
            (_, Fate::Failed) => {}
            (Fate::Failed, _) => *self = other,
            (_, Fate::Unknown) => self.called = earlier,
            (Fate::Unknown, _) => *self = Self { called: earlier, ..other },
            (one, another) if one == another => {
                self.called = earlier;
                self.returned = self.returned.min(other.returned);
            }
            // The same refusal: one of them was told what stood there.
            (
                Fate::Refused { guard, found: one, revision },
                Fate::Refused { guard: again, found: another, revision: same },
            ) if (guard, revision) == (again, same) && (one == Found::Untold || another == Found::Untold) => {
                let found = if one == Found::Untold { another } else { one };
                self.fate = Fate::Refused { guard, found, revision };
                self.called = earlier;
                self.returned = self.returned.min(other.returned);
            }
            _ => {
                let text = "the repeat of a transaction did not get the outcome of the first one";
                return Err(Violation::new(text, [self.by, other.by]));
            }
        }
        Ok(())
    }

    /// The revision of its writes, if it is known to have written.
    pub(super) fn wrote_at(&self) -> Option<u64> {
        match self.fate {
            Fate::Committed { revision, results } => {
                let wrote = |result: &MutationResult| !matches!(result, MutationResult::Deleted { existed: false });
                results.iter().any(wrote).then_some(revision)
            }
            Fate::SeenAt(revision) => Some(revision),
            Fate::Refused { .. } | Fate::Failed | Fate::Unknown => None,
        }
    }

    /// The revision that its answer told, or that it was seen at.
    pub(super) fn revision(&self) -> Option<u64> {
        match self.fate {
            Fate::Committed { revision, .. } | Fate::Refused { revision, .. } | Fate::SeenAt(revision) => {
                Some(revision)
            }
            Fate::Failed | Fate::Unknown => None,
        }
    }
}

/// All transactions.
pub(super) fn gather(operations: &[Operation]) -> Verdict<Vec<Transaction<'_>>> {
    let mut all: Vec<Transaction<'_>> = Vec::new();
    let mut by_id = HashMap::new();
    for operation in operations {
        let Event::Commit { transaction: body, reply } = &operation.event else { continue };
        let new = Transaction::new(operation, body, reply);
        fits(&new)?;
        let first = body.id.as_ref().map_or(all.len(), |id| *by_id.entry(id).or_insert(all.len()));
        match all.get_mut(first) {
            Some(known) => known.merge(new)?,
            None => all.push(new),
        }
    }
    Ok(all)
}

/// An answer has a result per mutation, of its kind; a refusal names a guard.
fn fits(transaction: &Transaction<'_>) -> Verdict {
    let Txn { guards, mutations, .. } = transaction.body;
    let kind = |(mutation, result): (&Write, &MutationResult)| {
        matches!(
            (mutation, result),
            (Write::Put { .. }, MutationResult::Put { .. })
                | (Write::Delete { .. }, MutationResult::Deleted { .. })
                | (Write::Add { .. }, MutationResult::Added { .. })
        )
    };
    let fits = match transaction.fate {
        Fate::Committed { results, .. } => results.len() == mutations.len() && mutations.iter().zip(results).all(kind),
        Fate::Refused { guard, found, .. } => guards.get(guard).is_some_and(|guard| found.fails(guard.condition)),
        Fate::Failed | Fate::Unknown | Fate::SeenAt(_) => true,
    };
    if fits { Ok(()) } else { Err(Violation::new("the outcome does not fit the transaction", [transaction.by])) }
}

/// Which transaction wrote what.
pub(super) struct Writers<'h> {
    /// Texts are written once: each one names its transaction.
    texts: HashMap<&'h str, (usize, &'h Key)>,
    /// The keys that count; their values name nobody.
    counters: HashSet<&'h Key>,
    revisions: HashMap<u64, usize>,
}

impl<'h> Writers<'h> {
    pub(super) fn new(transactions: &[Transaction<'h>]) -> Verdict<Self> {
        let mut writers = Self { texts: HashMap::new(), counters: HashSet::new(), revisions: HashMap::new() };
        for (index, transaction) in transactions.iter().enumerate() {
            for mutation in &transaction.body.mutations {
                match mutation {
                    Write::Put { key, value } => {
                        if let Some((other, _)) = writers.texts.insert(value, (index, key)) {
                            let text = format!("the workload is wrong: it wrote {value:?} twice");
                            return Err(Violation::new(text, [transactions[other].by, transaction.by]));
                        }
                    }
                    Write::Add { key, .. } => {
                        writers.counters.insert(key);
                    }
                    Write::Delete { .. } => {}
                }
            }
            if let Some(revision) = transaction.wrote_at() {
                writers.enter(transactions, index, revision)?;
            }
        }
        Ok(writers)
    }

    /// A revision is of one transaction.
    fn enter(&mut self, transactions: &[Transaction<'h>], index: usize, revision: u64) -> Verdict {
        match self.revisions.insert(revision, index) {
            Some(other) if other != index => {
                let text = format!("two transactions have the revision {revision}");
                Err(Violation::new(text, [transactions[other].by, transactions[index].by]))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn counts(&self, key: &Key) -> bool {
        self.counters.contains(key)
    }

    /// The transaction that is known to have written at this revision.
    pub(super) fn at(&self, revision: u64) -> Option<usize> {
        self.revisions.get(&revision).copied()
    }

    /// Takes notice of an entry that was seen: it was written, there, then, and only then. An unknown
    /// transaction becomes known by it.
    pub(super) fn see(
        &mut self,
        transactions: &mut [Transaction<'h>],
        key: &Key,
        seen: &Seen,
        by: &'h Operation,
    ) -> Verdict {
        let Seen { value, version: Revision(version), created } = seen;
        if created.0 > *version {
            return Err(Violation::new(format!("{key:?} was created after its version"), [by]));
        }
        if self.counts(key) {
            return Ok(());
        }
        let Some(&(index, own)) = self.texts.get(value.as_str()) else {
            return Err(Violation::new(format!("{key:?} holds {value:?}, which nobody ever wrote"), [by]));
        };
        let writer = &mut transactions[index];
        let wrong = match writer.fate {
            _ if own != key => format!("{key:?} holds {value:?}, which was written to {own:?}"),
            Fate::Failed => format!("{key:?} holds what was surely not applied"),
            Fate::Refused { .. } => format!("{key:?} holds what was refused"),
            Fate::Committed { revision, .. } if revision != *version => {
                format!("{key:?} was written at the revision {revision}, but it was seen at the version {version}")
            }
            Fate::SeenAt(revision) if revision != *version => {
                format!("{key:?}: one transaction was applied at {revision} and again at {version}")
            }
            Fate::Committed { .. } | Fate::SeenAt(_) => return Ok(()),
            Fate::Unknown => {
                writer.fate = Fate::SeenAt(*version);
                return self.enter(transactions, index, *version);
            }
        };
        Err(Violation::new(wrong, [writer.by, by]))
    }
}
