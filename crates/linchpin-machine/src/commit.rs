//! Committing: doing what a transaction comes to.

use crate::machine::Machine;
use crate::time::granted;
use crate::{Effects, Time};
use bytes::Bytes;
use linchpin_adapter::decide::{Decision, Effect, Keys, Standing, decide};
use linchpin_adapter::fanout::Change;
use linchpin_adapter::outcomes::Verdict;
use linchpin_core::{Key, MutationResult, Outcome, Result, Revision, Transaction};

/// What stands in a machine now.
struct Now<'m>(&'m Machine);

impl Keys for Now<'_> {
    fn standing(&self, key: &Key) -> Option<Standing<'_>> {
        let stored = self.0.keys.get(key, self.0.clock)?;
        Some(Standing { value: &stored.value, created: stored.created, version: stored.version })
    }

    fn first(&self, prefix: &str) -> Option<(Key, Revision)> {
        self.0.keys.first(prefix, self.0.clock).map(|(key, stored)| (key.clone(), stored.version))
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
    pub fn commit(&mut self, now: Time, transaction: &Transaction) -> Effects<Result<Outcome>> {
        let mut changes = self.advance(now);
        let outcome = self.decide(transaction, &mut changes);
        Effects { outcome, changes, woken: Vec::new() }
    }

    fn decide(&mut self, transaction: &Transaction, changes: &mut Vec<Change>) -> Result<Outcome> {
        if let Some(known) = self.ids.decision_of(transaction, &self.keys, self.clock)? {
            return Ok(known?);
        }
        let decision = self.decide_anew(transaction, changes);
        self.ids.remember(self.clock, transaction, &decision);
        Ok(decision?)
    }

    fn decide_anew(&mut self, transaction: &Transaction, changes: &mut Vec<Change>) -> Verdict {
        let effects = match decide(transaction, &Now(self)) {
            Decision::Apply(effects) => effects,
            Decision::Fail(failed) => return Err(failed),
            Decision::Refuse(guard, found) => {
                let found = found.and_then(|key| self.keys.entry(&key, self.clock));
                return Ok(Outcome::Refused { guard, found, revision: self.revision });
            }
        };
        if effects.iter().any(Effect::writes) {
            self.next_revision();
        }
        let results = effects.into_iter().map(|effect| self.take(effect, changes)).collect();
        Ok(Outcome::Committed { revision: self.revision, results })
    }

    fn take(&mut self, effect: Effect<'_>, changes: &mut Vec<Change>) -> MutationResult {
        match effect {
            Effect::Put { key, value, ttl } => {
                let ttl = ttl.map(granted);
                let deadline = ttl.map(|ttl| self.clock.after(ttl));
                let created = self.write(key, value.clone(), deadline, changes);
                MutationResult::Put { created, ttl }
            }
            Effect::Add { key, value, ttl } => {
                let deadline = match self.keys.get(key, self.clock) {
                    Some(stored) => stored.deadline,
                    None => ttl.map(|ttl| self.clock.after(ttl)),
                };
                self.write(key, value.to_string().into(), deadline, changes);
                MutationResult::Added { value }
            }
            Effect::Delete { key } => {
                self.keys.remove(key);
                changes.push(Change::Deleted(key.clone(), self.revision));
                MutationResult::Deleted { existed: true }
            }
            Effect::Extend { key, ttl } => {
                let ttl = granted(ttl);
                self.keys.renew(key, self.clock.after(ttl));
                MutationResult::Extended { ttl: Some(ttl) }
            }
            Effect::Nothing(result) => result,
        }
    }

    fn write(&mut self, key: &Key, value: Bytes, deadline: Option<Time>, changes: &mut Vec<Change>) -> Revision {
        let created = self.keys.write(key, value, self.revision, deadline);
        changes.extend(self.keys.entry(key, self.clock).map(Change::Put));
        created
    }
}
