//! Claims that wait, and do not hear of what they wait for.

use crate::mutants::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Appended, Claim, Delivery, Driver, GroupName, Record, Result, Settled, Settlement, StreamName,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "claims_take_turns",
            breaks: "A claim that waits keeps the others of its handle waiting until it ends, polled or not",
            caught_by: "streams.a_claim_that_nobody_polls_holds_nobody_up",
            fault: Arc::new(TakesTurns::default()),
        },
        Mutant {
            name: "delays_wake_nobody",
            breaks: "A claim that waits does not learn when a record is due that is appended meanwhile with a delay",
            caught_by: "streams.a_waiting_claim_wakes_for_what_is_delayed_meanwhile",
            fault: Arc::new(Deaf::to(|call| match call {
                Call::Append(stream, record) => record.delay.map(|_| stream.clone()),
                _ => None,
            })),
        },
        Mutant {
            name: "late_retries_wake_nobody",
            breaks: "A claim that waits does not learn when a record is due that is given back to be retried later",
            caught_by: "streams.a_waiting_claim_wakes_for_a_late_retry",
            fault: Arc::new(Deaf::to(|call| match call {
                Call::Settle(Settlement { receipt, action: Action::Retry { after } }) if !after.is_zero() => {
                    Some(receipt.stream.clone())
                }
                _ => None,
            })),
        },
        Mutant {
            name: "rejections_wake_nobody",
            breaks: "A claim that waits for dead letters does not hear of a record that is rejected",
            caught_by: "streams.a_waiting_claim_wakes_for_a_dead_letter",
            fault: Arc::new(Deaf::to(|call| match call {
                Call::Settle(Settlement { receipt, action: Action::Reject { .. } }) => {
                    Some(receipt.stream.dead_letters(&receipt.group))
                }
                _ => None,
            })),
        },
        Mutant {
            name: "exhaustion_wakes_nobody",
            breaks: "A claim that waits for dead letters does not hear of a record that was delivered too often",
            caught_by: "streams.a_waiting_claim_wakes_for_a_dead_letter",
            fault: Arc::new(Deaf::to(|call| match call {
                Call::Claim(claim) => claim.max_deliveries.map(|_| claim.stream.dead_letters(&claim.group)),
                _ => None,
            })),
        },
    ]
}

#[derive(Default)]
struct TakesTurns(tokio::sync::Mutex<()>);

#[async_trait]
impl Fault for TakesTurns {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let _turn = self.0.lock().await;
        inner.claim(claim).await
    }
}

/// What may be worth waking somebody for.
pub(crate) enum Call<'a> {
    Append(&'a StreamName, &'a Record),
    Settle(&'a Settlement),
    Claim(&'a Claim),
    RemoveGroup(&'a StreamName),
}

/// Lets whoever waits at a stream miss some calls: it looks again two seconds later.
pub(crate) struct Deaf {
    /// At which stream a call is missed.
    misses: fn(Call<'_>) -> Option<StreamName>,
    waiting: Mutex<HashMap<StreamName, Arc<Notify>>>,
}

impl Deaf {
    pub(crate) fn to(misses: fn(Call<'_>) -> Option<StreamName>) -> Self {
        Self { misses, waiting: Mutex::default() }
    }

    fn at(&self, stream: &StreamName) -> Arc<Notify> {
        self.waiting.lock().entry(stream.clone()).or_default().clone()
    }

    /// Sends those away who would be woken.
    async fn before<'a>(&self, calls: impl IntoIterator<Item = Call<'a>>) {
        let missed: Vec<_> = calls.into_iter().filter_map(self.misses).collect();
        for stream in &missed {
            self.at(stream).notify_waiters();
        }
        if !missed.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[async_trait]
impl Fault for Deaf {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.before(records.iter().map(|record| Call::Append(stream, record))).await;
        inner.append(stream, records).await
    }

    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.before(settlements.iter().map(Call::Settle)).await;
        inner.settle(settlements).await
    }

    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.before([Call::RemoveGroup(stream)]).await;
        inner.remove_group(stream, group).await
    }

    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        self.before([Call::Claim(claim)]).await;
        let (started, waiting) = (Instant::now(), self.at(&claim.stream));
        tokio::select! {
            claimed = inner.claim(claim) => return claimed,
            () = waiting.notified() => {}
        }
        sleep(claim.wait.min(Duration::from_secs(2))).await;
        inner.claim(&claim.clone().wait(claim.wait.saturating_sub(started.elapsed()))).await
    }
}
