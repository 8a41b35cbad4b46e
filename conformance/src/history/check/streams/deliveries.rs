//! What one group was delivered, and how it was settled.

use super::super::{Verdict, Violation};
use super::records::Acknowledged;
use crate::history::record::{Operation, nanos};
use linchpin_core::Settled;
use std::collections::BTreeMap;
use std::time::Duration;

/// What clocks that count in milliseconds may differ by.
const TICK: Duration = Duration::from_millis(1);

/// A record was delivered to a member, which has it to itself for a while.
#[derive(Clone, Copy)]
pub(super) struct Delivery<'h> {
    pub(super) number: u32,
    pub(super) visibility: u64,
    pub(super) by: &'h Operation,
}

/// A delivery was settled, or that was tried.
#[derive(Clone, Copy)]
pub(super) struct Settlement<'h> {
    pub(super) number: u32,
    /// `None` is an acknowledgement.
    pub(super) retry_after: Option<u64>,
    pub(super) done: Settling,
    pub(super) by: &'h Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settling {
    Done,
    Stale,
    Unknown,
}

impl From<Settled> for Settling {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Done => Self::Done,
            Settled::Stale => Self::Stale,
        }
    }
}

/// One group of one stream.
#[derive(Default)]
pub(super) struct Group<'h> {
    records: BTreeMap<u64, Held<'h>>,
    /// When claims were made that may have been delivered something that nobody was told of.
    pub(super) lost_claims: Vec<u64>,
    /// When it had been given the time to be delivered everything.
    pub(super) drained: Vec<&'h Operation>,
}

/// What happened to one record in the group.
#[derive(Default)]
struct Held<'h> {
    deliveries: Vec<Delivery<'h>>,
    settlements: Vec<Settlement<'h>>,
}

impl<'h> Group<'h> {
    pub(super) fn deliver(&mut self, position: u64, delivery: Delivery<'h>) {
        self.records.entry(position).or_default().deliveries.push(delivery);
    }

    pub(super) fn settle(&mut self, position: u64, settlement: Settlement<'h>) {
        self.records.entry(position).or_default().settlements.push(settlement);
    }

    /// Judges every record, and that each one which was there before the group was drained was delivered.
    pub(super) fn check(mut self, acknowledged: &[Acknowledged<'h>]) -> Verdict {
        let first_lost = self.lost_claims.iter().copied().min();
        for held in self.records.values_mut() {
            held.deliveries.sort_by_key(|delivery| (delivery.number, delivery.by.called));
            held.numbers_rise()?;
            held.done_once()?;
            for pair in held.deliveries.windows(2) {
                if let [one, next] = pair {
                    held.is_exclusive(one, next)?;
                }
            }
            for settlement in &held.settlements {
                held.is_final(settlement)?;
                held.stale_for_a_reason(settlement, first_lost)?;
            }
        }
        for drained in &self.drained {
            let lost = |record: &&Acknowledged<'_>| {
                let held = self.records.get(&record.position);
                let in_time = |delivery: &Delivery<'_>| delivery.by.returned <= drained.returned;
                record.by.returned < drained.called && !held.is_some_and(|held| held.deliveries.iter().any(in_time))
            };
            if let Some(record) = acknowledged.iter().find(lost) {
                let text = format!("the record at {} was never delivered to the group", record.position);
                return Err(Violation::new(text, [record.by, drained]));
            }
        }
        Ok(())
    }
}

