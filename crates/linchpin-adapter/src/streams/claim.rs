//! Claiming: what has become due again first, then what the group has not looked at.

use super::append::Tail;
use super::layout::{Id, OfId, OfName, Pending, position, read, write};
use super::view::{Membership, delete_pending, put_pending};
use super::{Book, FIXED, KeySpace, PER_RECORD, Room};
use crate::backoff::Contention;
use crate::claims::{Look, Source};
use crate::records::{self, Death};
use async_trait::async_trait;
use futures::StreamExt;
use linchpin_core::{
    Claim, Delivery, Entry, Error, GroupName, Key, Page, Position, Range, Receipt, Record, Result, Settled, Settlement,
    StreamName, Transaction, dead_letter,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Of a key that should be gone by now: how soon it is looked for again.
const SOON: Duration = Duration::from_millis(10);

/// After which time a group is looked at again though nobody woke who waits: a watch may be away for long while calls
/// are answered.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Rings whenever a claim may find more. Ends when it is dropped.
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl<K: KeySpace> Source for Book<K> {
    type Listening = Listening;

    async fn look(&self, claim: &Claim) -> Result<Look> {
        let mut pauses = Contention::default();
        loop {
            // What a claim that got no answer took comes again by itself.
            if let Some(look) = self.try_look(claim).await.map_err(Error::of_read)? {
                return Ok(look);
            }
            pauses.pause().await;
        }
    }

    async fn listen(&self, stream: &StreamName, woken: Arc<Notify>) -> Result<Listening> {
        let mut changes = self.keys.watch(&Range::Key(OfName::Bell.key(stream)?)).await?;
        Ok(Listening(self.life.spawn(async move {
            while let Some(change) = changes.next().await {
                woken.notify_one();
                if change.is_err() {
                    return;
                }
            }
        })))
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        Self::settle(self, settlements).await
    }

    fn longest_wait(&self) -> Option<Duration> {
        Some(LONGEST_WAIT)
    }
}

/// What a claim takes, until it is committed.
struct Taking {
    group: Id,
    transaction: Transaction,
    bytes: usize,
    given: Vec<Delivery>,
    /// The dead letters, once there is one.
    dead: Option<Tail>,
    /// Whether something was settled or passed over: there may be more to give.
    has_moved: bool,
}

impl<K: KeySpace> Book<K> {
    /// Claims what there is now; nothing is claimed where others changed something meanwhile.
    async fn try_look(&self, claim: &Claim) -> Result<Option<Look>> {
        let Some(member) = self.membership(&claim.stream, &claim.group).await? else {
            self.create_group(&claim.stream, &claim.group).await?;
            return Ok(None);
        };
        let (id, group) = (member.stream.value.id, member.group.value);
        let transaction = member.guard(Transaction::new());
        let mut taking = Taking { group, transaction, bytes: 0, given: Vec::new(), dead: None, has_moved: false };
        let mut held = self.not_due(id, group).await?;
        let mut due = Vec::new();
        for entry in self.all(&OfId::Pending.range(group), true).await? {
            match held.remove(&position(&entry.key)?) {
                Some(left) => due.push(left.max(SOON)),
                None if !taking.has_room(self.room, claim) => return self.taken(taking, None).await,
                None => self.take_again(&mut taking, claim, &member, &entry).await?,
            }
        }
        self.take_new(&mut taking, claim, &member, &mut due).await?;
        self.taken(taking, due.into_iter().min()).await
    }

    /// Which positions are not due yet, and for how long.
    async fn not_due(&self, id: Id, group: Id) -> Result<BTreeMap<Position, Duration>> {
        let mut held = BTreeMap::new();
        for range in [OfId::Hold.range(group), OfId::Delay.range(id)] {
            for entry in self.all(&range, false).await? {
                let left = entry.ttl.unwrap_or_default();
                held.entry(position(&entry.key)?)
                    .and_modify(|known: &mut Duration| *known = left.max(*known))
                    .or_insert(left);
            }
        }
        Ok(held)
    }

    /// Takes what was taken before, unless that was often enough.
    async fn take_again(&self, taking: &mut Taking, claim: &Claim, member: &Membership, entry: &Entry) -> Result<()> {
        let (at, pending) = (position(&entry.key)?, read::<Pending>(entry)?);
        let hold = OfId::Hold.at(taking.group, at)?;
        let guarded = std::mem::take(&mut taking.transaction).version_is(entry.key.clone(), entry.version).absent(hold);
        taking.transaction = guarded;
        let stored = self.keys.get(&[OfId::Record.at(member.stream.value.id, at)?]).await?.into_entry();
        let record = stored.and_then(|stored| records::decode(&stored.value));
        let is_over = claim.max_deliveries.is_some_and(|most| pending.deliveries >= most);
        match record {
            Some(record) if !is_over => taking.give(claim, at, pending.deliveries.saturating_add(1), record),
            record => {
                taking.transaction = delete_pending(std::mem::take(&mut taking.transaction), taking.group, at)?;
                taking.has_moved = true;
                let death = Death { reason: dead_letter::MAX_DELIVERIES, deliveries: pending.deliveries, position: at };
                // What nobody can read is nobody's.
                let Some(record) = record else { return Ok(()) };
                self.bury(taking, claim, record, death).await
            }
        }
    }

    /// There are no dead letters of dead letters.
    async fn bury(&self, taking: &mut Taking, claim: &Claim, record: Record, death: Death<'_>) -> Result<()> {
        if claim.stream.dead_letters_of().is_some() {
            return Ok(());
        }
        let transaction = std::mem::take(&mut taking.transaction);
        let (mut tail, transaction) = if let Some(tail) = taking.dead.take() {
            (tail, transaction)
        } else {
            let tail = self.tail(&claim.stream.dead_letters(&claim.group)).await?;
            let begun = tail.begin(transaction)?;
            (tail, begun)
        };
        let record = Record { headers: death.told(record.headers), ..record };
        let encoded = records::encode(&record);
        taking.bytes += encoded.len();
        (taking.transaction, _) = tail.push(transaction, &record, encoded.into())?;
        taking.dead = Some(tail);
        Ok(())
    }

    /// Takes what the group has not looked at; what is held back is put aside, so that it does not hold up what comes
    /// after it.
    async fn take_new(
        &self,
        taking: &mut Taking,
        claim: &Claim,
        member: &Membership,
        due: &mut Vec<Duration>,
    ) -> Result<()> {
        let id = member.stream.value.id;
        let Some(looked) = self.seen::<Position>(OfId::Looked.key(taking.group)?).await? else { return Ok(()) };
        let mut next = looked.value;
        'pages: while taking.has_room(self.room, claim) {
            let after = next.0.checked_sub(1).map(|last| OfId::Record.at(id, Position(last))).transpose()?;
            let page = Page { after, limit: (claim.max - taking.given.len()).min(100), values: true };
            let found = self.keys.scan(&OfId::Record.range(id), &page).await?;
            let delays = self.delays(id, &found.entries).await?;
            for (entry, delay) in found.entries.iter().zip(delays) {
                if !taking.has_room(self.room, claim) {
                    break 'pages;
                }
                let at = position(&entry.key)?;
                next = Position(at.0.saturating_add(1));
                taking.has_moved = true;
                let record = records::decode(&entry.value);
                match (delay, record) {
                    (Some(left), _) => {
                        let key = OfId::Pending.at(taking.group, at)?;
                        let parked = write(&Pending { deliveries: 0, held: false })?;
                        taking.transaction = std::mem::take(&mut taking.transaction).put(key, parked, None);
                        due.push(left.max(SOON));
                    }
                    (None, Some(record)) => {
                        taking.bytes += entry.value.len();
                        taking.give(claim, at, 1, record)?;
                    }
                    (None, None) => {}
                }
            }
            if !found.more {
                break;
            }
        }
        if next > looked.value {
            let transaction = looked.guard(std::mem::take(&mut taking.transaction));
            taking.transaction = transaction.put(looked.key.clone(), write(&next)?, None);
        }
        Ok(())
    }

    /// For how long each of these records is held back, if it is.
    async fn delays(&self, id: Id, records: &[Entry]) -> Result<Vec<Option<Duration>>> {
        let key = |entry: &Entry| OfId::Delay.at(id, position(&entry.key)?);
        let keys: Vec<Key> = records.iter().map(key).collect::<Result<_>>()?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.keys.get(&keys).await?.entries;
        Ok(found.into_iter().map(|found| found.map(|found| found.ttl.unwrap_or_default())).collect())
    }

    /// Commits what is taken. `None` where others changed something, or where nothing is given though there may be more.
    async fn taken(&self, taking: Taking, due: Option<Duration>) -> Result<Option<Look>> {
        let Taking { mut transaction, given, dead, has_moved, .. } = taking;
        if given.is_empty() && !has_moved {
            return Ok(Some(Look { given, due }));
        }
        if let Some(tail) = dead {
            transaction = tail.end(transaction)?;
        }
        let is_taken = self.try_commit(&transaction).await?;
        Ok((is_taken && !given.is_empty()).then_some(Look { given, due }))
    }

    /// A group comes to be with its first claim, even of a stream that nobody appended to yet: what is appended from then
    /// on is kept for it. It sees every record that is left.
    async fn create_group(&self, stream: &StreamName, group: &GroupName) -> Result<()> {
        let transaction = Transaction::new();
        let (id, first, transaction) = if let Some(found) = self.standing(stream).await? {
            // Written, so that who trims at this moment knows of it.
            let transaction = found.first.guard(transaction);
            (found.id(), found.first.value, found.first.put(transaction)?)
        } else {
            let tail = self.tail(stream).await?;
            let Some(first) = tail.first_of_new() else { return Ok(()) };
            (tail.id, first, tail.end(tail.begin(transaction)?)?)
        };
        let (key, group) = (OfId::Group.named(id, group.as_str())?, Id::random());
        let transaction = transaction.absent(key.clone()).put(key, write(&group)?, None);
        self.try_commit(&transaction.put(OfId::Looked.key(group)?, write(&first)?, None)).await.map(drop)
    }
}

impl Taking {
    fn has_room(&self, room: Room, claim: &Claim) -> bool {
        let operations = self.transaction.operations() + FIXED + PER_RECORD;
        self.given.len() < claim.max && operations <= room.operations && self.bytes < room.bytes / 2
    }

    fn give(&mut self, claim: &Claim, at: Position, delivery: u32, record: Record) -> Result<()> {
        let pending = Pending { deliveries: delivery, held: true };
        let transaction = std::mem::take(&mut self.transaction);
        self.transaction = put_pending(transaction, self.group, at, pending, claim.visibility)?;
        let receipt = Receipt { stream: claim.stream.clone(), group: claim.group.clone(), position: at, delivery };
        let Record { payload, id, headers, .. } = record;
        self.given.push(Delivery { receipt, payload, id, headers });
        Ok(())
    }
}
