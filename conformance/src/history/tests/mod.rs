//! The judge is judged: by histories written by hand, by runs over memory, by faults, and by a second judge.

mod faults;
mod flaky;
mod locks;
mod mutations;
mod runs;
mod second;
mod state;
mod streams;
mod transactions;
mod unknown;

use super::record::{Decision, Event, Operation, Read, Reply, Seen, Txn, Write};
use super::{History, Violation};
use linchpin_core::{Condition, Guard, Key, MutationResult, Revision};

/// From a call to its return.
pub(super) type Span = (u64, u64);

pub(super) fn key(name: &str) -> Key {
    Key::new(name).expect("a name")
}

#[allow(clippy::unnecessary_wraps, reason = "where it is used, nothing may have been seen")]
pub(super) fn seen(value: &str, created: u64, version: u64) -> Option<Seen> {
    Some(Seen { value: value.to_owned(), created: Revision(created), version: Revision(version) })
}

pub(super) fn operation((called, returned): Span, event: Event) -> Operation {
    Operation { client: 0, called, returned, event }
}

pub(super) fn get(span: Span, revision: u64, entries: &[(&str, Option<Seen>)]) -> Operation {
    let (keys, entries) = entries.iter().map(|(name, entry)| (key(name), entry.clone())).unzip();
    operation(span, Event::Get { keys, reply: Reply::Answered(Read { revision: Revision(revision), entries }) })
}

/// Transactions in few words.
impl Txn {
    pub(super) fn put(mut self, name: &str, value: &str) -> Self {
        self.mutations.push(Write::Put { key: key(name), value: value.to_owned() });
        self
    }

    pub(super) fn delete(mut self, name: &str) -> Self {
        self.mutations.push(Write::Delete { key: key(name) });
        self
    }

    pub(super) fn add(mut self, name: &str, delta: i64) -> Self {
        self.mutations.push(Write::Add { key: key(name), delta });
        self
    }

    pub(super) fn guard(mut self, name: &str, condition: Condition) -> Self {
        self.guards.push(Guard { key: key(name), condition });
        self
    }

    pub(super) fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    fn sent(self, span: Span, reply: Reply<Decision>) -> Operation {
        operation(span, Event::Commit { transaction: self, reply })
    }

    pub(super) fn committed(self, span: Span, revision: u64, results: &[MutationResult]) -> Operation {
        let decision = Decision::Committed { revision: Revision(revision), results: results.to_vec() };
        self.sent(span, Reply::Answered(decision))
    }

    pub(super) fn refused(self, span: Span, guard: usize, found: Option<Seen>, revision: u64) -> Operation {
        self.sent(span, Reply::Answered(Decision::Refused { guard, found, revision: Revision(revision) }))
    }

    pub(super) fn unknown(self, span: Span) -> Operation {
        self.sent(span, Reply::Unknown("no answer within 5s".to_owned()))
    }

    pub(super) fn failed(self, span: Span) -> Operation {
        self.sent(span, Reply::Failed("cannot connect".to_owned()))
    }
}

pub(super) fn txn() -> Txn {
    Txn::default()
}

pub(super) fn created(at: u64) -> MutationResult {
    MutationResult::Put { created: Revision(at), ttl: None }
}

pub(super) fn added(value: i64) -> MutationResult {
    MutationResult::Added { value }
}

pub(super) fn deleted(existed: bool) -> MutationResult {
    MutationResult::Deleted { existed }
}

pub(super) fn version_is(version: u64) -> Condition {
    Condition::VersionIs(Revision(version))
}

/// A put that was committed.
pub(super) fn put(span: Span, revision: u64, name: &str, value: &str, created_at: u64) -> Operation {
    txn().put(name, value).committed(span, revision, &[created(created_at)])
}

pub(super) fn history(operations: impl IntoIterator<Item = Operation>) -> History {
    let mut operations: Vec<_> = operations.into_iter().collect();
    operations.sort_by_key(|operation| operation.called);
    History { seed: 7, operations }
}

/// The judge accepts it.
#[track_caller]
pub(super) fn legal(operations: impl IntoIterator<Item = Operation>) {
    if let Err(violation) = history(operations).check() {
        panic!("{violation}");
    }
}

/// The judge rejects it, for this reason.
#[track_caller]
pub(super) fn illegal(why: &str, operations: impl IntoIterator<Item = Operation>) -> Violation {
    match history(operations).check() {
        Ok(summary) => panic!("accepted: {summary}"),
        Err(violation) => {
            assert!(violation.to_string().contains(why), "{violation}");
            violation
        }
    }
}
