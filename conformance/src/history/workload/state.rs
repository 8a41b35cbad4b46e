//! What a client does with keys.

use super::{Load, Offer, weighted};
use crate::history::client::Client;
use crate::history::record::{Decision, Reply, Seen, Txn, Write};
use fastrand::Rng;
use linchpin_core::{Condition, Guard, Key, MutationResult, Revision, TransactionId};

/// How many keys hold texts, and how many count: few, so that the clients contend for them.
const TEXTS: usize = 5;
const COUNTERS: usize = 2;

/// What is added is below this, up or down: no two steps, and hardly any two sums of steps, are the same.
const STEP: i64 = 1 << 44;

/// How often a transaction with an id is sent, as long as its outcome is unknown.
const SENDS: usize = 3;

/// The keys: texts first, then counters.
fn keys() -> Vec<Key> {
    let texts = (0..TEXTS).map(|n| format!("text-{n}"));
    let counters = (0..COUNTERS).map(|n| format!("count-{n}"));
    texts.chain(counters).filter_map(|name| Key::new(name).ok()).collect()
}

/// The last look: each key by itself, then all of them at once.
pub(super) async fn look_at_everything(client: &Client) {
    let keys = keys();
    for key in &keys {
        client.get(std::slice::from_ref(key)).await;
    }
    client.get(&keys).await;
}

#[derive(Clone, Copy)]
enum Step {
    Get,
    Put,
    Create,
    Replace,
    Delete,
    Add,
    Check,
    Several,
}

/// A client, and what it believes of the keys.
pub(super) struct StateClient {
    client: Client,
    offer: Offer,
    keys: Vec<Key>,
    /// The version of each key as last told; `None` for one that is not there.
    believed: Vec<Option<Revision>>,
    written: u64,
}

impl StateClient {
    pub(super) fn new(client: Client, offer: Offer) -> Self {
        let keys = keys();
        Self { client, offer, believed: vec![None; keys.len()], keys, written: 0 }
    }

    /// Does one thing; whether every call was answered.
    pub(super) async fn step(&mut self, dice: &mut Rng) -> bool {
        let single = [
            (30, Step::Get),
            (14, Step::Put),
            (8, Step::Create),
            (14, Step::Replace),
            (8, Step::Delete),
            (12, Step::Add),
        ];
        let step = if self.offer.load == Load::Transactions && self.offer.multi_key {
            weighted(
                dice,
                &[(25, Step::Get), (5, Step::Put), (5, Step::Replace), (5, Step::Check), (60, Step::Several)],
            )
        } else {
            weighted(
                dice,
                &[&single[..], &[(4, Step::Check), (if self.offer.multi_key { 10 } else { 0 }, Step::Several)]]
                    .concat(),
            )
        };
        let (text, counter) = (dice.usize(..TEXTS), TEXTS + dice.usize(..COUNTERS));
        let any = dice.usize(..self.keys.len());
        match step.unwrap_or(Step::Get) {
            Step::Get => self.look(&some_of(dice, self.keys.len(), 4)).await,
            Step::Put => self.commit(dice, &[], &[text]).await,
            Step::Create => self.guarded(dice, text, Condition::Absent).await,
            Step::Replace => self.replace(dice, text).await,
            Step::Delete => self.delete(dice, any).await,
            Step::Add => self.commit(dice, &[], &[counter]).await,
            Step::Check => self.check(dice, any).await,
            Step::Several => self.several(dice).await,
        }
    }

    async fn look(&mut self, indexes: &[usize]) -> bool {
        let keys: Vec<Key> = indexes.iter().map(|&index| self.keys[index].clone()).collect();
        let Reply::Answered(read) = self.client.get(&keys).await else { return false };
        for (&index, entry) in indexes.iter().zip(&read.entries) {
            self.believe(index, entry.as_ref());
        }
        true
    }

    fn believe(&mut self, index: usize, entry: Option<&Seen>) {
        self.believed[index] = entry.map(|seen| seen.version);
    }

    /// What this client believes of a key, as a guard.
    fn belief(&self, index: usize) -> Guard {
        let condition = self.believed[index].map_or(Condition::Absent, Condition::VersionIs);
        Guard { key: self.keys[index].clone(), condition }
    }

