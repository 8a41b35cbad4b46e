//! Claiming: what has become due again first, then what the group has not looked at.

use super::dead::DeadLetters;
use super::layout::{Id, OfId, OfName, Pending, position, read, unreadable, write};
use super::view::{Membership, Observation, delete_pending};
use super::{Book, FIXED, KeySpace, Room};
use crate::backoff::Contention;
use crate::claims::{Look, Source};
use crate::records::{self, Death};
use async_trait::async_trait;
use futures::{StreamExt, try_join};
use linchpin_core::{
    Claim, Delivery, Entry, Error, GroupName, Key, Position, Range, Receipt, Record, Result, Settled, Settlement,
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

/// How many records are read at once that nobody has looked at.
const AHEAD: usize = 64;

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
struct Take<'a> {
    claim: &'a Claim,
    member: Membership,
    transaction: Transaction,
    given: Vec<Delivery>,
    /// When something is due that is not taken.
    due: Vec<Duration>,
    dead: DeadLetters,
    /// Whether something was settled or passed over: there may be more to give.
    has_moved: bool,
}

impl<K: KeySpace> Book<K> {
    /// Claims what there is now; nothing is claimed where others changed something meanwhile.
    ///
    /// How far the group has looked is read first: what others take after that has moved it. What is pending is read
    /// before what is held back: whoever holds something back writes both, so what is free by both is free.
    async fn try_look(&self, claim: &Claim) -> Result<Option<Look>> {
        let Some((member, looked)) = self.member(&claim.stream, &claim.group).await? else {
            self.create_group(&claim.stream, &claim.group).await?;
            return Ok(None);
        };
        let mut taking = Take::new(claim, member);
        let pending = self.all(&OfId::Pending.range(taking.group()), true).await?;
        let mut held = if pending.is_empty() { BTreeMap::new() } else { self.held_back(&taking.member).await? };
        let mut free = Vec::new();
        for entry in pending {
            match held.remove(&position(&entry.key)?) {
                Some(left) => taking.due.push(left.max(SOON)),
                None => free.push(entry),
            }
        }
        let is_all = self.take_again(&mut taking, free).await?;
        let is_whole = !is_all || self.take_new(&mut taking, looked).await?;
        Ok(if is_whole { self.taken(taking).await? } else { None })
    }

    /// Which positions are not due yet, and for how long.
    async fn held_back(&self, member: &Membership) -> Result<BTreeMap<Position, Duration>> {
        let (holds, delays) = (OfId::Hold.range(member.group.value), OfId::Delay.range(member.stream.value.id));
        let (holds, delays) = try_join!(self.all(&holds, false), self.all(&delays, false))?;
        let mut held = BTreeMap::new();
        for entry in holds.into_iter().chain(delays) {
            let left = entry.ttl.unwrap_or_default();
            let longest = held.entry(position(&entry.key)?).or_insert(left);
            *longest = left.max(*longest);
        }
        Ok(held)
    }

    /// Takes what was taken before and is free, or buries what was often enough; whether that was looked at in full.
    async fn take_again(&self, taking: &mut Take<'_>, free: Vec<Entry>) -> Result<bool> {
        let id = taking.member.stream.value.id;
        let mut left = &free[..];
        while !left.is_empty() && taking.has_room(self.room) {
            let (some, rest) = left.split_at(left.len().min(taking.claim.max - taking.given.len()));
            let key = |entry: &Entry| OfId::Record.at(id, position(&entry.key)?);
            let keys: Vec<Key> = some.iter().map(key).collect::<Result<_>>()?;
            for (entry, stored) in some.iter().zip(self.read(&keys).await?) {
                if !taking.has_room(self.room) {
                    return Ok(false);
                }
                self.take_one_again(taking, entry, stored).await?;
            }
            left = rest;
        }
        Ok(left.is_empty())
    }

    async fn take_one_again(&self, taking: &mut Take<'_>, entry: &Entry, stored: Option<Entry>) -> Result<()> {
        let (at, Pending { deliveries, .. }) = (position(&entry.key)?, read(entry)?);
        taking.transaction = std::mem::take(&mut taking.transaction).version_is(entry.key.clone(), entry.version);
        let record = stored.and_then(|stored| records::decode(&stored.value));
        let is_over = taking.claim.max_deliveries.is_some_and(|most| deliveries >= most);
        match record {
            Some(record) if !is_over => self.give(taking, at, deliveries.saturating_add(1), record),
            record => {
                let transaction = std::mem::take(&mut taking.transaction);
                taking.transaction = delete_pending(transaction, taking.group(), at)?;
                taking.has_moved = true;
                // What nobody can read is nobody's.
                let Some(record) = record else { return Ok(()) };
                let death = Death { reason: dead_letter::MAX_DELIVERIES, deliveries, position: at };
                let (transaction, claim) = (std::mem::take(&mut taking.transaction), taking.claim);
                let buried = taking.dead.bury(self, transaction, (&claim.stream, &claim.group), record, death);
                taking.transaction = buried.await?;
                Ok(())
            }
        }
    }

