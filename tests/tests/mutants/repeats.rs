//! Ids that are forgotten, and transactions that are taken for others under the same id.

use crate::mutants::mutant::{Fault, Mutant, read};
use crate::mutants::transactions::Commits;
use linchpin_conformance::async_trait;
use linchpin_core::{
    Condition, Driver, ErrorKind, Mutation, Outcome, Result, Retry, Revision, Transaction, TransactionId,
};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    let mut mutants = vec![
        Mutant {
            name: "a_thousand_ids",
            breaks: "The last thousand ids are remembered, and no others",
            caught_by: "transactions.an_id_outlasts_thousands_of_others",
            fault: Arc::new(RemembersSome::default()),
        },
        Mutant {
            name: "clear_forgets_ids",
            breaks: "Clearing forgets the ids of transactions",
            caught_by: "transactions.an_id_survives_a_clear",
            fault: Arc::new(ForgetsOnClear::default()),
        },
        Mutant {
            name: "checks_have_no_ids",
            breaks: "The id of a transaction that changes nothing is not remembered",
            caught_by: "transactions.the_id_of_a_check_is_known",
            fault: Arc::new(Commits(|transaction| {
                transaction.id = transaction.id.filter(|_| !transaction.mutations.is_empty());
            })),
        },
        Mutant {
            name: "repeats_renew",
            breaks: "The repeat of an extend extends once more",
            caught_by: "transactions.a_repeat_renews_nothing",
            fault: Arc::new(Commits(|transaction| {
                let extends = |mutation: &Mutation| matches!(mutation, Mutation::Extend { .. });
                transaction.id = transaction.id.filter(|_| !transaction.mutations.iter().all(extends));
            })),
        },
        Mutant {
            name: "refusals_keep_values",
            breaks: "What refused a transaction is told to its repeat, though it has gone",
            caught_by: "transactions.a_refused_repeat_tells_what_still_stands",
            fault: Arc::new(KeepsRefusals::default()),
        },
        Mutant {
            name: "refusals_keep_nothing",
            breaks: "The repeat of a refused transaction is not told what stands there",
            caught_by: "transactions.a_refused_repeat_tells_what_still_stands",
            fault: Arc::new(TellsFirstOnly::default()),
        },
        Mutant {
            name: "conflicts_are_tried_again",
            breaks: "The error of a conflict says that it is safe to send the transaction again",
            caught_by: "transactions.a_conflict_under_an_id_is_not_sent_again",
            fault: Arc::new(ConflictsAreSafe),
        },
        Mutant {
            name: "plus_is_a_number",
            breaks: "A text with a plus or leading zeros is a counter",
            caught_by: "transactions.another_way_to_write_a_number_is_no_counter",
            fault: Arc::new(ReadsAnyNumber),
        },
    ];
    mutants.extend(FORGETFUL.map(|(name, breaks, forget)| Mutant {
        name,
        breaks,
        caught_by: "transactions.every_part_of_a_transaction_tells_it_apart",
        fault: Arc::new(Fingerprint { forget, first: Mutex::default() }),
    }));
    mutants
}

/// What a fingerprint may not look at.
type Forget = fn(&mut Transaction);

const FORGETFUL: [(&str, &str, Forget); 8] = [
    ("fingerprint_without_delta", "What is added is no part of a transaction's fingerprint", |transaction| {
        for mutation in &mut transaction.mutations {
            if let Mutation::Add { delta, .. } = mutation {
                *delta = 0;
            }
        }
    }),
    ("fingerprint_of_the_first", "Only the first mutation is a part of a transaction's fingerprint", |transaction| {
        transaction.mutations.truncate(1);
    }),
    ("fingerprint_without_conditions", "Of a guard only its key is a part of the fingerprint", |transaction| {
        transaction.guards.iter_mut().for_each(|guard| guard.condition = Condition::Present);
    }),
    ("fingerprint_without_versions", "The version in a guard is no part of the fingerprint", |transaction| {
        for guard in &mut transaction.guards {
            if let Condition::VersionIs(version) = &mut guard.condition {
                *version = Revision(0);
            }
        }
    }),
    ("fingerprint_without_guards", "Guards are no part of the fingerprint", |transaction| transaction.guards.clear()),
    ("fingerprint_of_one_guard", "Only the first guard is a part of the fingerprint", |transaction| {
        transaction.guards.truncate(1);
    }),
    ("fingerprint_without_ttls", "TTLs are no part of the fingerprint", |transaction| {
        for mutation in &mut transaction.mutations {
            match mutation {
                Mutation::Put { ttl, .. } | Mutation::Add { ttl, .. } => *ttl = None,
                Mutation::Extend { ttl, .. } => *ttl = Duration::from_secs(1),
                _ => {}
            }
        }
    }),
    ("fingerprint_of_any_version", "The version that is extended is no part of the fingerprint", |transaction| {
        for mutation in &mut transaction.mutations {
            if let Mutation::Extend { version, .. } = mutation {
                *version = Revision(0);
            }
        }
    }),
];

