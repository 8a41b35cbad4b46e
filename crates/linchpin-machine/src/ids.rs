//! Remembered transaction ids: what makes a repeated transaction safe.

use crate::recent::Recent;
use crate::time::Time;
use linchpin_core::{Condition, Error, ErrorKind, Key, Mutation, Outcome, Result, Transaction, TransactionId};
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
    decision: Decision,
}

/// What became of a transaction. A conflict is kept as an outcome is: what failed once must not be applied by an
/// attempt that arrives late.
pub(crate) type Decision = std::result::Result<Outcome, NoSum>;

/// Why an `Add` failed the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoSum {
    pub(crate) key: Key,
    pub(crate) problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Problem {
    NoCounter,
    Overflow,
}

impl From<NoSum> for Error {
    fn from(NoSum { key, problem }: NoSum) -> Self {
        let problem = match problem {
            Problem::NoCounter => "the value is no counter: a signed 64-bit number in decimal digits",
            Problem::Overflow => "the counter would overflow",
        };
        Self::new(ErrorKind::Conflict, "commit", problem).with_subject(key.as_str())
    }
}

impl Ids {
    /// What became of the transaction, if this is a repeat.
    pub(crate) fn decision_of(&self, transaction: &Transaction) -> Result<Option<Decision>> {
        let Some(known) = transaction.id.as_ref().and_then(|id| self.0.get(id)) else { return Ok(None) };
        if known.fingerprint != fingerprint(transaction) {
            let problem = "this transaction id was used for another transaction";
            return Err(Error::new(ErrorKind::Conflict, "commit", problem));
        }
        Ok(Some(known.decision.clone()))
    }

    pub(crate) fn remember(&mut self, now: Time, transaction: &Transaction, decision: &Decision) {
        if let Some(id) = transaction.id {
            let fingerprint = fingerprint(transaction);
            self.0.insert(now, id, Remembered { fingerprint, decision: decision.clone() });
        }
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget(&mut self, now: Time) {
        self.0.forget(now, ID_WINDOW);
    }
}

/// FNV-1a over what a transaction says: the same on every machine and in every build, as it is kept in
/// snapshots.
struct Fnv(u64);

impl Fnv {
    fn number(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.byte(byte);
        }
    }

    /// The length goes first, so that two texts in a row cannot be taken for two others.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for &byte in bytes {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn ttl(&mut self, ttl: Option<Duration>) {
        self.byte(u8::from(ttl.is_some()));
        let ttl = ttl.unwrap_or_default();
        self.number(ttl.as_secs());
        self.number(u64::from(ttl.subsec_nanos()));
    }
}

fn fingerprint(transaction: &Transaction) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.number(transaction.guards.len() as u64);
    for guard in &transaction.guards {
        hash.bytes(guard.key.as_str().as_bytes());
        let (kind, version) = match guard.condition {
            Condition::Absent => (0, 0),
            Condition::Present => (1, 0),
            Condition::VersionIs(version) => (2, version.0),
            Condition::PrefixAbsent => (3, 0),
        };
        hash.byte(kind);
        hash.number(version);
    }
    for mutation in &transaction.mutations {
        hash.bytes(mutation.key().as_str().as_bytes());
        hash.ttl(mutation.ttl());
        match mutation {
            Mutation::Put { value, .. } => {
                hash.byte(0);
                hash.bytes(value);
            }
            Mutation::Delete { .. } => hash.byte(1),
            Mutation::Add { delta, .. } => {
                hash.byte(2);
                hash.number(delta.cast_unsigned());
            }
            Mutation::Extend { version, .. } => {
                hash.byte(3);
                hash.number(version.0);
            }
        }
    }
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::{Key, Revision};

    #[test]
    fn whatever_differs_changes_the_fingerprint() {
        let key = |name: &str| Key::new(name).expect("valid");
        let second = Some(Duration::from_secs(1));
        let transactions = [
            Transaction::new(),
            Transaction::new().absent(key("a")),
            Transaction::new().present(key("a")),
            Transaction::new().version_is(key("a"), Revision(0)),
            Transaction::new().version_is(key("a"), Revision(1)),
            Transaction::new().put(key("a"), "", None),
            Transaction::new().put(key("a"), "", second),
            Transaction::new().put(key("a"), "b", None),
            Transaction::new().put(key("ab"), "", None),
            Transaction::new().delete(key("a")),
            Transaction::new().add(key("a"), 1, None),
            Transaction::new().add(key("a"), -1, None),
            Transaction::new().add(key("a"), 1, second),
            Transaction::new().extend(key("a"), Revision(1), Duration::from_secs(1)),
            Transaction::new().extend(key("a"), Revision(2), Duration::from_secs(1)),
        ];
        let mut seen: Vec<u64> = transactions.iter().map(fingerprint).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), transactions.len());
        // Kept in snapshots, so it may never change.
        assert_eq!(fingerprint(&Transaction::new()), 0xa8c7_f832_281a_39c5);
    }
}
