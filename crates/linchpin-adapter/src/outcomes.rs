//! What is remembered of a transaction that has an id, so that a repeat applies nothing and is told the same.

use crate::decide::Failure;
use linchpin_core::{Entry, Error, ErrorKind, Key, MutationResult, Outcome, Result, Revision, Transaction};
use serde::{Deserialize, Serialize};

/// What became of a transaction. A failure is kept as an outcome is: what failed once must not be applied by an attempt
/// that arrives late.
///
/// ```
/// use linchpin_adapter::decide::{Failure, Problem};
/// use linchpin_adapter::outcomes::{StoredOutcome, Verdict};
/// use linchpin_core::{ErrorKind, Key, Outcome, Result, Transaction};
///
/// fn told(verdict: Verdict) -> Result<Outcome> {
///     Ok(verdict?)
/// }
///
/// let key = Key::new("visits")?;
/// let count = Transaction::new().add(key.clone(), 1, None);
/// let verdict: Verdict = Err(Failure { key, problem: Problem::Overflow });
/// let stored = StoredOutcome::of(&count, &verdict);
/// assert_eq!(told(verdict).expect_err("it failed").kind(), ErrorKind::Conflict);
/// // Somebody may have set the counter back meanwhile: a repeat fails all the same.
/// let repeated = stored.repeated(&count, |_| None)?;
/// assert_eq!(told(repeated).expect_err("it fails again").kind(), ErrorKind::Conflict);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
pub type Verdict = std::result::Result<Outcome, Failure>;

/// What is stored under a transaction's id for as long as the backend's window is.
///
/// ```
/// use linchpin_adapter::outcomes::StoredOutcome;
/// use linchpin_core::{Key, Outcome, Revision, Transaction};
///
/// let key = Key::new("leader")?;
/// let create = Transaction::new().absent(key.clone()).put(key.clone(), "me", None);
/// let outcome = Outcome::Refused { guard: 0, found: None, revision: Revision(7) };
/// let stored = StoredOutcome::of(&create, &Ok(outcome.clone()));
/// assert_eq!(stored.repeated(&create, |_| None)?, Ok(outcome));
/// let another = Transaction::new().delete(key);
/// assert!(stored.repeated(&another, |_| None).is_err(), "the id was used for another transaction");
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOutcome {
    /// Tells a repeat from another transaction under the same id.
    fingerprint: u64,
    decision: Decision,
}

/// What is kept of a verdict: of what a guard found not the value, which may be large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Decision {
    Committed { revision: Revision, results: Vec<MutationResult> },
    Refused { guard: usize, found: Option<(Key, Revision)>, revision: Revision },
    Failed(Failure),
}

impl StoredOutcome {
    /// What is to be stored of a transaction.
    pub fn of(transaction: &Transaction, verdict: &Verdict) -> Self {
        let decision = match verdict.clone() {
            Ok(Outcome::Committed { revision, results }) => Decision::Committed { revision, results },
            Ok(Outcome::Refused { guard, found, revision }) => {
                Decision::Refused { guard, found: found.map(|entry| (entry.key, entry.version)), revision }
            }
            Err(failure) => Decision::Failed(failure),
        };
        Self { fingerprint: transaction.fingerprint(), decision }
    }

    /// What a repeat is told: with what a guard found, if that still `stands` there.
    ///
    /// # Errors
    /// `Conflict` if the id was used for another transaction.
    pub fn repeated(&self, transaction: &Transaction, stands: impl FnOnce(&Key) -> Option<Entry>) -> Result<Verdict> {
        if self.fingerprint != transaction.fingerprint() {
            return Err(reused());
        }
        Ok(match self.decision.clone() {
            Decision::Committed { revision, results } => Ok(Outcome::Committed { revision, results }),
            Decision::Refused { guard, found, revision } => {
                let standing = |(key, version): (Key, _)| stands(&key).filter(|entry| entry.version == version);
                Ok(Outcome::Refused { guard, found: found.and_then(standing), revision })
            }
            Decision::Failed(failure) => Err(failure),
        })
    }
}

/// What a transaction is told whose id was used for another one.
///
/// ```
/// use linchpin_adapter::outcomes::reused;
/// use linchpin_core::{ErrorKind, Key, Transaction};
/// # fn main() -> linchpin_core::Result<()> {
/// let (first, second) = (Transaction::new().delete(Key::new("a")?), Transaction::new().delete(Key::new("b")?));
/// // A server that keeps the fingerprint under the id compares by itself.
/// let stored = first.fingerprint();
/// let answer = if stored == second.fingerprint() { Ok(()) } else { Err(reused()) };
/// assert_eq!(answer.expect_err("another one").kind(), ErrorKind::Conflict);
/// # Ok(())
/// # }
/// ```
pub fn reused() -> Error {
    Error::new(ErrorKind::Conflict, "commit", "this transaction id was used for another transaction")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Problem;

    #[test]
    fn a_repeat_is_told_the_same_and_what_a_guard_found_only_if_it_stands_there() {
        let key = Key::new("k").expect("valid");
        let entry = |version| Entry {
            key: key.clone(),
            value: "v".into(),
            created: Revision(1),
            version: Revision(version),
            ttl: None,
        };
        let transaction = Transaction::new().absent(key.clone()).put(key.clone(), "new", None);
        let committed = Outcome::Committed {
            revision: Revision(8),
            results: vec![MutationResult::Put { created: Revision(8), ttl: None }],
        };
        let refused = |found| Outcome::Refused { guard: 0, found, revision: Revision(8) };
        let failed = Failure { key: key.clone(), problem: Problem::Overflow };
        let repeated = |verdict: Verdict, stands: Option<Entry>| {
            let stored = serde_json::to_string(&StoredOutcome::of(&transaction, &verdict)).expect("small");
            let read: StoredOutcome = serde_json::from_str(&stored).expect("readable");
            read.repeated(&transaction, |_| stands).expect("a repeat")
        };
        assert_eq!(repeated(Ok(committed.clone()), None), Ok(committed));
        assert_eq!(repeated(Err(failed.clone()), None), Err(failed));
        let found = Ok(refused(Some(entry(5))));
        assert_eq!(repeated(found.clone(), Some(entry(5))), found);
        assert_eq!(repeated(found.clone(), Some(entry(6))), Ok(refused(None)));
        assert_eq!(repeated(found, None), Ok(refused(None)));
    }
}
