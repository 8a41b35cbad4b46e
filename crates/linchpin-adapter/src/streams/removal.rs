//! What is taken away: old records, groups, streams. What a group or a stream leaves behind is noted, and removed in steps:
//! what one who gave up has left undone is done by the next who removes something.

use super::layout::{Head, Id, OfId, OfName, Removal, name, read, write};
use super::view::{Observation, Standing, ring};
use super::{Book, KeySpace};
use crate::backoff::Contention;
use linchpin_core::{Error, GroupName, Key, Page, Position, Range, Result, Retention, StreamName, Transaction};
use std::time::Duration;

/// For how long the last position of a cleared stream is remembered.
const CLEARED_WINDOW: Duration = Duration::from_hours(24);

impl<K: KeySpace> Book<K> {
    pub(super) async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let mut pauses = Contention::default();
        loop {
            let Some(found) = self.standing(stream).await? else { return Ok(0) };
            let (first, end) = (found.first.value, found.next.value);
            let groups = self.groups(found.id()).await?;
            let mut bound = match keep {
                Retention::Newest(count) => Position(end.0.saturating_sub(count)),
                Retention::From(position) => position,
                Retention::Unsettled if groups.is_empty() => first,
                Retention::Unsettled => end,
            };
            for (_, group) in groups {
                bound = bound.min(self.unsettled(group).await?.unwrap_or(first));
            }
            bound = bound.min(end).max(first);
            let transaction = found.first.guard(Transaction::new());
            let moved = Observation { value: bound, ..found.first.clone() };
            if bound == first || self.try_commit(&moved.put(transaction)?).await? {
                for kind in [OfId::Record, OfId::Delay] {
                    let deleted = self.delete_before(&kind.range(found.id()), &kind.at(found.id(), bound)?).await;
                    deleted.map_err(|error| error.after_a_part_if(bound > first))?;
                }
                return Ok(bound.0 - first.0);
            }
            pauses.pause().await;
        }
    }

    /// The groups of a stream, ascending by name.
    pub(super) async fn groups(&self, stream: Id) -> Result<Vec<(GroupName, Id)>> {
        let found = self.all(&OfId::Group.range(stream), true).await?;
        found.iter().map(|entry| Ok((GroupName::new(name(&entry.key))?, read(entry)?))).collect()
    }

    /// The first position that a group has not settled; `None` if the group is gone.
    async fn unsettled(&self, group: Id) -> Result<Option<Position>> {
        // In this order: what is looked at meanwhile is pending after it.
        let Some(looked) = self.seen::<Position>(OfId::Looked.key(group)?).await? else { return Ok(None) };
        let first = Page { limit: 1, ..Page::first_keys() };
        let pending = self.keys.scan(&OfId::Pending.range(group), &first).await.map_err(Error::of_read)?.entries;
        let first = pending.first().map(|entry| super::layout::position(&entry.key)).transpose()?;
        Ok(Some(first.map_or(looked.value, |first| first.min(looked.value))))
    }

    pub(super) async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let mut pauses = Contention::default();
        let existed = loop {
            let Some(member) = self.membership(stream, group).await? else { break false };
            let id = member.group.value;
            let mut transaction = member.guard(Transaction::new()).delete(member.group.key.clone());
            transaction = transaction.put(OfId::Left.key(id)?, write(&Removal::Group(id))?, None);
            // Its dead letters go with it: a new group has none.
            if stream.dead_letters_of().is_none() {
                let dead = stream.dead_letters(group);
                transaction = match self.standing(&dead).await? {
                    Some(found) => remove(transaction, &dead, found)?,
                    None => transaction.absent(OfName::Head.key(&dead)?),
                };
            }
            // Who waits makes a new one.
            if self.try_commit(&ring(transaction, stream)?).await? {
                break true;
            }
            pauses.pause().await;
        };
        self.sweep().await.map_err(|error| error.after_a_part_if(existed))?;
        Ok(existed)
    }

    pub(super) async fn clear(&self, prefix: &str) -> Result<()> {
        let mut is_begun = false;
        for entry in self.all(&Range::Prefix(OfName::Head.prefix().to_owned()), true).await? {
            let head: Head = read(&entry)?;
            // Dead letters have the name of their stream.
            if head.name.as_str().starts_with(prefix) {
                let removed = self.remove_stream(&head.name).await;
                removed.map_err(|error| error.after_a_part_if(is_begun))?;
                is_begun = true;
            }
        }
        self.sweep().await.map_err(|error| error.after_a_part_if(is_begun))
    }

    async fn remove_stream(&self, stream: &StreamName) -> Result<()> {
        let mut pauses = Contention::default();
        while let Some(found) = self.standing(stream).await? {
            if self.try_commit(&remove(Transaction::new(), stream, found)?).await? {
                return Ok(());
            }
            pauses.pause().await;
        }
        Ok(())
    }

    /// Removes what removed streams and groups have left.
    async fn sweep(&self) -> Result<()> {
        for entry in self.all(&OfId::Left.all(), true).await? {
            let left = Observation::<Removal>::of(&entry)?;
            match left.value {
                Removal::Group(id) => self.sweep_group(id).await?,
                Removal::Stream(id) => {
                    for (_, group) in self.groups(id).await? {
                        self.sweep_group(group).await?;
                    }
                    for kind in [OfId::Record, OfId::Delay, OfId::Once, OfId::Group] {
                        self.delete_all(&kind.range(id)).await?;
                    }
                }
            }
            self.keys.commit(&Transaction::new().delete(left.key)).await?;
        }
        Ok(())
    }

    async fn sweep_group(&self, id: Id) -> Result<()> {
        self.delete_all(&OfId::Pending.range(id)).await?;
        self.delete_all(&OfId::Hold.range(id)).await?;
        self.keys.commit(&Transaction::new().delete(OfId::Looked.key(id)?)).await.map(drop)
    }

    async fn delete_all(&self, range: &Range) -> Result<()> {
        loop {
            let keys = self.first(range).await?;
            if keys.is_empty() {
                return Ok(());
            }
            self.delete(keys).await?;
        }
    }

    /// Deletes what of a range comes before a key.
    async fn delete_before(&self, range: &Range, bound: &Key) -> Result<()> {
        loop {
            let first = self.first(range).await?;
            let count = first.len();
            let keys: Vec<_> = first.into_iter().take_while(|key| key < bound).collect();
            let is_last = keys.len() < count || keys.is_empty();
            self.delete(keys).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The first keys of a range, as many as one transaction deletes.
    async fn first(&self, range: &Range) -> Result<Vec<Key>> {
        let page = Page { limit: self.room.operations.min(Page::MAX_LIMIT), ..Page::first_keys() };
        let found = self.keys.scan(range, &page).await.map_err(Error::of_read)?.entries;
        Ok(found.into_iter().map(|entry| entry.key).collect())
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<()> {
        let transaction = keys.into_iter().fold(Transaction::new(), Transaction::delete);
        if transaction.mutations.is_empty() {
            return Ok(());
        }
        self.keys.commit(&transaction).await.map(drop)
    }
}

/// Removes a stream, and notes what it leaves. One that comes after it goes on where it was, so that a receipt of this
/// one never fits a record of the new one.
fn remove(transaction: Transaction, stream: &StreamName, found: Standing) -> Result<Transaction> {
    let (id, last) = (found.id(), found.last());
    let mut transaction = found.next.guard(transaction);
    for key in [found.head.key, found.next.key, found.first.key, OfName::Bell.key(stream)?] {
        transaction = transaction.delete(key);
    }
    if let Some(last) = last {
        transaction = transaction.put(OfName::Cleared.key(stream)?, write(&last)?, Some(CLEARED_WINDOW));
    }
    Ok(transaction.put(OfId::Left.key(id)?, write(&Removal::Stream(id))?, None))
}
