//! Streams that drop what waits, forget ids or positions, count wrong, or wake nobody.

use crate::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Appended, Claim, Delivery, Driver, Position, Record, Result, Retention, Settled, Settlement, StreamInfo,
    StreamName,
};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn mutants() -> Vec<Mutant> {
    let drops = |what| Arc::new(Drops { what, waiting: Mutex::default(), dropped: Mutex::default() }) as Arc<dyn Fault>;
    vec![
        Mutant {
            name: "trim_drops_given_back",
            breaks: "A trim drops what was given back",
            caught_by: "streams.trim_keeps_what_was_given_back",
            fault: drops(Waiting::GivenBack),
        },
        Mutant {
            name: "trim_drops_retries",
            breaks: "A trim drops what is to be retried later",
            caught_by: "streams.trim_keeps_what_waits_for_a_retry",
            fault: drops(Waiting::ForRetry),
        },
        Mutant {
            name: "trim_drops_delayed",
            breaks: "A trim drops what is delayed",
            caught_by: "streams.trim_keeps_what_is_delayed",
            fault: drops(Waiting::Delayed),
        },
        Mutant {
            name: "trim_forgets_ids",
            breaks: "A trim forgets the ids of records",
            caught_by: "streams.a_trimmed_record_keeps_its_id",
            fault: Arc::new(ForgetsIds { trims: AtomicU64::new(0), born: None }),
        },
        Mutant {
            name: "ids_for_a_second",
            breaks: "The ids of records are remembered for a second",
            caught_by: "streams.a_record_keeps_its_id_for_seconds",
            fault: Arc::new(ForgetsIds { trims: AtomicU64::new(0), born: Some(Instant::now()) }),
        },
        Mutant {
            name: "positions_restart",
            breaks: "A stream that was empty when it was cleared starts again at position 1",
            caught_by: "streams.positions_go_on_after_an_empty_stream_was_cleared",
            fault: Arc::new(RestartsPositions::default()),
        },
        Mutant {
            name: "delayed_is_not_pending",
            breaks: "What waits for a retry or a delay is not counted",
            caught_by: "streams.inspect_counts_what_waits",
            fault: Arc::new(CountsSome::default()),
        },
        Mutant {
            name: "later_retries_wake_nobody",
            breaks: "A claim that waits looks again every two seconds, and is woken by what is there at once only",
            caught_by: "streams.a_waiting_claim_wakes_for_a_later_retry",
            fault: Arc::new(LooksSeldom(|_| true)),
        },
        Mutant {
            name: "deaths_wake_nobody",
            breaks: "A claim that waits for dead letters looks again every two seconds",
            caught_by: "streams.a_waiting_claim_wakes_for_a_dead_letter",
            fault: Arc::new(LooksSeldom(|claim| claim.group.as_str() == "undertakers")),
        },
    ]
}

/// Why a record waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    GivenBack,
    ForRetry,
    Delayed,
}

/// Drops, when a stream is trimmed, what waits for one reason.
struct Drops {
    what: Waiting,
    waiting: Mutex<BTreeSet<Position>>,
    dropped: Mutex<BTreeSet<Position>>,
}

#[async_trait]
impl Fault for Drops {
    async fn append(&self, inner: &dyn Driver, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let appended = inner.append(stream, records).await?;
        let delayed = records.iter().zip(&appended).filter(|(record, _)| record.delay.is_some());
        if self.what == Waiting::Delayed {
            self.waiting.lock().extend(delayed.map(|(_, appended)| appended.position));
        }
        Ok(appended)
    }

    async fn settle(&self, inner: &dyn Driver, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let waits = |settlement: &&Settlement| match settlement.action {
            Action::Retry { after } if after.is_zero() => self.what == Waiting::GivenBack,
            Action::Retry { .. } => self.what == Waiting::ForRetry,
            _ => false,
        };
        self.waiting.lock().extend(settlements.iter().filter(waits).map(|settlement| settlement.receipt.position));
        inner.settle(settlements).await
    }

    async fn claim(&self, inner: &dyn Driver, claim: &Claim) -> Result<Vec<Delivery>> {
        let mut deliveries = inner.claim(claim).await?;
        deliveries.retain(|delivery| !self.dropped.lock().contains(&delivery.receipt.position));
        Ok(deliveries)
    }

    async fn trim(&self, inner: &dyn Driver, stream: &StreamName, keep: Retention) -> Result<u64> {
        let trimmed = inner.trim(stream, keep).await?;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let count = u64::try_from(waiting.len()).unwrap_or_default();
        self.dropped.lock().extend(waiting);
        Ok(trimmed + count)
    }
}

/// Takes ids for others after each trim, or each second since it was made.
struct ForgetsIds {
    trims: AtomicU64,
    born: Option<Instant>,
}

#[async_trait]
impl Fault for ForgetsIds {
    async fn append(&self, inner: &dyn Driver, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let epoch = self.born.map_or_else(|| self.trims.load(Ordering::SeqCst), |born| born.elapsed().as_secs());
        let mut records = records.to_vec();
        for id in records.iter_mut().filter_map(|record| record.id.as_mut()) {
            *id = format!("{epoch} {id}");
        }
        inner.append(stream, &records).await
    }

    async fn trim(&self, inner: &dyn Driver, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.trims.fetch_add(1, Ordering::SeqCst);
        inner.trim(stream, keep).await
    }
}

/// What is taken off the positions.
#[derive(Default)]
struct RestartsPositions(AtomicU64);

#[async_trait]
impl Fault for RestartsPositions {
    async fn append(&self, inner: &dyn Driver, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let mut appended = inner.append(stream, records).await?;
        for one in &mut appended {
            one.position.0 -= self.0.load(Ordering::SeqCst);
        }
        Ok(appended)
    }

    async fn clear(&self, inner: &dyn Driver, prefix: &str) -> Result<()> {
        let info = inner.inspect(&StreamName::new("s")?).await?;
        if let (0, Some(last)) = (info.length, info.last) {
            self.0.store(last.0, Ordering::SeqCst);
        }
        inner.clear(prefix).await
    }
}

/// The records that wait.
#[derive(Default)]
struct CountsSome(AtomicU64);

#[async_trait]
impl Fault for CountsSome {
    async fn settle(&self, inner: &dyn Driver, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let later = |settlement: &&Settlement| matches!(settlement.action, Action::Retry { after } if !after.is_zero());
        let later = u64::try_from(settlements.iter().filter(later).count()).unwrap_or_default();
        self.0.fetch_add(later, Ordering::SeqCst);
        inner.settle(settlements).await
    }

    async fn inspect(&self, inner: &dyn Driver, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        for group in &mut info.groups {
            group.pending = group.pending.saturating_sub(self.0.load(Ordering::SeqCst));
        }
        Ok(info)
    }
}

/// Lets some claims look again every two seconds, instead of waking them.
struct LooksSeldom(fn(&Claim) -> bool);

#[async_trait]
impl Fault for LooksSeldom {
    async fn claim(&self, inner: &dyn Driver, claim: &Claim) -> Result<Vec<Delivery>> {
        if !self.0(claim) {
            return inner.claim(claim).await;
        }
        let until = Instant::now() + claim.wait;
        loop {
            let claimed = inner.claim(&claim.clone().wait(Duration::ZERO)).await?;
            if !claimed.is_empty() || Instant::now() >= until {
                return Ok(claimed);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}
