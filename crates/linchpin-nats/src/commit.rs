//! Committing: a transaction is decided by what stands at its keys, and written so that it fails if that has changed.

use crate::bucket::Bucket;
use crate::codec::{Content, IDS, META, Meta, Time};
use crate::connection::Ack;
use crate::decide::{Step, decide, granted};
use crate::error::Refusal;
use crate::ids::{
    Decided, ID_WINDOW, Remembered, forgotten, next_list, read_outcome, split_list, write_list, write_outcome,
};
use crate::known::{Known, Open, Standing, Turns};
use crate::state::{TOMBSTONE_TTL, tombstone};
use async_nats::HeaderMap;
use bytes::Bytes;
use linchpin_adapter::backoff::Contention;
use linchpin_adapter::outcomes::reused;
use linchpin_core::{
    Condition, Error, ErrorKind, Guard, Key, Mutation, MutationResult, Outcome, Result, Retry, Revision, Transaction,
    TransactionId,
};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many batches of a handle are on their way at once: the server takes 50 of a stream with several copies. Where
/// there is one copy it stores them one after the other, each with a write to its disk, so a second would only wait, and
/// what it expects would be out of date by then.
const fn batches(replicas: usize) -> usize {
    if replicas == 1 { 1 } else { 8 }
}

/// Commits transactions, and knows what helps with that.
pub(crate) struct Committer {
    pub(crate) known: Known,
    pub(crate) turns: Turns,
    pub(crate) open: Open,
    pub(crate) batches: Semaphore,
    /// Tells this handle's transactions from those of others.
    writer: u32,
}

/// A message to be written: where, expecting what, and its headers and payload.
pub(crate) struct Draft {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

/// What came of an attempt to write.
pub(crate) enum Attempt {
    Stored(Ack),
    /// What was expected does not stand there any more, as far as the server says.
    Changed,
    Duplicate(u64),
}

/// Of how many keys a transaction is.
enum Shape<'a> {
    /// It lets keys live longer, each on its own.
    Renewals,
    /// It writes one key, and asks of no other.
    OneKey(&'a Key),
    Several,
}

impl Shape<'_> {
    fn of(transaction: &Transaction) -> Shape<'_> {
        let Transaction { id, guards, mutations } = transaction;
        let is_renewal = |mutation: &Mutation| matches!(mutation, Mutation::Extend { .. });
        match &**mutations {
            [_, ..] if id.is_none() && guards.is_empty() && mutations.iter().all(is_renewal) => Shape::Renewals,
            [only] if guards.iter().all(|guard| guard.key == *only.key()) => Shape::OneKey(only.key()),
            _ => Shape::Several,
        }
    }
}

impl Committer {
    pub(crate) fn new(replicas: usize) -> Self {
        let (known, turns, open) = (Known::default(), Turns::default(), Open::default());
        Self { known, turns, open, batches: Semaphore::new(batches(replicas)), writer: fastrand::u32(..) }
    }

    pub(crate) async fn commit(&self, bucket: &Bucket, transaction: &Transaction) -> Result<Outcome> {
        match Shape::of(transaction) {
            Shape::Renewals => self.renew(bucket, transaction).await,
            Shape::OneKey(key) => {
                let _turn = self.turns.of(key).await;
                self.write_one(bucket, transaction, key).await
            }
            Shape::Several => self.write_several(bucket, transaction).await,
        }
    }

