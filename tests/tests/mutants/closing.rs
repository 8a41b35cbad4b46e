//! Waits that outlive their handle, and errors that say something else of what was under way.

use crate::mutants::messages::Hears;
use crate::mutants::mutant::{Fault, Mutant};
use crate::mutants::watch::Watches;
use futures::future::ready;
use futures::{StreamExt, stream};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Appended, Claim, Delivery, Driver, Error, ErrorKind, Mutation, MutationResult, Outcome, Record, Result, Retry,
    StreamName, Transaction,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "claims_outlive_close",
            breaks: "A claim that waits ends three seconds after its handle was closed",
            caught_by: "errors.closing_ends_a_waiting_claim",
            fault: Arc::new(EndsClaims(|error| error, Duration::from_secs(3))),
        },
        Mutant {
            name: "claims_end_otherwise",
            breaks: "A claim that waits when its handle is closed fails as if the server had gone",
            caught_by: "errors.closing_ends_a_waiting_claim",
            fault: Arc::new(EndsClaims(
                |_| Error::new(ErrorKind::Unavailable, "claim", "gone").with_retry(Retry::Unknown),
                Duration::ZERO,
            )),
        },
        Mutant {
            name: "watches_end_late",
            breaks: "A watch ends three seconds after its handle was closed",
            caught_by: "errors.closing_ends_watches_in_time",
            fault: Arc::new(Watches(|watch| Box::pin(ending_late(watch)))),
        },
        Mutant {
            name: "subscriptions_end_late",
            breaks: "A subscription ends three seconds after its handle was closed",
            caught_by: "errors.closing_ends_subscriptions_in_time",
            fault: Arc::new(Hears(|subscription| Box::pin(ending_late(subscription)))),
        },
        Mutant {
            name: "acks_outlive_close",
            breaks: "A subscription of a closed handle goes silent, and with it who waits for an acknowledgement",
            caught_by: "port.closing_ends_a_wait_for_acknowledgements",
            fault: Arc::new(Hears(|subscription| {
                Box::pin(subscription.take_while(|event| ready(event.is_ok())).chain(stream::pending()))
            })),
        },
        Mutant {
            name: "closed_claims_take",
            breaks: "A claim whose handle was closed takes the next record all the same",
            caught_by: "errors.a_claim_that_was_closed_holds_nothing",
            fault: Arc::new(TakesOn::default()),
        },
        Mutant {
            name: "closed_leaves_doubt",
            breaks: "What is asked of a closed handle may have been applied, says the error",
            caught_by: "errors.closed_leaves_no_doubt",
            fault: Arc::new(LeavesDoubt),
        },
        Mutant {
            name: "removals_lost",
            breaks: "A delete is answered and nothing is removed, so what an attempt left stays for its TTL",
            caught_by: "lock.an_attempt_cut_off_at_the_backend_leaves_nothing",
            fault: Arc::new(RemovesNothing),
        },
        Mutant {
            name: "closed_denies",
            breaks: "A write that was applied when its handle was closed is said to be surely not",
            caught_by: "errors.closed_says_whether_there_is_doubt",
            fault: Arc::new(Denies::default()),
        },
    ]
}

fn ending_late<T: Send + 'static>(
    events: impl stream::Stream<Item = Result<T>> + Send,
) -> impl stream::Stream<Item = Result<T>> + Send {
    events.then(|event| async {
        if event.is_err() {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        event
    })
}

/// Lets a claim that ends because its handle was closed end with something else, and later.
struct EndsClaims(fn(Error) -> Error, Duration);

#[async_trait]
impl Fault for EndsClaims {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        match inner.claim(claim).await {
            Err(error) if error.kind() == ErrorKind::Closed && !claim.wait.is_zero() => {
                tokio::time::sleep(self.1).await;
                Err((self.0)(error))
            }
            claimed => claimed,
        }
    }
}

/// The claim that waits, and then that of a closed handle.
#[derive(Default)]
struct TakesOn {
    waiting: Mutex<Option<Claim>>,
    closed: Mutex<Option<Claim>>,
}

#[async_trait]
impl Fault for TakesOn {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        if claim.member.as_str() == "closed" {
            *self.waiting.lock() = Some(claim.clone());
        }
        inner.claim(claim).await
    }

    async fn close(&self, inner: &Arc<dyn Driver>) -> Result<()> {
        *self.closed.lock() = self.waiting.lock().take();
        inner.close().await
    }

    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let appended = inner.append(stream, records).await?;
        let closed = self.closed.lock().take();
        if let Some(claim) = closed {
            inner.claim(&claim.wait(Duration::ZERO)).await?;
        }
        Ok(appended)
    }
}

struct LeavesDoubt;

#[async_trait]
impl Fault for LeavesDoubt {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(transaction).await.map_err(|error| match error.kind() {
            ErrorKind::Closed => error.for_good(),
            _ => error,
        })
    }
}

/// Whether a handle was closed.
#[derive(Default)]
struct Denies(AtomicBool);

#[async_trait]
impl Fault for Denies {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if self.0.load(Ordering::SeqCst) { Err(Error::closed("commit")) } else { Ok(outcome) }
    }

    async fn close(&self, inner: &Arc<dyn Driver>) -> Result<()> {
        self.0.store(true, Ordering::SeqCst);
        inner.close().await
    }
}

struct RemovesNothing;

#[async_trait]
impl Fault for RemovesNothing {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        match transaction.mutations[..] {
            [Mutation::Delete { .. }] => Ok(Outcome::Committed {
                revision: inner.get(&[]).await?.revision,
                results: vec![MutationResult::Deleted { existed: true }],
            }),
            _ => inner.commit(transaction).await,
        }
    }
}
