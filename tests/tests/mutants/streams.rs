//! Streams: records that come twice, too early, to two members, or not at all.

use crate::mutants::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Appended, Claim, Delivery, Driver, Page, Range, Receipt, Record, Result, Settled, Settlement, StreamName,
    Transaction,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "acknowledged_comes_again",
            breaks: "An acknowledged record is delivered again",
            caught_by: "streams.acknowledged_is_never_seen_again",
            fault: Arc::new(Settles(|action| {
                if *action == Action::Ack {
                    *action = Action::Retry { after: Duration::ZERO };
                }
            })),
        },
        Mutant {
            name: "stale_claim_settles",
            breaks: "A member that was too slow settles what was delivered to another since",
            caught_by: "streams.delivered_again_is_stale",
            fault: Arc::new(SettlesStale::default()),
        },
        Mutant {
            name: "visibility_ignored",
            breaks: "A record is its member's for 30 seconds, whatever the claim asked for",
            caught_by: "streams.an_abandoned_record_comes_again",
            fault: Arc::new(Claims(|claim| claim.visibility = Duration::from_secs(30))),
        },
        Mutant {
            name: "exclusivity_ignored",
            breaks: "A record that one member has claimed is delivered to the next one that asks",
            caught_by: "streams.a_claim_is_exclusive",
            fault: Arc::new(Claims(|claim| claim.visibility = Duration::from_nanos(1))),
        },
        Mutant {
            name: "delivery_limit_ignored",
            breaks: "A record that fails again and again never becomes a dead letter",
            caught_by: "streams.an_exhausted_record_is_a_dead_letter_once",
            fault: Arc::new(Claims(|claim| claim.max_deliveries = None)),
        },
        Mutant {
            name: "long_poll_sleeps",
            breaks: "A claim that waits looks at the end of its wait only",
            caught_by: "streams.a_waiting_claim_wakes_for_a_record",
            fault: Arc::new(LooksLate),
        },
        Mutant {
            name: "retried_at_once",
            breaks: "A record given back to be retried later is delivered at once",
            caught_by: "streams.a_retry_after_is_honoured",
            fault: Arc::new(Settles(|action| {
                if let Action::Retry { after } = action {
                    *after = Duration::ZERO;
                }
            })),
        },
        Mutant {
            name: "dead_letter_twice",
            breaks: "A rejected record is put among the dead letters twice",
            caught_by: "streams.a_rejected_record_is_a_dead_letter_once",
            fault: Arc::new(BuriesTwice),
        },
        Mutant {
            name: "delay_ignored",
            breaks: "A delayed record is delivered at once",
            caught_by: "streams.a_delay_is_honoured",
            fault: Arc::new(Appends(|record| record.delay = None)),
        },
        Mutant {
            name: "record_ids_ignored",
            breaks: "A record that is appended again with its id is there twice",
            caught_by: "streams.a_record_id_is_appended_once",
            fault: Arc::new(Appends(|record| record.id = None)),
        },
        Mutant {
            name: "batch_torn",
            breaks: "The records of one call are appended one by one, with others' in between",
            caught_by: "streams.a_batch_stands_together",
            fault: Arc::new(AppendsOneByOne),
        },
        Mutant {
            name: "clear_forgets_streams",
            breaks: "Clearing removes the keys and leaves the streams",
            caught_by: "streams.clear_removes_streams_and_groups",
            fault: Arc::new(ClearsKeys),
        },
        Mutant {
            name: "large_answers_cut",
            breaks: "What is too much for the answer to a claim is left out of it, and held all the same",
            caught_by: "streams.large_records_come_in_several_claims",
            fault: Arc::new(CutsAnswers),
        },
    ]
}

/// Appends other records than it was given.
struct Appends(fn(&mut Record));

#[async_trait]
impl Fault for Appends {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        inner.capabilities().admit_append(stream, records)?;
        let mut records = records.to_vec();
        records.iter_mut().for_each(self.0);
        inner.append(stream, &records).await
    }
}

struct AppendsOneByOne;

#[async_trait]
impl Fault for AppendsOneByOne {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        inner.capabilities().admit_append(stream, records)?;
        let mut appended = Vec::new();
        for record in records {
            appended.extend(inner.append(stream, std::slice::from_ref(record)).await?);
            // Long enough for others to append in between.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(appended)
    }
}

/// Claims otherwise than it was asked to.
struct Claims(fn(&mut Claim));

#[async_trait]
impl Fault for Claims {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        inner.capabilities().admit_claim(claim)?;
        let mut claim = claim.clone();
        (self.0)(&mut claim);
        inner.claim(&claim).await
    }
}

struct LooksLate;

#[async_trait]
impl Fault for LooksLate {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        // Two seconds of the wait are enough to be too late.
        tokio::time::sleep(claim.wait.min(Duration::from_secs(2))).await;
        inner.claim(&claim.clone().wait(Duration::ZERO)).await
    }
}

/// Settles otherwise than it was asked to.
struct Settles(fn(&mut Action));

#[async_trait]
impl Fault for Settles {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        inner.capabilities().admit_settle(settlements)?;
        let mut settlements = settlements.to_vec();
        for settlement in &mut settlements {
            (self.0)(&mut settlement.action);
        }
        inner.settle(&settlements).await
    }
}

/// How often each record was delivered, by its receipts without that.
#[derive(Default)]
struct SettlesStale(Mutex<HashMap<Receipt, u32>>);

fn without_delivery(receipt: &Receipt) -> Receipt {
    Receipt { delivery: 0, ..receipt.clone() }
}

#[async_trait]
impl Fault for SettlesStale {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let deliveries = inner.claim(claim).await?;
        let receipts = deliveries.iter().map(|delivery| &delivery.receipt);
        self.0.lock().extend(receipts.map(|receipt| (without_delivery(receipt), receipt.delivery)));
        Ok(deliveries)
    }

    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settlements = settlements.to_vec();
        for Settlement { receipt, .. } in &mut settlements {
            if let Some(delivery) = self.0.lock().get(&without_delivery(receipt)) {
                receipt.delivery = *delivery;
            }
        }
        inner.settle(&settlements).await
    }
}

struct BuriesTwice;

#[async_trait]
impl Fault for BuriesTwice {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let settled = inner.settle(settlements).await?;
        for (Settlement { receipt, action }, answer) in settlements.iter().zip(&settled) {
            if matches!((action, answer), (Action::Reject { .. }, Settled::Done)) {
                let dead_letters = receipt.stream.dead_letters(&receipt.group);
                inner.append(&dead_letters, &[Record::new("once more")]).await?;
            }
        }
        Ok(settled)
    }
}

struct ClearsKeys;

#[async_trait]
impl Fault for ClearsKeys {
    async fn clear(&self, inner: &Arc<dyn Driver>, prefix: &str) -> Result<()> {
        let range = Range::prefix(prefix)?;
        loop {
            let found = inner.scan(&range, &Page::first_keys()).await?.entries;
            if found.is_empty() {
                return Ok(());
            }
            inner.commit(&found.into_iter().fold(Transaction::new(), |t, entry| t.delete(entry.key))).await?;
        }
    }
}

struct CutsAnswers;

#[async_trait]
impl Fault for CutsAnswers {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let mut left = 1024 * 1024_usize;
        let mut fits = |delivery: &Delivery| {
            let rest = left.checked_sub(delivery.payload.len());
            left = rest.unwrap_or_default();
            rest.is_some()
        };
        Ok(inner.claim(claim).await?.into_iter().take_while(|delivery| fits(delivery)).collect())
    }
}
