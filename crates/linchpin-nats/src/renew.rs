//! Letting keys live longer: each on its own, all at once.

use crate::bucket::{AT_ONCE, Bucket, READ_LIMIT};
use crate::commit::{Attempt, Committer};
use crate::decide::{Step, decide};
use crate::known::Standing;
use futures::{StreamExt, TryStreamExt, stream};
use linchpin_adapter::backoff::Contention;
use linchpin_core::{Key, Mutation, MutationResult, Outcome, Result, Revision, Transaction};

/// What is left to do, by the index of the mutation: what is thought to stand at its key, and as of which revision if it
/// was looked at.
type Left<'a> = Vec<(usize, &'a Mutation, Option<Standing>)>;

impl Committer {
    /// Commits a transaction that only extends. One that cannot does not fail the others, and none is a new version: so
    /// nobody can tell them from as many transactions, which are all on their way at once.
    pub(crate) async fn renew(&self, bucket: &Bucket, transaction: &Transaction) -> Result<Outcome> {
        let mut results = vec![MutationResult::Extended { ttl: None }; transaction.mutations.len()];
        let mut revision = Revision(0);
        let known = |(index, mutation): (usize, _)| (index, mutation, self.known.get(Mutation::key(mutation)));
        let mut left: Left<'_> = transaction.mutations.iter().enumerate().map(known).collect();
        let mut pauses = Contention::default();
        let mut looked = false;
        while !left.is_empty() {
            if looked {
                pauses.pause().await;
            }
            revision = revision.max(self.look_at(bucket, &mut left, looked).await?);
            let attempts: Vec<_> = left
                .iter()
                .map(|(index, mutation, standing)| async move {
                    let attempt = self.renew_one(bucket, mutation, standing.as_ref(), looked).await?;
                    Ok::<_, linchpin_core::Error>((*index, *mutation, attempt))
                })
                .collect();
            let attempts: Vec<_> = stream::iter(attempts).buffer_unordered(AT_ONCE).try_collect().await?;
            left = Vec::new();
            for (index, mutation, renewed) in attempts {
                match renewed {
                    Some((result, at)) => {
                        results[index] = result;
                        revision = revision.max(at);
                    }
                    None => left.push((index, mutation, None)),
                }
            }
            looked = true;
        }
        Ok(Outcome::Committed { revision, results })
    }

    /// Looks at those that nothing is known of; at all of them if `all`.
    async fn look_at(&self, bucket: &Bucket, left: &mut Left<'_>, all: bool) -> Result<Revision> {
        let mut revision = Revision(0);
        let now = bucket.clock.now();
        let unknown = left.iter_mut().filter(|(_, _, standing)| {
            all || standing.as_ref().is_none_or(|standing| standing.content.is_none() || standing.is_ending(now))
        });
        let mut unknown: Vec<_> = unknown.collect();
        for some in unknown.chunks_mut(READ_LIMIT - 1) {
            let subjects: Vec<_> = some.iter().map(|(_, mutation, _)| bucket.names.key(mutation.key())).collect();
            let (mut found, at) = bucket.read("commit", &subjects).await?;
            revision = revision.max(at);
            for ((_, mutation, standing), subject) in some.iter_mut().zip(&subjects) {
                let found = found.remove(subject).map(|message| Standing::of(&message)).unwrap_or_default();
                self.known.put(mutation.key(), found.clone());
                *standing = Some(found);
            }
        }
        Ok(revision)
    }

    /// `None` if it has to be looked at again.
    async fn renew_one(
        &self,
        bucket: &Bucket,
        mutation: &Mutation,
        standing: Option<&Standing>,
        looked: bool,
    ) -> Result<Option<(MutationResult, Revision)>> {
        let key: &Key = mutation.key();
        let now = bucket.clock.now();
        let Some(standing) = standing else { return Ok(None) };
        let alone = Transaction { mutations: vec![mutation.clone()], ..Transaction::new() };
        let Ok(steps) = decide(&alone, |_| Some(standing), Revision(0), now) else {
            return Ok(None);
        };
        match &steps[0] {
            // Nothing is written, so nothing but a look says that it is still so.
            Step::Nothing(result) => Ok(looked.then_some((*result, Revision(0)))),
            step => {
                let (list, draft) = self.draft(bucket, key, standing, step, None, 0, now);
                match self.store(bucket, None, draft).await? {
                    Attempt::Stored(ack) => {
                        let at = Revision(ack.sequence);
                        self.note(bucket, key, standing, step, (at, ack.sequence), list);
                        Ok(Some((step.result(at), at)))
                    }
                    Attempt::Changed | Attempt::Duplicate(_) => Ok(None),
                }
            }
        }
    }
}