/// Takes a transaction for the first one under its id if they differ only in what it forgets.
struct Fingerprint {
    forget: Forget,
    first: Mutex<HashMap<TransactionId, Transaction>>,
}

impl Fingerprint {
    fn of(&self, transaction: &Transaction) -> Transaction {
        let mut fingerprint = transaction.clone();
        (self.forget)(&mut fingerprint);
        fingerprint
    }
}

#[async_trait]
impl Fault for Fingerprint {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let Some(id) = transaction.id else { return inner.commit(transaction).await };
        let first = self.first.lock().entry(id).or_insert_with(|| transaction.clone()).clone();
        let taken_for_first = self.of(&first) == self.of(transaction);
        inner.commit(if taken_for_first { &first } else { transaction }).await
    }
}

/// The last ids that were used, as they are known below.
#[derive(Default)]
struct RemembersSome(Mutex<VecDeque<(TransactionId, TransactionId)>>);

impl RemembersSome {
    /// What the id is called below: what was forgotten comes as another.
    fn below(&self, id: TransactionId) -> TransactionId {
        let mut last = self.0.lock();
        if let Some((_, below)) = last.iter().find(|(own, _)| *own == id) {
            return *below;
        }
        let below = TransactionId::random();
        last.push_back((id, below));
        if last.len() > 1_000 {
            last.pop_front();
        }
        below
    }
}

#[async_trait]
impl Fault for RemembersSome {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let id = transaction.id.map(|id| self.below(id));
        inner.commit(&Transaction { id, ..transaction.clone() }).await
    }
}

/// How often everything was cleared.
#[derive(Default)]
struct ForgetsOnClear(AtomicU64);

#[async_trait]
impl Fault for ForgetsOnClear {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let cleared = u128::from(self.0.load(Ordering::SeqCst));
        let id = transaction.id.map(|TransactionId(id)| TransactionId(id ^ cleared));
        inner.commit(&Transaction { id, ..transaction.clone() }).await
    }

    async fn clear(&self, inner: &Arc<dyn Driver>, prefix: &str) -> Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        inner.clear(prefix).await
    }
}

/// The refusals, as they were told first.
#[derive(Default)]
struct KeepsRefusals(Mutex<HashMap<TransactionId, Outcome>>);

#[async_trait]
impl Fault for KeepsRefusals {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        match transaction.id {
            Some(id) if !outcome.is_committed() => Ok(self.0.lock().entry(id).or_insert(outcome).clone()),
            _ => Ok(outcome),
        }
    }
}

/// The ids of what was refused.
#[derive(Default)]
struct TellsFirstOnly(Mutex<HashSet<TransactionId>>);

#[async_trait]
impl Fault for TellsFirstOnly {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut outcome = inner.commit(transaction).await?;
        if let (Some(id), Outcome::Refused { found, .. }) = (transaction.id, &mut outcome)
            && !self.0.lock().insert(id)
        {
            *found = None;
        }
        Ok(outcome)
    }
}

struct ConflictsAreSafe;

#[async_trait]
impl Fault for ConflictsAreSafe {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(transaction).await.map_err(|error| match error.kind() {
            ErrorKind::Conflict => error.with_retry(Retry::Safe),
            _ => error,
        })
    }
}

struct ReadsAnyNumber;

#[async_trait]
impl Fault for ReadsAnyNumber {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        for mutation in &transaction.mutations {
            if let Mutation::Add { key, .. } = mutation
                && let Some(entry) = read(inner, key).await?
                && let Ok(number) = String::from_utf8_lossy(&entry.value).parse::<i64>()
                && number.to_string() != entry.value
            {
                inner.commit(&Transaction::new().put(key.clone(), number.to_string(), None)).await?;
            }
        }
        inner.commit(transaction).await
    }
}
