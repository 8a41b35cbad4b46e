//! What a backend can do, as graded data; and the checks that refuse the rest before anything is sent.

use crate::entry::Page;
use crate::error::{Error, Result};
use crate::name::{Channel, StreamName};
use crate::stream::{Action, Claim, Record, Settlement};
use crate::transaction::{Condition, Guard, Mutation, Transaction};
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// The longest TTL, delay and visibility time: 100 years. Every backend can count that far.
pub const MAX_TTL: Duration = Duration::from_hours(100 * 365 * 24);

/// What a driver declares. What is declared is tested; what is not is refused with `Unsupported`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The backend's name: `redis`, `memory`, ...
    pub backend: String,
    /// The server's version, as it says itself.
    pub version: String,
    /// What one transaction may span.
    pub transactions: TransactionScope,
    /// For how long a transaction's id is remembered; `None` if ids are not offered. Retries stop at half of it, so
    /// it should be longer than twice what a call may take with all its retries (10 seconds by default).
    pub transaction_ids: Option<Duration>,
    /// Whether a guard may ask that no key starts with a text: [`Condition::PrefixAbsent`]. With it, whoever takes a
    /// free lock asks the backend once instead of twice.
    pub prefix_guards: bool,
    /// What a watcher may miss.
    pub watch: WatchCompleteness,
    /// Whether a watch of a place in a queue costs nothing while other places come and go. With it, who waits far back
    /// watches the one ahead only: a change of a long queue is told to few of many processes.
    pub key_watches: bool,
    /// How time to live is counted; `None` if it is not offered.
    pub ttl: Option<TtlSupport>,
    /// What messages can do; `None` if they are not offered.
    pub messages: Option<MessageSupport>,
    /// What streams can do; `None` if they are not offered.
    pub streams: Option<StreamSupport>,
    /// How large things may be.
    pub limits: Limits,
    /// What survives what, as the server is configured.
    pub durability: Durability,
}

/// What one transaction may span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransactionScope {
    /// Guards and mutations of one and the same key.
    SingleKey,
    /// Any keys of the namespace.
    MultiKey,
}

/// What a watcher may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WatchCompleteness {
    /// Watching is not offered.
    None,
    /// Intermediate versions may be missed, the last one never is.
    LatestVersion,
}

/// How time to live is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TtlSupport {
    /// A TTL is granted in multiples of this, rounded up.
    pub granularity: Duration,
    /// A shorter one is refused.
    pub minimum: Duration,
    /// How long after its TTL a key's end may go unnoticed by readers and watchers.
    pub slack: Duration,
}

impl TtlSupport {
    /// Counts in microseconds, from a millisecond up; an end may go unnoticed for `slack`.
    pub fn within(slack: Duration) -> Self {
        Self { granularity: Duration::from_micros(1), minimum: Duration::from_millis(1), slack }
    }
}

/// What messages can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MessageSupport {
    /// Whether publishing says when nobody is subscribed.
    pub knows_nobody: bool,
}

impl MessageSupport {
    /// Whether publishing says when nobody is subscribed.
    pub fn new(knows_nobody: bool) -> Self {
        Self { knows_nobody }
    }
}

/// What streams can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamSupport {
    /// For how long a record's id is remembered; `None` if ids are not offered.
    pub dedupe_window: Option<Duration>,
    /// Whether delays and `Retry after` are offered.
    pub delays: bool,
    /// Whether there are dead letters.
    pub dead_letters: bool,
    /// How long after its time a delayed or abandoned record may still wait.
    pub slack: Duration,
}

impl StreamSupport {
    /// All that streams can do, with ids that are remembered for `dedupe_window`; what is due may wait for `slack`.
    pub fn full(dedupe_window: Duration, slack: Duration) -> Self {
        Self { dedupe_window: Some(dedupe_window), delays: true, dead_letters: true, slack }
    }
}

