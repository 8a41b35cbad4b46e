//! The records of streams: where each one stands, and who appended it.

use super::super::order::{Point, floors};
use super::super::{Verdict, Violation};
use crate::history::record::{Delivered, Event, Operation, Reply};
use std::collections::{BTreeMap, HashMap};

/// A call that appended records, or may have.
struct Append<'h> {
    stream: &'h str,
    payloads: &'h [String],
    /// The position of the first record; the others stand behind it.
    first: Option<u64>,
    failed: bool,
    /// Whether the caller was told.
    told: bool,
    by: &'h Operation,
}

/// The records of every stream.
pub(super) struct Records<'h> {
    appends: Vec<Append<'h>>,
    /// Payloads are appended once: each one names its call, and its place in it.
    payloads: HashMap<&'h str, (usize, u64)>,
    positions: HashMap<(&'h str, u64), usize>,
}

/// A record of which the caller knows that it was appended.
#[derive(Clone, Copy)]
pub(super) struct Acknowledged<'h> {
    pub(super) position: u64,
    pub(super) by: &'h Operation,
}

impl<'h> Records<'h> {
    pub(super) fn new(operations: &'h [Operation]) -> Verdict<Self> {
        let mut records = Self { appends: Vec::new(), payloads: HashMap::new(), positions: HashMap::new() };
        for by in operations {
            let Event::Append { stream, payloads, reply } = &by.event else { continue };
            let index = records.appends.len();
            for (payload, place) in payloads.iter().zip(0..) {
                records.payloads.insert(payload, (index, place));
            }
            let (failed, told) = (matches!(reply, Reply::Failed(_)), reply.answer().is_some());
            records.appends.push(Append { stream, payloads, first: None, failed, told, by });
            if let Reply::Answered(appended) = reply {
                let first = appended.first().map_or(0, |first| first.position.0);
                let next_to_each_other = appended.iter().zip(first..).all(|(one, position)| one.position.0 == position);
                if appended.len() != payloads.len() || !next_to_each_other {
                    return Err(Violation::new("the records of one call stand next to each other", [by]));
                }
                if appended.iter().any(|one| one.duplicate) {
                    return Err(Violation::new("a new record was taken for a duplicate", [by]));
                }
                records.stands_at(index, first, by)?;
            }
        }
        Ok(records)
    }

    /// The records of one call stand from `first` on, and nothing else does.
    fn stands_at(&mut self, index: usize, first: u64, by: &'h Operation) -> Verdict {
        let append = &mut self.appends[index];
        append.first = Some(first);
        let (stream, own) = (append.stream, append.by);
        for (position, _) in (first..).zip(append.payloads) {
            if let Some(other) = self.positions.insert((stream, position), index) {
                let text = format!("two records of {stream:?} stand at the position {position}");
                return Err(Violation::new(text, [self.appends[other].by, own, by]));
            }
        }
        Ok(())
    }

    /// Takes notice of a delivery: the record was appended, to this stream, at this position. A call of
    /// unknown outcome becomes known by it.
    pub(super) fn see(&mut self, stream: &str, delivered: &Delivered, by: &'h Operation) -> Verdict {
        let Delivered { position, payload, .. } = delivered;
        let Some(&(index, place)) = self.payloads.get(payload.as_str()) else {
            return Err(Violation::new(format!("{payload:?} was delivered, which nobody ever appended"), [by]));
        };
        let append = &self.appends[index];
        let wrong = match append.first {
            _ if append.stream != stream => "the record was appended to another stream",
            _ if append.failed => "the record was surely not appended",
            _ if by.returned < append.by.called => "the record was delivered before it was appended",
            Some(first) if first + place != *position => "the record was appended at another position, or twice",
            Some(_) => return Ok(()),
            None if *position < place => "the record stands before the beginning of the stream",
            None => return self.stands_at(index, position - place, by),
        };
        Err(Violation::new(
            format!("{payload:?} was delivered from {stream:?} at {position}: {wrong}"),
            [append.by, by],
        ))
    }

    /// What was appended later stands behind.
    pub(super) fn respect_real_time(&self) -> Verdict {
        let mut streams: BTreeMap<&str, Vec<(&Append<'h>, u64)>> = BTreeMap::new();
        for append in &self.appends {
            if let Some(first) = append.first {
                streams.entry(append.stream).or_default().push((append, first));
            }
        }
        for (stream, appends) in streams {
            let point = |(append, first): &(&Append<'_>, u64)| Point {
                called: append.by.called,
                returned: if append.told { append.by.returned } else { u64::MAX },
                told: (*first..).zip(append.payloads).last().map_or(0, |(position, _)| position),
            };
            let points: Vec<_> = appends.iter().map(point).collect();
            for ((append, first), floor) in appends.iter().zip(floors(&points)) {
                if let Some(floor) = floor
                    && *first <= floor.number
                    && !append.payloads.is_empty()
                {
                    let known = floor.number;
                    let text =
                        format!("{stream:?}: {first} was appended after {known} was known, but stands before it");
                    return Err(Violation::new(text, [appends[floor.by].0.by, append.by]));
                }
            }
        }
        Ok(())
    }

    /// The records of a stream that the callers know to be appended.
    pub(super) fn of(&self, stream: &str) -> Vec<Acknowledged<'h>> {
        let told = self.appends.iter().filter(|append| append.told && append.stream == stream);
        let records = told.filter_map(|append| {
            let positions = (append.first?..).zip(append.payloads);
            Some(positions.map(|(position, _)| Acknowledged { position, by: append.by }))
        });
        records.flatten().collect()
    }
}
