//! Remembered transaction ids: what makes a repeated transaction safe.

use crate::recent::Recent;
use crate::state::Keys;
use crate::time::Time;
use linchpin_adapter::outcomes::{StoredOutcome, Verdict};
use linchpin_core::{Result, Transaction, TransactionId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// For how long a transaction's id is remembered.
pub const ID_WINDOW: Duration = Duration::from_mins(1);

/// The outcomes of transactions that had an id.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ids(Recent<TransactionId, StoredOutcome>);

impl Ids {
    /// What became of the transaction, if this is a repeat.
    pub(crate) fn decision_of(&self, transaction: &Transaction, keys: &Keys, now: Time) -> Result<Option<Verdict>> {
        let known = transaction.id.as_ref().and_then(|id| self.0.get(id));
        known.map(|known| known.repeated(transaction, |key| keys.entry(key, now))).transpose()
    }

    pub(crate) fn remember(&mut self, now: Time, transaction: &Transaction, verdict: &Verdict) {
        if let Some(id) = transaction.id {
            self.0.insert(now, id, StoredOutcome::of(transaction, verdict));
        }
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget(&mut self, now: Time) {
        self.0.forget(now, ID_WINDOW);
    }
}