/// How large things may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Limits {
    /// A value, in bytes.
    pub value: usize,
    /// A message's payload, in bytes.
    pub message: usize,
    /// A record's payload and headers, in bytes.
    pub record: usize,
    /// Guards and mutations of one transaction.
    pub transaction_operations: usize,
    /// All values of one transaction, in bytes.
    pub transaction_bytes: usize,
    /// Records or settlements of one call.
    pub batch: usize,
}

impl Limits {
    /// What every backend offers at least.
    pub const MINIMUM: Self = Self {
        value: 512 * 1024,
        message: 513 * 1024,
        record: 512 * 1024,
        transaction_operations: 128,
        transaction_bytes: 1024 * 1024,
        batch: 128,
    };
}

/// What survives what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Durability {
    /// Whether what was acknowledged survives a restart of the server's process.
    pub survives_restart: bool,
    /// Whether what was acknowledged survives loss of power: it was on disk before the answer.
    pub survives_power_loss: bool,
    /// What that rests on, in the backend's own words.
    pub why: String,
}

impl Durability {
    /// What was acknowledged survives a restart, or it and loss of power, or neither; `why`, in the backend's own words.
    pub fn new(survives_restart: bool, survives_power_loss: bool, why: impl Into<String>) -> Self {
        Self { survives_restart, survives_power_loss, why: why.into() }
    }
}

const COMMIT: &str = "commit";

impl Capabilities {
    /// What every backend offers at least: transactions over one key, small limits, nothing that survives anything. An
    /// adapter begins with it and adds what its backend can do.
    ///
    /// ```
    /// use linchpin_core::{Capabilities, TransactionScope};
    /// let mut capabilities = Capabilities::minimum("sqlite");
    /// capabilities.version = "sqlite 3.46".to_owned();
    /// capabilities.transactions = TransactionScope::MultiKey;
    /// ```
    pub fn minimum(backend: impl Into<String>) -> Self {
        Self {
            backend: backend.into(),
            version: String::new(),
            transactions: TransactionScope::SingleKey,
            transaction_ids: None,
            prefix_guards: false,
            watch: WatchCompleteness::None,
            key_watches: false,
            ttl: None,
            messages: None,
            streams: None,
            limits: Limits::MINIMUM,
            durability: Durability::new(false, false, "not declared"),
        }
    }

    /// How many keys one transaction may change.
    pub fn keys_per_transaction(&self) -> usize {
        match self.transactions {
            TransactionScope::SingleKey => 1,
            TransactionScope::MultiKey => self.limits.transaction_operations,
        }
    }

    /// Checks a transaction before it is sent; every driver's `commit` starts with it.
    ///
    /// # Errors
    /// `InvalidArgument` for a value over the limit, too many operations, a key mutated twice, a TTL of
    /// zero, under the minimum or over [`MAX_TTL`]; `Unsupported` for what is not declared.
    pub fn admit_commit(&self, transaction: &Transaction) -> Result<()> {
        self.admit_size(transaction)?;
        self.admit_scope(transaction)?;
        if transaction.id.is_some() && self.transaction_ids.is_none() {
            return Err(self.unsupported(COMMIT, "transaction ids"));
        }
        let asks_prefix = |guard: &Guard| guard.condition == Condition::PrefixAbsent;
        if !self.prefix_guards && transaction.guards.iter().any(asks_prefix) {
            return Err(self.unsupported(COMMIT, "guards on a prefix"));
        }
        // Most transactions change one key.
        let mut seen = HashSet::new();
        let several = transaction.mutations.len() > 1;
        for mutation in &transaction.mutations {
            if several && !seen.insert(mutation.key()) {
                let problem = "the transaction changes this key twice; each key may be changed once";
                return Err(Error::invalid(COMMIT, problem).with_subject(mutation.key().as_str()));
            }
            if let Some(ttl) = mutation.ttl() {
                self.admit_ttl(COMMIT, ttl).map_err(|error| error.with_subject(mutation.key().as_str()))?;
            }
        }
        Ok(())
    }

