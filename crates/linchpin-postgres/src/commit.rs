//! Committing: concurrent transactions share a round trip and a write to the server's disk; each is all or nothing on
//! its own.

use crate::arguments::{Arguments, column, key, micros, number, stored, ttl};
use crate::connection::Holder;
use crate::error::Failure;
use crate::feed::{OwnChange, OwnChanges};
use crate::lane::{PendingQuestion, Reply, Traffic};
use crate::names::{Names, topic_hash, topics};
use crate::notices::Notices;
use crate::numbers;
use crate::seen::LatestTime;
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_adapter::decide::{self, Problem};
use linchpin_adapter::fanout::Change;
use linchpin_adapter::feed::{Doorbell, Topics};
use linchpin_adapter::outcomes::reused;
use linchpin_core::{
    Condition, Entry, Error, Guard, Key, Mutation, MutationResult, Outcome, Result, Revision, Transaction,
};
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// For how long a transaction's id is remembered: `window_us` of `commit.sql`.
pub(crate) const ID_WINDOW: Duration = Duration::from_mins(1);

const COMMIT_ONE: &str = "SELECT * FROM linchpin.commit_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const COMMIT: &str = "SELECT * FROM linchpin.commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// The traffic of the lane for commits.
pub(crate) struct CommitTraffic {
    pub(crate) names: Arc<Names>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) seen: Arc<LatestTime>,
    pub(crate) own: Arc<OwnChanges>,
}

/// How many bytes of values a transaction has.
fn bytes_of(transaction: &Transaction) -> usize {
    let bytes = |mutation: &Mutation| match mutation {
        Mutation::Put { value, .. } => value.len(),
        _ => 0,
    };
    transaction.mutations.iter().map(bytes).sum()
}

#[async_trait]
impl Traffic for CommitTraffic {
    type Question = Transaction;
    type Answer = Outcome;

    const OPERATION: &'static str = "commit";
    const BEHIND: Holder = Holder::Namespace;

    fn together(&self, waiting: &VecDeque<PendingQuestion<Transaction, Outcome>>) -> usize {
        // What one call may take: everybody else waits for it.
        const TRANSACTIONS: usize = 256;
        const OPERATIONS: usize = 2048;
        const BYTES: usize = 4 * 1024 * 1024;
        let (mut operations, mut bytes, mut ids) = (0, 0, HashSet::new());
        let mut count = 0;
        for PendingQuestion { question, .. } in waiting.iter().take(TRANSACTIONS) {
            operations += question.operations();
            bytes += bytes_of(question);
            // A repeat waits until the first has an outcome.
            let is_repeat = question.id.is_some_and(|id| !ids.insert(id));
            if count > 0 && (operations > OPERATIONS || bytes > BYTES || is_repeat) {
                break;
            }
            count += 1;
        }
        count
    }

    fn may_repeat(&self, question: &Transaction) -> bool {
        question.is_idempotent()
    }

    async fn ask(
        &self,
        connection: &mut PgConnection,
        questions: &[&Transaction],
    ) -> Result<Vec<Reply<Outcome>>, Failure> {
        let (namespace, floor) = (&*self.names.namespace, self.seen.next());
        let usual = if let [transaction] = questions { Usual::of(transaction) } else { None };
        let row = match &usual {
            Some(usual) => sqlx::query_with(COMMIT_ONE, usual.arguments(namespace, floor)?),
            None => sqlx::query_with(COMMIT, Call::of(questions).arguments(namespace, floor)?),
        };
        let row = row.fetch_one(connection).await?;
        let Some(answer) = Answer::read(&row)? else {
            let unreadable = || Reply::Answer(Err(Error::unreadable("commit", "arrays of different lengths")));
            return Ok(questions.iter().map(|_| unreadable()).collect());
        };
        self.seen.note(answer.now);
        let decided = || questions.iter().zip(&answer.decided);
        let outcomes: Vec<_> =
            decided().map(|(transaction, decided)| decided.outcome(transaction, &answer.found)).collect();
        let own = match (&usual, &outcomes[..]) {
            (Some(usual), [outcome]) => {
                column::<Option<i64>>(&row, 12)?.and_then(|was| usual.change(was, &answer, outcome))
            }
            _ => None,
        };
        // Also where it was decided before: whoever had it decided was not answered, and may not have rung.
        let is_replay = answer.decided.iter().any(|decided| decided.status >= numbers::REPLAYED);
        if answer.after != answer.before || is_replay {
            let committed = decided().filter(|(_, decided)| decided.status % numbers::REPLAYED == numbers::COMMITTED);
            let topics: Topics =
                committed.flat_map(|(transaction, _)| transaction.mutations.iter().map(topic)).collect();
            self.notices.ring(Doorbell {
                changes: number(answer.after),
                count: number(answer.after - answer.before),
                topics: topics.and(answer.ended),
            });
        }
        if let Some(own) = own {
            self.own.tell(own);
        }
        Ok(outcomes)
    }
}

