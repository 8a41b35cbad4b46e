//! What the contract says of keys and transactions, in the simplest words.

use linchpin_core::{Condition, Entry, ErrorKind, Key, Mutation, MutationResult, Outcome, Revision, Transaction};
use linchpin_machine::{Command, ID_WINDOW, Time};
use std::collections::HashMap;

#[derive(Clone)]
struct Value {
    bytes: Vec<u8>,
    created: Revision,
    version: Revision,
    deadline: Option<Time>,
}

#[derive(Clone, Default)]
pub(crate) struct StateModel {
    clock: Time,
    pub(crate) revision: Revision,
    keys: HashMap<String, Value>,
    remembered: Vec<(Time, Transaction, Result<Outcome, ErrorKind>)>,
}

impl StateModel {
    pub(crate) fn get(&self, now: Time, key: &Key) -> Option<Entry> {
        let now = now.max(self.clock);
        let found = self.keys.get(key.as_str()).filter(|found| found.deadline.is_none_or(|deadline| now < deadline))?;
        Some(Entry {
            key: key.clone(),
            value: found.bytes.clone().into(),
            created: found.created,
            version: found.version,
            ttl: found.deadline.map(|deadline| deadline.since(now)),
        })
    }

    fn first(&self, now: Time, prefix: &str) -> Option<Entry> {
        let mut names: Vec<&String> = self.keys.keys().filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        names.into_iter().find_map(|name| self.get(now, &Key::new(name.as_str()).expect("valid")))
    }

    pub(crate) fn apply(&mut self, now: Time, command: &Command) -> Option<Result<Outcome, ErrorKind>> {
        self.clock = self.clock.max(now);
        let clock = self.clock;
        let expired = |value: &Value| value.deadline.is_some_and(|deadline| deadline <= clock);
        for _ in self.keys.extract_if(|_, value| expired(value)).collect::<Vec<_>>() {
            self.next_revision();
        }
        match command {
            Command::Commit(transaction) => Some(self.commit(transaction)),
            Command::Clear { prefix } => {
                let before = self.keys.len();
                self.keys.retain(|name, _| !name.starts_with(prefix.as_str()));
                if self.keys.len() < before {
                    self.next_revision();
                }
                None
            }
            _ => None,
        }
    }

    fn next_revision(&mut self) {
        self.revision = Revision((self.revision.0 + 1).max(self.clock.as_micros()));
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Outcome, ErrorKind> {
        let clock = self.clock;
        self.remembered.retain(|(time, _, _)| clock < time.after(ID_WINDOW));
        let first = self.remembered.iter().find(|(_, first, _)| transaction.id.is_some() && first.id == transaction.id);
        if let Some((_, first, decision)) = first {
            let same = first == transaction;
            return if same { self.as_a_repeat_is_told(decision.clone()) } else { Err(ErrorKind::Conflict) };
        }
        let decision = self.decide(transaction);
        self.remembered.push((clock, transaction.clone(), decision.clone()));
        decision
    }

    /// What a guard found is told as long as it stands there.
    fn as_a_repeat_is_told(&self, decision: Result<Outcome, ErrorKind>) -> Result<Outcome, ErrorKind> {
        let Ok(Outcome::Refused { guard, found: Some(found), revision }) = decision else { return decision };
        let found = self.get(self.clock, &found.key).filter(|standing| standing.version == found.version);
        Ok(Outcome::Refused { guard, found, revision })
    }

    fn decide(&mut self, transaction: &Transaction) -> Result<Outcome, ErrorKind> {
        let clock = self.clock;
        for (index, guard) in transaction.guards.iter().enumerate() {
            let found = match guard.condition {
                Condition::PrefixAbsent => self.first(clock, guard.key.as_str()),
                _ => self.get(clock, &guard.key),
            };
            if !guard.condition.holds(found.as_ref().map(|entry| entry.version)) {
                return Ok(Outcome::Refused { guard: index, found, revision: self.revision });
            }
        }
        let mut after = self.clone();
        let changes = |mutation: &Mutation| match mutation {
            Mutation::Put { .. } | Mutation::Add { .. } => true,
            Mutation::Delete { key } => self.keys.contains_key(key.as_str()),
            _ => false,
        };
        if transaction.mutations.iter().any(changes) {
            after.next_revision();
        }
        let results = transaction.mutations.iter().map(|mutation| after.mutate(mutation)).collect::<Result<_, _>>()?;
        let outcome = Outcome::Committed { revision: after.revision, results };
        *self = after;
        Ok(outcome)
    }

    fn mutate(&mut self, mutation: &Mutation) -> Result<MutationResult, ErrorKind> {
        let old = self.keys.get(mutation.key().as_str()).cloned();
        let deadline = mutation.ttl().map(|ttl| self.clock.after(ttl));
        Ok(match mutation {
            Mutation::Put { key, value, ttl } => {
                let created = self.write(key, value.to_vec(), deadline);
                MutationResult::Put { created, ttl: *ttl }
            }
            Mutation::Delete { key } => MutationResult::Deleted { existed: self.keys.remove(key.as_str()).is_some() },
            Mutation::Add { key, delta, .. } => {
                let text = old.as_ref().map_or("0".to_owned(), |old| String::from_utf8_lossy(&old.bytes).into_owned());
                let current: i64 = text.parse().map_err(|_| ErrorKind::Conflict)?;
                let value = current.checked_add(*delta).ok_or(ErrorKind::Conflict)?;
                let deadline = old.map_or(deadline, |old| old.deadline);
                self.write(key, value.to_string().into_bytes(), deadline);
                MutationResult::Added { value }
            }
            Mutation::Extend { key, version, ttl } => match self.keys.get_mut(key.as_str()) {
                Some(found) if found.version == *version => {
                    found.deadline = found.deadline.max(deadline).filter(|_| found.deadline.is_some());
                    MutationResult::Extended { ttl: Some(*ttl) }
                }
                _ => MutationResult::Extended { ttl: None },
            },
            other => panic!("not in the model: {other:?}"),
        })
    }

    fn write(&mut self, key: &Key, value: Vec<u8>, deadline: Option<Time>) -> Revision {
        let created = self.keys.get(key.as_str()).map_or(self.revision, |old| old.created);
        self.keys.insert(key.as_str().to_owned(), Value { bytes: value, created, version: self.revision, deadline });
        created
    }
}
