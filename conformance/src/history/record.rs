//! What clients did and were told, in a form that a judge can read and a file can hold.

use linchpin_core::{Appended, Error, Guard, Key, MutationResult, Revision, Settled, TransactionId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// One call of one client: when it was made, when it returned, and what it told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Who called.
    pub(crate) client: u32,
    /// When the call was made, in nanoseconds since the run began.
    pub(crate) called: u64,
    /// When it returned, also if what it returned was an error.
    pub(crate) returned: u64,
    /// What was called, and the reply.
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What a client called, and the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// Reads keys.
    Get { keys: Vec<Key>, reply: Reply<Read> },
    /// Commits a transaction. The same id twice is the same transaction, sent again.
    Commit { transaction: Txn, reply: Reply<Decision> },
    /// Appends records; the payloads name them.
    Append { stream: String, payloads: Vec<String>, reply: Reply<Vec<Appended>> },
    /// Claims records; the visibility in nanoseconds.
    Claim { stream: String, group: String, member: String, max: usize, visibility: u64, reply: Reply<Vec<Delivered>> },
    /// Settles deliveries.
    Settle { stream: String, group: String, settlements: Vec<Receipted>, reply: Reply<Vec<Settled>> },
    /// A group was given the time to be delivered everything: the interval is that of the last claims.
    Drained { stream: String, group: String },
    /// Acquires a lock; the reply is the fencing token.
    Acquire { lock: String, reply: Reply<Revision> },
    /// Holds a lock no more: it is about to be released, or is known to be lost.
    Release { lock: String, token: Revision },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply<T> {
    /// With an answer, a refusal included.
    Answered(T),
    /// With an error, and surely without an effect.
    Failed(String),
    /// With an error that leaves open whether it had an effect, or will have one.
    Unknown(String),
}

impl<T> Reply<T> {
    /// What a result says, the answer in the form of the record.
    pub(crate) fn of<A>(result: Result<A, Error>, answer: impl FnOnce(A) -> T) -> Self {
        match result {
            Ok(given) => Self::Answered(answer(given)),
            // It stays so when retries are exhausted, and the error says that another one will not help.
            Err(error) if error.maybe_applied() => Self::Unknown(error.to_string()),
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    /// The answer, if there was one.
    pub(crate) fn answer(&self) -> Option<&T> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Failed(_) | Self::Unknown(_) => None,
        }
    }

    /// The error, if there was one, and whether the call may have had an effect.
    pub(crate) fn error(&self) -> Option<(&str, bool)> {
        match self {
            Self::Answered(_) => None,
            Self::Failed(error) => Some((error, false)),
            Self::Unknown(error) => Some((error, true)),
        }
    }
}

/// The entries of the keys asked for, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) revision: Revision,
    pub(crate) entries: Vec<Option<Seen>>,
}

/// A key's entry as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) value: String,
    pub(crate) created: Revision,
    pub(crate) version: Revision,
}

impl From<linchpin_core::Entry> for Seen {
    fn from(entry: linchpin_core::Entry) -> Self {
        let value = String::from_utf8_lossy(&entry.value).into_owned();
        Self { value, created: entry.created, version: entry.version }
    }
}

/// A transaction: what must hold, and what is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Txn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) guards: Vec<Guard>,
    pub(crate) mutations: Vec<Write>,
}

/// One change to one key. Nobody writes the same text twice; a key that is added to is never put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Write {
    Put { key: Key, value: String },
    Delete { key: Key },
    Add { key: Key, delta: i64 },
}

impl Write {
    /// The key it changes.
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Add { key, .. } => key,
        }
    }
}

impl Txn {
    /// The transaction as a driver takes it.
    pub(crate) fn to_core(&self, id: Option<TransactionId>) -> linchpin_core::Transaction {
        let transaction = linchpin_core::Transaction { id, guards: self.guards.clone(), mutations: Vec::new() };
        self.mutations.iter().fold(transaction, |transaction, mutation| match mutation.clone() {
            Write::Put { key, value } => transaction.put(key, value, None),
            Write::Delete { key } => transaction.delete(key),
            Write::Add { key, delta } => transaction.add(key, delta, None),
        })
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    Committed { revision: Revision, results: Vec<MutationResult> },
    Refused { guard: usize, found: Option<Seen>, revision: Revision },
}

impl From<linchpin_core::Outcome> for Decision {
    fn from(outcome: linchpin_core::Outcome) -> Self {
        match outcome {
            linchpin_core::Outcome::Committed { revision, results } => Self::Committed { revision, results },
            linchpin_core::Outcome::Refused { guard, found, revision } => {
                Self::Refused { guard, found: found.map(Seen::from), revision }
            }
        }
    }
}

/// A record in a member's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivered {
    pub(crate) position: u64,
    /// How often it has been delivered to the group, this time included.
    pub(crate) delivery: u32,
    pub(crate) payload: String,
}

/// What a member says of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipted {
    pub(crate) position: u64,
    pub(crate) delivery: u32,
    pub(crate) verdict: Verdict,
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is done.
    Ack,
    /// It is to be delivered again, not before so many nanoseconds have passed.
    Retry { after: u64 },
}

/// When a call was made, and when it returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) called: u64,
    pub(crate) returned: u64,
}

/// Where the clients of one run write down what they do.
pub(crate) struct Recorder {
    started: Instant,
    last: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0), operations: Mutex::default() }
    }

    /// The time since the run began. No two moments are the same, not even while tokio's clock is paused:
    /// what came first has the lower number.
    pub(crate) fn now(&self) -> u64 {
        let elapsed = nanos(self.started.elapsed());
        let next = |last: u64| elapsed.max(last + 1);
        match self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last))) {
            Ok(last) | Err(last) => next(last),
        }
    }

    /// Makes a call and notes when.
    pub(crate) async fn time<T>(&self, call: impl Future<Output = T>) -> (Interval, T) {
        let called = self.now();
        let result = call.await;
        (Interval { called, returned: self.now() }, result)
    }

    /// Writes down an operation.
    pub(crate) fn add(&self, client: u32, interval: Interval, event: Event) {
        let Interval { called, returned } = interval;
        self.operations.lock().push(Operation { client, called, returned, event });
    }

    /// Notes that a lock was acquired, by a call that was made at `called` and has just returned.
    pub(crate) fn acquired(&self, client: u32, lock: &str, called: u64, token: Revision) {
        let event = Event::Acquire { lock: lock.to_owned(), reply: Reply::Answered(token) };
        self.add(client, Interval { called, returned: self.now() }, event);
    }

    /// Notes that a lock is held no more. To be called BEFORE the call that releases it, or when the guard
    /// says that it is lost; who never calls it holds the lock to the end of the run.
    pub(crate) fn releases(&self, client: u32, lock: &str, token: Revision) {
        let now = self.now();
        self.add(client, Interval { called: now, returned: now }, Event::Release { lock: lock.to_owned(), token });
    }

    /// Everything that was written down so far, in the order of the calls.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = self.operations.lock().clone();
        operations.sort_by_key(|operation| operation.called);
        operations
    }
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
