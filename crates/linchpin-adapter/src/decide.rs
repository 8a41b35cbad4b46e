//! Deciding a transaction against what stands at its keys: for a state machine, and for a backend that compares and
//! sets. What is decided is written by whoever asked.

use bytes::Bytes;
use linchpin_core::{Condition, Error, ErrorKind, Key, Mutation, MutationResult, Revision, Transaction, counter};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What stands at a key.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'s> {
    /// Its value.
    pub value: &'s Bytes,
    /// The revision at which the key came to be.
    pub created: Revision,
    /// The revision of its last write.
    pub version: Revision,
}

/// What stands at the keys of a transaction, all at one moment. What has expired by then does not stand.
pub trait Keys {
    /// What stands at a key.
    fn standing(&self, key: &Key) -> Option<Standing<'_>>;

    /// A key that stands and starts with `prefix`, and its version. Asked for only where guards on a prefix are declared.
    fn first(&self, prefix: &str) -> Option<(Key, Revision)>;
}

/// What one mutation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'t> {
    /// A new version with this value, to live for `ttl`.
    Put {
        /// The key.
        key: &'t Key,
        /// Its value.
        value: &'t Bytes,
        /// How long it lives; for ever without.
        ttl: Option<Duration>,
    },
    /// A new version that is this number. One that stands keeps its end; one that comes to be lives for `ttl`.
    Add {
        /// The key.
        key: &'t Key,
        /// The counter after adding to it.
        value: i64,
        /// How long it lives if it comes to be.
        ttl: Option<Duration>,
    },
    /// Nothing stands there any more.
    Delete {
        /// The key.
        key: &'t Key,
    },
    /// The same version, to live for `ttl` at least.
    Extend {
        /// The key.
        key: &'t Key,
        /// How long it lives at least.
        ttl: Duration,
    },
    /// Nothing changes; this is the result.
    Nothing(MutationResult),
}

impl Effect<'_> {
    /// Whether it makes a new revision.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Add { .. } | Self::Delete { .. })
    }
}

/// What a transaction comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'t> {
    /// Its mutations, in their order.
    Apply(Vec<Effect<'t>>),
    /// This guard does not hold, the first of them; and the key that it found, if something stands there.
    Refuse(usize, Option<Key>),
    /// Nothing is applied: one of the mutations cannot be.
    Fail(Failure),
}

/// Why a mutation could not be applied. Remembered as an outcome is: what failed once must not be applied by an attempt
/// that arrives late.
///
/// ```
/// use linchpin_adapter::decide::{Failure, Problem};
/// use linchpin_core::{ErrorKind, Key, Transaction};
///
/// let count = Transaction::new().delete(Key::new("draft")?).add(Key::new("visits")?, 1, None);
/// // A server that decides by itself answers which mutation it could not apply, and why.
/// let error = Failure::of(&count, Some(1), Problem::NoCounter);
/// assert_eq!((error.kind(), error.subject()), (ErrorKind::Conflict, Some("visits")));
/// assert!(Failure::of(&count, Some(2), Problem::NoCounter).to_string().contains("no mutation"));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The key that it changes.
    pub key: Key,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a mutation.
///
/// ```
/// use bytes::Bytes;
/// use linchpin_adapter::decide::{Decision, Failure, Keys, Problem, Standing, decide};
/// use linchpin_core::{Key, Revision, Transaction};
///
/// /// One value, at every key.
/// struct Same(Bytes);
///
/// impl Keys for Same {
///     fn standing(&self, _: &Key) -> Option<Standing<'_>> {
///         Some(Standing { value: &self.0, created: Revision(3), version: Revision(3) })
///     }
///     fn first(&self, _: &str) -> Option<(Key, Revision)> {
///         None
///     }
/// }
///
/// let key = Key::new("visits")?;
/// let count = Transaction::new().add(key.clone(), 1, None);
/// for (value, problem) in [("many", Problem::NoCounter), ("9223372036854775807", Problem::Overflow)] {
///     let failure = Failure { key: key.clone(), problem };
///     assert_eq!(decide(&count, &Same(value.into())), Decision::Fail(failure));
/// }
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// The value is no counter: see [`counter`].
    NoCounter,
    /// The counter would leave the range of a signed 64-bit number.
    Overflow,
    /// It came with a later version of linchpin, and no adapter that decides like this can have declared it.
    Unknown,
}