    /// Takes what the group has not looked at; what is held back is put aside, so that it does not hold up what comes
    /// after it. `false` where others looked meanwhile.
    async fn take_new(&self, taking: &mut Take<'_>, before: Observation<Position>) -> Result<bool> {
        let (id, group) = (taking.member.stream.value.id, taking.group());
        let (mut looked, mut next) = (before.clone(), before.value);
        let mut is_first = true;
        while taking.has_room(self.room) {
            let count = (taking.claim.max - taking.given.len()).min(AHEAD);
            let Some(ahead) = self.ahead(id, group, next, count).await? else { return Ok(false) };
            if ahead.looked.version != looked.version {
                if !is_first {
                    return Ok(false);
                }
                (next, looked) = (ahead.looked.value, ahead.looked);
                is_first = false;
                continue;
            }
            is_first = false;
            for (record, delay) in ahead.records {
                if !taking.has_room(self.room) {
                    break;
                }
                let at = next;
                next = Position(at.0.saturating_add(1));
                taking.has_moved = true;
                let record = record.and_then(|stored| records::decode(&stored.value));
                match (delay, record) {
                    (Some(delay), _) => {
                        let parked = write(&Pending { deliveries: 0, held: false })?;
                        let transaction = std::mem::take(&mut taking.transaction);
                        taking.transaction = transaction.put(OfId::Pending.at(group, at)?, parked, None);
                        taking.due.push(delay.ttl.unwrap_or_default().max(SOON));
                    }
                    (None, Some(record)) => self.give(taking, at, 1, record)?,
                    (None, None) => {}
                }
            }
            if next >= ahead.end {
                break;
            }
        }
        if next > looked.value {
            let transaction = looked.guard(std::mem::take(&mut taking.transaction));
            taking.transaction = Observation { value: next, ..looked.clone() }.put(transaction)?;
        }
        // Others have what is not here: when that is due is not known.
        Ok(looked.version == before.version || !taking.given.is_empty())
    }

    /// What a group has not looked at from a position on, with how far it has looked, all at one moment.
    async fn ahead(&self, id: Id, group: Id, from: Position, count: usize) -> Result<Option<Ahead>> {
        let mut keys = vec![OfId::Looked.key(group)?, OfId::Next.key(id)?];
        let positions = (0..count as u64).filter_map(|n| from.0.checked_add(n).map(Position));
        for at in positions {
            keys.extend([OfId::Record.at(id, at)?, OfId::Delay.at(id, at)?]);
        }
        let mut found = self.read(&keys).await?.into_iter();
        let (Some(Some(looked)), Some(Some(next))) = (found.next(), found.next()) else { return Ok(None) };
        let (looked, end) = (Observation::of(&looked)?, Observation::<Position>::of(&next)?.value);
        let mut records = Vec::new();
        while let (Some(record), Some(delay)) = (found.next(), found.next())
            && from.0.saturating_add(records.len() as u64) < end.0
        {
            records.push((record, delay));
        }
        Ok(Some(Ahead { looked, end, records }))
    }

    fn give(&self, taking: &mut Take<'_>, at: Position, delivery: u32, record: Record) -> Result<()> {
        let (group, claim) = (taking.group(), taking.claim);
        let pending = Pending { deliveries: delivery, held: true };
        let transaction = std::mem::take(&mut taking.transaction);
        taking.transaction = self.put_pending(transaction, group, at, pending, claim.visibility)?;
        let receipt = Receipt { stream: claim.stream.clone(), group: claim.group.clone(), position: at, delivery };
        let Record { payload, id, headers, .. } = record;
        taking.given.push(Delivery { receipt, payload, id, headers });
        Ok(())
    }

    /// Commits what is taken. `None` where others changed something, or where nothing is given though there may be more.
    async fn taken(&self, taking: Take<'_>) -> Result<Option<Look>> {
        let Take { transaction, given, due, dead, has_moved, .. } = taking;
        let due = due.into_iter().min();
        if given.is_empty() && !has_moved {
            return Ok(Some(Look { given, due }));
        }
        let is_taken = self.try_commit(&dead.end(transaction)?).await?;
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
        let (transaction, looked) = (transaction.absent(key.clone()), OfId::Looked.key(group)?);
        let transaction = transaction.put(key, write(&group)?, None).absent(looked.clone());
        self.try_commit(&transaction.put(looked, write(&first)?, None)).await.map(drop)
    }

    /// A group with how far it has looked; `None` if it is not there.
    async fn member(
        &self,
        stream: &StreamName,
        group: &GroupName,
    ) -> Result<Option<(Membership, Observation<Position>)>> {
        let mut known = None;
        loop {
            let Some(member) = self.membership(stream, group).await? else { return Ok(None) };
            let key = OfId::Looked.key(member.group.value)?;
            if let Some(looked) = self.seen(key.clone()).await? {
                return Ok(Some((member, looked)));
            }
            // It was removed between the two; a new one has another id.
            if known.replace(member.group.value) == Some(member.group.value) {
                return Err(unreadable(&key));
            }
        }
    }
}

/// What a group has not looked at.
struct Ahead {
    looked: Observation<Position>,
    /// Where the next record will stand.
    end: Position,
    /// Each with what says that it is held back, if it is.
    records: Vec<(Option<Entry>, Option<Entry>)>,
}

impl<'a> Take<'a> {
    fn new(claim: &'a Claim, member: Membership) -> Self {
        let transaction = member.guard(Transaction::new());
        let (given, due, dead) = Default::default();
        Self { claim, member, transaction, given, due, dead, has_moved: false }
    }

    fn group(&self) -> Id {
        self.member.group.value
    }

    fn has_room(&self, room: Room) -> bool {
        // Two guards are among them already.
        let operations = self.transaction.operations() + FIXED - 2;
        self.given.len() < self.claim.max && room.has_another(operations, self.dead.bytes)
    }
}
