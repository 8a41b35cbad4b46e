//! What a backend says of itself and of what went wrong, where that is not true.

use crate::mutants::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{Capabilities, Driver, Error, Mutation, Outcome, Result, Retry, Transaction};
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "undeclared_is_not_refused",
            breaks: "Messages are not declared and sent all the same",
            caught_by: "messages.a_message_arrives",
            fault: Arc::new(Declares(|capabilities| capabilities.messages = None)),
        },
        Mutant {
            name: "error_shows_the_payload",
            breaks: "An error quotes the value that it is about",
            caught_by: "errors.an_oversize_value_is_told_by_its_key",
            fault: Arc::new(ShowsPayloads),
        },
        Mutant {
            name: "error_leaves_doubt",
            breaks: "What was refused before anything was sent is said to have been applied, perhaps",
            caught_by: "errors.what_is_refused_was_not_applied",
            fault: Arc::new(LeavesDoubt),
        },
        Mutant {
            name: "closed_handle_answers",
            breaks: "A handle that was closed goes on answering",
            caught_by: "errors.a_closed_handle_answers_closed",
            fault: Arc::new(NeverCloses),
        },
    ]
}

/// Declares something else than what it does.
struct Declares(fn(&mut Capabilities));

impl Fault for Declares {
    fn declare(&self, capabilities: &mut Capabilities) {
        (self.0)(capabilities);
    }
}

struct ShowsPayloads;

#[async_trait]
impl Fault for ShowsPayloads {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let value = transaction.mutations.iter().find_map(|mutation| match mutation {
            Mutation::Put { value, .. } => Some(String::from_utf8_lossy(&value[..value.len().min(40)])),
            _ => None,
        });
        inner.commit(transaction).await.map_err(|error| {
            let message = format!("the value {} was refused", value.unwrap_or_default());
            Error::new(error.kind(), "commit", message).with_subject(error.subject().unwrap_or_default())
        })
    }
}

struct LeavesDoubt;

#[async_trait]
impl Fault for LeavesDoubt {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(transaction).await.map_err(|error| error.with_retry(Retry::Unknown))
    }
}

struct NeverCloses;

#[async_trait]
impl Fault for NeverCloses {
    async fn close(&self, _: &Arc<dyn Driver>) -> Result<()> {
        Ok(())
    }
}
