//! The keys: their values, versions and deadlines.

use crate::time::Time;
use bytes::Bytes;
use foldhash::fast::RandomState;
use linchpin_core::{Entry, Key, Page, Range, Revision, ScanPage};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

/// A key's content.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) value: Bytes,
    pub(crate) created: Revision,
    pub(crate) version: Revision,
    /// It is there before this time and gone from then on; `None` is there for ever.
    pub(crate) deadline: Option<Time>,
}

impl Stored {
    fn is_live(&self, now: Time) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }

    /// What a reader is told.
    pub(crate) fn entry(&self, key: &Key, now: Time) -> Entry {
        Entry {
            key: key.clone(),
            value: self.value.clone(),
            created: self.created,
            version: self.version,
            ttl: self.deadline.map(|deadline| deadline.since(now)),
        }
    }
}

/// All keys: their content, their names in order, and the deadlines of those that have one.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    entries: HashMap<Key, Stored, RandomState>,
    names: BTreeSet<Key>,
    deadlines: BTreeSet<(Time, Key)>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every key with its content, from this name on, in the order of names.
    fn starting_at(&self, start: Bound<&str>) -> impl Iterator<Item = (&Key, &Stored)> {
        let names = self.names.range::<str, _>((start, Bound::Unbounded));
        names.filter_map(|key| self.entries.get_key_value(key))
    }

    /// The key's content, unless its deadline has passed.
    pub(crate) fn get(&self, key: &Key, now: Time) -> Option<&Stored> {
        self.entries.get(key).filter(|stored| stored.is_live(now))
    }

    /// The first key that starts with `prefix`, and its content.
    pub(crate) fn first(&self, prefix: &str, now: Time) -> Option<(&Key, &Stored)> {
        let rest = self.starting_at(Bound::Included(prefix));
        rest.take_while(|(key, _)| key.as_str().starts_with(prefix)).find(|(_, stored)| stored.is_live(now))
    }

    pub(crate) fn entry(&self, key: &Key, now: Time) -> Option<Entry> {
        self.get(key, now).map(|stored| stored.entry(key, now))
    }

    /// The part of the range that the page asks for, as of `revision`.
    pub(crate) fn scan(&self, range: &Range, page: &Page, now: Time, revision: Revision) -> ScanPage {
        let start = match range {
            Range::Key(key) => key.as_str(),
            Range::Prefix(prefix) => prefix,
        };
        let start = match &page.after {
            Some(after) if after.as_str() >= start => Bound::Excluded(after.as_str()),
            _ => Bound::Included(start),
        };
        let rest = self.starting_at(start);
        let mut found = rest.take_while(|(key, _)| range.contains(key)).filter(|(_, stored)| stored.is_live(now));
        let entry = |(key, stored): (&Key, &Stored)| match stored.entry(key, now) {
            entry if page.values => entry,
            entry => Entry { value: Bytes::new(), ..entry },
        };
        let entries = found.by_ref().take(page.limit).map(entry).collect();
        ScanPage { revision, entries, more: found.next().is_some() }
    }

    /// The keys that start with `prefix`.
    pub(crate) fn starting_with(&self, prefix: &str) -> Vec<Key> {
        let rest = self.names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        rest.take_while(|key| key.as_str().starts_with(prefix)).cloned().collect()
    }

    /// Writes a value; returns the revision at which the key came to be.
    pub(crate) fn write(&mut self, key: &Key, value: Bytes, revision: Revision, deadline: Option<Time>) -> Revision {
        let Some(stored) = self.entries.get_mut(key) else {
            self.put(key, Stored { value, created: revision, version: revision, deadline });
            return revision;
        };
        let (created, old) = (stored.created, stored.deadline);
        *stored = Stored { value, created, version: revision, deadline };
        if old != deadline {
            self.forget_deadline(key, old);
            self.note_deadline(key, deadline);
        }
        created
    }

    /// Gives a key a later deadline, unless it has that or none already; nothing else about it changes.
    pub(crate) fn renew(&mut self, key: &Key, deadline: Time) {
        let is_earlier = |stored: &&Stored| stored.deadline.is_some_and(|present| present < deadline);
        if let Some(stored) = self.entries.get(key).filter(is_earlier).cloned() {
            self.put(key, Stored { deadline: Some(deadline), ..stored });
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(old) = self.entries.remove(key) {
            self.names.remove(key);
            self.forget_deadline(key, old.deadline);
        }
    }

    fn put(&mut self, key: &Key, stored: Stored) {
        let deadline = stored.deadline;
        self.note_deadline(key, deadline);
        match self.entries.insert(key.clone(), stored) {
            Some(old) if old.deadline != deadline => self.forget_deadline(key, old.deadline),
            Some(_) => {}
            None => {
                self.names.insert(key.clone());
            }
        }
    }

    /// Removes the key whose deadline passed first, if one has.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<Key> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, key) = self.deadlines.pop_first()?;
        self.remove(&key);
        Some(key)
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn note_deadline(&mut self, key: &Key, deadline: Option<Time>) {
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key.clone()));
        }
    }

    fn forget_deadline(&mut self, key: &Key, deadline: Option<Time>) {
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, key.clone()));
        }
    }
}

/// In the order of names, so that it does not depend on the order of a hash table.
impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all: Vec<_> = self.starting_at(Bound::Unbounded).collect();
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Self::default();
        for (key, stored) in Vec::<(Key, Stored)>::deserialize(deserializer)? {
            keys.put(&key, stored);
        }
        Ok(keys)
    }
}