impl Held<'_> {
    /// Each delivery has a number of its own, greater than those before it.
    fn numbers_rise(&self) -> Verdict {
        let mut latest: Option<&Delivery<'_>> = None;
        let mut before: Option<&Delivery<'_>> = None;
        for delivery in &self.deliveries {
            if let Some(same) = before.replace(delivery).filter(|before| before.number == delivery.number) {
                let text = format!("a record was delivered twice as delivery {}", delivery.number);
                return Err(Violation::new(text, [same.by, delivery.by]));
            }
            if let Some(latest) = latest.filter(|latest| delivery.by.returned < latest.by.called) {
                let text = "a later delivery of a record has a smaller number";
                return Err(Violation::new(text, [delivery.by, latest.by]));
            }
            if latest.is_none_or(|latest| latest.by.called < delivery.by.called) {
                latest = Some(delivery);
            }
        }
        Ok(())
    }

    /// A delivery is settled once, and not when a later one was known.
    fn done_once(&self) -> Verdict {
        let done = |settlement: &&Settlement<'_>| settlement.done == Settling::Done;
        for settlement in self.settlements.iter().filter(done) {
            let same = self.settlements.iter().filter(done).filter(|other| other.number == settlement.number);
            if same.clone().count() > 1 {
                let by = same.map(|settlement| settlement.by);
                return Err(Violation::new(format!("delivery {} was settled twice", settlement.number), by));
            }
            let later = |delivery: &&Delivery<'_>| {
                delivery.number > settlement.number && delivery.by.returned < settlement.by.called
            };
            if let Some(later) = self.deliveries.iter().find(later) {
                let text = format!("delivery {} was settled after delivery {}", settlement.number, later.number);
                return Err(Violation::new(text, [later.by, settlement.by]));
            }
        }
        Ok(())
    }

    /// A delivery is its member's alone until it is settled or its visibility has passed; and one that is to
    /// be retried after a while is not delivered before.
    fn is_exclusive(&self, one: &Delivery<'_>, next: &Delivery<'_>) -> Verdict {
        let told = next.by.returned.saturating_add(nanos(TICK));
        let freed = |settlement: &&Settlement<'_>| {
            settlement.number == one.number && settlement.done != Settling::Stale && settlement.retry_after.is_some()
        };
        let due = |settlement: &Settlement<'_>| {
            settlement.by.called.saturating_add(settlement.retry_after.unwrap_or(u64::MAX))
        };
        let retries = || self.settlements.iter().filter(freed);
        if let Some(retry) = retries().find(|retry| retry.done == Settling::Done) {
            if told < due(retry) {
                let text = "a record was delivered again before the time after which it was to be retried";
                return Err(Violation::new(text, [one.by, retry.by, next.by]));
            }
        } else if told < one.by.called.saturating_add(one.visibility) && retries().all(|retry| told < due(retry)) {
            let text =
                format!("delivery {} was made while delivery {} was its member's alone", next.number, one.number);
            return Err(Violation::new(text, [one.by, next.by]));
        }
        Ok(())
    }

    /// What is acknowledged is never delivered again.
    fn is_final(&self, settlement: &Settlement<'_>) -> Verdict {
        if settlement.done != Settling::Done || settlement.retry_after.is_some() {
            return Ok(());
        }
        let again = |delivery: &&Delivery<'_>| {
            delivery.number > settlement.number || delivery.by.called > settlement.by.returned
        };
        match self.deliveries.iter().find(again) {
            Some(again) => {
                Err(Violation::new("a record was delivered again after it was acknowledged", [settlement.by, again.by]))
            }
            None => Ok(()),
        }
    }

    /// A receipt is stale if the record was delivered again or settled before. Where its visibility had
    /// passed, or a claim was not answered, nobody can say that it was not.
    fn stale_for_a_reason(&self, settlement: &Settlement<'_>, first_lost_claim: Option<u64>) -> Verdict {
        if settlement.done != Settling::Stale {
            return Ok(());
        }
        let before = settlement.by.returned;
        let later = |delivery: &Delivery<'_>| delivery.number > settlement.number && delivery.by.called < before;
        let other = |other: &Settlement<'_>| {
            other.number == settlement.number && other.done != Settling::Stale && other.by.called < before
        };
        let passed = |delivery: &Delivery<'_>| {
            delivery.number == settlement.number && delivery.by.called.saturating_add(delivery.visibility) <= before
        };
        let reason = self.deliveries.iter().any(|delivery| later(delivery) || passed(delivery))
            || self.settlements.iter().any(other)
            || first_lost_claim.is_some_and(|called| called < before);
        let own = self.deliveries.iter().find(|delivery| delivery.number == settlement.number);
        if reason {
            return Ok(());
        }
        let text = "a settlement was refused as stale, but the record was neither settled nor delivered again";
        Err(Violation::new(text, own.map(|own| own.by).into_iter().chain([settlement.by])))
    }
}
