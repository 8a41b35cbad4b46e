//! Transactions: guards and mutations, all or nothing, and what became of them.

use crate::entry::{Entry, Revision};
use crate::name::Key;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a key must be for a transaction to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// The key looked at; of [`Condition::PrefixAbsent`] what the keys start with.
    pub key: Key,
    /// What it must be.
    pub condition: Condition,
}

/// What a [`Guard`] asks of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Condition {
    /// The key does not exist.
    Absent,
    /// The key exists.
    Present,
    /// The key exists and its last write was at this revision.
    VersionIs(Revision),
    /// No key exists that starts with this one. Not offered everywhere: see
    /// [`Capabilities::prefix_guards`](crate::Capabilities::prefix_guards). Where it does not hold, one of the keys
    /// that do exist is what stood there.
    PrefixAbsent,
}

impl Condition {
    /// Whether an entry of this version, or the absence of any, is what the condition asks for.
    pub fn holds(self, version: Option<Revision>) -> bool {
        match self {
            Self::Absent | Self::PrefixAbsent => version.is_none(),
            Self::Present => version.is_some(),
            Self::VersionIs(wanted) => version == Some(wanted),
        }
    }
}

/// One change to one key.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mutation {
    /// Writes the value; without a TTL the key lives for ever, whatever it had before.
    Put {
        /// The key.
        key: Key,
        /// The value: any bytes, at least 512 KiB of them on every backend.
        value: Bytes,
        /// How long it lives; `None` is for ever.
        ttl: Option<Duration>,
    },
    /// Removes the key, if it exists.
    Delete {
        /// The key.
        key: Key,
    },
    /// Adds to the signed 64-bit counter that the key holds as decimal text; an absent key counts as 0.
    /// Overflow, or a value that is no counter, fails the whole transaction with `Conflict`.
    Add {
        /// The key.
        key: Key,
        /// What is added.
        delta: i64,
        /// How long a counter that this creates lives; one that exists keeps its TTL.
        ttl: Option<Duration>,
    },
    /// Makes the key live for `ttl` from now on at least, if its version is still `version`. Alone in not
    /// failing the whole if it cannot, and not a new version: watchers do not see it. It never shortens:
    /// one that was given up on and arrives late cannot cut short what a later one was granted. To shorten
    /// a TTL, put the value again.
    Extend {
        /// The key.
        key: Key,
        /// The version that the caller knows.
        version: Revision,
        /// How long it lives from now on at least.
        ttl: Duration,
    },
}

impl Mutation {
    /// The key it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Add { key, .. } | Self::Extend { key, .. } => key,
        }
    }

    /// The key it changes, for a layer that calls keys otherwise.
    pub fn key_mut(&mut self) -> &mut Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Add { key, .. } | Self::Extend { key, .. } => key,
        }
    }

    /// The TTL it asks for.
    pub fn ttl(&self) -> Option<Duration> {
        match self {
            Self::Put { ttl, .. } | Self::Add { ttl, .. } => *ttl,
            Self::Extend { ttl, .. } => Some(*ttl),
            Self::Delete { .. } => None,
        }
    }
}

impl fmt::Debug for Mutation {
    /// The value's length only: values are the user's and never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, ttl } => write!(f, "Put({key:?}, {} bytes, ttl {ttl:?})", value.len()),
            Self::Delete { key } => write!(f, "Delete({key:?})"),
            Self::Add { key, delta, ttl } => write!(f, "Add({key:?}, {delta}, ttl {ttl:?})"),
            Self::Extend { key, version, ttl } => write!(f, "Extend({key:?} at {version}, {ttl:?})"),
        }
    }
}

/// Names one transaction, so that sending it again cannot apply it again. 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransactionId(pub u128);

