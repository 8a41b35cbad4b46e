//! Transactions over several keys: all their messages are stored as one batch, or none.

use crate::bucket::Bucket;
use crate::codec::{META, Meta, Time};
use crate::commit::{Attempt, Committer, Draft, attempt, outcome_message, too_busy, without_writing};
use crate::connection::Ack;
use crate::decide::{Step, decide};
use crate::error::Refusal;
use crate::ids::Decided;
use crate::known::Standing;
use crate::state::tombstone;
use bytes::Bytes;
use linchpin_adapter::backoff::Contention;
use linchpin_core::{Error, Key, Mutation, Outcome, Result, Revision, Transaction, TransactionId};
use std::collections::HashMap;
use std::time::Duration;

/// More keys than this are written upon what is known of them.
const MANY: usize = 16;

impl Committer {
    /// Writes several keys, or asks of others than it writes: all messages are stored, or none.
    pub(crate) async fn write_several<'t>(&self, bucket: &Bucket, transaction: &'t Transaction) -> Result<Outcome> {
        let keys = keys_of(transaction);
        let subjects: Vec<_> = keys.iter().map(|key| bucket.names.key(key)).collect();
        let _turns = self.turns.of_all(&keys).await;
        let mut pauses = Contention::up_to(Duration::from_millis(120)).from(Duration::from_millis(4));
        // To read many keys costs the server more than a batch that it refuses; of few it is the other way round.
        let known = |key: &&'t Key| Some((*key, self.known.get(key).filter(|_| keys.len() > MANY)?));
        let mut guess: Option<HashMap<&'t Key, Standing>> = keys.iter().map(known).collect();
        loop {
            let place = self.batches.acquire().await;
            // What is known may be out of date: it may only be written upon, and then the server decides.
            let (standings, at) = if let Some(known) = guess.take() {
                (known, None)
            } else {
                let (found, at) = bucket.read("commit", &subjects).await?;
                let standing = |subject| found.get(subject).map(Standing::of).unwrap_or_default();
                (keys.iter().copied().zip(subjects.iter().map(standing)).collect(), Some(at))
            };
            let now = bucket.clock.now();
            if let Some(ending) = standings.values().find(|standing| standing.is_ending(now)) {
                drop(place);
                ending.has_ended(bucket).await;
                continue;
            }
            let steps = match decide(transaction, |key| standings.get(key), at.unwrap_or_default(), now) {
                Ok(steps) if steps.iter().any(|step| !matches!(step, Step::Nothing(_))) => steps,
                _ if at.is_none() => continue,
                decided => {
                    return self.keep(bucket, transaction, without_writing(decided, at.unwrap_or_default())).await;
                }
            };
            let drafts = self.batch(bucket, transaction, &standings, &steps, now);
            match self.store_batch(bucket, transaction.id, drafts).await? {
                Attempt::Stored(ack) => {
                    let revision = Revision(ack.sequence);
                    for key in &keys {
                        self.known.forget(key);
                    }
                    let results = steps.iter().map(|step| step.result(revision)).collect();
                    return Ok(Outcome::Committed { revision, results });
                }
                Attempt::Duplicate(sequence) => return self.repeated(bucket, transaction, sequence).await,
                Attempt::Changed => {
                    drop(place);
                    pauses.pause().await;
                }
            }
        }
    }

    /// The messages of a transaction over several keys: first what is only asked of, and what is remembered of it.
    fn batch(
        &self,
        bucket: &Bucket,
        transaction: &Transaction,
        standings: &HashMap<&Key, Standing>,
        steps: &[Step],
        now: Time,
    ) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let writes = |key: &Key| {
            let step = transaction.mutations.iter().zip(steps).find(|(mutation, _)| mutation.key() == key);
            step.is_some_and(|(_, step)| !matches!(step, Step::Nothing(_)))
        };
        for (key, standing) in standings.iter().filter(|(key, _)| !writes(key)) {
            drafts.push(check(bucket, key, standing, drafts.len()));
        }
        if let Some(id) = transaction.id {
            let results = steps.iter().map(|step| step.result(Revision(0))).collect();
            let decided = Decided::Outcome(Outcome::Committed { revision: Revision(0), results });
            drafts.push(outcome_message(bucket, transaction, id, &decided));
        }
        let writing: Vec<_> =
            transaction.mutations.iter().zip(steps).filter(|(_, step)| !matches!(step, Step::Nothing(_))).collect();
        let count = writing.len();
        drafts.extend(writing.into_iter().enumerate().map(|(index, (mutation, step))| {
            let rest = (count - 1 - index) as u64;
            self.draft(bucket, mutation.key(), &standings[mutation.key()], step, None, rest, now).1
        }));
        // An outcome among them is of the revision of the last.
        let total = drafts.len();
        for (index, draft) in drafts.iter_mut().enumerate().take(total - count) {
            draft.headers.insert(META, Meta { rest: (total - 1 - index) as u64, ..Meta::default() }.write().as_str());
        }
        drafts
    }

    async fn store_batch(&self, bucket: &Bucket, id: Option<TransactionId>, drafts: Vec<Draft>) -> Result<Attempt> {
        // Without what is only asked of there may be one.
        if let [only] = &*drafts {
            let Draft { subject, headers, payload } = only;
            let only = Draft { subject: subject.clone(), headers: headers.clone(), payload: payload.clone() };
            return self.store(bucket, id, only).await;
        }
        let mut pauses = Contention::default().at_most(100);
        loop {
            let on_its_way = self.open.send(id);
            let stored = send_batch(bucket, &drafts).await?;
            on_its_way.answered();
            match attempt(bucket, stored).await? {
                Some(attempt) => return Ok(attempt),
                None => pauses.pause_or(too_busy).await?,
            }
        }
    }
}

async fn send_batch(bucket: &Bucket, drafts: &[Draft]) -> Result<Result<Ack, Refusal>> {
    let batch = format!("{:032x}", fastrand::u128(..));
    let connection = &bucket.connection;
    let mut left = drafts.len();
    for (index, Draft { subject, headers, payload }) in drafts.iter().enumerate() {
        let mut headers = headers.clone();
        headers.insert("Nats-Batch-Id", batch.as_str());
        headers.insert("Nats-Batch-Sequence", (index + 1).to_string().as_str());
        left -= 1;
        if left == 0 {
            headers.insert("Nats-Batch-Commit", "1");
            return connection.store("commit", subject.clone(), headers, payload.clone()).await;
        }
        connection.send("commit", subject.clone(), None, Some(headers), payload.clone()).await?;
    }
    Err(Error::unreadable("commit", "a batch of nothing"))
}

/// The keys that a transaction writes or asks of.
fn keys_of(transaction: &Transaction) -> Vec<&Key> {
    let asked = transaction.guards.iter().map(|guard| &guard.key);
    let mut keys: Vec<_> = asked.chain(transaction.mutations.iter().map(Mutation::key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A message that is stored only if a key stands as it does, and then means nothing.
fn check(bucket: &Bucket, key: &Key, standing: &Standing, place: usize) -> Draft {
    let mut headers = tombstone(true, Duration::from_secs(1));
    headers.insert("Nats-Expected-Last-Subject-Sequence", standing.sequence.to_string().as_str());
    headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", bucket.names.key(key).as_str());
    Draft { subject: bucket.names.check(place), headers, payload: Bytes::new() }
}
