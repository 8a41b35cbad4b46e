//! Layers that change what a call means: retries that apply twice, a timeout that cuts off a wait.

use crate::mutants::mutant::{Fault, Mutant};
use bytes::Bytes;
use linchpin_conformance::async_trait;
use linchpin_core::layers::Layers;
use linchpin_core::{
    Channel, Claim, Delivery, Driver, Error, Namespace, Outcome, Reach, Result, Transaction, TransactionId,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "retry_meets_no_id",
            breaks: "A transaction whose answer is lost is retried, and applied again by a backend that forgot its id",
            caught_by: "transactions.concurrent_adds_all_count",
            fault: Arc::new(LosesAnswers { knows_ids: false, transactions: AtomicU64::new(0) }),
        },
        Mutant {
            name: "retry_under_another_id",
            breaks: "A transaction whose answer is lost is retried under another id, and applied again",
            caught_by: "port.incr_counts",
            fault: Arc::new(RetriesAnew(AtomicU64::new(0))),
        },
        Mutant {
            name: "publish_retried",
            breaks: "A message that has arrived is published again",
            caught_by: "messages.each_message_arrives_once",
            fault: Arc::new(PublishesTwice),
        },
        Mutant {
            name: "timeout_cuts_off_a_wait",
            breaks: "A claim that waits for records on purpose is given up like one that hangs",
            caught_by: "streams.a_waiting_claim_ends_empty",
            fault: Arc::new(GivesUp),
        },
    ]
}

/// What is built as some of the mutants here are, but without their fault: by the case that it must pass.
pub(crate) fn sound() -> Vec<(&'static str, Arc<dyn Fault>)> {
    let lossy: Arc<dyn Fault> = Arc::new(LosesAnswers { knows_ids: true, transactions: AtomicU64::new(0) });
    vec![("transactions.concurrent_adds_all_count", lossy)]
}

/// Whether this call is one of those whose answer is lost: every third.
fn is_lost(calls: &AtomicU64) -> bool {
    calls.fetch_add(1, Ordering::SeqCst) % 3 == 2
}

/// Behind the layers as they are: a backend that applies every transaction and answers two of three.
struct LosesAnswers {
    knows_ids: bool,
    transactions: AtomicU64,
}

#[async_trait]
impl Fault for LosesAnswers {
    fn layered(&self, driver: Arc<dyn Driver>, _: &Namespace) -> Arc<dyn Driver> {
        Layers::default().wrap(driver)
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let id = transaction.id.filter(|_| self.knows_ids);
        let outcome = inner.commit(&Transaction { id, ..transaction.clone() }).await?;
        if is_lost(&self.transactions) {
            return Err(Error::timeout("commit", Duration::from_millis(1)));
        }
        Ok(outcome)
    }
}

/// The number of transactions so far.
struct RetriesAnew(AtomicU64);

#[async_trait]
impl Fault for RetriesAnew {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        if is_lost(&self.0) {
            return inner.commit(&transaction.clone().with_id(TransactionId::random())).await;
        }
        Ok(outcome)
    }
}

struct PublishesTwice;

#[async_trait]
impl Fault for PublishesTwice {
    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        inner.publish(channel, payload.clone()).await?;
        inner.publish(channel, payload).await
    }
}

struct GivesUp;

#[async_trait]
impl Fault for GivesUp {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let patience = Duration::from_millis(200);
        let claimed = tokio::time::timeout(patience, inner.claim(claim)).await;
        claimed.unwrap_or_else(|_| Err(Error::timeout("claim", patience)))
    }
}
