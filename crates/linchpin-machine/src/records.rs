//! The records of a stream, at positions without gaps.

use crate::time::Time;
use bytes::Bytes;
use linchpin_adapter::records::Death;
use linchpin_core::Position;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A record in its stream.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) payload: Bytes,
    pub(crate) id: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// Not delivered before this time.
    pub(crate) due: Option<Time>,
}

impl Stored {
    /// The record as it stands among the dead letters: with headers that tell its story.
    pub(crate) fn dead(&self, position: Position, deliveries: u32, reason: &str) -> Self {
        let headers = Death { reason, deliveries, position }.told(self.headers.clone());
        Self { payload: self.payload.clone(), id: self.id.clone(), headers, due: None }
    }
}

/// The records that are still there.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Records {
    /// The position of the first record that is still there, or of the next one to come.
    first: Position,
    /// The position of the first record ever.
    start: Position,
    list: VecDeque<Stored>,
}

impl Records {
    /// No records yet; the first one will stand at `start`.
    pub(crate) fn from(start: Position) -> Self {
        Self { first: start, start, list: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// The position of the next record to come.
    pub(crate) fn end(&self) -> Position {
        Position(self.first.0.saturating_add(self.len()))
    }

    /// The position of the newest record ever appended.
    pub(crate) fn last(&self) -> Option<Position> {
        (self.end() > self.start).then(|| Position(self.end().0 - 1))
    }

    pub(crate) fn get(&self, position: Position) -> Option<&Stored> {
        let index = position.0.checked_sub(self.first.0)?;
        self.list.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn push(&mut self, record: Stored) -> Position {
        let position = self.end();
        self.list.push_back(record);
        position
    }

    /// Drops the records before `bound`; returns how many.
    pub(crate) fn drop_before(&mut self, bound: Position) -> u64 {
        let count = bound.0.saturating_sub(self.first.0).min(self.len());
        self.list.drain(..usize::try_from(count).unwrap_or(self.list.len()));
        self.first.0 += count;
        count
    }
}
