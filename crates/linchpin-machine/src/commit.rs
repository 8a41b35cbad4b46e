//! Committing: what a transaction finds, what it will do, and doing it.

use crate::ids::{Decision, NoSum, Problem};
use crate::machine::Machine;
use crate::time::granted;
use crate::{Applied, Time};
use bytes::Bytes;
use linchpin_adapter::fanout::Change;
use linchpin_core::{Condition, Key, Mutation, MutationResult, Outcome, Result, Revision, Transaction, counter};
use std::time::Duration;

/// What a mutation will do; decided for all of a transaction before the first of them is done.
enum Step<'t> {
    Put {
        key: &'t Key,
        value: Bytes,
        ttl: Option<Duration>,
    },
    Add {
        key: &'t Key,
        value: i64,
        deadline: Option<Time>,
    },
    Delete {
        key: &'t Key,
    },
    Extend {
        key: &'t Key,
        ttl: Duration,
    },
    /// Nothing changes; this is the result.
    Nothing(MutationResult),
}

impl Step<'_> {
    /// Whether it makes a new revision.
    fn writes(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Add { .. } | Self::Delete { .. })
    }
}

impl Machine {
    /// Checks the guards in their order and applies all mutations or none, as
    /// [`Driver::commit`](linchpin_core::Driver::commit) says. What became of one with an id is
    /// remembered for [`ID_WINDOW`](crate::ID_WINDOW).
    ///
    /// The caller has checked it with [`Capabilities::admit_commit`](linchpin_core::Capabilities::admit_commit).
    ///
    /// # Errors
    /// The outcome is `Conflict` for a counter that would overflow, a value that is no counter, and an id
    /// that another transaction used; then nothing was applied.
    ///
    /// ```
    /// use linchpin_core::{Key, Transaction};
    /// use linchpin_machine::{Machine, Time};
    /// let (mut machine, key) = (Machine::new(), Key::new("leader")?);
    /// let claim = Transaction::new().absent(key.clone()).put(key, "me", None);
    /// assert!(machine.commit(Time::from_micros(1), &claim).outcome?.is_committed());
    /// assert!(!machine.commit(Time::from_micros(2), &claim).outcome?.is_committed());
    /// # Ok::<(), linchpin_core::Error>(())
    /// ```
    pub fn commit(&mut self, now: Time, transaction: &Transaction) -> Applied<Result<Outcome>> {
        let mut changes = self.advance(now);
        let outcome = self.decide(transaction, &mut changes);
        Applied { outcome, changes, woken: Vec::new() }
    }

    fn decide(&mut self, transaction: &Transaction, changes: &mut Vec<Change>) -> Result<Outcome> {
        if let Some(known) = self.ids.decision_of(transaction, &self.keys, self.clock)? {
            return Ok(known?);
        }
        let decision = self.decide_anew(transaction, changes);
        self.ids.remember(self.clock, transaction, &decision);
        Ok(decision?)
    }

    fn decide_anew(&mut self, transaction: &Transaction, changes: &mut Vec<Change>) -> Decision {
        if let Some(refused) = self.refusal(transaction) {
            return Ok(refused);
        }
        let steps = transaction.mutations.iter().map(|mutation| self.step(mutation));
        let steps = steps.collect::<std::result::Result<Vec<_>, NoSum>>()?;
        if steps.iter().any(Step::writes) {
            self.next_revision();
        }
        let results = steps.into_iter().map(|step| self.take(step, changes)).collect();
        Ok(Outcome::Committed { revision: self.revision, results })
    }

    fn refusal(&self, transaction: &Transaction) -> Option<Outcome> {
        transaction.guards.iter().enumerate().find_map(|(index, guard)| {
            let found = match guard.condition {
                Condition::PrefixAbsent => self.keys.first(guard.key.as_str(), self.clock),
                _ => self.keys.get(&guard.key, self.clock).map(|stored| (&guard.key, stored)),
            };
            if guard.condition.holds(found.map(|(_, stored)| stored.version)) {
                return None;
            }
            let found = found.map(|(key, stored)| stored.entry(key, self.clock));
            Some(Outcome::Refused { guard: index, found, revision: self.revision })
        })
    }

    fn step<'t>(&self, mutation: &'t Mutation) -> std::result::Result<Step<'t>, NoSum> {
        let stored = self.keys.get(mutation.key(), self.clock);
        Ok(match mutation {
            Mutation::Put { key, value, ttl } => Step::Put { key, value: value.clone(), ttl: ttl.map(granted) },
            Mutation::Delete { key } if stored.is_some() => Step::Delete { key },
            Mutation::Delete { .. } => Step::Nothing(MutationResult::Deleted { existed: false }),
            Mutation::Add { key, delta, ttl } => {
                let value = sum(stored.map(|stored| &stored.value), *delta)
                    .map_err(|problem| NoSum { key: key.clone(), problem })?;
                let deadline = match stored {
                    Some(stored) => stored.deadline,
                    None => ttl.map(|ttl| self.clock.after(ttl)),
                };
                Step::Add { key, value, deadline }
            }
            Mutation::Extend { key, version, ttl } if stored.is_some_and(|stored| stored.version == *version) => {
                Step::Extend { key, ttl: granted(*ttl) }
            }
            Mutation::Extend { .. } => Step::Nothing(MutationResult::Extended { ttl: None }),
        })
    }

    fn take(&mut self, step: Step<'_>, changes: &mut Vec<Change>) -> MutationResult {
        match step {
            Step::Put { key, value, ttl } => {
                let deadline = ttl.map(|ttl| self.clock.after(ttl));
                let created = self.write(key, value, deadline, changes);
                MutationResult::Put { created, ttl }
            }
            Step::Add { key, value, deadline } => {
                self.write(key, value.to_string().into(), deadline, changes);
                MutationResult::Added { value }
            }
            Step::Delete { key } => {
                self.keys.remove(key);
                changes.push(Change::Deleted(key.clone(), self.revision));
                MutationResult::Deleted { existed: true }
            }
            Step::Extend { key, ttl } => {
                self.keys.renew(key, self.clock.after(ttl));
                MutationResult::Extended { ttl: Some(ttl) }
            }
            Step::Nothing(result) => result,
        }
    }

    fn write(&mut self, key: &Key, value: Bytes, deadline: Option<Time>, changes: &mut Vec<Change>) -> Revision {
        let created = self.keys.write(key, value, self.revision, deadline);
        changes.extend(self.keys.entry(key, self.clock).map(Change::Put));
        created
    }
}

/// The counter after adding to it.
fn sum(value: Option<&Bytes>, delta: i64) -> std::result::Result<i64, Problem> {
    let current = match value {
        Some(value) => counter(value).ok_or(Problem::NoCounter)?,
        None => 0,
    };
    current.checked_add(delta).ok_or(Problem::Overflow)
}