    async fn write_one(&self, bucket: &Bucket, transaction: &Transaction, key: &Key) -> Result<Outcome> {
        let mut guess = self.known.get(key);
        // Who creates a key expects that there is none.
        if transaction.guards.iter().any(|guard| guard.condition == Condition::Absent) {
            guess = guess.or_else(|| Some(Standing::default()));
        }
        let mut pauses = Contention::default();
        loop {
            // What is known may be out of date: it may only be written upon, and then the server decides.
            if let Some(ending) = guess.as_ref().filter(|known| known.is_ending(bucket.clock.now())) {
                ending.has_ended(bucket).await;
                guess = None;
            }
            let (standing, revision) = if let Some(known) = guess.take() {
                (known, None)
            } else {
                let (standing, revision) = self.look(bucket, key).await?;
                if standing.is_ending(bucket.clock.now()) {
                    guess = Some(standing);
                    continue;
                }
                (standing, Some(revision))
            };
            if let Some(id) = transaction.id
                && let Some(before) = standing.remembers(id)
            {
                return if before.fingerprint == transaction.fingerprint() {
                    Ok(before.outcome())
                } else {
                    Err(reused())
                };
            }
            let now = bucket.clock.now();
            let at = revision.unwrap_or_default();
            let steps = match decide(transaction, |_| Some(&standing), at, now) {
                Ok(steps) if steps.iter().any(|step| !matches!(step, Step::Nothing(_))) => steps,
                _ if revision.is_none() => continue,
                decided => return self.keep(bucket, transaction, without_writing(decided, at)).await,
            };
            let standing = self.lighten(bucket, key, standing, now).await?;
            let (list, draft) = self.draft(bucket, key, &standing, &steps[0], Some(transaction), 0, now);
            match self.store(bucket, transaction.id, draft).await? {
                Attempt::Stored(ack) => {
                    let revision = Revision(ack.sequence);
                    self.note(bucket, key, &standing, &steps[0], (revision, ack.sequence), list);
                    let results = vec![steps[0].result(revision)];
                    return Ok(Outcome::Committed { revision, results });
                }
                Attempt::Duplicate(sequence) => return self.repeated(bucket, transaction, sequence).await,
                Attempt::Changed => pauses.pause().await,
            }
        }
    }

    /// Sends what makes a key's list long into a message of its own, ahead of the next one of the key.
    async fn lighten(&self, bucket: &Bucket, key: &Key, standing: Standing, now: Time) -> Result<Standing> {
        let is_own_and_answered = |one: &Remembered| one.writer == self.writer && !self.open.contains(one.id);
        let Some((rest, answered)) = split_list(&standing.ids(), now, is_own_and_answered) else { return Ok(standing) };
        let mut headers = tombstone(bucket.features.is_modern, ID_WINDOW);
        headers.insert(IDS, write_list(&answered).unwrap_or_default().as_str());
        let subject = bucket.names.answered(key, standing.sequence, self.writer);
        bucket.connection.send("commit", subject, None, Some(headers), Bytes::new()).await?;
        Ok(standing.with_ids(rest))
    }

    async fn look(&self, bucket: &Bucket, key: &Key) -> Result<(Standing, Revision)> {
        let subject = bucket.names.key(key);
        let (found, revision) = bucket.read("commit", std::slice::from_ref(&subject)).await?;
        let standing = found.get(&subject).map(Standing::of).unwrap_or_default();
        self.known.put(key, standing.clone());
        Ok((standing, revision))
    }

    pub(crate) async fn store(&self, bucket: &Bucket, id: Option<TransactionId>, draft: Draft) -> Result<Attempt> {
        let mut pauses = Contention::default().at_most(100);
        loop {
            let on_its_way = self.open.send(id);
            let (subject, headers, payload) = (draft.subject.clone(), draft.headers.clone(), draft.payload.clone());
            let stored = bucket.connection.store("commit", subject, headers, payload).await?;
            on_its_way.answered();
            match attempt(bucket, stored).await? {
                Some(attempt) => return Ok(attempt),
                None => pauses.pause_or(too_busy).await?,
            }
        }
    }

    /// The message that a step writes, and the transactions that it lists.
    #[allow(clippy::too_many_arguments, reason = "what a message says comes from many sides")]
    pub(crate) fn draft(
        &self,
        bucket: &Bucket,
        key: &Key,
        standing: &Standing,
        step: &Step,
        transaction: Option<&Transaction>,
        rest: u64,
        now: Time,
    ) -> (Vec<Remembered>, Draft) {
        // A transaction over several keys is remembered in a message of its own.
        let new = transaction.and_then(|transaction| self.remember(transaction, step));
        let id = new.as_ref().map(|new| new.id);
        let list = next_list(&standing.ids(), new, now);
        let mut ttl = None;
        let (mut headers, meta, payload) = match step {
            Step::Put { value, created, ttl: granted, end, .. } => {
                ttl = *granted;
                let (created, end) = (created.map_or(0, |at| at.0), end.map_or(0, |end| end.0));
                (HeaderMap::new(), Meta { created, version: 0, rest, end }, value.clone())
            }
            Step::Renew { ttl: granted, .. } => {
                ttl = Some(*granted);
                let Content { value, created, version, .. } = standing.content.clone().unwrap_or_default();
                (HeaderMap::new(), Meta { created: created.0, version: version.0, rest, end: 0 }, value)
            }
            Step::Delete | Step::Nothing(_) => {
                let is_of_others = list.iter().any(|one| one.writer != self.writer || self.open.contains(one.id));
                let ttl = if is_of_others {
                    ID_WINDOW
                } else if transaction.is_some_and(may_be_repeated) {
                    REPEATED_FOR
                } else {
                    TOMBSTONE_TTL
                };
                (tombstone(bucket.features.is_modern, ttl), Meta { rest, ..Meta::default() }, Bytes::new())
            }
        };
        headers.insert(META, meta.write().as_str());
        headers.insert("Nats-Expected-Last-Subject-Sequence", standing.sequence.to_string().as_str());
        if let Some(ttl) = ttl {
            headers.insert("Nats-TTL", ttl.as_secs().to_string().as_str());
        }
        if let Some(id) = id {
            headers.insert("Nats-Msg-Id", id.to_string().as_str());
        }
        if let Some(list) = write_list(&list) {
            headers.insert(IDS, list.as_str());
        }
        (list, Draft { subject: bucket.names.key(key), headers, payload })
    }

