//! Time to live: keys that end too early or too late, and extensions that do what they must not.

use crate::mutants::mutant::{Fault, Mutant, read};
use crate::mutants::transactions::Commits;
use linchpin_conformance::async_trait;
use linchpin_core::{Driver, Mutation, MutationResult, Outcome, Result, Transaction};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "ttl_rounded_down",
            breaks: "A TTL of more than a second is rounded down to whole seconds",
            caught_by: "ttl.granted_is_asked_rounded_up",
            fault: Arc::new(Commits(|transaction| change_ttls(transaction, whole_seconds))),
        },
        Mutant {
            name: "keys_end_early",
            breaks: "A key is gone after half of the TTL that it was granted",
            caught_by: "ttl.a_key_lives_its_ttl_and_no_longer",
            fault: Arc::new(Miscounts(|ttl| ttl / 2)),
        },
        Mutant {
            name: "keys_end_late",
            breaks: "A key is seen half a second longer than it was granted",
            caught_by: "ttl.many_keys_end_each_at_its_time",
            fault: Arc::new(Miscounts(|ttl| ttl + Duration::from_millis(500))),
        },
        Mutant {
            name: "extend_revives",
            breaks: "Extending an expired key brings it back",
            caught_by: "ttl.an_expired_version_is_not_extended",
            fault: Arc::new(Revives),
        },
        Mutant {
            name: "extend_by_the_late",
            breaks: "Whoever knows an old version of a key extends the new one",
            caught_by: "ttl.a_stale_extend_leaves_it",
            fault: Arc::new(ExtendsAnyVersion),
        },
        Mutant {
            name: "extend_shortens",
            breaks: "An extension that arrives late cuts short what was granted since",
            caught_by: "ttl.an_extend_never_shortens_it",
            fault: Arc::new(ExtendsByWriting),
        },
        Mutant {
            name: "extend_is_a_write",
            breaks: "Extending a key gives it a new version",
            caught_by: "transactions.extend_is_no_new_version",
            fault: Arc::new(ExtendsByWriting),
        },
    ]
}

fn change_ttls(transaction: &mut Transaction, change: fn(Duration) -> Duration) {
    for mutation in &mut transaction.mutations {
        match mutation {
            Mutation::Put { ttl: Some(ttl), .. }
            | Mutation::Add { ttl: Some(ttl), .. }
            | Mutation::Extend { ttl, .. } => *ttl = change(*ttl),
            _ => {}
        }
    }
}

fn whole_seconds(ttl: Duration) -> Duration {
    if ttl.as_secs() == 0 { ttl } else { Duration::from_secs(ttl.as_secs()) }
}

/// Lets keys live for another time than it says that it granted.
struct Miscounts(fn(Duration) -> Duration);

#[async_trait]
impl Fault for Miscounts {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut changed = transaction.clone();
        change_ttls(&mut changed, self.0);
        let mut outcome = inner.commit(&changed).await?;
        if let Outcome::Committed { results, .. } = &mut outcome {
            for (mutation, result) in transaction.mutations.iter().zip(results) {
                if let MutationResult::Put { ttl, .. } = result {
                    *ttl = mutation.ttl();
                }
            }
        }
        Ok(outcome)
    }
}

struct Revives;

#[async_trait]
impl Fault for Revives {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut outcome = inner.commit(transaction).await?;
        if let Outcome::Committed { results, .. } = &mut outcome {
            for (mutation, result) in transaction.mutations.iter().zip(results) {
                if let (Mutation::Extend { key, ttl, .. }, MutationResult::Extended { ttl: None }) = (mutation, *result)
                    && read(inner, key).await?.is_none()
                {
                    inner.commit(&Transaction::new().put(key.clone(), "revived", Some(*ttl))).await?;
                    *result = MutationResult::Extended { ttl: Some(*ttl) };
                }
            }
        }
        Ok(outcome)
    }
}

struct ExtendsAnyVersion;

#[async_trait]
impl Fault for ExtendsAnyVersion {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut transaction = transaction.clone();
        for mutation in &mut transaction.mutations {
            if let Mutation::Extend { key, version, .. } = mutation
                && let Some(entry) = read(inner, key).await?
            {
                *version = entry.version;
            }
        }
        inner.commit(&transaction).await
    }
}

struct ExtendsByWriting;

#[async_trait]
impl Fault for ExtendsByWriting {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut written = transaction.clone();
        for (asked, mutation) in transaction.mutations.iter().zip(&mut written.mutations) {
            if let Mutation::Extend { key, version, ttl } = asked
                && let Some(entry) = read(inner, key).await?.filter(|entry| entry.version == *version)
            {
                *mutation = Mutation::Put { key: key.clone(), value: entry.value, ttl: Some(*ttl) };
            }
        }
        let mut outcome = inner.commit(&written).await?;
        if let Outcome::Committed { results, .. } = &mut outcome {
            for (asked, result) in transaction.mutations.iter().zip(results) {
                if let (Mutation::Extend { .. }, MutationResult::Put { ttl, .. }) = (asked, *result) {
                    *result = MutationResult::Extended { ttl };
                }
            }
        }
        Ok(outcome)
    }
}
