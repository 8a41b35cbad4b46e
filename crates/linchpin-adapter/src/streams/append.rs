//! Appending: at the end of a stream, which comes to be with it.

use super::layout::{Head, Id, OfId, OfName, write};
use super::view::{Observation, Standing, ring};
use super::{Book, DEATH, DEDUPE_WINDOW, KeySpace, OTHER_VALUES};
use crate::backoff::Contention;
use crate::records;
use bytes::Bytes;
use linchpin_core::{Appended, Error, ErrorKind, Key, Position, Record, Result, StreamName, Transaction};
use std::collections::HashMap;
use std::time::Duration;

/// The end of a stream, as it was seen, and what is put there.
pub(super) struct Tail {
    name: StreamName,
    pub(super) id: Id,
    stands: Stands,
    next: Position,
    minimum_ttl: Duration,
}

/// How a stream was found.
enum Stands {
    Here(Standing),
    /// Who wants it makes it, after one that was cleared.
    Absent(Head, Option<Observation<Position>>),
}

impl<K: KeySpace> Book<K> {
    /// The end of a stream.
    pub(super) async fn tail(&self, name: &StreamName) -> Result<Tail> {
        let (id, next, stands) = if let Some(standing) = self.standing(name).await? {
            (standing.id(), standing.next.value, Stands::Here(standing))
        } else {
            // One that was cleared goes on where it was, so that a receipt from before fits nothing that comes after.
            let last = self.seen::<Position>(OfName::Cleared.key(name)?).await?;
            let start = Position(last.as_ref().map_or(0, |last| last.value.0).saturating_add(1));
            let head = Head { id: Id::random(), start, name: name.clone() };
            (head.id, start, Stands::Absent(head, last))
        };
        Ok(Tail { name: name.clone(), id, stands, next, minimum_ttl: self.room.minimum_ttl })
    }

    pub(super) async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let encoded: Vec<Bytes> = records.iter().map(|record| records::encode(record).into()).collect();
        self.admit(&encoded)?;
        let mut pauses = Contention::default();
        loop {
            let mut tail = self.tail(stream).await?;
            let mut positions = self.known(&tail, records).await?;
            let mut transaction = tail.begin(Transaction::new())?;
            let mut appended = Vec::with_capacity(records.len());
            for (record, encoded) in records.iter().zip(&encoded) {
                let known = record.id.as_ref().and_then(|id| positions.get(id)).copied();
                if let Some(position) = known {
                    appended.push(Appended { position, duplicate: true });
                    continue;
                }
                let position;
                (transaction, position) = tail.push(transaction, encoded.clone(), record.delay)?;
                if let Some(id) = &record.id {
                    let key = OfId::Once.named(tail.id, id)?;
                    transaction = transaction.put(key, write(&position)?, Some(DEDUPE_WINDOW));
                    positions.insert(id.clone(), position);
                }
                appended.push(Appended { position, duplicate: false });
            }
            if appended.iter().all(|appended| appended.duplicate) {
                return Ok(appended);
            }
            if self.try_commit(&tail.end(transaction)?).await? {
                return Ok(appended);
            }
            pauses.pause().await;
        }
    }

    /// Refuses what has no room: as a dead letter, too, so that nothing is in the way of what comes after it.
    fn admit(&self, encoded: &[Bytes]) -> Result<()> {
        let (count, bytes) = (encoded.len(), encoded.iter().map(Bytes::len).sum::<usize>());
        let largest = encoded.iter().map(Bytes::len).max().unwrap_or_default();
        let of_one = self.room.value.saturating_sub(DEATH);
        let of_all = self.room.bytes.saturating_sub(OTHER_VALUES + DEATH);
        let problem = if count > self.room.batch() {
            format!("a batch of {count} records, the limit is {}", self.room.batch())
        } else if largest > of_one {
            format!("a record has {largest} bytes with its id and the lengths of its headers, the limit is {of_one}")
        } else if bytes > of_all {
            format!("the records have {bytes} bytes together, the limit is {of_all}")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidArgument, "append", problem))
    }

    /// Where those records stand that are there by their ids. It is read after the end of the stream was: as long as that
    /// is where it was no other has come.
    async fn known(&self, tail: &Tail, records: &[Record]) -> Result<HashMap<String, Position>> {
        let ids: Vec<&String> = records.iter().filter_map(|record| record.id.as_ref()).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let keys: Vec<Key> = ids.iter().map(|id| OfId::Once.named(tail.id, id)).collect::<Result<_>>()?;
        let found = self.read(&keys).await?;
        let known = ids.into_iter().zip(found).filter_map(|(id, found)| Some((id, found?)));
        known.map(|(id, found)| Ok((id.clone(), Observation::of(&found)?.value))).collect()
    }
}

impl Tail {
    /// A stream that is not there comes to be, and one that is there is where it was.
    pub(super) fn begin(&self, transaction: Transaction) -> Result<Transaction> {
        Ok(match &self.stands {
            Stands::Here(standing) => standing.next.guard(transaction),
            Stands::Absent(head, last) => {
                let (key, cleared) = (OfName::Head.key(&self.name)?, OfName::Cleared.key(&self.name)?);
                let transaction = match last {
                    Some(last) => last.guard(transaction),
                    None => transaction.absent(cleared),
                };
                // Nobody has the id, as far as chance goes.
                let transaction = transaction.absent(key.clone()).absent(OfId::Next.key(self.id)?);
                let transaction = transaction.put(key, write(head)?, None);
                transaction.put(OfId::Bounds.key(self.id)?, write(&head.start)?, None)
            }
        })
    }

    /// Where its first record will stand, if nothing was there.
    pub(super) fn first_of_new(&self) -> Option<Position> {
        match &self.stands {
            Stands::Here(_) => None,
            Stands::Absent(head, _) => Some(head.start),
        }
    }

    /// Puts a record there.
    pub(super) fn push(
        &mut self,
        mut transaction: Transaction,
        encoded: Bytes,
        delay: Option<Duration>,
    ) -> Result<(Transaction, Position)> {
        let position = self.next;
        self.next = Position(position.0.checked_add(1).ok_or_else(|| at_its_end(&self.name))?);
        transaction = transaction.put(OfId::Record.at(self.id, position)?, encoded, None);
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            let held_back = Some(delay.max(self.minimum_ttl));
            transaction = transaction.put(OfId::Delay.at(self.id, position)?, "", held_back);
        }
        Ok((transaction, position))
    }

    /// Tells everybody.
    pub(super) fn end(&self, transaction: Transaction) -> Result<Transaction> {
        ring(transaction.put(OfId::Next.key(self.id)?, write(&self.next)?, None), &self.name)
    }
}

fn at_its_end(name: &StreamName) -> Error {
    Error::new(ErrorKind::ResourceExhausted, "append", "the stream has no position left").with_subject(name.to_string())
}
