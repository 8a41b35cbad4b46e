//! The streams of a namespace, and what goes from one to another.

use crate::group::Group;
use crate::recent::Recent;
use crate::records::Stored;
use crate::stream::{DEDUPE_WINDOW, Given, Placed, RecordIds, Stream};
use crate::time::Time;
use linchpin_core::{
    Action, Appended, Claim, Delivery, GroupInfo, GroupName, Position, Record, Retention, Settled, Settlement,
    StreamInfo, StreamName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long the last position of a cleared stream is remembered.
const CLEARED_WINDOW: Duration = Duration::from_hours(24);

/// How long contents are held that are placed anew as they came too late: longer than that takes.
const PLACING: Duration = Duration::from_secs(10);

/// What a claim got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimAnswer {
    /// The records, now this member's alone. One whose content lies elsewhere has nothing but its receipt and the headers
    /// that tell of its death: its own lie with the content.
    pub deliveries: Vec<Delivery>,
    /// Where the content of each of them lies; empty if they have their contents.
    pub places: Vec<u64>,
    /// When the next record that is in a member's hands, or waits for a retry or a delay, becomes due: a
    /// member that got nothing and wants to wait claims again then, or when the stream is woken.
    pub next_due: Option<Time>,
}

/// What a claim would come to, as far as it can be told without claiming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// It may be given something, or its group comes to be.
    Something,
    /// It is given nothing and changes nothing, until the stream is woken or the time comes that
    /// [`ClaimAnswer::next_due`] would say.
    Nothing(Option<Time>),
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Streams {
    by_name: BTreeMap<StreamName, Stream>,
    /// The last positions of streams that were cleared: a new one of the same name goes on after it, so that
    /// a receipt of the old one never fits a record of the new one.
    cleared: Recent<StreamName, Cleared>,
    /// Of all streams together, so that they are forgotten in time whatever becomes of their streams.
    ids: RecordIds,
    /// How many streams there have been.
    count: u64,
    /// Every content that lies elsewhere lies before this place.
    places_end: u64,
}

/// What is remembered of a stream that was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cleared {
    last: Position,
    /// As [`Stream::released`].
    released: u64,
}

impl Streams {
    /// The stream of that name, a new one if there is none.
    fn stream(&mut self, name: &StreamName) -> &mut Stream {
        let (cleared, count) = (&self.cleared, &mut self.count);
        self.by_name.entry(name.clone()).or_insert_with(|| {
            *count += 1;
            let known = cleared.get(name).copied();
            Stream::from(
                *count,
                Position(known.map_or(0, |known| known.last.0) + 1),
                known.map_or(0, |known| known.released),
            )
        })
    }

