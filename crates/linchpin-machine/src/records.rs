//! The records of a stream, at positions without gaps.

use crate::time::Time;
use bytes::Bytes;
use linchpin_adapter::records::Death;
use linchpin_core::Position;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A record in its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) content: Content,
    /// Those that came with the content, if that is here, and those that tell of its death.
    pub(crate) headers: Vec<(String, String)>,
    /// Not delivered before this time.
    pub(crate) due: Option<Time>,
}

/// What a record carries, or where that lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    Here {
        payload: Bytes,
        id: Option<String>,
    },
    /// Elsewhere, with its id and headers.
    At {
        place: u64,
        size: Size,
    },
}

/// About how large a content is that lies elsewhere: the next power of two, so that those next to each other are of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size(u8);

impl Size {
    /// Smaller ones count as this.
    const LEAST: u32 = 2048;

    pub(crate) fn of(bytes: u32) -> Self {
        let bits = u32::BITS - (bytes.max(Self::LEAST) - 1).leading_zeros();
        Self(u8::try_from(bits).unwrap_or(u8::MAX))
    }

    pub(crate) fn bytes(self) -> u64 {
        1_u64.checked_shl(self.0.into()).unwrap_or(u64::MAX)
    }
}

impl Stored {
    /// The record as it stands among the dead letters: with headers that tell its story.
    pub(crate) fn dead(self, position: Position, deliveries: u32, reason: &str) -> Self {
        let headers = Death { reason, deliveries, position }.told(self.headers);
        Self { content: self.content, headers, due: None }
    }

    /// Where its content lies, if that is all there is to say of it.
    fn is_only_at(&self) -> Option<(u64, Size)> {
        match self.content {
            Content::At { place, size } if self.headers.is_empty() && self.due.is_none() => Some((place, size)),
            _ => None,
        }
    }

    /// How many bytes a claim is given with it that lie elsewhere.
    pub(crate) fn bytes_elsewhere(&self) -> u64 {
        if let Content::At { size, .. } = self.content { size.bytes() } else { 0 }
    }
}

/// Records next to each other. Those whose contents lie next to each other too are one run, so that a long backlog takes
/// little memory.
#[derive(Clone, Serialize, Deserialize)]
struct Run {
    first: Position,
    what: What,
}

#[derive(Clone, Serialize, Deserialize)]
enum What {
    One(Box<Stored>),
    /// So many, of which the first one's content lies here.
    At {
        place: u64,
        count: u32,
        size: Size,
    },
}

impl Run {
    fn len(&self) -> u64 {
        match self.what {
            What::One(_) => 1,
            What::At { count, .. } => count.into(),
        }
    }

    /// Where its contents begin, if they lie elsewhere.
    fn place(&self) -> Option<u64> {
        match &self.what {
            What::At { place, .. } => Some(*place),
            What::One(stored) => match stored.content {
                Content::At { place, .. } => Some(place),
                Content::Here { .. } => None,
            },
        }
    }
}

/// The records that are still there.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Records {
    /// The position of the first record that is still there, or of the next one to come.
    first: Position,
    /// The position of the first record ever.
    start: Position,
    /// The position of the next record to come.
    end: Position,
    runs: VecDeque<Run>,
}

