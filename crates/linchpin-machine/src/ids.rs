//! Remembered transaction ids: what makes a repeated transaction safe.

use crate::recent::Recent;
use crate::state::Keys;
use crate::time::Time;
use linchpin_adapter::decide::Failure;
use linchpin_core::{Error, ErrorKind, Key, MutationResult, Outcome, Result, Revision, Transaction, TransactionId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// For how long a transaction's id is remembered.
pub const ID_WINDOW: Duration = Duration::from_secs(60);

/// The outcomes of transactions that had an id.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ids(Recent<TransactionId, Remembered>);

#[derive(Clone, Serialize, Deserialize)]
struct Remembered {
    /// Tells a repeat from another transaction under the same id.
    fingerprint: u64,
    decision: StoredDecision,
}

/// What is kept of a decision: of what a guard found not the value, which may be large.
#[derive(Clone, Serialize, Deserialize)]
enum StoredDecision {
    Committed { revision: Revision, results: Vec<MutationResult> },
    Refused { guard: usize, found: Option<(Key, Revision)>, revision: Revision },
    Failed(Failure),
}

impl StoredDecision {
    fn of(decision: &Verdict) -> Self {
        match decision {
            Ok(Outcome::Committed { revision, results }) => {
                Self::Committed { revision: *revision, results: results.clone() }
            }
            Ok(Outcome::Refused { guard, found, revision }) => {
                let found = found.as_ref().map(|entry| (entry.key.clone(), entry.version));
                Self::Refused { guard: *guard, found, revision: *revision }
            }
            Err(failed) => Self::Failed(failed.clone()),
        }
    }

    /// The decision as a repeat is told it: with what a guard found, if that still stands there.
    fn decision(&self, keys: &Keys, now: Time) -> Verdict {
        match self {
            Self::Committed { revision, results } => {
                Ok(Outcome::Committed { revision: *revision, results: results.clone() })
            }
            Self::Refused { guard, found, revision } => {
                let standing =
                    |(key, version): &(Key, Revision)| keys.entry(key, now).filter(|entry| entry.version == *version);
                let found = found.as_ref().and_then(standing);
                Ok(Outcome::Refused { guard: *guard, found, revision: *revision })
            }
            Self::Failed(failed) => Err(failed.clone()),
        }
    }
}

/// What became of a transaction. A conflict is kept as an outcome is: what failed once must not be applied by an
/// attempt that arrives late.
pub(crate) type Verdict = std::result::Result<Outcome, Failure>;

impl Ids {
    /// What became of the transaction, if this is a repeat.
    pub(crate) fn decision_of(&self, transaction: &Transaction, keys: &Keys, now: Time) -> Result<Option<Verdict>> {
        let Some(known) = transaction.id.as_ref().and_then(|id| self.0.get(id)) else { return Ok(None) };
        if known.fingerprint != transaction.fingerprint() {
            let problem = "this transaction id was used for another transaction";
            return Err(Error::new(ErrorKind::Conflict, "commit", problem));
        }
        Ok(Some(known.decision.decision(keys, now)))
    }

    pub(crate) fn remember(&mut self, now: Time, transaction: &Transaction, decision: &Verdict) {
        if let Some(id) = transaction.id {
            let fingerprint = transaction.fingerprint();
            self.0.insert(now, id, Remembered { fingerprint, decision: StoredDecision::of(decision) });
        }
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget(&mut self, now: Time) {
        self.0.forget(now, ID_WINDOW);
    }
}