impl Failure {
    /// What a transaction is told whose mutation of this index cannot be applied, by what a server answers.
    pub fn of(transaction: &Transaction, index: Option<usize>, problem: Problem) -> Error {
        match index.and_then(|index| transaction.mutations.get(index)) {
            Some(mutation) => Self { key: mutation.key().clone(), problem }.into(),
            None => Error::unreadable("commit", "no mutation of this transaction"),
        }
    }
}

impl From<Failure> for Error {
    fn from(Failure { key, problem }: Failure) -> Self {
        let (kind, problem) = match problem {
            Problem::NoCounter => {
                (ErrorKind::Conflict, "the value is no counter: a signed 64-bit number in decimal digits")
            }
            Problem::Overflow => (ErrorKind::Conflict, "the counter would overflow"),
            Problem::Unknown => {
                (ErrorKind::Unsupported, "what is asked of this key came with a later version of linchpin")
            }
        };
        Self::new(kind, "commit", problem).with_subject(key.as_str())
    }
}

/// Whether every guard and mutation is one that adapters of this version know. The handle asks it of each transaction, so
/// an adapter need not.
///
/// # Errors
/// `Unsupported` for one that came with a later version of linchpin.
///
/// ```
/// use linchpin_adapter::decide::{Failure, Problem, admit};
/// use linchpin_core::{Error, ErrorKind, Key, Transaction};
///
/// let key = Key::new("leader")?;
/// admit(&Transaction::new().prefix_absent(key.clone()).put(key.clone(), "me", None))?;
/// // What is told of one that this version does not know.
/// let error = Error::from(Failure { key, problem: Problem::Unknown });
/// assert_eq!((error.kind(), error.subject()), (ErrorKind::Unsupported, Some("leader")));
/// # Ok::<(), Error>(())
/// ```
pub fn admit(transaction: &Transaction) -> Result<(), Error> {
    use Condition::{Absent, PrefixAbsent, Present, VersionIs};
    use Mutation::{Add, Delete, Extend, Put};
    let unknown = transaction
        .guards
        .iter()
        .find(|guard| !matches!(guard.condition, Absent | Present | VersionIs(_) | PrefixAbsent))
        .map(|guard| &guard.key);
    let is_unknown =
        |mutation: &&Mutation| !matches!(mutation, Put { .. } | Delete { .. } | Add { .. } | Extend { .. });
    match unknown.or(transaction.mutations.iter().find(is_unknown).map(Mutation::key)) {
        Some(key) => Err(Failure { key: key.clone(), problem: Problem::Unknown }.into()),
        None => Ok(()),
    }
}

/// Decides a transaction that [`admit_commit`](linchpin_core::Capabilities::admit_commit) has admitted.
///
/// ```
/// use bytes::Bytes;
/// use linchpin_adapter::decide::{Decision, Keys, Standing, decide};
/// use linchpin_core::{Key, Revision, Transaction};
///
/// struct Nothing;
///
/// impl Keys for Nothing {
///     fn standing(&self, _: &Key) -> Option<Standing<'_>> {
///         None
///     }
///     fn first(&self, _: &str) -> Option<(Key, Revision)> {
///         None
///     }
/// }
///
/// let key = Key::new("leader")?;
/// let renew = Transaction::new().present(key.clone()).put(key, "me", None);
/// assert_eq!(decide(&renew, &Nothing), Decision::Refuse(0, None));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
pub fn decide<'t>(transaction: &'t Transaction, keys: &impl Keys) -> Decision<'t> {
    for (index, guard) in transaction.guards.iter().enumerate() {
        let found = match guard.condition {
            Condition::PrefixAbsent => keys.first(guard.key.as_str()),
            _ => keys.standing(&guard.key).map(|standing| (guard.key.clone(), standing.version)),
        };
        if !guard.condition.holds(found.as_ref().map(|(_, version)| *version)) {
            return Decision::Refuse(index, found.map(|(key, _)| key));
        }
    }
    let effects = transaction.mutations.iter().map(|mutation| effect(mutation, keys.standing(mutation.key())));
    match effects.collect() {
        Ok(effects) => Decision::Apply(effects),
        Err(failed) => Decision::Fail(failed),
    }
}

