//! One group of a stream: what it has looked at, and what of that is not settled yet.

use crate::time::Time;
use linchpin_core::Position;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a group stands in its stream.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "StoredGroup")]
pub(crate) struct Group {
    /// The first position that it has not looked at.
    next: Position,
    /// What it has looked at but not settled.
    pending: BTreeMap<Position, Pending>,
    /// Pending positions whose time has not come as far as is known.
    #[serde(skip)]
    waiting: BTreeSet<(Time, Position)>,
    /// Pending positions whose time has come.
    #[serde(skip)]
    ready: BTreeSet<Position>,
}

/// A group as it is written down: the rest follows from it.
#[derive(Deserialize)]
struct StoredGroup {
    next: Position,
    pending: BTreeMap<Position, Pending>,
}

impl From<StoredGroup> for Group {
    fn from(StoredGroup { next, pending }: StoredGroup) -> Self {
        let waiting = pending.iter().map(|(position, pending)| (pending.due, *position)).collect();
        Self { next, pending, waiting, ready: BTreeSet::new() }
    }
}

/// A record that a group has looked at but not settled.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Pending {
    /// How often it was delivered; 0 for one whose delay had not passed.
    deliveries: u32,
    /// When it may be delivered again.
    due: Time,
    /// Whether a member holds it, and may settle it even when it is due.
    held: bool,
}

impl Group {
    /// A group that has not looked at anything from `first` on.
    pub(crate) fn new(first: Position) -> Self {
        Self { next: first, pending: BTreeMap::new(), waiting: BTreeSet::new(), ready: BTreeSet::new() }
    }

    /// The first position that it has not looked at.
    pub(crate) fn next(&self) -> Position {
        self.next
    }

    /// Looks at the next position.
    pub(crate) fn look(&mut self) -> Position {
        let position = self.next;
        self.next.0 += 1;
        position
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The first position that is not settled: everything before it may go.
    pub(crate) fn unsettled(&self) -> Position {
        self.pending.keys().next().copied().unwrap_or(self.next)
    }

    /// The first position whose time has come, and how often it was delivered.
    pub(crate) fn first_ready(&mut self, now: Time) -> Option<(Position, u32)> {
        while let Some(&(due, position)) = self.waiting.first()
            && due <= now
        {
            self.waiting.pop_first();
            self.ready.insert(position);
        }
        let position = *self.ready.first()?;
        self.pending.get(&position).map(|pending| (position, pending.deliveries))
    }

    /// Whether a pending record's time has come.
    pub(crate) fn is_ready(&self, now: Time) -> bool {
        !self.ready.is_empty() || self.waiting.first().is_some_and(|(due, _)| *due <= now)
    }

    /// When the next pending record becomes due; `None` if there is none.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let ready = self.ready.first().and_then(|position| self.pending.get(position)).map(|pending| pending.due);
        ready.or_else(|| self.waiting.first().map(|(due, _)| *due))
    }

    /// Delivers a record; returns how often it was now.
    pub(crate) fn deliver(&mut self, position: Position, until: Time) -> u32 {
        let deliveries = self.deliveries(position).saturating_add(1);
        self.put(position, Pending { deliveries, due: until, held: true });
        deliveries
    }

    /// Holds a record back that was never delivered.
    pub(crate) fn park(&mut self, position: Position, until: Time) {
        self.put(position, Pending { deliveries: 0, due: until, held: false });
    }

    /// Whether this delivery of the record is the last one and not settled.
    pub(crate) fn is_held(&self, position: Position, delivery: u32) -> bool {
        self.pending.get(&position).is_some_and(|pending| pending.held && pending.deliveries == delivery)
    }

    /// Lets a member keep a held record until then.
    pub(crate) fn extend(&mut self, position: Position, until: Time) {
        self.put(position, Pending { deliveries: self.deliveries(position), due: until, held: true });
    }

    /// Takes a held record back from its member, to deliver it again from then on.
    pub(crate) fn retry(&mut self, position: Position, from: Time) {
        self.put(position, Pending { deliveries: self.deliveries(position), due: from, held: false });
    }

    /// Is done with a record.
    pub(crate) fn settle(&mut self, position: Position) {
        if let Some(old) = self.pending.remove(&position) {
            self.waiting.remove(&(old.due, position));
            self.ready.remove(&position);
        }
    }

    fn deliveries(&self, position: Position) -> u32 {
        self.pending.get(&position).map_or(0, |pending| pending.deliveries)
    }

    fn put(&mut self, position: Position, pending: Pending) {
        self.settle(position);
        self.waiting.insert((pending.due, position));
        self.pending.insert(position, pending);
    }
}
