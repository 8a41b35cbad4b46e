//! What stands at the keys of a stream, and transactions that rest on it.

use super::layout::{Head, Id, OfId, OfName, Pending, read, unreadable, write};
use super::{Book, KeySpace};
use linchpin_core::{
    Entry, Error, GroupInfo, GroupName, Key, Page, Position, Range, Result, Revision, StreamInfo, StreamName,
    Transaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A key of a stream that others may change meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Observation<T> {
    pub(super) key: Key,
    pub(super) version: Revision,
    pub(super) value: T,
}

impl<T: DeserializeOwned> Observation<T> {
    pub(super) fn of(entry: &Entry) -> Result<Self> {
        Ok(Self { key: entry.key.clone(), version: entry.version, value: read(entry)? })
    }
}

impl<T: Serialize> Observation<T> {
    /// Writes it anew.
    pub(super) fn put(&self, transaction: Transaction) -> Result<Transaction> {
        Ok(transaction.put(self.key.clone(), write(&self.value)?, None))
    }
}

impl<T> Observation<T> {
    /// It must still stand there.
    pub(super) fn guard(&self, transaction: Transaction) -> Transaction {
        transaction.version_is(self.key.clone(), self.version)
    }
}

/// A stream, as it was seen. Where the next and the first record stand goes with the stream: who guards one of them guards it.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) head: Observation<Head>,
    /// Where the next record will stand.
    pub(super) next: Observation<Position>,
    /// Where the first one stands that is left.
    pub(super) first: Observation<Position>,
}

impl Standing {
    pub(super) fn id(&self) -> Id {
        self.head.value.id
    }

    /// How many records are left.
    fn length(&self) -> u64 {
        self.next.value.0.saturating_sub(self.first.value.0)
    }

    /// Where the newest record stands that there ever was.
    pub(super) fn last(&self) -> Option<Position> {
        (self.next.value > self.head.value.start).then(|| Position(self.next.value.0 - 1))
    }
}

/// A group of a stream, as far as it says whose ids are valid.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) stream: Observation<Head>,
    pub(super) group: Observation<Id>,
}

impl Membership {
    /// Neither was removed.
    pub(super) fn guard(&self, transaction: Transaction) -> Transaction {
        self.group.guard(self.stream.guard(transaction))
    }
}

impl<K: KeySpace> Book<K> {
    /// What stands at these keys, all as of one moment.
    pub(super) async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.keys.get(keys).await.map_err(Error::of_read)?.entries)
    }

    /// Writes what a group has pending, held back for a time.
    pub(super) fn put_pending(
        &self,
        transaction: Transaction,
        group: Id,
        position: Position,
        pending: Pending,
        hold: Duration,
    ) -> Result<Transaction> {
        let transaction = transaction.put(OfId::Pending.at(group, position)?, write(&pending)?, None);
        let key = OfId::Hold.at(group, position)?;
        if hold.is_zero() {
            return Ok(transaction.delete(key));
        }
        Ok(transaction.put(key, "", Some(hold.max(self.room.minimum_ttl))))
    }

    /// What stands at one key.
    pub(super) async fn seen<T: DeserializeOwned>(&self, key: Key) -> Result<Option<Observation<T>>> {
        let found = self.read(&[key]).await?;
        found.first().and_then(Option::as_ref).map(Observation::of).transpose()
    }

    pub(super) async fn stream(&self, name: &StreamName) -> Result<Option<Observation<Head>>> {
        let found = self.seen::<Head>(OfName::Head.key(name)?).await?;
        match found {
            Some(found) if found.value.name != *name => Err(unreadable(&found.key)),
            found => Ok(found),
        }
    }

    pub(super) async fn membership(&self, name: &StreamName, group: &GroupName) -> Result<Option<Membership>> {
        let Some(stream) = self.stream(name).await? else { return Ok(None) };
        let group = self.seen::<Id>(OfId::Group.named(stream.value.id, group.as_str())?).await?;
        Ok(group.map(|group| Membership { stream, group }))
    }

    /// A stream with how far it goes; `None` if it is not there.
    pub(super) async fn standing(&self, name: &StreamName) -> Result<Option<Standing>> {
        let mut known = None;
        loop {
            let Some(head) = self.stream(name).await? else { return Ok(None) };
            let id = head.value.id;
            let keys = [OfId::Next.key(id)?, OfId::Bounds.key(id)?];
            if let [Some(next), Some(first)] = &self.read(&keys).await?[..] {
                return Ok(Some(Standing { head, next: Observation::of(next)?, first: Observation::of(first)? }));
            }
            // It was removed between the two; a new one has another id.
            if known.replace(id) == Some(id) {
                return Err(unreadable(&head.key));
            }
        }
    }

    /// All entries of a range, ascending; what is written meanwhile may be among them.
    pub(super) async fn all(&self, range: &Range, values: bool) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut page = Page { values, ..Page::first() };
        loop {
            let read = self.keys.scan(range, &page).await.map_err(Error::of_read)?;
            found.extend(read.entries);
            if !read.more {
                return Ok(found);
            }
            page.after = found.last().map(|entry| entry.key.clone());
        }
    }

    /// What a stream holds.
    pub(super) async fn inspect(&self, name: &StreamName) -> Result<StreamInfo> {
        let Some(stream) = self.standing(name).await? else { return Ok(StreamInfo::default()) };
        let mut groups = Vec::new();
        for (group, id) in self.groups(stream.id()).await? {
            groups.extend(self.inspect_group(name, group, id, stream.next.value).await?);
        }
        Ok(StreamInfo { length: stream.length(), last: stream.last(), groups })
    }

    /// Where a group stands; `None` if it was removed meanwhile.
    async fn inspect_group(
        &self,
        stream: &StreamName,
        name: GroupName,
        id: Id,
        next: Position,
    ) -> Result<Option<GroupInfo>> {
        let Some(looked) = self.seen::<Position>(OfId::Looked.key(id)?).await? else { return Ok(None) };
        let pending = self.all(&OfId::Pending.range(id), false).await?.len() as u64;
        // There are no dead letters of dead letters.
        let dead = match stream.dead_letters_of() {
            None => self.standing(&stream.dead_letters(&name)).await?.map_or(0, |dead| dead.length()),
            Some(_) => 0,
        };
        Ok(Some(GroupInfo { name, pending, lag: next.0.saturating_sub(looked.value.0), dead }))
    }

    /// Whether the transaction was applied; it is not where something changed meanwhile.
    pub(super) async fn try_commit(&self, transaction: &Transaction) -> Result<bool> {
        Ok(self.keys.commit(transaction).await?.is_committed())
    }
}

/// Has everybody look again who waits for the stream.
pub(super) fn ring(transaction: Transaction, stream: &StreamName) -> Result<Transaction> {
    Ok(transaction.put(OfName::Bell.key(stream)?, "", None))
}

/// A record is settled.
pub(super) fn delete_pending(transaction: Transaction, group: Id, position: Position) -> Result<Transaction> {
    let keys = (OfId::Pending.at(group, position)?, OfId::Hold.at(group, position)?);
    Ok(transaction.delete(keys.0).delete(keys.1))
}
