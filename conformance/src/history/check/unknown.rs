//! What transactions of unknown outcome, whose texts nobody saw, may have done to a key.

use super::transactions::{Fate, Transaction};
use crate::history::record::Write;
use linchpin_core::Key;
use std::collections::HashMap;

/// More steps than this are too many to say which of them made a sum.
const MOST_STEPS: usize = 24;

/// Something that may have happened once to a key.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    kind: Kind,
    /// The greatest revision that was known before it was called: its own is greater.
    floor: u64,
    used: bool,
}

impl Candidate {
    /// Whether it may have happened at a revision below this one.
    fn fits(&self, below: u64) -> bool {
        self.floor + 1 < below
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delete,
    Put,
    Add(i64),
}

/// What may have happened to one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Unknowns {
    candidates: Vec<Candidate>,
    /// How often there were too many to say.
    pub(super) undecided: usize,
}

impl Unknowns {
    /// What may have happened to each key; `floors` are those of the transactions.
    pub(super) fn by_key<'h>(transactions: &[Transaction<'h>], floors: &[u64]) -> HashMap<&'h Key, Self> {
        let mut by_key: HashMap<&Key, Self> = HashMap::new();
        for (transaction, &floor) in transactions.iter().zip(floors) {
            if transaction.fate != Fate::Unknown {
                continue;
            }
            for mutation in &transaction.body.mutations {
                let kind = match mutation {
                    Write::Put { .. } => Kind::Put,
                    Write::Delete { .. } => Kind::Delete,
                    Write::Add { delta, .. } => Kind::Add(*delta),
                };
                by_key.entry(mutation.key()).or_default().candidates.push(Candidate { kind, floor, used: false });
            }
        }
        for unknowns in by_key.values_mut() {
            unknowns.candidates.sort_by_key(|candidate| candidate.floor);
        }
        by_key
    }

    /// Whether one could have removed the key below this revision; that one is used up. The one with the
    /// lowest floor is taken: it fits wherever another one does.
    pub(super) fn delete(&mut self, below: u64) -> bool {
        self.take(below, |kind| kind == Kind::Delete)
    }

    /// Whether one could have written the key below this revision; that one is used up. One that adds is
    /// not: the sum will say which it was.
    pub(super) fn write(&mut self, below: u64) -> bool {
        self.any(below, |candidate| matches!(candidate.kind, Kind::Add(_)))
            || self.take(below, |kind| kind == Kind::Put)
    }

    /// Whether one could have removed the key below this revision, or was found to have.
    pub(super) fn may_delete(&self, below: u64) -> bool {
        self.any(below, |candidate| candidate.kind == Kind::Delete)
    }

    /// Whether one could have written the key below this revision, or was found to have.
    pub(super) fn may_write(&self, below: u64) -> bool {
        self.any(below, |candidate| candidate.kind != Kind::Delete)
    }

    fn any(&self, below: u64, is_right: impl Fn(&Candidate) -> bool) -> bool {
        self.candidates.iter().any(|candidate| candidate.fits(below) && is_right(candidate))
    }

    fn take(&mut self, below: u64, is_right: impl Fn(Kind) -> bool) -> bool {
        let fits = |candidate: &&mut Candidate| is_right(candidate.kind) && !candidate.used && candidate.fits(below);
        match self.candidates.iter_mut().find(fits) {
            Some(candidate) => {
                candidate.used = true;
                true
            }
            None => false,
        }
    }

    /// Whether some could have added exactly this much below this revision; those are used up.
    pub(super) fn add(&mut self, sum: i64, below: u64) -> bool {
        let open = |candidate: &Candidate| match candidate.kind {
            Kind::Add(delta) if !candidate.used && candidate.fits(below) => Some(delta),
            _ => None,
        };
        let steps: Vec<(usize, i64)> = self
            .candidates
            .iter()
            .enumerate()
            .filter_map(|(index, candidate)| Some((index, open(candidate)?)))
            .collect();
        if steps.len() > MOST_STEPS {
            self.undecided += 1;
            return true;
        }
        let Some(chosen) = subset(&steps, sum) else { return false };
        for index in chosen {
            self.candidates[index].used = true;
        }
        true
    }
}

/// Some of the steps, at least one, that make this sum: every sum of one half is looked up in the other.
fn subset(steps: &[(usize, i64)], sum: i64) -> Option<Vec<usize>> {
    let (one, other) = steps.split_at(steps.len() / 2);
    let sums: HashMap<i64, u32> = masks(one).map(|mask| (total(one, mask), mask)).collect();
    masks(other).find_map(|mask| {
        let rest = *sums.get(&sum.wrapping_sub(total(other, mask)))?;
        let chosen: Vec<usize> = picked(one, rest).chain(picked(other, mask)).map(|(index, _)| index).collect();
        (!chosen.is_empty()).then_some(chosen)
    })
}

fn masks(steps: &[(usize, i64)]) -> impl Iterator<Item = u32> {
    0..1_u32 << steps.len()
}

fn picked(steps: &[(usize, i64)], mask: u32) -> impl Iterator<Item = (usize, i64)> {
    steps.iter().enumerate().filter(move |(bit, _)| mask >> bit & 1 == 1).map(|(_, step)| *step)
}

fn total(steps: &[(usize, i64)], mask: u32) -> i64 {
    picked(steps, mask).fold(0, |sum, (_, delta)| sum.wrapping_add(delta))
}
