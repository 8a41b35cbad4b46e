//! What is right for most records, settlements and claims, and wrong for one of them.

use crate::mutants::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Appended, Claim, Delivery, Driver, Error, ErrorKind, Receipt, Record, Result, Settled, Settlement,
    StreamInfo, StreamName,
};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "delay_of_the_batch",
            "All records of a batch are held back for as long as the first",
            "streams.each_record_of_a_batch_has_its_delay",
            DelayOfTheBatch,
        ),
        Mutant::new(
            "twice_in_a_call_is_done_twice",
            "A receipt that comes twice in a call is answered twice that it was done",
            "streams.twice_in_one_call_is_stale",
            TwiceIsDone,
        ),
        Mutant::new(
            "settles_up_to_the_bad_one",
            "What comes before a senseless settlement is settled, though the call is refused",
            "streams.a_bad_settlement_settles_nothing",
            SettlesUpToTheBadOne,
        ),
        Mutant::new(
            "waits_for_all_it_asks_for",
            "A claim of several waits until its time is up",
            "streams.a_claim_of_many_waits_for_the_first",
            Claims(|claim| (if claim.max > 1 { claim.wait } else { Duration::ZERO }, claim)),
        ),
        Mutant::new(
            "waits_three_seconds_at_most",
            "A claim waits no longer than three seconds",
            "streams.a_long_wait_is_waited",
            Claims(|claim| {
                let wait = claim.wait.min(Duration::from_secs(3));
                (Duration::ZERO, claim.wait(wait))
            }),
        ),
        Mutant::new(
            "dead_letter_loses_its_id",
            "A dead letter has no id",
            "streams.a_dead_letter_keeps_its_id",
            DeadLosesId,
        ),
        Mutant::new(
            "dead_letters_have_no_last",
            "Of dead letters it is not said where the last one stands",
            "streams.dead_letters_have_a_last_position",
            DeadHasNoLast,
        ),
        Mutant::new(
            "dead_letters_are_counted_for_ever",
            "Dead letters are counted that were dropped",
            "streams.dead_letters_that_are_dropped_are_not_counted",
            DeadForEver::default(),
        ),
        Mutant::new(
            "closed_settlements_are_doubtful",
            "Settling through a closed handle is told to be doubtful",
            "errors.closed_settlements_leave_no_doubt",
            ClosedIsDoubtful,
        ),
        Mutant::new(
            "nothing_is_appended_by_a_closed_handle",
            "To append nothing is answered by a closed handle as by an open one",
            "errors.closed_answers_no_empty_call",
            EmptyIsAnswered,
        ),
    ]
}

struct DelayOfTheBatch;

#[async_trait]
impl Fault for DelayOfTheBatch {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let mut records = records.to_vec();
        let delay = records.first().and_then(|first| first.delay);
        for record in &mut records {
            record.delay = delay;
        }
        inner.append(stream, &records).await
    }
}

struct TwiceIsDone;

#[async_trait]
impl Fault for TwiceIsDone {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settled = inner.settle(settlements).await?;
        let mut done: HashSet<&Receipt> = HashSet::new();
        for (settlement, settled) in settlements.iter().zip(&mut settled) {
            if done.contains(&settlement.receipt) {
                *settled = Settled::Done;
            } else if *settled == Settled::Done {
                done.insert(&settlement.receipt);
            }
        }
        Ok(settled)
    }
}

struct SettlesUpToTheBadOne;

#[async_trait]
impl Fault for SettlesUpToTheBadOne {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let is_bad = |one: &Settlement| one.action == Action::Extend { visibility: Duration::ZERO };
        if let Some(bad) = settlements.iter().position(is_bad) {
            inner.settle(&settlements[..bad]).await?;
        }
        inner.settle(settlements).await
    }
}

/// Claims something else, after a time.
struct Claims(fn(Claim) -> (Duration, Claim));

#[async_trait]
impl Fault for Claims {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let (pause, other) = (self.0)(claim.clone());
        tokio::time::sleep(pause).await;
        inner.claim(&other).await
    }
}

struct DeadLosesId;

#[async_trait]
impl Fault for DeadLosesId {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let mut given = inner.claim(claim).await?;
        for delivery in given.iter_mut().filter(|_| claim.stream.dead_letters_of().is_some()) {
            delivery.id = None;
        }
        Ok(given)
    }
}

struct DeadHasNoLast;

#[async_trait]
impl Fault for DeadHasNoLast {
    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let info = inner.inspect(stream).await?;
        let last = info.last.filter(|_| stream.dead_letters_of().is_none());
        Ok(StreamInfo { last, ..info })
    }
}

/// How many dead letters there ever were, as far as is known.
#[derive(Default)]
struct DeadForEver(Mutex<HashSet<Receipt>>);

#[async_trait]
impl Fault for DeadForEver {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let settled = inner.settle(settlements).await?;
        for one in settlements.iter().filter(|one| matches!(one.action, Action::Reject { .. })) {
            self.0.lock().insert(one.receipt.clone());
        }
        Ok(settled)
    }

    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        for group in &mut info.groups {
            let rejected = self.0.lock();
            let of_it = rejected.iter().filter(|one| one.stream == *stream && one.group == group.name);
            group.dead = group.dead.max(of_it.count() as u64);
        }
        Ok(info)
    }
}

struct ClosedIsDoubtful;

#[async_trait]
impl Fault for ClosedIsDoubtful {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let doubtful = |error: Error| if error.kind() == ErrorKind::Closed { error.for_good() } else { error };
        inner.settle(settlements).await.map_err(doubtful)
    }
}

struct EmptyIsAnswered;

#[async_trait]
impl Fault for EmptyIsAnswered {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        inner.append(stream, records).await
    }
}
