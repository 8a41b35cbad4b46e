//! What the contract says of streams, in the simplest words: every record has a state in every group.

use linchpin_core::{
    Action, Appended, Claim, Delivery, GroupInfo, GroupName, Position, Receipt, Record, Retention, Settled, Settlement,
    StreamInfo, StreamName, dead_letter,
};
use linchpin_machine::{ClaimAnswer, Command, DEDUPE_WINDOW, Reply, Time};
use std::collections::BTreeMap;

/// What a group knows of a record that it has looked at.
#[derive(Clone, Copy, PartialEq)]
enum Status {
    Settled,
    Pending { deliveries: u32, due: Time, held: bool },
}

#[derive(Default)]
struct Stream {
    start: u64,
    last: u64,
    records: BTreeMap<u64, (Record, Time)>,
    ids: Vec<(Time, String, u64)>,
    groups: BTreeMap<String, BTreeMap<u64, Status>>,
}

#[derive(Default)]
pub(crate) struct StreamModel {
    clock: Time,
    streams: BTreeMap<StreamName, Stream>,
    cleared: BTreeMap<StreamName, u64>,
}

impl Stream {
    fn after(cleared: Option<&u64>) -> Self {
        let last = cleared.copied().unwrap_or(0);
        Self { start: last, last, ..Self::default() }
    }
}

impl StreamModel {
    pub(crate) fn apply(&mut self, now: Time, command: &Command) -> Reply {
        self.clock = self.clock.max(now);
        match command {
            Command::Append { stream, records } => {
                Reply::Appended(records.iter().map(|record| self.append(stream, record)).collect())
            }
            Command::Claim(claim) => {
                Reply::Claimed(ClaimAnswer { deliveries: self.claim(claim), ..ClaimAnswer::default() })
            }
            Command::Settle(all) => Reply::Settled(all.iter().map(|settlement| self.settle(settlement)).collect()),
            Command::Trim { stream, keep } => Reply::Trimmed(self.trim(stream, *keep)),
            Command::Clear { .. } => {
                let streams = std::mem::take(&mut self.streams).into_iter();
                self.cleared.extend(streams.filter(|(_, s)| s.last > s.start).map(|(name, s)| (name, s.last)));
                Reply::Cleared
            }
            Command::RemoveGroup { stream, group } => Reply::GroupRemoved(self.remove_group(stream, group)),
            Command::Tick => Reply::Ticked,
            Command::Commit(_) | Command::AppendPlaced { .. } => unreachable!("records of streams only"),
        }
    }

    fn append(&mut self, stream: &StreamName, record: &Record) -> Appended {
        let stream = self.streams.entry(stream.clone()).or_insert_with(|| Stream::after(self.cleared.get(stream)));
        stream.ids.retain(|(time, _, _)| self.clock < time.after(DEDUPE_WINDOW));
        if let Some(id) = &record.id {
            if let Some((_, _, position)) = stream.ids.iter().find(|(_, known, _)| known == id) {
                return Appended { position: Position(*position), duplicate: true };
            }
            stream.ids.push((self.clock, id.clone(), stream.last + 1));
        }
        stream.last += 1;
        let due = self.clock.after(record.delay.unwrap_or_default());
        stream.records.insert(stream.last, (record.clone(), due));
        Appended { position: Position(stream.last), duplicate: false }
    }

    fn claim(&mut self, claim: &Claim) -> Vec<Delivery> {
        let stream =
            self.streams.entry(claim.stream.clone()).or_insert_with(|| Stream::after(self.cleared.get(&claim.stream)));
        let group = stream.groups.entry(claim.group.as_str().to_owned()).or_default();
        let (mut taken, mut dead) = (Vec::new(), Vec::new());
        let until = self.clock.after(claim.visibility);
        for (position, status) in group.iter_mut() {
            let Status::Pending { deliveries, due, .. } = *status else { continue };
            if taken.len() == claim.max || due > self.clock {
                continue;
            }
            if claim.max_deliveries.is_some_and(|max| deliveries >= max) {
                *status = Status::Settled;
                dead.push((*position, deliveries));
            } else {
                *status = Status::Pending { deliveries: deliveries + 1, due: until, held: true };
                taken.push((*position, deliveries + 1));
            }
        }
        for (position, (_, due)) in &stream.records {
            if taken.len() == claim.max || group.contains_key(position) {
                continue;
            }
            let status = if *due > self.clock {
                Status::Pending { deliveries: 0, due: *due, held: false }
            } else {
                taken.push((*position, 1));
                Status::Pending { deliveries: 1, due: until, held: true }
            };
            group.insert(*position, status);
        }
        let deliveries = taken.into_iter().map(|(position, delivery)| {
            let Record { payload, id, headers, .. } = stream.records[&position].0.clone();
            let (stream, group) = (claim.stream.clone(), claim.group.clone());
            Delivery {
                receipt: Receipt { stream, group, position: Position(position), delivery },
                payload,
                id,
                headers,
            }
        });
        let deliveries = deliveries.collect();
        for (position, delivery) in dead {
            let (stream, group) = (claim.stream.clone(), claim.group.clone());
            let receipt = Receipt { stream, group, position: Position(position), delivery };
            self.bury(&receipt, dead_letter::MAX_DELIVERIES);
        }
        deliveries
    }