/// What a mutation is told under.
fn topic(mutation: &Mutation) -> Topics {
    match mutation {
        // No change.
        Mutation::Extend { .. } => Topics::default(),
        _ => Topics::of_key(mutation.key().as_str(), topic_hash),
    }
}

/// A transaction that `commit_one.sql` knows: one put or delete, and at most one guard, which is on its key or a prefix.
struct Usual<'a> {
    transaction: &'a Transaction,
    guard: Option<&'a Guard>,
    key: &'a Key,
    put: Option<(&'a Bytes, Option<Duration>)>,
}

impl<'a> Usual<'a> {
    fn of(transaction: &'a Transaction) -> Option<Self> {
        let (key, put) = match &transaction.mutations[..] {
            [Mutation::Put { key, value, ttl }] => (key, Some((value, *ttl))),
            [Mutation::Delete { key }] => (key, None),
            _ => return None,
        };
        let guard = match &transaction.guards[..] {
            [] => None,
            [guard] if guard.key == *key || guard.condition == Condition::PrefixAbsent => Some(guard),
            _ => return None,
        };
        Some(Self { transaction, guard, key, put })
    }

    /// What was changed, which is all that the call changed: the namespace's revision was this one before.
    fn change(&self, was: i64, answer: &Answer, outcome: &Reply<Outcome>) -> Option<OwnChange> {
        let Reply::Answer(Ok(Outcome::Committed { revision, results })) = outcome else { return None };
        let key = self.key.clone();
        let change = match (&results[..], self.put) {
            (&[MutationResult::Put { created, ttl }], Some((value, _))) => {
                Change::Put(Entry { key, value: value.clone(), created, version: *revision, ttl })
            }
            (&[MutationResult::Deleted { existed: true }], None) => Change::Deleted(key, *revision),
            _ => return None,
        };
        let (before, after) = ((number(answer.before), number(was)), (number(answer.after), revision.0));
        Some(OwnChange { before, after, change })
    }

    fn arguments(&self, namespace: &str, floor: i64) -> Result<sqlx::postgres::PgArguments, Failure> {
        let (id, fingerprint) = identity(self.transaction);
        let (kind, number) = self.guard.map_or((0, 0), condition);
        let (value, ttl) = self.put.map_or((None, None), |(value, ttl)| (Some(&value[..]), ttl));
        Arguments::default()
            .with(namespace)
            .with(id)
            .with(fingerprint)
            .with(kind)
            .with(self.guard.map(|guard| guard.key.as_str().as_bytes()))
            .with(number)
            .with(if self.put.is_some() { numbers::PUT } else { numbers::DELETE })
            .with(self.key.as_str().as_bytes())
            .with(value)
            .with(ttl.map_or(0, micros))
            .with(sweeps(usize::from(ttl.is_some())))
            .with(floor)
            .arguments()
    }
}

/// The arguments of a call: see `commit.sql`.
#[derive(Default)]
struct Call<'a> {
    ids: Vec<Option<Vec<u8>>>,
    fingerprints: Vec<i64>,
    lasts: Vec<i32>,
    kinds: Vec<i32>,
    slots: Vec<i32>,
    numbers: Vec<i64>,
    ttls: Vec<i64>,
    keys: Vec<&'a Key>,
    values: Vec<&'a [u8]>,
    slot_of: HashMap<&'a Key, i32>,
}

