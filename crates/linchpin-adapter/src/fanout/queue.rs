//! Changes, and those that a watcher has not taken yet: the newest of each key.

use super::watchers::Watchers;
use linchpin_core::Error;
use linchpin_core::Key;
use linchpin_core::{Entry, Revision};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;

/// A change to one key.
///
/// ```
/// use linchpin_adapter::fanout::Change;
/// use linchpin_core::{Key, Revision};
///
/// // "12 set config": the server tells no values.
/// let (draft, config) = (Key::new("draft")?, Key::new("config")?);
/// let changes = [Change::Deleted(draft, Revision(11)), Change::Written(config, Revision(12))];
/// assert_eq!(changes[1].key().as_str(), "config");
/// assert_eq!(changes.iter().map(Change::version).max(), Some(Revision(12)));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Put(Entry),
    /// It was written at this revision, with a value that did not come along: each watcher reads it.
    Written(Key, Revision),
    /// It was deleted or expired, at this revision.
    Deleted(Key, Revision),
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Written(key, _) | Self::Deleted(key, _) => key,
        }
    }

    /// Whether the key is still the one that it was, as far as is known: neither gone nor come again.
    fn is_of_the_same(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::Deleted(..), _) => false,
            (Self::Put(older), Self::Put(newer)) => older.created == newer.created,
            _ => true,
        }
    }

    /// The revision of the change.
    pub fn version(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.version,
            Self::Written(_, version) | Self::Deleted(_, version) => *version,
        }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) state: Mutex<Pending>,
    pub(super) arrived: Notify,
}

#[derive(Default)]
pub(super) struct Pending {
    /// The newest change of each key, in the order of these: so who is told of a key was told of all that are older.
    changes: BTreeMap<u64, Change>,
    places: HashMap<Key, u64>,
    next: u64,
    pub(super) resync: bool,
    pub(super) ended: Option<Arc<dyn Fn() -> Error + Send + Sync>>,
}

pub(super) enum Next {
    Change(Change),
    Resync,
    End(Error),
}

impl Queue {
    pub(super) fn put(&self, change: Change) {
        let mut state = self.state.lock();
        if state.resync {
            return;
        }
        state.put(change);
        if state.changes.len() > Watchers::CAPACITY {
            state.lose();
        }
        drop(state);
        self.arrived.notify_one();
    }

    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.state.lock().next() {
                return next;
            }
            self.arrived.notified().await;
        }
    }
}

impl Pending {
    fn next(&mut self) -> Option<Next> {
        if let Some(error) = &self.ended {
            return Some(Next::End(error()));
        }
        if self.resync {
            return Some(Next::Resync);
        }
        let (_, change) = self.changes.pop_first()?;
        self.places.remove(change.key());
        Some(Next::Change(change))
    }

    fn put(&mut self, change: Change) {
        // A key that is still the same one keeps its place, one that came again is a new one.
        if let Some(place) = self.places.get(change.key())
            && let Some(older) = self.changes.get_mut(place)
            && older.is_of_the_same(&change)
        {
            *older = change;
            return;
        }
        self.next += 1;
        if let Some(older) = self.places.insert(change.key().clone(), self.next) {
            self.changes.remove(&older);
        }
        self.changes.insert(self.next, change);
    }

    /// Forgets everything: the watcher has to read its range again.
    pub(super) fn lose(&mut self) {
        self.changes.clear();
        self.places.clear();
        self.resync = true;
    }
}