fn effect<'t>(mutation: &'t Mutation, standing: Option<Standing<'_>>) -> Result<Effect<'t>, Failure> {
    Ok(match mutation {
        Mutation::Put { key, value, ttl } => Effect::Put { key, value, ttl: *ttl },
        Mutation::Delete { key } if standing.is_some() => Effect::Delete { key },
        Mutation::Delete { .. } => Effect::Nothing(MutationResult::Deleted { existed: false }),
        Mutation::Add { key, delta, ttl } => {
            let value = sum(standing.map(|standing| standing.value), *delta)
                .map_err(|problem| Failure { key: key.clone(), problem })?;
            Effect::Add { key, value, ttl: *ttl }
        }
        Mutation::Extend { key, version, ttl } if standing.is_some_and(|standing| standing.version == *version) => {
            Effect::Extend { key, ttl: *ttl }
        }
        Mutation::Extend { .. } => Effect::Nothing(MutationResult::Extended { ttl: None }),
        other => return Err(Failure { key: other.key().clone(), problem: Problem::Unknown }),
    })
}

/// The counter after adding to it.
fn sum(value: Option<&Bytes>, delta: i64) -> Result<i64, Problem> {
    let current = match value {
        Some(value) => counter(value).ok_or(Problem::NoCounter)?,
        None => 0,
    };
    current.checked_add(delta).ok_or(Problem::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Map(BTreeMap<&'static str, Bytes>);

    impl Keys for Map {
        fn standing(&self, key: &Key) -> Option<Standing<'_>> {
            let value = self.0.get(key.as_str())?;
            Some(Standing { value, created: Revision(3), version: Revision(5) })
        }

        fn first(&self, prefix: &str) -> Option<(Key, Revision)> {
            let name = self.0.keys().find(|name| name.starts_with(prefix))?;
            Some((key(name), Revision(5)))
        }
    }

    fn key(name: &str) -> Key {
        Key::new(name).expect("valid")
    }

    fn one(value: &'static str) -> Map {
        Map(BTreeMap::from([("k", Bytes::from(value))]))
    }

    #[test]
    fn the_first_guard_that_does_not_hold_is_told_with_what_it_found() {
        let transaction = Transaction::new().present(key("k")).absent(key("k")).absent(key("k")).delete(key("k"));
        assert_eq!(decide(&transaction, &one("")), Decision::Refuse(1, Some(key("k"))));
        let gone = Transaction::new().version_is(key("x"), Revision(1));
        assert_eq!(decide(&gone, &one("")), Decision::Refuse(0, None));
        let queue = Transaction::new().prefix_absent(key("k"));
        assert_eq!(decide(&queue, &Map(BTreeMap::from([("k1", Bytes::new())]))), Decision::Refuse(0, Some(key("k1"))));
    }

    #[test]
    fn counters_count_and_say_when_they_cannot() {
        let add = Transaction::new().add(key("k"), -2, None);
        let sum = |map| match decide(&add, &map) {
            Decision::Apply(effects) => Ok(effects[0]),
            Decision::Fail(failed) => Err(failed.problem),
            refused @ Decision::Refuse(..) => panic!("{refused:?}"),
        };
        let added = |value| Ok(Effect::Add { key: add.mutations[0].key(), value, ttl: None });
        assert_eq!((sum(one("7")), sum(Map(BTreeMap::new()))), (added(5), added(-2)));
        assert_eq!(sum(one("-9223372036854775807")), Err(Problem::Overflow));
        for text in ["+7", "07", "-0", " 7", "", "seven", "12345678901234567890"] {
            assert_eq!(sum(one(text)), Err(Problem::NoCounter), "{text:?}");
        }
    }

    #[test]
    fn what_does_not_stand_is_neither_deleted_nor_extended() {
        let minute = Duration::from_mins(1);
        let transaction = Transaction::new()
            .delete(key("x"))
            .delete(key("k"))
            .extend(key("y"), Revision(5), minute)
            .extend(key("k2"), Revision(5), minute);
        let map = Map(BTreeMap::from([("k", Bytes::new()), ("k2", Bytes::new())]));
        let Decision::Apply(effects) = decide(&transaction, &map) else { panic!("it is applied") };
        assert_eq!(effects[0], Effect::Nothing(MutationResult::Deleted { existed: false }));
        assert_eq!(effects[2], Effect::Nothing(MutationResult::Extended { ttl: None }));
        assert_eq!(effects.iter().map(Effect::writes).collect::<Vec<_>>(), [false, true, false, false]);
        assert_eq!(effects[3], Effect::Extend { key: &key("k2"), ttl: minute });
    }
}