    /// What a message says of the transaction that writes it.
    fn remember(&self, transaction: &Transaction, step: &Step) -> Option<Remembered> {
        let (writer, fingerprint) = (self.writer, transaction.fingerprint());
        let (at, revision) = (Time(0), Revision(0));
        transaction.id.map(|id| Remembered { id, fingerprint, writer, at, revision, result: step.result(revision) })
    }

    /// Notes what stands at a key after a step was written.
    pub(crate) fn note(
        &self,
        bucket: &Bucket,
        key: &Key,
        before: &Standing,
        step: &Step,
        (revision, sequence): (Revision, u64),
        mut ids: Vec<Remembered>,
    ) {
        let now = bucket.clock.now();
        for own in ids.iter_mut().filter(|one| one.revision == Revision(0)) {
            (own.at, own.revision) = (now, revision);
            own.result = step.result(revision);
        }
        let lives = |ttl: &Option<Duration>| ttl.map(|ttl| (ttl, now.after(ttl)));
        let content = match step {
            Step::Put { value, created, ttl, end, .. } => Some(Content {
                value: value.clone(),
                created: created.unwrap_or(revision),
                version: revision,
                ttl: end.and_then(|end| ttl.map(|ttl| (ttl, end))).or_else(|| lives(ttl)),
                removed: lives(ttl).map(|(_, end)| end),
            }),
            Step::Renew { ttl, .. } => before.content.clone().map(|content| Content {
                ttl: lives(&Some(*ttl)),
                removed: Some(now.after(*ttl)),
                ..content
            }),
            Step::Delete | Step::Nothing(_) => None,
        };
        self.known.put(key, Standing::new(sequence, content, ids));
    }

    /// Keeps what became of a transaction that wrote nothing, if it has an id: what was refused stays refused.
    pub(crate) async fn keep(&self, bucket: &Bucket, transaction: &Transaction, decided: Decided) -> Result<Outcome> {
        if let Some(id) = transaction.id {
            let draft = outcome_message(bucket, transaction, id, &decided);
            if let Attempt::Duplicate(sequence) = self.store(bucket, Some(id), draft).await? {
                return self.repeated(bucket, transaction, sequence).await;
            }
        }
        decided.into_result(transaction)
    }

    /// The first outcome of a transaction that the server knows by its id.
    pub(crate) async fn repeated(&self, bucket: &Bucket, transaction: &Transaction, sequence: u64) -> Result<Outcome> {
        let Some(id) = transaction.id else { return Err(forgotten(sequence)) };
        let fingerprint = transaction.fingerprint();
        let mut subjects: Vec<_> =
            transaction.mutations.iter().map(|mutation| bucket.names.key(mutation.key())).collect();
        subjects.push(bucket.names.outcome(id));
        // It was applied, whatever becomes of asking for its outcome.
        let applied = |error: Error| error.with_retry(Retry::Unknown);
        let (found, _) = bucket.read("commit", &subjects).await.map_err(applied)?;
        let mut messages: Vec<_> = found.into_values().collect();
        // A batch is refused without saying where the first one is: its outcome has a message of its own.
        if sequence > 0 {
            messages.extend(bucket.read_at("commit", sequence).await.map_err(applied)?);
        }
        for message in &messages {
            if let Some(before) = Standing::of(message).remembers(id) {
                return if before.fingerprint == fingerprint { Ok(before.outcome()) } else { Err(reused()) };
            }
            if message.subject == bucket.names.outcome(id)
                && let Some((theirs, decided)) = read_outcome(message, crate::codec::read_key(message).1)?
            {
                return if theirs == fingerprint { decided.into_result(transaction) } else { Err(reused()) };
            }
        }
        if let Some(before) = self.answered(bucket, transaction, id, sequence).await.map_err(applied)? {
            return if before.fingerprint == fingerprint { Ok(before.outcome()) } else { Err(reused()) };
        }
        applied_at(transaction, sequence).ok_or_else(|| forgotten(sequence))
    }