impl Records {
    /// No records yet; the first one will stand at `start`.
    pub(crate) fn from(start: Position) -> Self {
        Self { first: start, start, end: start, runs: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.end.0 - self.first.0
    }

    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// The position of the next record to come.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// The position of the newest record ever appended.
    pub(crate) fn last(&self) -> Option<Position> {
        (self.end > self.start).then(|| Position(self.end.0 - 1))
    }

    pub(crate) fn get(&self, position: Position) -> Option<Stored> {
        let after = self.runs.partition_point(|run| run.first <= position);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let behind = position.0 - run.first.0;
        match &run.what {
            _ if behind >= run.len() => None,
            What::One(stored) => Some((**stored).clone()),
            What::At { place, size, .. } => {
                let content = Content::At { place: place + behind, size: *size };
                Some(Stored { content, headers: Vec::new(), due: None })
            }
        }
    }

    pub(crate) fn push(&mut self, record: Stored) -> Position {
        let position = self.end;
        self.end.0 = self.end.0.saturating_add(1);
        let Some((at, of)) = record.is_only_at() else {
            self.runs.push_back(Run { first: position, what: What::One(Box::new(record)) });
            return position;
        };
        match self.runs.back_mut() {
            Some(Run { what: What::At { place, count, size }, .. })
                if *count < u32::MAX && *size == of && at == place.saturating_add((*count).into()) =>
            {
                *count += 1;
            }
            _ => self.runs.push_back(Run { first: position, what: What::At { place: at, count: 1, size: of } }),
        }
        position
    }

    /// Drops the records before `bound`; returns how many.
    pub(crate) fn drop_before(&mut self, bound: Position) -> u64 {
        let bound = bound.clamp(self.first, self.end);
        while self.runs.front().is_some_and(|run| run.first.0 + run.len() <= bound.0) {
            self.runs.pop_front();
        }
        if let Some(Run { first, what: What::At { place, count, .. } }) = self.runs.front_mut()
            && let Ok(gone) = u32::try_from(bound.0.saturating_sub(first.0))
        {
            (*first, *place, *count) = (Position(first.0 + u64::from(gone)), *place + u64::from(gone), *count - gone);
        }
        let count = bound.0 - self.first.0;
        self.first = bound;
        count
    }

    /// The first place where a content of theirs lies.
    pub(crate) fn first_place(&self) -> Option<u64> {
        self.runs.iter().filter_map(Run::place).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: u64, due: Option<u64>) -> Stored {
        let size = Size::of(u32::try_from(place / 100 * 1000).expect("small"));
        Stored { content: Content::At { place, size }, headers: Vec::new(), due: due.map(Time::from_micros) }
    }

    #[test]
    fn records_are_the_same_however_they_lie() {
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut records, mut model, mut first) = (Records::from(Position(5)), VecDeque::new(), 5);
            let mut place = 10;
            for _ in 0..60 {
                if dice.u8(..6) == 0 {
                    let bound = first + dice.u64(..20);
                    let gone = bound.saturating_sub(first).min(model.len() as u64);
                    assert_eq!(records.drop_before(Position(bound)), gone);
                    model.drain(..usize::try_from(gone).expect("few"));
                    first += gone;
                } else {
                    place = if dice.u8(..4) == 0 { dice.u64(..1000) } else { place + 1 };
                    let stored = at(place, (dice.u8(..8) == 0).then_some(9));
                    records.push(stored.clone());
                    model.push_back(stored);
                }
                let restored: Records =
                    postcard::from_bytes(&postcard::to_stdvec(&records).expect("encodes")).expect("decodes");
                for (index, stored) in model.iter().enumerate() {
                    let position = Position(first + index as u64);
                    assert_eq!(
                        (records.get(position).as_ref(), restored.get(position).as_ref()),
                        (Some(stored), Some(stored))
                    );
                }
                let end = Position(first + model.len() as u64);
                assert_eq!((records.get(Position(first - 1)), records.get(end)), (None, None));
                assert_eq!((records.first(), records.end(), records.len()), (Position(first), end, model.len() as u64));
                let places = model.iter().map(|stored| stored.content.clone());
                let places = places.map(|content| if let Content::At { place, .. } = content { place } else { 0 });
                assert_eq!(records.first_place(), places.min());
            }
        }
    }

    #[test]
    fn a_backlog_in_a_row_is_one_run() {
        let mut records = Records::from(Position(1));
        let of_any_size = |place: u64| Stored {
            content: Content::At { place, size: Size::of(u32::try_from(place % 2049).expect("small")) },
            ..at(0, None)
        };
        for place in 0..1_000_000 {
            records.push(of_any_size(place));
        }
        assert_eq!((records.runs.len(), records.get(Position(1_000_000))), (1, Some(of_any_size(999_999))));
    }

    #[test]
    fn a_size_is_the_next_power_of_two() {
        for (bytes, size) in [(0, 2048), (2048, 2048), (2049, 4096), (1 << 20, 1 << 20), (u32::MAX, 1 << 32)] {
            assert_eq!(Size::of(bytes).bytes(), size, "of {bytes}");
        }
    }
}
