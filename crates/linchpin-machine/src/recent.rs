//! What is remembered for a while and then forgotten, oldest first.

use crate::time::Time;
use foldhash::fast::RandomState;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Values by key, with the time each came to be. Times are given in ascending order.
#[derive(Clone)]
pub(crate) struct Recent<K, V> {
    values: HashMap<K, V, RandomState>,
    order: VecDeque<(Time, K)>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { values: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.values.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().filter_map(|(_, key)| Some((key, self.values.get(key)?)))
    }

    /// Remembers a value, in place of the one that the key had.
    pub(crate) fn insert(&mut self, now: Time, key: K, value: V) {
        if self.values.insert(key.clone(), value).is_some() {
            self.order.retain(|(_, known)| *known != key);
        }
        self.order.push_back((now, key));
    }

    /// Forgets what came to be `window` ago or earlier.
    pub(crate) fn forget(&mut self, now: Time, window: Duration) {
        while let Some((time, key)) = self.order.front()
            && time.after(window) <= now
        {
            self.values.remove(key);
            self.order.pop_front();
        }
    }
}

/// Oldest first, so that it does not depend on the order of a hash table.
impl<K: Eq + Hash + Serialize, V: Serialize> Serialize for Recent<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self.order.iter().filter_map(|(time, key)| Some((time, key, self.values.get(key)?)));
        let all: Vec<_> = known.collect();
        all.serialize(serializer)
    }
}

impl<'de, K: Clone + Eq + Hash + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Recent<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut recent = Self::default();
        for (time, key, value) in Vec::<(Time, K, V)>::deserialize(deserializer)? {
            recent.insert(time, key, value);
        }
        Ok(recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_enough_is_forgotten() {
        let mut recent = Recent::default();
        for n in 1..=3_u64 {
            recent.insert(Time::from_micros(n), n.to_string(), n);
        }
        recent.forget(Time::from_micros(7), Duration::from_micros(5));
        assert_eq!((recent.get("2"), recent.get("3")), (None, Some(&3)));
    }
}