impl TransactionId {
    /// An id nobody else has.
    pub fn random() -> Self {
        Self(fastrand::u128(..))
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Guards and mutations: all mutations are applied if all guards hold, and none otherwise; linearizable.
///
/// Each key may be mutated once. Without mutations it is a check: the outcome says whether the guards hold.
///
/// ```
/// use linchpin_core::{Key, Transaction};
/// let key = Key::new("config")?;
/// let create = Transaction::new().absent(key.clone()).put(key, "v1", None);
/// assert_eq!((create.guards.len(), create.mutations.len()), (1, 1));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// With an id it is applied at most once within the backend's window, however often it is sent; a
    /// repeat gets the first outcome, a refusal too: what was refused once cannot be applied by an attempt
    /// that arrives late. A `Conflict` is kept as well. Another transaction under the same id fails with
    /// `Conflict`.
    pub id: Option<TransactionId>,
    /// What must hold.
    pub guards: Vec<Guard>,
    /// What is changed.
    pub mutations: Vec<Mutation>,
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names it, so that a retry is safe.
    pub fn with_id(mut self, id: TransactionId) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds a guard.
    pub fn guard(mut self, key: Key, condition: Condition) -> Self {
        self.guards.push(Guard { key, condition });
        self
    }

    /// The key must not exist.
    pub fn absent(self, key: Key) -> Self {
        self.guard(key, Condition::Absent)
    }

    /// The key must exist.
    pub fn present(self, key: Key) -> Self {
        self.guard(key, Condition::Present)
    }

    /// The key's last write must have been at `version`.
    pub fn version_is(self, key: Key, version: Revision) -> Self {
        self.guard(key, Condition::VersionIs(version))
    }

    /// No key may exist that starts with `prefix`.
    pub fn prefix_absent(self, prefix: Key) -> Self {
        self.guard(prefix, Condition::PrefixAbsent)
    }

    /// Writes a value.
    pub fn put(mut self, key: Key, value: impl Into<Bytes>, ttl: Option<Duration>) -> Self {
        self.mutations.push(Mutation::Put { key, value: value.into(), ttl });
        self
    }

    /// Removes a key.
    pub fn delete(mut self, key: Key) -> Self {
        self.mutations.push(Mutation::Delete { key });
        self
    }

    /// Adds to a counter.
    pub fn add(mut self, key: Key, delta: i64, ttl: Option<Duration>) -> Self {
        self.mutations.push(Mutation::Add { key, delta, ttl });
        self
    }

    /// Makes a key whose version is still `version` live for `ttl` from now on at least.
    pub fn extend(mut self, key: Key, version: Revision, ttl: Duration) -> Self {
        self.mutations.push(Mutation::Extend { key, version, ttl });
        self
    }

    /// The number of guards and mutations.
    pub fn operations(&self) -> usize {
        self.guards.len() + self.mutations.len()
    }

    /// Tells it from another transaction under the same id: a hash of its guards and mutations. For adapters, which store
    /// it with the outcome: it is the same in every build and release.
    pub fn fingerprint(&self) -> u64 {
        crate::fingerprint::fingerprint(self)
    }

    /// Whether sending it twice is the same as once even without an id: it only checks or extends.
    pub fn is_idempotent(&self) -> bool {
        self.id.is_some() || self.mutations.iter().all(|m| matches!(m, Mutation::Extend { .. }))
    }
}

/// What became of a [`Transaction`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every guard held and every mutation was applied.
    Committed {
        /// The namespace's revision after it: that of its writes, if it wrote.
        revision: Revision,
        /// One per mutation, in their order.
        results: Vec<MutationResult>,
    },
    /// A guard did not hold; nothing was changed.
    Refused {
        /// The index of the first guard that did not hold.
        guard: usize,
        /// What stood at its key. A repeat under a transaction's id is told it as long as it still stands there, and
        /// `None` afterwards: that it was refused is remembered, the value is not.
        found: Option<Entry>,
        /// The namespace's revision at which that was so.
        revision: Revision,
    },
}

impl Outcome {
    /// The results, if it was committed.
    pub fn results(&self) -> Option<&[MutationResult]> {
        match self {
            Self::Committed { results, .. } => Some(results),
            Self::Refused { .. } => None,
        }
    }

    /// Whether it was committed.
    pub fn is_committed(&self) -> bool {
        matches!(self, Self::Committed { .. })
    }

    /// The namespace's revision that the outcome was decided at.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Committed { revision, .. } | Self::Refused { revision, .. } => *revision,
        }
    }
}

/// What one [`Mutation`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MutationResult {
    /// A `Put` was written at the transaction's revision.
    Put {
        /// When the key came to be: the transaction's revision if this created it.
        created: Revision,
        /// The TTL granted: what was asked for, rounded up to the declared granularity.
        ttl: Option<Duration>,
    },
    /// A `Delete` ran.
    Deleted {
        /// Whether there was something to delete.
        existed: bool,
    },
    /// An `Add` was written at the transaction's revision.
    Added {
        /// The counter after it.
        value: i64,
    },
    /// An `Extend` ran.
    Extended {
        /// The TTL granted: what was asked for, rounded up to the declared granularity, also where the key lives
        /// longer or for ever. `None` if the key was gone or had another version.
        ttl: Option<Duration>,
    },
}
