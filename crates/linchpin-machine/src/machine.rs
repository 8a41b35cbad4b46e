//! The machine: its clock and revision, reading, and what happens as time passes.

use crate::ids::Ids;
use crate::state::Keys;
use crate::stream::Placed;
use crate::streams::{ClaimAnswer, Prospect, Streams};
use crate::time::Time;
use linchpin_adapter::fanout::Change;
use linchpin_core::{
    Appended, Claim, GroupName, Key, Page, Range, Record, Retention, Revision, ScanPage, Settled, Settlement,
    StreamInfo, StreamName,
};
use std::fmt;

/// One namespace: its keys, its streams, and what it remembers. `Debug` shows no payload.
///
/// Every method that changes it is told the server's time. The machine's own clock is the latest time it
/// was told, so that a clock that steps back revives nothing. A key is there before its deadline and gone
/// from then on; whatever comes first after the deadline removes it, with a revision and a change of its
/// own, before it does anything else.
///
/// ```
/// use linchpin_adapter::fanout::Change;
/// use linchpin_core::{Key, Transaction};
/// use linchpin_machine::{Machine, Time};
/// use std::time::Duration;
///
/// let (mut machine, key) = (Machine::new(), Key::new("session")?);
/// let start = Time::from_micros(1_700_000_000_000_000);
/// let put = Transaction::new().put(key.clone(), "alive", Some(Duration::from_secs(10)));
/// let applied = machine.commit(start, &put);
/// assert!(applied.outcome?.is_committed() && matches!(applied.changes[0], Change::Put(_)));
///
/// let deadline = start.after(Duration::from_secs(10));
/// assert_eq!(machine.next_deadline(), Some(deadline));
/// assert!(matches!(machine.tick(deadline).changes[0], Change::Deleted(..)));
/// assert_eq!(machine.get(deadline, &[key]).entries, [None]);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Machine {
    pub(crate) clock: Time,
    pub(crate) revision: Revision,
    pub(crate) keys: Keys,
    pub(crate) ids: Ids,
    pub(crate) streams: Streams,
}

/// What a call did to a [`Machine`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "changes are for the watchers, and the outcome may be an error"]
pub struct Effects<T> {
    /// What the caller is told.
    pub outcome: T,
    /// What changed, in the order of revisions, keys that expired meanwhile included: for the watchers.
    pub changes: Vec<Change>,
    /// Streams in which a record came to be, or becomes due at another time than before: who waits for
    /// a record of one of them claims again.
    pub woken: Vec<StreamName>,
}

impl<T> Effects<T> {
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Effects<U> {
        Effects { outcome: map(self.outcome), changes: self.changes, woken: self.woken }
    }
}

impl Machine {
    /// An empty namespace.
    pub fn new() -> Self {
        Self::default()
    }

    /// The revision of the last change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The latest time that it was told.
    pub fn clock(&self) -> Time {
        self.clock
    }

    /// The earliest time at which a key's time to live ends: [`tick`](Self::tick) then.
    pub fn next_deadline(&self) -> Option<Time> {
        self.keys.next_deadline()
    }

    /// Reads keys: one entry per key, in their order, without those whose deadline has passed at `now`.
    ///
    /// A read does not move the clock. Where `now` may step back between two reads, tick before reading.
    pub fn get(&self, now: Time, keys: &[Key]) -> linchpin_core::Snapshot {
        let now = now.max(self.clock);
        let entries = keys.iter().map(|key| self.keys.entry(key, now)).collect();
        linchpin_core::Snapshot { revision: self.revision, entries }
    }

    /// Reads one page of a range, ascending by key, without keys whose deadline has passed at `now`. As
    /// [`get`](Self::get), it does not move the clock.
    pub fn scan(&self, now: Time, range: &Range, page: &Page) -> ScanPage {
        self.keys.scan(range, page, now.max(self.clock), self.revision)
    }

    /// What a stream holds; all zero for one that nobody appended to.
    pub fn inspect(&self, stream: &StreamName) -> StreamInfo {
        self.streams.inspect(stream)
    }

    /// Whether a claim is worth making. As [`get`](Self::get), it does not move the clock.
    pub fn prospect(&self, now: Time, claim: &Claim) -> Prospect {
        self.streams.prospect(now.max(self.clock), claim)
    }

    /// Lets time pass: keys past their deadline are removed.
    pub fn tick(&mut self, now: Time) -> Effects<()> {
        Effects { outcome: (), changes: self.advance(now), woken: Vec::new() }
    }