    fn settle(&mut self, Settlement { receipt, action }: &Settlement) -> Settled {
        let clock = self.clock;
        let stream = self.streams.get_mut(&receipt.stream);
        let group = stream.and_then(|stream| stream.groups.get_mut(receipt.group.as_str()));
        let status = group.and_then(|group| group.get_mut(&receipt.position.0));
        let Some(status @ Status::Pending { held: true, .. }) = status else { return Settled::Stale };
        let Status::Pending { deliveries, .. } = *status else { return Settled::Stale };
        if deliveries != receipt.delivery {
            return Settled::Stale;
        }
        *status = match action {
            Action::Ack | Action::Reject { .. } => Status::Settled,
            Action::Retry { after } => Status::Pending { deliveries, due: clock.after(*after), held: false },
            Action::Extend { visibility } => Status::Pending { deliveries, due: clock.after(*visibility), held: true },
        };
        if let Action::Reject { reason } = action {
            self.bury(receipt, reason);
        }
        Settled::Done
    }

    fn bury(&mut self, receipt: &Receipt, reason: &str) {
        if receipt.stream.dead_letters_of().is_some() {
            return;
        }
        let dead_letters = receipt.stream.dead_letters(&receipt.group);
        let mut record = self.streams[&receipt.stream].records[&receipt.position.0].0.clone();
        record.headers.retain(|(name, _)| !name.starts_with("linchpin-dead-"));
        let story = [
            (dead_letter::REASON, reason.to_owned()),
            (dead_letter::DELIVERIES, receipt.delivery.to_string()),
            (dead_letter::POSITION, receipt.position.0.to_string()),
        ];
        record.headers.extend(story.map(|(name, value)| (name.to_owned(), value)));
        let start = self.cleared.get(&dead_letters);
        let stream = self.streams.entry(dead_letters.clone()).or_insert_with(|| Stream::after(start));
        stream.last += 1;
        stream.records.insert(stream.last, (record, self.clock));
    }

    fn remove_group(&mut self, stream: &StreamName, group: &GroupName) -> bool {
        let existed = self.streams.get_mut(stream).is_some_and(|found| found.groups.remove(group.as_str()).is_some());
        let dead_letters = stream.dead_letters(group);
        if existed
            && stream.dead_letters_of().is_none()
            && let Some(dead) = self.streams.remove(&dead_letters)
        {
            self.cleared.insert(dead_letters, dead.last);
        }
        existed
    }

    fn trim(&mut self, stream: &StreamName, keep: Retention) -> u64 {
        let Some(stream) = self.streams.get_mut(stream) else { return 0 };
        let mut dropped = 0;
        while let Some((&position, _)) = stream.records.first_key_value() {
            let unwanted = match keep {
                Retention::Newest(count) => stream.records.len() as u64 > count,
                Retention::From(from) => position < from.0,
                Retention::Unsettled => !stream.groups.is_empty(),
            };
            let settled = stream.groups.values().all(|group| group.get(&position) == Some(&Status::Settled));
            if !(unwanted && settled) {
                break;
            }
            stream.records.remove(&position);
            dropped += 1;
        }
        dropped
    }

    pub(crate) fn inspect(&self, name: &StreamName) -> StreamInfo {
        let Some(stream) = self.streams.get(name) else { return StreamInfo::default() };
        let info = |(group, known): (&String, &BTreeMap<u64, Status>)| {
            let group = crate::group(group);
            let dead = self.streams.get(&name.dead_letters(&group)).filter(|_| name.dead_letters_of().is_none());
            let dead = dead.map_or(0, |dead| dead.records.len() as u64);
            let pending = known.values().filter(|status| **status != Status::Settled).count() as u64;
            let lag = stream.records.keys().filter(|position| !known.contains_key(position)).count() as u64;
            GroupInfo { name: group, pending, lag, dead }
        };
        StreamInfo {
            length: stream.records.len() as u64,
            last: Some(Position(stream.last)).filter(|last| last.0 > stream.start),
            groups: stream.groups.iter().map(info).collect(),
        }
    }
}
