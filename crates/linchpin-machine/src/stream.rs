//! One stream: its records and its groups.

use crate::group::Group;
use crate::recent::Recent;
use crate::records::{Content, Records, Size, Stored};
use crate::time::Time;
use bytes::Bytes;
use linchpin_core::{
    Action, Appended, Claim, Delivery, GroupName, Position, Receipt, Record, Retention, Settled, Settlement,
    dead_letter,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long an appended record's id is remembered.
pub const DEDUPE_WINDOW: Duration = Duration::from_mins(2);

/// The ids of records, each with the number of its stream.
pub(crate) type RecordIds = Recent<(u64, String), Position>;

/// A record whose content lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Where: greater than every place that was given before.
    pub place: u64,
    /// How many bytes it has.
    pub size: u32,
    /// As [`Record::id`].
    pub id: Option<String>,
    /// As [`Record::delay`].
    pub delay: Option<Duration>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// Contents of its records, and of its dead letters, that lie elsewhere before this place are not needed any more.
    pub(crate) released: u64,
    /// Those from this place on are not released before this time: somebody came too late, and places his anew.
    pub(crate) held: Option<(u64, Time)>,
    /// Tells it from every other stream of the namespace, also from one of the same name that was cleared.
    number: u64,
    pub(crate) records: Records,
    pub(crate) groups: BTreeMap<GroupName, Group>,
}

impl Stream {
    /// An empty stream whose first record will stand at `start`.
    pub(crate) fn from(number: u64, start: Position, released: u64) -> Self {
        Self { released, held: None, number, records: Records::from(start), groups: BTreeMap::new() }
    }

    pub(crate) fn append(&mut self, now: Time, record: &Record, ids: &mut RecordIds) -> Appended {
        let Record { payload, id, headers, delay } = record;
        let here = || (Content::Here { payload: payload.clone(), id: id.clone() }, headers.clone());
        self.append_unless_known(now, id.as_ref(), *delay, ids, here)
    }

    /// Appends a record whose content lies elsewhere.
    pub(crate) fn append_placed(&mut self, now: Time, record: &Placed, ids: &mut RecordIds) -> Appended {
        let there = || (Content::At { place: record.place, size: Size::of(record.size) }, Vec::new());
        self.append_unless_known(now, record.id.as_ref(), record.delay, ids, there)
    }

    fn append_unless_known(
        &mut self,
        now: Time,
        id: Option<&String>,
        delay: Option<Duration>,
        ids: &mut RecordIds,
        content: impl FnOnce() -> (Content, Vec<(String, String)>),
    ) -> Appended {
        let named = id.map(|id| (self.number, id.clone()));
        if let Some(position) = named.as_ref().and_then(|id| ids.get(id)) {
            return Appended { position: *position, duplicate: true };
        }
        let ((content, headers), due) = (content(), delay.map(|delay| now.after(delay)));
        let position = self.records.push(Stored { content, headers, due });
        if let Some(id) = named {
            ids.insert(now, id, position);
        }
        Appended { position, duplicate: false }
    }

    /// What the claim gets; records that were delivered too often go into `dead` instead.
    pub(crate) fn claim(&mut self, now: Time, claim: &Claim, dead: &mut Vec<Stored>) -> Given {
        let records = &self.records;
        let group = self.groups.entry(claim.group.clone()).or_insert_with(|| Group::new(records.first()));
        let mut given = Given::default();
        while given.deliveries.len() < claim.max
            && let Some((position, delivered)) = group.first_ready(now)
        {
            let record = records.get(position);
            if claim.max_deliveries.is_some_and(|max| delivered >= max) {
                group.settle(position);
                dead.extend(record.map(|record| record.dead(position, delivered, dead_letter::MAX_DELIVERIES)));
            } else if record.as_ref().is_some_and(|record| !given.has_room(record)) {
                return given;
            } else {
                let delivery = group.deliver(position, now.after(claim.visibility));
                if let Some(record) = record {
                    given.add(claim, position, delivery, record);
                }
            }
        }
        while given.deliveries.len() < claim.max
            && let Some(record) = records.get(group.next())
            && given.has_room(&record)
        {
            let position = group.look();
            match record.due {
                // Parked, so that it does not hold up what comes after it.
                Some(due) if due > now => group.park(position, due),
                _ => {
                    let delivery = group.deliver(position, now.after(claim.visibility));
                    given.add(claim, position, delivery, record);
                }
            }
        }
        given
    }

    /// Settles a delivery; a rejected record is handed out for the dead letters.
    pub(crate) fn settle(&mut self, now: Time, settlement: &Settlement) -> (Settled, Option<Stored>) {
        let Receipt { group, position, delivery, .. } = &settlement.receipt;
        let Some(group) = self.groups.get_mut(group).filter(|group| group.is_held(*position, *delivery)) else {
            return (Settled::Stale, None);
        };
        let mut dead = None;
        match &settlement.action {
            Action::Ack => group.settle(*position),
            Action::Retry { after } => group.retry(*position, now.after(*after)),
            Action::Extend { visibility } => group.extend(*position, now.after(*visibility)),
            Action::Reject { reason } => {
                group.settle(*position);
                dead = self.records.get(*position).map(|record| record.dead(*position, *delivery, reason));
            }
        }
        (Settled::Done, dead)
    }

    /// Drops old records, but none that a group has not settled; returns how many.
    pub(crate) fn trim(&mut self, keep: Retention) -> u64 {
        let wanted = match keep {
            Retention::Newest(count) => Position(self.records.end().0.saturating_sub(count)),
            Retention::From(position) => position,
            Retention::Unsettled if self.groups.is_empty() => self.records.first(),
            Retention::Unsettled => self.records.end(),
        };
        self.records.drop_before(self.groups.values().map(Group::unsettled).fold(wanted, Position::min))
    }
}

/// What a claim is given.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) deliveries: Vec<Delivery>,
    /// Where the content of each of them lies, if it is not here.
    pub(crate) places: Vec<u64>,
    /// How many bytes lie there.
    bytes: u64,
}

/// So many bytes lie elsewhere at most of what a claim is given, unless it is a single record: it is to have all of it before it
/// gives up.
const MOST_ELSEWHERE: u64 = 1024 * 1024;

impl Given {
    /// Whether a claim may be given this record too.
    fn has_room(&self, record: &Stored) -> bool {
        self.deliveries.is_empty() || self.bytes.saturating_add(record.bytes_elsewhere()) <= MOST_ELSEWHERE
    }

    fn add(&mut self, claim: &Claim, position: Position, delivery: u32, record: Stored) {
        self.bytes = self.bytes.saturating_add(record.bytes_elsewhere());
        let receipt = Receipt { stream: claim.stream.clone(), group: claim.group.clone(), position, delivery };
        let Stored { content, headers, .. } = record;
        let (payload, id) = match content {
            Content::Here { payload, id } => (payload, id),
            Content::At { place, .. } => {
                self.places.push(place);
                (Bytes::new(), None)
            }
        };
        self.deliveries.push(Delivery { receipt, payload, id, headers });
    }
}
