//! The keys: every revision is of one transaction, revisions respect real time, and what is told of each
//! key follows from what was written to it.

use super::key::Walk;
use super::order::{Point, floors};
use super::told::Tales;
use super::transactions::{Fate, Transaction, Writers, gather};
use super::unknown::Unknowns;
use super::{Summary, Verdict, Violation};
use crate::history::record::{Decision, Event, Operation, Read, Reply, Seen};
use linchpin_core::Key;
use std::collections::HashMap;

pub(super) fn check(operations: &[Operation], summary: &mut Summary) -> Verdict {
    let mut transactions = gather(operations)?;
    let mut writers = Writers::new(&transactions)?;
    let mut created = HashMap::new();
    for by in operations {
        for (key, seen) in seen_by(by)? {
            writers.see(&mut transactions, key, seen, by)?;
            created.insert((key, seen.version.0), seen.created.0);
        }
    }
    let known_before = real_time(operations, &transactions)?;
    let mut unknowns = Unknowns::by_key(&transactions, &known_before);
    for (key, told) in Tales::new(operations, &transactions).into_sorted() {
        let mut unknowns = unknowns.remove(key).unwrap_or_default();
        Walk::new(key, &writers, &created, &mut unknowns).along(&told)?;
        summary.undecided += unknowns.undecided;
    }
    summary.applied_after_all = transactions.iter().filter(|one| matches!(one.fate, Fate::SeenAt(_))).count();
    Ok(())
}

/// The entries that an operation was shown, each of a revision that had been reached by then.
fn seen_by(by: &Operation) -> Verdict<Vec<(&Key, &Seen)>> {
    let (revision, seen): (_, Vec<_>) = match &by.event {
        Event::Get { keys, reply: Reply::Answered(Read { revision, entries }) } => {
            if keys.len() != entries.len() {
                return Err(Violation::new("a read has an entry per key", [by]));
            }
            (revision, keys.iter().zip(entries).filter_map(|(key, entry)| Some((key, entry.as_ref()?))).collect())
        }
        Event::Commit { transaction, reply: Reply::Answered(Decision::Refused { guard, found, revision }) } => {
            let key = transaction.guards.get(*guard).map(|guard| &guard.key);
            (revision, key.zip(found.as_ref()).into_iter().collect())
        }
        _ => return Ok(Vec::new()),
    };
    match seen.iter().find(|(_, seen)| seen.version > *revision) {
        Some((key, seen)) => {
            let text = format!("{key:?} has the version {}, which is after the revision {revision}", seen.version);
            Err(Violation::new(text, [by]))
        }
        None => Ok(seen),
    }
}

/// Whatever was called after a revision had been told is of that revision at least; and if it writes, of a
/// later one. Returns, for each transaction, the greatest revision that was known before it was called.
fn real_time(operations: &[Operation], transactions: &[Transaction<'_>]) -> Verdict<Vec<u64>> {
    let mut points = Vec::new();
    let mut about = Vec::new();
    for transaction in transactions {
        let (called, told) = (transaction.called, transaction.revision().unwrap_or(0));
        points.push(Point { called, returned: transaction.returned, told });
        about.push((transaction.by, transaction.revision(), transaction.wrote_at().is_some()));
    }
    for by in operations {
        if let Event::Get { reply: Reply::Answered(Read { revision, .. }), .. } = &by.event {
            points.push(Point { called: by.called, returned: by.returned, told: revision.0 });
            about.push((by, Some(revision.0), false));
        }
    }
    let floors = floors(&points);
    for ((by, revision, writes), floor) in about.iter().zip(&floors) {
        let (Some(revision), Some(floor)) = (revision, floor) else { continue };
        if *revision < floor.number || (*writes && *revision == floor.number) {
            let what = if *writes { "a write" } else { "an answer" };
            let known = floor.number;
            let text = format!("{what} is of the revision {revision}, but {known} was known before it was called");
            return Err(Violation::new(text, [about[floor.by].0, by]));
        }
    }
    Ok(floors[..transactions.len()].iter().map(|floor| floor.map_or(0, |floor| floor.number)).collect())
}
