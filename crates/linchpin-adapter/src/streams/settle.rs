//! Settling: many at once, each on its own.

use super::dead::DeadLetters;
use super::layout::{OfId, Pending, read};
use super::view::{Membership, delete_pending, ring};
use super::{Book, FIXED, KeySpace, Room};
use crate::backoff::Contention;
use crate::records::{self, Death};
use linchpin_core::{
    Action, Entry, GroupName, Key, Receipt, Record, Result, Settled, Settlement, StreamName, Transaction,
};
use std::collections::{BTreeMap, BTreeSet};

/// Settlements that one transaction does.
#[derive(Default)]
struct Round<'a> {
    transaction: Transaction,
    /// Those whose ids it guards.
    members: BTreeSet<(&'a StreamName, &'a GroupName)>,
    dead: DeadLetters,
    /// Streams whose claims may find more.
    rings: BTreeSet<&'a StreamName>,
    /// By their place.
    done: Vec<usize>,
    stale: Vec<usize>,
}

/// A settlement with what stands where its receipt is of.
struct Standing<'a> {
    place: usize,
    settlement: &'a Settlement,
    member: Membership,
    pending: Entry,
}

impl<K: KeySpace> Book<K> {
    pub(super) async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settled = vec![None; settlements.len()];
        let (mut pauses, mut is_begun) = (Contention::default(), false);
        loop {
            let open: Vec<usize> = (0..settled.len()).filter(|place| settled[*place].is_none()).collect();
            if open.is_empty() {
                return Ok(settled.into_iter().flatten().collect());
            }
            let (stale, done) =
                self.settle_some(settlements, &open).await.map_err(|error| error.after_a_part_if(is_begun))?;
            for (places, said) in [(&stale, Settled::Stale), (&done, Settled::Done)] {
                for place in places {
                    settled[*place] = Some(said);
                }
            }
            is_begun |= !done.is_empty();
            if stale.is_empty() && done.is_empty() {
                pauses.pause().await;
            }
        }
    }

    /// Which of those that are open are stale, and that they stay; and which were done, in one transaction: none where
    /// others changed something meanwhile.
    async fn settle_some(&self, settlements: &[Settlement], open: &[usize]) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut round = Round::default();
        let standing = self.standing_of(&mut round, settlements, open).await?;
        let is_rejected = |one: &&Standing<'_>| {
            let action = &one.settlement.action;
            matches!(action, Action::Reject { .. }) && one.settlement.receipt.stream.dead_letters_of().is_none()
        };
        let rejected: Vec<_> = standing.iter().filter(is_rejected).collect();
        let key = |one: &&Standing<'_>| OfId::Record.at(one.member.stream.value.id, one.settlement.receipt.position);
        let keys: Vec<Key> = rejected.iter().map(key).collect::<Result<_>>()?;
        let places = rejected.iter().map(|one| one.place);
        let mut records: BTreeMap<usize, Option<Entry>> = places.zip(self.read(&keys).await?).collect();
        for one in &standing {
            if !round.has_room(self.room) {
                break;
            }
            let record = records.remove(&one.place).flatten();
            self.act(&mut round, one, record.and_then(|stored| records::decode(&stored.value))).await?;
            round.done.push(one.place);
        }
        let (stale, done) = (std::mem::take(&mut round.stale), std::mem::take(&mut round.done));
        let is_done = done.is_empty() || self.try_commit(&round.end()?).await?;
        Ok((stale, if is_done { done } else { Vec::new() }))
    }

    /// What stands where the receipts are of, of as many as one transaction may do. Those that are not valid are stale.
    async fn standing_of<'a>(
        &self,
        round: &mut Round<'_>,
        settlements: &'a [Settlement],
        open: &[usize],
    ) -> Result<Vec<Standing<'a>>> {
        let open = &open[..open.len().min(self.room.batch().max(1))];
        let name = |place: usize| (&settlements[place].receipt.stream, &settlements[place].receipt.group);
        let mut members = BTreeMap::new();
        for (stream, group) in open.iter().map(|place| name(*place)).collect::<BTreeSet<_>>() {
            members.insert((stream, group), self.membership(stream, group).await?);
        }
        let (mut places, mut keys, mut touched) = (Vec::new(), Vec::new(), BTreeSet::new());
        for place in open {
            let receipt = &settlements[*place].receipt;
            let Some(member) = members.get(&name(*place)).cloned().flatten() else {
                round.stale.push(*place);
                continue;
            };
            let key = OfId::Pending.at(member.group.value, receipt.position)?;
            // Twice the same: the second finds what the first has left.
            if touched.insert(key.clone()) {
                places.push((*place, member));
                keys.push(key);
            }
        }
        let mut standing = Vec::with_capacity(places.len());
        for ((place, member), found) in places.into_iter().zip(self.read(&keys).await?) {
            let settlement = &settlements[place];
            match found {
                Some(pending) if is_valid(&settlement.receipt, &pending)? => {
                    standing.push(Standing { place, settlement, member, pending });
                }
                _ => round.stale.push(place),
            }
        }
        Ok(standing)
    }

    async fn act<'a>(&self, round: &mut Round<'a>, one: &Standing<'a>, record: Option<Record>) -> Result<()> {
        let Settlement { receipt, action } = one.settlement;
        let (group, position) = (one.member.group.value, receipt.position);
        let mut transaction = std::mem::take(&mut round.transaction);
        if round.members.insert((&receipt.stream, &receipt.group)) {
            transaction = one.member.guard(transaction);
        }
        transaction = transaction.version_is(one.pending.key.clone(), one.pending.version);
        let pending = |held| Pending { deliveries: receipt.delivery, held };
        round.transaction = match action {
            Action::Ack | Action::Reject { .. } => delete_pending(transaction, group, position)?,
            Action::Retry { after } => self.put_pending(transaction, group, position, pending(false), *after)?,
            Action::Extend { visibility } => {
                self.put_pending(transaction, group, position, pending(true), *visibility)?
            }
        };
        if matches!(action, Action::Retry { .. } | Action::Extend { .. }) {
            round.rings.insert(&receipt.stream);
        }
        if let (Action::Reject { reason }, Some(record)) = (action, record) {
            let death = Death { reason, deliveries: receipt.delivery, position };
            let transaction = std::mem::take(&mut round.transaction);
            let buried = round.dead.bury(self, transaction, (&receipt.stream, &receipt.group), record, death);
            round.transaction = buried.await?;
        }
        Ok(())
    }
}

/// Whether what is pending is what the receipt is of.
fn is_valid(receipt: &Receipt, pending: &Entry) -> Result<bool> {
    let Pending { deliveries, held } = read(pending)?;
    Ok(held && deliveries == receipt.delivery)
}

impl Round<'_> {
    fn has_room(&self, room: Room) -> bool {
        let operations = self.transaction.operations() + 2 * (self.rings.len() + self.dead.streams()) + FIXED;
        // The first always has.
        self.done.is_empty() || room.has_another(operations, self.dead.bytes)
    }

    fn end(self) -> Result<Transaction> {
        let mut transaction = self.transaction;
        for stream in self.rings.iter().filter(|stream| !self.dead.are_in(stream)) {
            transaction = ring(transaction, stream)?;
        }
        self.dead.end(transaction)
    }
}