    /// Appends records next to each other, except those whose id was appended within
    /// [`DEDUPE_WINDOW`](crate::DEDUPE_WINDOW).
    pub fn append(&mut self, now: Time, stream: &StreamName, records: &[Record]) -> Effects<Vec<Appended>> {
        let changes = self.advance(now);
        let outcome = self.streams.append(self.clock, stream, records);
        let fresh = outcome.iter().any(|appended| !appended.duplicate);
        Effects { outcome, changes, woken: fresh.then(|| stream.clone()).into_iter().collect() }
    }

    /// As [`append`](Self::append), of records whose contents lie elsewhere. Nothing is appended, and the outcome is none, if
    /// one of them lies where contents are [released](Self::released) by now: it may have been dropped.
    pub fn append_placed(
        &mut self,
        now: Time,
        stream: &StreamName,
        records: &[Placed],
    ) -> Effects<Option<Vec<Appended>>> {
        let changes = self.advance(now);
        let outcome = self.streams.append_placed(self.clock, stream, records);
        let fresh = outcome.iter().flatten().any(|appended| !appended.duplicate);
        Effects { outcome, changes, woken: fresh.then(|| stream.clone()).into_iter().collect() }
    }

    /// The streams of which contents that lie elsewhere are not needed any more, by them or by their dead letters: all that
    /// lie before a place. One that was cleared is among them for a day.
    pub fn released(&self) -> impl Iterator<Item = (&StreamName, u64)> {
        self.streams.released()
    }

    /// Claims records, as [`Driver::claim`](linchpin_core::Driver::claim) says, except that it does not
    /// wait: first those delivered before whose time has come, then those the group has not looked at,
    /// each in the order of their positions.
    pub fn claim(&mut self, now: Time, claim: &Claim) -> Effects<ClaimAnswer> {
        let changes = self.advance(now);
        let mut woken = Vec::new();
        let outcome = self.streams.claim(self.clock, claim, &mut woken);
        Effects { outcome, changes, woken }
    }

    /// Settles deliveries, each on its own. One is stale if the record was delivered again or settled
    /// before; a visibility time that has passed alone does not make it so.
    pub fn settle(&mut self, now: Time, settlements: &[Settlement]) -> Effects<Vec<Settled>> {
        let changes = self.advance(now);
        let mut woken = Vec::new();
        let settle = |settlement| self.streams.settle(self.clock, settlement, &mut woken);
        let outcome = settlements.iter().map(settle).collect();
        Effects { outcome, changes, woken }
    }

    /// Drops old records, but none that a group has not settled; returns how many.
    pub fn trim(&mut self, now: Time, stream: &StreamName, keep: Retention) -> Effects<u64> {
        let changes = self.advance(now);
        Effects { outcome: self.streams.trim(self.clock, stream, keep), changes, woken: Vec::new() }
    }

    /// Removes a group with what it has pending and its dead letters; whether there was one.
    pub fn remove_group(&mut self, now: Time, stream: &StreamName, group: &GroupName) -> Effects<bool> {
        let changes = self.advance(now);
        let outcome = self.streams.remove_group(self.clock, stream, group);
        // Whoever waits under its name makes a new group.
        Effects { outcome, changes, woken: outcome.then(|| stream.clone()).into_iter().collect() }
    }

    /// Removes every key and stream whose name starts with `prefix`, streams with their groups, dead
    /// letters and remembered ids. Revisions and remembered transactions stay.
    pub fn clear(&mut self, now: Time, prefix: &str) -> Effects<()> {
        let mut changes = self.advance(now);
        let keys = self.keys.starting_with(prefix);
        if !keys.is_empty() {
            self.next_revision();
        }
        for key in keys {
            self.keys.remove(&key);
            changes.push(Change::Deleted(key, self.revision));
        }
        self.streams.clear(self.clock, prefix);
        Effects { outcome: (), changes, woken: Vec::new() }
    }

    /// Moves the clock, and removes and forgets what its new time ends.
    pub(crate) fn advance(&mut self, now: Time) -> Vec<Change> {
        self.clock = self.clock.max(now);
        self.ids.forget(self.clock);
        self.streams.forget(self.clock);
        let mut changes = Vec::new();
        while let Some(key) = self.keys.pop_expired(self.clock) {
            self.next_revision();
            changes.push(Change::Deleted(key, self.revision));
        }
        changes
    }

    pub(crate) fn next_revision(&mut self) {
        self.revision = Revision(self.revision.0.saturating_add(1).max(self.clock.as_micros()));
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("revision", &self.revision)
            .field("clock", &self.clock)
            .field("keys", &self.keys.len())
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}