impl<'a> Call<'a> {
    fn of(transactions: &[&'a Transaction]) -> Self {
        let mut call = Self::default();
        for transaction in transactions {
            call.add(transaction);
            call.lasts.push(length(call.kinds.len()));
        }
        call
    }

    fn add(&mut self, transaction: &'a Transaction) {
        let (id, fingerprint) = identity(transaction);
        self.ids.push(id);
        self.fingerprints.push(fingerprint);
        for guard in &transaction.guards {
            let (kind, number) = condition(guard);
            self.operation(kind, &guard.key, number, None);
        }
        for mutation in &transaction.mutations {
            match mutation {
                Mutation::Put { key, value, ttl } => {
                    self.values.push(value);
                    self.operation(numbers::PUT, key, i64::from(length(self.values.len())), *ttl);
                }
                Mutation::Delete { key } => self.operation(numbers::DELETE, key, 0, None),
                Mutation::Add { key, delta, ttl } => self.operation(numbers::ADD, key, *delta, *ttl),
                Mutation::Extend { key, version, ttl } => {
                    self.operation(numbers::EXTEND, key, stored(version.0), Some(*ttl));
                }
                _ => debug_assert!(false, "no other was admitted"),
            }
        }
    }

    fn operation(&mut self, kind: i32, key: &'a Key, number: i64, ttl: Option<Duration>) {
        let next = length(self.keys.len() + 1);
        let keys = &mut self.keys;
        let slot = *self.slot_of.entry(key).or_insert_with(|| {
            keys.push(key);
            next
        });
        self.kinds.push(kind);
        self.slots.push(slot);
        self.numbers.push(number);
        self.ttls.push(ttl.map_or(0, micros));
    }

    fn arguments(&self, namespace: &str, floor: i64) -> Result<sqlx::postgres::PgArguments, Failure> {
        let keys: Vec<_> = self.keys.iter().map(|key| key.as_str().as_bytes()).collect();
        let ids: Vec<_> = self.ids.iter().map(|id| id.as_deref()).collect();
        let adds = self.kinds.iter().zip(&self.ttls).filter(|(kind, ttl)| **kind != numbers::EXTEND && **ttl > 0);
        Arguments::default()
            .with(namespace)
            .with(ids)
            .with(&self.fingerprints)
            .with(&self.lasts)
            .with(&self.kinds)
            .with(&self.slots)
            .with(&self.numbers)
            .with(&self.ttls)
            .with(keys)
            .with(&self.values)
            .with(sweeps(adds.count()))
            .with(floor)
            .arguments()
    }
}

/// A transaction's id and fingerprint.
fn identity(transaction: &Transaction) -> (Option<Vec<u8>>, i64) {
    match transaction.id {
        Some(id) => (Some(id.0.to_be_bytes().to_vec()), transaction.fingerprint().cast_signed()),
        None => (None, 0),
    }
}

/// What a guard asks, and its version.
fn condition(guard: &Guard) -> (i32, i64) {
    match guard.condition {
        Condition::Absent => (numbers::ABSENT, 0),
        Condition::Present => (numbers::PRESENT, 0),
        Condition::VersionIs(Revision(version)) => (numbers::VERSION, stored(version)),
        // No other was admitted.
        _ => (numbers::PREFIX_ABSENT, 0),
    }
}

/// How many that have ended are removed as well: whoever adds keys that end removes more, so that they never pile up.
fn sweeps(adds: usize) -> i32 {
    if adds == 0 { 0 } else { length(adds * 2 + 8) }
}

/// A length or index that a batch's limits keep small.
fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// What the function answers.
struct Answer {
    before: i64,
    after: i64,
    /// What had ended, and was removed.
    ended: Topics,
    decided: Vec<OutcomeRow>,
    /// What refused transactions.
    found: Vec<Entry>,
    now: i64,
}

/// What became of one transaction.
struct OutcomeRow {
    status: i32,
    revision: Revision,
    detail: usize,
    results: String,
}

impl Answer {
    /// `None` if it is not as it must be.
    fn read(row: &PgRow) -> Result<Option<Self>, Failure> {
        let statuses: Vec<i32> = column(row, 4)?;
        let revisions: Vec<i64> = column(row, 5)?;
        let details: Vec<i32> = column(row, 6)?;
        let results: Vec<String> = column(row, 7)?;
        if [revisions.len(), details.len(), results.len()] != [statuses.len(); 3] {
            return Ok(None);
        }
        let decided = statuses.into_iter().zip(revisions).zip(details.into_iter().zip(results));
        let decided = decided.map(|((status, revision), (detail, results))| OutcomeRow {
            status,
            revision: Revision(number(revision)),
            detail: usize::try_from(detail).unwrap_or(0),
            results,
        });
        let Some(found) = found(row)? else { return Ok(None) };
        Ok(Some(Self {
            before: column(row, 0)?,
            after: column(row, 1)?,
            ended: topics(&column::<Vec<Vec<u8>>>(row, 2)?),
            decided: decided.collect(),
            found,
            now: column(row, 11)?,
        }))
    }
}

/// What refused transactions; `None` if it is not as it must be.
fn found(row: &PgRow) -> Result<Option<Vec<Entry>>, sqlx::Error> {
    let keys: Vec<Vec<u8>> = column(row, 8)?;
    let values: Vec<Vec<u8>> = column(row, 9)?;
    let numbers: Vec<i64> = column(row, 10)?;
    let found = keys.into_iter().zip(values).zip(numbers.chunks_exact(3));
    let found = found.map(|((name, value), numbers)| {
        let (created, version) = (Revision(number(numbers[0])), Revision(number(numbers[1])));
        Some(Entry { key: key("commit", name).ok()?, value: value.into(), created, version, ttl: ttl(numbers[2]) })
    });
    Ok(found.collect())
}

impl OutcomeRow {
    fn outcome(&self, transaction: &Transaction, found: &[Entry]) -> Reply<Outcome> {
        match self.status % numbers::REPLAYED {
            numbers::AGAIN => Reply::Again,
            status => Reply::Answer(self.told(status, transaction, found)),
        }
    }

