//! Transactions of which a part stays though the whole was not applied, and of which a part is forgotten.

use crate::mutants::mutant::{Fault, Mutant, read};
use linchpin_conformance::async_trait;
use linchpin_core::{Driver, ErrorKind, Mutation, MutationResult, Outcome, Result, Transaction};
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    let after = |conflict, what| Arc::new(Leaves { conflict, what }) as Arc<dyn Fault>;
    vec![
        Mutant {
            name: "conflict_leaves_deletes",
            breaks: "What a transaction deletes is gone, though it failed",
            caught_by: "transactions.a_conflict_undoes_deletes",
            fault: after(true, What::Deletes),
        },
        Mutant {
            name: "conflict_leaves_extends",
            breaks: "What a transaction extends lives longer, though it failed",
            caught_by: "transactions.a_conflict_undoes_extends",
            fault: after(true, What::Extends),
        },
        Mutant {
            name: "conflict_leaves_ttls",
            breaks: "What a transaction writes has its TTL, though it failed and the value is the old one",
            caught_by: "transactions.a_conflict_undoes_ttls",
            fault: after(true, What::Ttls),
        },
        Mutant {
            name: "refusal_leaves_extends",
            breaks: "What a transaction extends lives longer, though a guard did not hold",
            caught_by: "transactions.a_refusal_changes_no_ttl",
            fault: after(false, What::Extends),
        },
        Mutant {
            name: "refusal_leaves_ttls",
            breaks: "What a transaction writes has its TTL, though a guard did not hold",
            caught_by: "transactions.a_refusal_changes_no_ttl",
            fault: after(false, What::Ttls),
        },
        Mutant {
            name: "late_extends_lost",
            breaks: "After 128 of them the extends of a transaction are answered and forgotten",
            caught_by: "transactions.every_lease_of_a_transaction_is_extended",
            fault: Arc::new(ExtendsSome),
        },
    ]
}

#[derive(Clone, Copy)]
enum What {
    Deletes,
    Extends,
    Ttls,
}

/// Applies a part of what failed, or was refused.
struct Leaves {
    conflict: bool,
    what: What,
}

impl Leaves {
    async fn part(&self, inner: &Arc<dyn Driver>, mutation: &Mutation) -> Result<Option<Mutation>> {
        Ok(match (self.what, mutation) {
            (What::Deletes, Mutation::Delete { .. }) | (What::Extends, Mutation::Extend { .. }) => {
                Some(mutation.clone())
            }
            (What::Ttls, Mutation::Put { key, ttl, .. }) => {
                let put = |value| Mutation::Put { key: key.clone(), value, ttl: *ttl };
                read(inner, key).await?.map(|entry| put(entry.value))
            }
            _ => None,
        })
    }
}

#[async_trait]
impl Fault for Leaves {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await;
        let failed = match &outcome {
            Ok(outcome) => !self.conflict && !outcome.is_committed(),
            Err(error) => self.conflict && error.kind() == ErrorKind::Conflict,
        };
        if failed {
            for mutation in &transaction.mutations {
                if let Some(part) = self.part(inner, mutation).await? {
                    inner.commit(&Transaction { mutations: vec![part], ..Transaction::new() }).await?;
                }
            }
        }
        outcome
    }
}

struct ExtendsSome;

#[async_trait]
impl Fault for ExtendsSome {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut left = 128;
        let mut kept = transaction.clone();
        kept.mutations.retain(|mutation| {
            let extend = matches!(mutation, Mutation::Extend { .. });
            left -= usize::from(extend && left > 0);
            !extend || left > 0
        });
        let mut outcome = inner.commit(&kept).await?;
        if let Outcome::Committed { results, .. } = &mut outcome {
            let made_up = transaction.mutations.iter().skip(results.len());
            results.extend(made_up.map(|mutation| MutationResult::Extended { ttl: mutation.ttl() }));
        }
        Ok(outcome)
    }
}
