//! Locks: held by one at a time, with tokens that grow.

use super::{Verdict, Violation};
use crate::history::record::{Event, Operation, Reply};
use std::collections::{BTreeMap, HashMap};

/// A lock in somebody's hands: from when the call that acquired it had returned to when the one that
/// released it was made.
struct Holding<'h> {
    token: u64,
    from: u64,
    to: u64,
    by: &'h Operation,
}

pub(super) fn check(operations: &[Operation]) -> Verdict {
    let mut ends = HashMap::new();
    for operation in operations {
        if let Event::Release { lock, token } = &operation.event {
            let end = ends.entry((lock, token)).or_insert(operation.called);
            *end = operation.called.min(*end);
        }
    }
    let mut locks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for by in operations {
        if let Event::Acquire { lock, reply: Reply::Answered(token) } = &by.event {
            let to = ends.get(&(lock, token)).copied().unwrap_or(u64::MAX);
            locks.entry(lock).or_default().push(Holding { token: token.0, from: by.returned, to, by });
        }
    }
    locks.into_iter().try_for_each(|(lock, holdings)| one_lock(lock, holdings))
}

fn one_lock(lock: &str, mut holdings: Vec<Holding<'_>>) -> Verdict {
    holdings.sort_by_key(|holding| holding.from);
    for pair in holdings.windows(2) {
        let [one, next] = pair else { continue };
        let by = [one.by, next.by];
        if next.from < one.to {
            return Err(Violation::new(format!("the lock {lock:?} was held by two at the same time"), by));
        }
        if next.token <= one.token {
            let text = format!("the lock {lock:?} got the token {} after {}", next.token, one.token);
            return Err(Violation::new(text, by));
        }
    }
    Ok(())
}