    fn admit_size(&self, transaction: &Transaction) -> Result<()> {
        let operations = transaction.operations();
        if operations > self.limits.transaction_operations {
            let limit = self.limits.transaction_operations;
            let problem = format!("the transaction has {operations} guards and mutations, the limit is {limit}");
            return Err(Error::invalid(COMMIT, problem));
        }
        let mut total = 0;
        for mutation in &transaction.mutations {
            if let Mutation::Put { key, value, .. } = mutation {
                within(COMMIT, "the value", value.len(), self.limits.value)
                    .map_err(|error| error.with_subject(key.as_str()))?;
                total += value.len();
            }
        }
        within(COMMIT, "all values together", total, self.limits.transaction_bytes)
    }

    fn admit_scope(&self, transaction: &Transaction) -> Result<()> {
        let mut keys = transaction.guards.iter().map(|g| &g.key).chain(transaction.mutations.iter().map(Mutation::key));
        match (self.transactions, keys.next()) {
            (TransactionScope::SingleKey, Some(first)) if keys.any(|key| key != first) => {
                Err(self.unsupported(COMMIT, "transactions over several keys"))
            }
            _ => Ok(()),
        }
    }

    fn admit_ttl(&self, operation: &'static str, ttl: Duration) -> Result<()> {
        let Some(support) = self.ttl else { return Err(self.unsupported(operation, "time to live")) };
        if ttl < support.minimum || ttl.is_zero() {
            let least = support.minimum;
            return Err(Error::invalid(operation, format!("a ttl of {ttl:?} is too short, the minimum is {least:?}")));
        }
        at_most_max_ttl(operation, "ttl", ttl)
    }

    /// Checks a page before it is read; every driver's `scan` starts with it.
    ///
    /// # Errors
    /// `InvalidArgument` if its limit is 0 or over [`Page::MAX_LIMIT`].
    pub fn admit_scan(&self, page: &Page) -> Result<()> {
        if page.limit == 0 || page.limit > Page::MAX_LIMIT {
            let problem = format!("a page has 1 to {} entries, not {}", Page::MAX_LIMIT, page.limit);
            return Err(Error::invalid("scan", problem));
        }
        Ok(())
    }

    /// Checks that watching is offered; every driver's `watch` starts with it.
    ///
    /// # Errors
    /// `Unsupported` if it is not.
    pub fn admit_watch(&self) -> Result<()> {
        match self.watch {
            WatchCompleteness::None => Err(self.unsupported("watch", "watching")),
            WatchCompleteness::LatestVersion => Ok(()),
        }
    }

    /// Checks a message before it is sent; every driver's `publish` starts with it.
    ///
    /// # Errors
    /// `InvalidArgument` if it is over the limit, `Unsupported` if messages are not offered.
    pub fn admit_publish(&self, channel: &Channel, payload: &[u8]) -> Result<()> {
        if self.messages.is_none() {
            return Err(self.unsupported("publish", "messages"));
        }
        within("publish", "the payload", payload.len(), self.limits.message)
            .map_err(|error| error.with_subject(channel.as_str()))
    }

    /// Checks that messages are offered; every driver's `subscribe` starts with it.
    ///
    /// # Errors
    /// `Unsupported` if they are not.
    pub fn admit_subscribe(&self) -> Result<()> {
        self.messages.map(|_| ()).ok_or_else(|| self.unsupported("subscribe", "messages"))
    }

    /// Checks records before they are sent; every driver's `append` starts with it.
    ///
    /// # Errors
    /// `InvalidArgument` for too many, one over the limit or a delay over [`MAX_TTL`]; `Unsupported` for
    /// what is not declared.
    pub fn admit_append(&self, stream: &StreamName, records: &[Record]) -> Result<()> {
        let support = self.admit_streams("append")?;
        let admitted = self
            .admit_batch("append", records.len())
            .and_then(|()| records.iter().try_for_each(|record| self.admit_record(support, record)));
        admitted.map_err(|error| error.with_subject(stream.as_str()))
    }