    /// What is kept, beside its key's list, of a transaction that was applied at a place in the stream.
    async fn answered(
        &self,
        bucket: &Bucket,
        transaction: &Transaction,
        id: TransactionId,
        sequence: u64,
    ) -> Result<Option<Remembered>> {
        let Some(mutation) = transaction.mutations.first().filter(|_| sequence > 0) else { return Ok(None) };
        let (filter, mut from) = (bucket.names.all_answered(mutation.key()), sequence);
        // Other handles keep theirs in between.
        while let Some(message) = bucket.read_next("commit", from, &filter).await? {
            if let Some(one) = Standing::of(&message).remembers(id) {
                return Ok(Some(one));
            }
            from = message.sequence + 1;
        }
        Ok(None)
    }
}

pub(crate) fn too_busy() -> Error {
    let problem = "the server has too much of this kind on its way";
    Error::new(ErrorKind::ResourceExhausted, "commit", problem).with_retry(Retry::Safe)
}

/// For how long somebody who got no answer asks again.
const REPEATED_FOR: Duration = Duration::from_secs(15);

/// Whether a deletion that is sent again could delete what another has written since.
fn may_be_repeated(transaction: &Transaction) -> bool {
    let is_of_a_version = |guard: &Guard| matches!(guard.condition, Condition::VersionIs(_));
    transaction.id.is_some() && !transaction.guards.iter().any(is_of_a_version)
}

/// What a transaction comes to that was applied at this revision, though its message is gone: of a key that it created or
/// deleted that is known.
fn applied_at(transaction: &Transaction, revision: u64) -> Option<Outcome> {
    let revision = Some(Revision(revision)).filter(|revision| revision.0 > 0)?;
    let creates =
        |key: &Key| transaction.guards.iter().any(|guard| guard.key == *key && guard.condition == Condition::Absent);
    let result = match &*transaction.mutations {
        [Mutation::Put { key, ttl, .. }] if creates(key) => {
            MutationResult::Put { created: revision, ttl: ttl.map(granted) }
        }
        // If there is nothing to delete, nothing is written in its place.
        [Mutation::Delete { .. }] => MutationResult::Deleted { existed: true },
        _ => return None,
    };
    Some(Outcome::Committed { revision, results: vec![result] })
}

/// What the answer to a write comes to; `None` if the same is to be tried again.
pub(crate) async fn attempt(bucket: &Bucket, stored: Result<Ack, Refusal>) -> Result<Option<Attempt>> {
    match stored {
        Ok(ack) if ack.duplicate => Ok(Some(Attempt::Duplicate(ack.sequence))),
        Ok(ack) => Ok(Some(Attempt::Stored(ack))),
        Err(refusal) if refusal.is_wrong_sequence() => Ok(Some(Attempt::Changed)),
        Err(refusal) if refusal.is_duplicate() => Ok(Some(Attempt::Duplicate(0))),
        Err(refusal) if refusal.is_passing() => Ok(None),
        Err(refusal) => Err(bucket.refused("commit", refusal).await),
    }
}

/// A message that keeps an outcome for as long as its transaction's id is remembered.
pub(crate) fn outcome_message(
    bucket: &Bucket,
    transaction: &Transaction,
    id: TransactionId,
    decided: &Decided,
) -> Draft {
    // Marked so that it leaves no mark itself when it ends.
    // It outlives what the server remembers of the id.
    let mut headers = tombstone(true, ID_WINDOW + Duration::from_secs(5));
    headers.insert("Nats-Msg-Id", id.to_string().as_str());
    let payload = write_outcome(&mut headers, transaction.fingerprint(), decided);
    Draft { subject: bucket.names.outcome(id), headers, payload }
}

/// What a transaction comes to that writes nothing.
pub(crate) fn without_writing(decided: Result<Vec<Step>, Decided>, revision: Revision) -> Decided {
    decided.map_or_else(
        |decided| decided,
        |steps| {
            let results: Vec<MutationResult> = steps.iter().map(|step| step.result(revision)).collect();
            Decided::Outcome(Outcome::Committed { revision, results })
        },
    )
}