    fn told(&self, status: i32, transaction: &Transaction, found: &[Entry]) -> Result<Outcome> {
        let revision = self.revision;
        match status {
            numbers::COMMITTED => {
                let mut words = self.results.split(',');
                let results = transaction.mutations.iter().map(|mutation| {
                    let word = words.next().unwrap_or_default();
                    result(mutation, word).ok_or_else(|| Error::unreadable("commit", "a result"))
                });
                Ok(Outcome::Committed { revision, results: results.collect::<Result<_>>()? })
            }
            numbers::REFUSED => Ok(Outcome::Refused { guard: self.detail, found: None, revision }),
            numbers::REFUSED_BY => {
                let place: usize = self.results.parse().unwrap_or(0);
                let entry = place.checked_sub(1).and_then(|place| found.get(place));
                let entry = entry.ok_or_else(|| Error::unreadable("commit", "nothing found"))?.clone();
                Ok(Outcome::Refused { guard: self.detail, found: Some(entry), revision })
            }
            numbers::NO_COUNTER => Err(decide::Failure::of(transaction, Some(self.detail), Problem::NoCounter)),
            numbers::OVERFLOW => Err(decide::Failure::of(transaction, Some(self.detail), Problem::Overflow)),
            _ => Err(reused()),
        }
    }
}

/// What a mutation did, as `commit.sql` writes it.
fn result(mutation: &Mutation, word: &str) -> Option<MutationResult> {
    let mut words = word.split(':');
    let first = words.next()?;
    Some(match mutation {
        Mutation::Put { .. } => {
            let created = Revision(first.parse().ok()?);
            MutationResult::Put { created, ttl: ttl(words.next()?.parse().ok()?) }
        }
        Mutation::Delete { .. } => MutationResult::Deleted { existed: first == "1" },
        Mutation::Add { .. } => MutationResult::Added { value: first.parse().ok()? },
        Mutation::Extend { .. } => MutationResult::Extended { ttl: ttl(first.parse().ok()?) },
        _ => return None,
    })
}