    fn admit_record(&self, support: StreamSupport, record: &Record) -> Result<()> {
        within("append", "the record", record.size(), self.limits.record)?;
        if record.id.is_some() && support.dedupe_window.is_none() {
            return Err(self.unsupported("append", "record ids"));
        }
        match record.delay {
            Some(_) if !support.delays => Err(self.unsupported("append", "delayed records")),
            Some(delay) => at_most_max_ttl("append", "delay", delay),
            None => Ok(()),
        }
    }

    /// Checks a claim before it is sent; every driver's `claim` starts with it.
    ///
    /// # Errors
    /// `InvalidArgument` for a `max` or visibility of zero, or over the limits; `Unsupported` for what is
    /// not declared.
    pub fn admit_claim(&self, claim: &Claim) -> Result<()> {
        let support = self.admit_streams("claim")?;
        self.admit_claim_of(support, claim).map_err(|error| error.with_subject(claim.stream.to_string()))
    }

    fn admit_claim_of(&self, support: StreamSupport, claim: &Claim) -> Result<()> {
        let zero = [
            ("max", claim.max == 0),
            ("visibility", claim.visibility.is_zero()),
            ("max_deliveries", claim.max_deliveries == Some(0)),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, is_zero)| *is_zero) {
            let problem = format!("{name} must be greater than zero");
            return Err(Error::invalid("claim", problem));
        }
        if claim.max_deliveries.is_some() && !support.dead_letters {
            return Err(self.unsupported("claim", "dead letters"));
        }
        self.admit_batch("claim", claim.max)?;
        at_most_max_ttl("claim", "visibility", claim.visibility)
    }

    /// Checks settlements before they are sent; every driver's `settle` starts with it.
    ///
    /// # Errors
    /// `InvalidArgument` for too many, a reason over 512 bytes, a time over [`MAX_TTL`] or a visibility of
    /// zero; `Unsupported` for what is not declared.
    pub fn admit_settle(&self, settlements: &[Settlement]) -> Result<()> {
        let support = self.admit_streams("settle")?;
        self.admit_batch("settle", settlements.len())?;
        for settlement in settlements {
            match &settlement.action {
                Action::Ack => {}
                Action::Retry { after } if after.is_zero() || support.delays => {
                    at_most_max_ttl("settle", "delay", *after)?;
                }
                Action::Retry { .. } => return Err(self.unsupported("settle", "delayed retries")),
                Action::Extend { visibility } if visibility.is_zero() => {
                    return Err(Error::invalid("settle", "the visibility must be greater than zero"));
                }
                Action::Extend { visibility } => at_most_max_ttl("settle", "visibility", *visibility)?,
                Action::Reject { .. } if !support.dead_letters => {
                    return Err(self.unsupported("settle", "dead letters"));
                }
                Action::Reject { reason } => within("settle", "the reason", reason.len(), 512)?,
            }
        }
        Ok(())
    }

    /// Checks that streams are offered; every driver's `inspect` and `trim` start with it.
    ///
    /// # Errors
    /// `Unsupported` if they are not.
    pub fn admit_streams(&self, operation: &'static str) -> Result<StreamSupport> {
        self.streams.ok_or_else(|| self.unsupported(operation, "streams"))
    }

    fn admit_batch(&self, operation: &'static str, length: usize) -> Result<()> {
        if length > self.limits.batch {
            let limit = self.limits.batch;
            return Err(Error::invalid(operation, format!("a batch of {length}, the limit is {limit}")));
        }
        Ok(())
    }

    fn unsupported(&self, operation: &'static str, feature: &str) -> Error {
        Error::unsupported(operation, &self.backend, feature)
    }
}

fn within(operation: &'static str, what: &str, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::invalid(operation, format!("{what} has {size} bytes, the limit is {limit}")));
    }
    Ok(())
}

fn at_most_max_ttl(operation: &'static str, what: &str, time: Duration) -> Result<()> {
    if time > MAX_TTL {
        return Err(Error::invalid(operation, format!("a {what} of {time:?} is too long, the maximum is 100 years")));
    }
    Ok(())
}