    /// Forgets what was remembered long enough.
    pub(crate) fn forget(&mut self, now: Time) {
        self.ids.forget(now, DEDUPE_WINDOW);
        self.cleared.forget(now, CLEARED_WINDOW);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn append(&mut self, now: Time, stream: &StreamName, records: &[Record]) -> Vec<Appended> {
        if records.is_empty() {
            return Vec::new();
        }
        let mut ids = std::mem::take(&mut self.ids);
        let stream = self.stream(stream);
        let appended = records.iter().map(|record| stream.append(now, record, &mut ids)).collect();
        self.ids = ids;
        appended
    }

    /// As [`append`](Self::append); nothing if a content lies where contents may have been dropped by now.
    pub(crate) fn append_placed(
        &mut self,
        now: Time,
        stream: &StreamName,
        records: &[Placed],
    ) -> Option<Vec<Appended>> {
        let Some(last) = records.iter().map(|record| record.place).max() else { return Some(Vec::new()) };
        self.places_end = self.places_end.max(last.saturating_add(1));
        let places_end = self.places_end;
        let living = self.stream(&stream.living());
        if records.iter().any(|record| record.place < living.released) {
            let from = living.held.filter(|(_, until)| now < *until).map_or(places_end, |(from, _)| from);
            living.held = Some((from, now.after(PLACING)));
            return None;
        }
        let mut ids = std::mem::take(&mut self.ids);
        let stream = self.stream(stream);
        let appended = records.iter().map(|record| stream.append_placed(now, record, &mut ids)).collect();
        self.ids = ids;
        Some(appended)
    }

    /// A group comes to be with its first claim, even of a stream that nobody appended to yet: what is
    /// appended from then on is kept for it.
    pub(crate) fn claim(&mut self, now: Time, claim: &Claim, woken: &mut Vec<StreamName>) -> ClaimAnswer {
        let mut dead = Vec::new();
        let stream = self.stream(&claim.stream);
        let Given { deliveries, places, .. } = stream.claim(now, claim, &mut dead);
        let next_due = stream.groups.get(&claim.group).and_then(Group::next_due);
        for record in dead {
            self.bury(&claim.stream, &claim.group, record, woken);
        }
        ClaimAnswer { deliveries, places, next_due }
    }

    pub(crate) fn prospect(&self, now: Time, claim: &Claim) -> Prospect {
        let stream = self.by_name.get(&claim.stream);
        match stream.and_then(|stream| Some((stream, stream.groups.get(&claim.group)?))) {
            Some((stream, group)) if !group.is_ready(now) && stream.records.get(group.next()).is_none() => {
                Prospect::Nothing(group.next_due())
            }
            _ => Prospect::Something,
        }
    }

    pub(crate) fn settle(&mut self, now: Time, settlement: &Settlement, woken: &mut Vec<StreamName>) -> Settled {
        let receipt = &settlement.receipt;
        let Some(stream) = self.by_name.get_mut(&receipt.stream) else { return Settled::Stale };
        let (settled, dead) = stream.settle(now, settlement);
        let new_due = matches!(settlement.action, Action::Retry { .. } | Action::Extend { .. });
        if settled == Settled::Done && new_due {
            woken.push(receipt.stream.clone());
        }
        if let Some(record) = dead {
            self.bury(&receipt.stream, &receipt.group, record, woken);
        }
        settled
    }

    /// Puts a record into the dead letters of the group. There are no dead letters of dead letters: whoever works
    /// those off and rejects one is done with it.
    fn bury(&mut self, stream: &StreamName, group: &GroupName, record: Stored, woken: &mut Vec<StreamName>) {
        if stream.dead_letters_of().is_none() {
            let dead_letters = stream.dead_letters(group);
            self.stream(&dead_letters).records.push(record);
            woken.push(dead_letters);
        }
    }

    /// Removes a group, with its dead letters; whether there was one.
    pub(crate) fn remove_group(&mut self, now: Time, stream: &StreamName, group: &GroupName) -> bool {
        let existed = self.by_name.get_mut(stream).is_some_and(|found| found.groups.remove(group).is_some());
        let dead_letters = stream.dead_letters(group);
        if existed && stream.dead_letters_of().is_none() {
            self.remove(now, |name| *name == dead_letters);
            self.release(now, stream);
        }
        existed
    }

    pub(crate) fn inspect(&self, name: &StreamName) -> StreamInfo {
        let Some(stream) = self.by_name.get(name) else { return StreamInfo::default() };
        // There are no dead letters of dead letters.
        let is_alive = name.dead_letters_of().is_none();
        let dead = |group: &GroupName| {
            let dead = is_alive.then(|| self.by_name.get(&name.dead_letters(group))).flatten();
            dead.map_or(0, |stream| stream.records.len())
        };
        let info = |(name, group): (&GroupName, &Group)| GroupInfo {
            name: name.clone(),
            pending: group.pending() as u64,
            lag: stream.records.end().0.saturating_sub(group.next().0),
            dead: dead(name),
        };
        let groups = stream.groups.iter().map(info).collect();
        StreamInfo { length: stream.records.len(), last: stream.records.last(), groups }
    }

    pub(crate) fn trim(&mut self, now: Time, stream: &StreamName, keep: Retention) -> u64 {
        let dropped = self.by_name.get_mut(stream).map_or(0, |stream| stream.trim(keep));
        if dropped > 0 {
            self.release(now, &stream.living());
        }
        dropped
    }

    /// Finds out which contents of a stream are not needed any more: those before the first one that it has, or its dead
    /// letters.
    fn release(&mut self, now: Time, stream: &StreamName) {
        let all = self.by_name.range(stream..).take_while(|(name, _)| name.as_str() == stream.as_str());
        let first = all.filter_map(|(_, stream)| stream.records.first_place()).min();
        let released = first.unwrap_or(self.places_end);
        if let Some(living) = self.by_name.get_mut(stream) {
            let held = living.held.filter(|(_, until)| now < *until).map_or(u64::MAX, |(from, _)| from);
            living.released = living.released.max(released.min(held));
        }
    }

    /// The streams of which contents lie elsewhere that are not needed any more, each with the place before which those lie.
    pub(crate) fn released(&self) -> impl Iterator<Item = (&StreamName, u64)> {
        let cleared = self.cleared.iter().filter(|(name, _)| !self.by_name.contains_key(name));
        let cleared = cleared.map(|(name, cleared)| (name, cleared.released));
        let living = self.by_name.iter().map(|(name, stream)| (name, stream.released));
        living.chain(cleared).filter(|(_, released)| *released > 0)
    }

    /// Removes the streams whose name starts with `prefix`; dead letters have the name of their stream.
    pub(crate) fn clear(&mut self, now: Time, prefix: &str) {
        self.remove(now, |name| name.as_str().starts_with(prefix));
    }

    fn remove(&mut self, now: Time, is_unwanted: impl Fn(&StreamName) -> bool) {
        let (cleared, places_end) = (&mut self.cleared, self.places_end);
        self.by_name.retain(|name, stream| {
            let stays = !is_unwanted(name);
            // Contents of dead letters are their stream's.
            let released = if name.dead_letters_of().is_none() { places_end } else { 0 };
            if !stays && (released > 0 || stream.records.last().is_some()) {
                let last = Position(stream.records.end().0 - 1);
                cleared.insert(now, name.clone(), Cleared { last, released });
            }
            stays
        });
    }
}
