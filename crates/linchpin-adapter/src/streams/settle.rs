//! Settling: many at once, each on its own.

use super::append::Tail;
use super::layout::{OfId, Pending, read};
use super::view::{Membership, delete_pending, put_pending, ring};
use super::{Book, FIXED, KeySpace, PER_RECORD, Room};
use crate::backoff::Contention;
use crate::records::{self, Death};
use linchpin_core::{
    Action, Entry, Error, GroupName, Key, Receipt, Record, Result, Settled, Settlement, StreamName, Transaction,
};
use std::collections::{BTreeMap, BTreeSet};

/// Settlements that one transaction does.
struct Round<'a> {
    transaction: Transaction,
    bytes: usize,
    /// Whose ids are valid.
    members: BTreeMap<(&'a StreamName, &'a GroupName), Option<Membership>>,
    dead: BTreeMap<StreamName, Tail>,
    /// Streams whose claims may find more.
    rings: BTreeSet<&'a StreamName>,
    /// By their place.
    done: Vec<usize>,
}

impl<K: KeySpace> Book<K> {
    pub(super) async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settled = vec![None; settlements.len()];
        let mut pauses = Contention::default();
        loop {
            let open: Vec<usize> = (0..settled.len()).filter(|place| settled[*place].is_none()).collect();
            if open.is_empty() {
                return Ok(settled.into_iter().flatten().collect());
            }
            let (round, stale) = self.round(settlements, &open).await?;
            for place in stale {
                settled[place] = Some(Settled::Stale);
            }
            let done = round.done.clone();
            if done.is_empty() || self.try_commit(&round.end()?).await? {
                for place in done {
                    settled[place] = Some(Settled::Done);
                }
            } else {
                pauses.pause().await;
            }
        }
    }

    /// Of those that are open what one transaction can do, and which are stale: that they stay.
    async fn round<'a>(&self, settlements: &'a [Settlement], open: &[usize]) -> Result<(Round<'a>, Vec<usize>)> {
        let mut round = Round::default();
        let (mut stale, mut touched) = (Vec::new(), BTreeSet::new());
        for place in open {
            let Settlement { receipt, action } = &settlements[*place];
            let name = (&receipt.stream, &receipt.group);
            if !round.members.contains_key(&name) {
                let member = self.membership(name.0, name.1).await?;
                if let Some(member) = &member {
                    round.transaction = member.guard(std::mem::take(&mut round.transaction));
                }
                round.members.insert(name, member);
            }
            let Some(member) = round.members.get(&name).cloned().flatten() else {
                stale.push(*place);
                continue;
            };
            let key = OfId::Pending.at(member.group.value, receipt.position)?;
            // Twice the same: the second finds what the first has left.
            if !touched.insert(key.clone()) {
                continue;
            }
            match self.held(key, receipt).await? {
                None => stale.push(*place),
                Some(entry) if round.has_room(self.room) => {
                    self.act(&mut round, receipt, action, &member, &entry).await?;
                    round.done.push(*place);
                }
                Some(_) => break,
            }
        }
        Ok((round, stale))
    }

    /// What stands there, if the receipt is valid.
    async fn held(&self, key: Key, receipt: &Receipt) -> Result<Option<Entry>> {
        let Some(entry) = self.keys.get(&[key]).await.map_err(Error::of_read)?.into_entry() else { return Ok(None) };
        let Pending { deliveries, held } = read(&entry)?;
        Ok((held && deliveries == receipt.delivery).then_some(entry))
    }

    async fn act<'a>(
        &self,
        round: &mut Round<'a>,
        receipt: &'a Receipt,
        action: &Action,
        member: &Membership,
        entry: &Entry,
    ) -> Result<()> {
        let (group, position) = (member.group.value, receipt.position);
        let transaction = std::mem::take(&mut round.transaction).version_is(entry.key.clone(), entry.version);
        let pending = |held| Pending { deliveries: receipt.delivery, held };
        round.transaction = match action {
            Action::Ack => delete_pending(transaction, group, position)?,
            Action::Retry { after } => put_pending(transaction, group, position, pending(false), *after)?,
            Action::Extend { visibility } => put_pending(transaction, group, position, pending(true), *visibility)?,
            Action::Reject { reason } => {
                round.transaction = delete_pending(transaction, group, position)?;
                return self.reject(round, receipt, member, reason).await;
            }
        };
        if *action != Action::Ack {
            round.rings.insert(&receipt.stream);
        }
        Ok(())
    }

    /// Puts a record into the dead letters. There are no dead letters of dead letters: whoever works those off and rejects
    /// one is done with it.
    async fn reject(&self, round: &mut Round<'_>, receipt: &Receipt, member: &Membership, reason: &str) -> Result<()> {
        if receipt.stream.dead_letters_of().is_some() {
            return Ok(());
        }
        let key = OfId::Record.at(member.stream.value.id, receipt.position)?;
        let stored = self.keys.get(&[key]).await.map_err(Error::of_read)?.into_entry();
        let Some(record) = stored.and_then(|stored| records::decode(&stored.value)) else { return Ok(()) };
        let death = Death { reason, deliveries: receipt.delivery, position: receipt.position };
        let record = Record { headers: death.told(record.headers), ..record };
        let encoded = records::encode(&record);
        let name = receipt.stream.dead_letters(&receipt.group);
        let mut transaction = std::mem::take(&mut round.transaction);
        let mut tail = if let Some(tail) = round.dead.remove(&name) {
            tail
        } else {
            let tail = self.tail(&name).await?;
            transaction = tail.begin(transaction)?;
            tail
        };
        round.bytes += encoded.len();
        (round.transaction, _) = tail.push(transaction, &record, encoded.into())?;
        round.dead.insert(name, tail);
        Ok(())
    }
}

impl Default for Round<'_> {
    fn default() -> Self {
        let (members, dead, rings, done) = Default::default();
        Self { transaction: Transaction::new(), bytes: 0, members, dead, rings, done }
    }
}

impl Round<'_> {
    fn has_room(&self, room: Room) -> bool {
        let others = 2 * (self.rings.len() + self.dead.len());
        let operations = self.transaction.operations() + others + FIXED + PER_RECORD;
        self.done.is_empty() || operations <= room.operations && self.bytes < room.bytes / 2
    }

    fn end(self) -> Result<Transaction> {
        let mut transaction = self.transaction;
        for stream in self.rings.iter().filter(|stream| !self.dead.contains_key(**stream)) {
            transaction = ring(transaction, stream)?;
        }
        self.dead.values().try_fold(transaction, |transaction, tail| tail.end(transaction))
    }
}
