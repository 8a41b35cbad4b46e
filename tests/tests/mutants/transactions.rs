//! Transactions: guards that are not looked at, halves that are applied, repeats that are not known.

use crate::mutants::mutant::{Fault, Mutant, read};
use linchpin_conformance::async_trait;
use linchpin_core::{Condition, Driver, Mutation, Outcome, Result, Transaction};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "guards_ignored",
            breaks: "A transaction is applied whether or not its guards hold",
            caught_by: "transactions.absent_holds_where_there_is_no_key",
            fault: Arc::new(Commits(|transaction| transaction.guards.clear())),
        },
        Mutant {
            name: "versions_ignored",
            breaks: "A compare-and-swap is content with a key that exists, whatever its version",
            caught_by: "transactions.version_holds_at_that_write_only",
            fault: Arc::new(Commits(|transaction| {
                for guard in &mut transaction.guards {
                    if matches!(guard.condition, Condition::VersionIs(_)) {
                        guard.condition = Condition::Present;
                    }
                }
            })),
        },
        Mutant {
            name: "prefixes_taken_for_keys",
            breaks: "A guard on a prefix looks at the key of that name, and not at those that start with it",
            caught_by: "transactions.prefix_absent_holds_where_no_key_starts_so",
            fault: Arc::new(Commits(|transaction| {
                for guard in &mut transaction.guards {
                    if guard.condition == Condition::PrefixAbsent {
                        guard.condition = Condition::Absent;
                    }
                }
            })),
        },
        Mutant {
            name: "check_then_write",
            breaks: "The guards are checked first and the mutations applied later, whatever happened in between",
            caught_by: "transactions.one_of_many_creators_wins",
            fault: Arc::new(CheckThenWrite),
        },
        Mutant {
            name: "not_atomic",
            breaks: "Mutations are applied one by one, and those before the one that fails stay",
            caught_by: "transactions.a_failed_add_undoes_the_rest",
            fault: Arc::new(OneByOne),
        },
        Mutant {
            name: "ids_forgotten",
            breaks: "A transaction's id is not remembered, so a repeat applies again",
            caught_by: "transactions.a_repeat_gets_the_first_outcome",
            fault: Arc::new(Commits(|transaction| transaction.id = None)),
        },
        Mutant {
            name: "refusals_forgotten",
            breaks: "A refusal is not remembered, so a late attempt applies what was refused",
            caught_by: "transactions.a_refusal_is_kept_too",
            fault: Arc::new(ForgetsRefusals),
        },
        Mutant {
            name: "counters_are_floats",
            breaks: "Counters are counted as floating-point numbers",
            caught_by: "transactions.counters_are_exact",
            fault: Arc::new(CountsInFloats),
        },
    ]
}

/// Commits something else than it was given.
pub(crate) struct Commits(pub(crate) fn(&mut Transaction));

#[async_trait]
impl Fault for Commits {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        // What must be refused still is: only what was admitted goes wrong.
        inner.capabilities().admit_commit(transaction)?;
        let mut transaction = transaction.clone();
        (self.0)(&mut transaction);
        inner.commit(&transaction).await
    }
}

/// The refusal, if the guards do not hold now.
async fn refusal(inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Option<Outcome>> {
    let check = Transaction { id: None, guards: transaction.guards.clone(), mutations: Vec::new() };
    Ok(Some(inner.commit(&check).await?).filter(|outcome| !outcome.is_committed()))
}

struct CheckThenWrite;

#[async_trait]
impl Fault for CheckThenWrite {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        if let Some(refused) = refusal(inner, transaction).await? {
            return Ok(refused);
        }
        // Long enough for others to check as well.
        tokio::time::sleep(Duration::from_millis(20)).await;
        inner.commit(&Transaction { guards: Vec::new(), ..transaction.clone() }).await
    }
}

struct OneByOne;

#[async_trait]
impl Fault for OneByOne {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        if let Some(refused) = refusal(inner, transaction).await? {
            return Ok(refused);
        }
        let mut revision = inner.get(&[]).await?.revision;
        let mut results = Vec::new();
        for mutation in &transaction.mutations {
            let one = Transaction { mutations: vec![mutation.clone()], ..Transaction::new() };
            let outcome = inner.commit(&one).await?;
            revision = outcome.revision();
            results.extend_from_slice(outcome.results().unwrap_or_default());
        }
        Ok(Outcome::Committed { revision, results })
    }
}

struct ForgetsRefusals;

#[async_trait]
impl Fault for ForgetsRefusals {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        match refusal(inner, transaction).await? {
            Some(refused) => Ok(refused),
            None => inner.commit(transaction).await,
        }
    }
}

struct CountsInFloats;

#[async_trait]
impl Fault for CountsInFloats {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        for mutation in &transaction.mutations {
            if let Mutation::Add { key, .. } = mutation
                && let Some(entry) = read(inner, key).await?
                && let Ok(number) = String::from_utf8_lossy(&entry.value).parse::<f64>()
            {
                let float = Transaction::new().put(key.clone(), format!("{number:.0}"), None);
                inner.commit(&float).await?;
            }
        }
        inner.commit(transaction).await
    }
}