    /// A put of a value of its own, or a step of its own.
    fn write(&mut self, dice: &mut Rng, index: usize) -> Write {
        let key = self.keys[index].clone();
        if index >= TEXTS {
            let step = dice.i64(1..STEP);
            return Write::Add { key, delta: if dice.bool() { step } else { -step } };
        }
        self.written += 1;
        Write::Put { key, value: format!("{}-{}", self.client.number, self.written) }
    }

    async fn guarded(&mut self, dice: &mut Rng, index: usize, condition: Condition) -> bool {
        let guard = Guard { key: self.keys[index].clone(), condition };
        self.commit(dice, &[guard], &[index]).await
    }

    /// Reads, as often as not, and replaces what it then believes to be there.
    async fn replace(&mut self, dice: &mut Rng, index: usize) -> bool {
        if dice.bool() && !self.look(&[index]).await {
            return false;
        }
        let belief = self.belief(index);
        self.commit(dice, &[belief], &[index]).await
    }

    async fn delete(&mut self, dice: &mut Rng, index: usize) -> bool {
        let guards = if dice.u8(..3) == 0 { vec![self.belief(index)] } else { Vec::new() };
        let mutations = vec![Write::Delete { key: self.keys[index].clone() }];
        self.send(dice, Txn { id: None, guards, mutations }).await
    }

    /// Only asks.
    async fn check(&mut self, dice: &mut Rng, index: usize) -> bool {
        let guard = match dice.u8(..3) {
            0 => Guard { key: self.keys[index].clone(), condition: Condition::Present },
            _ => self.belief(index),
        };
        self.commit(dice, &[guard], &[]).await
    }

    /// Guards and mutations of several keys at once.
    async fn several(&mut self, dice: &mut Rng) -> bool {
        let indexes = some_of(dice, self.keys.len(), 4);
        let guarded: Vec<usize> = indexes.iter().copied().filter(|_| dice.u8(..3) == 0).collect();
        // Else what it believes is mostly old, and hardly anything would be committed.
        if !guarded.is_empty() && dice.u8(..4) > 0 && !self.look(&guarded).await {
            return false;
        }
        let guards = guarded.iter().map(|&index| self.belief(index)).collect();
        let mut mutations = Vec::new();
        for &index in &indexes {
            match dice.u8(..5) {
                0 => {}
                1 => mutations.push(Write::Delete { key: self.keys[index].clone() }),
                _ => mutations.push(self.write(dice, index)),
            }
        }
        self.send(dice, Txn { id: None, guards, mutations }).await
    }

    async fn commit(&mut self, dice: &mut Rng, guards: &[Guard], written: &[usize]) -> bool {
        let mutations = written.iter().map(|&index| self.write(dice, index)).collect();
        self.send(dice, Txn { id: None, guards: guards.to_vec(), mutations }).await
    }

    /// Sends a transaction. Half of them have an id; those are sent again if the outcome is unknown, and
    /// now and then for no reason.
    async fn send(&mut self, dice: &mut Rng, transaction: Txn) -> bool {
        let id = (self.offer.ids && dice.bool()).then(|| TransactionId(dice.u128(..)));
        let mut reply = self.client.commit(transaction.clone(), id).await;
        if id.is_some() {
            let for_no_reason = dice.u8(..10) == 0;
            let mut sends = 1;
            while sends < SENDS && (reply.answer().is_none() || (for_no_reason && sends == 1)) {
                reply = self.client.commit(transaction.clone(), id).await;
                sends += 1;
            }
        }
        let Reply::Answered(decision) = reply else { return false };
        self.learn(&transaction, &decision);
        true
    }

    fn learn(&mut self, transaction: &Txn, decision: &Decision) {
        match decision {
            Decision::Committed { revision, results } => {
                for (mutation, result) in transaction.mutations.iter().zip(results) {
                    let is_there = !matches!(result, MutationResult::Deleted { .. });
                    if let Some(index) = self.index(mutation.key()) {
                        self.believed[index] = is_there.then_some(*revision);
                    }
                }
            }
            Decision::Refused { guard, found, .. } => {
                let guard = transaction.guards.get(*guard);
                if let Some(index) = guard.and_then(|guard| self.index(&guard.key)) {
                    self.believe(index, found.as_ref());
                }
            }
        }
    }

    fn index(&self, key: &Key) -> Option<usize> {
        self.keys.iter().position(|own| own == key)
    }
}

/// Up to `most` different numbers below `end`, at least one.
fn some_of(dice: &mut Rng, end: usize, most: usize) -> Vec<usize> {
    let count = dice.usize(1..=most);
    dice.choose_multiple(0..end, count)
}
