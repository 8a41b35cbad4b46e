//! What a handle knows of keys: what it last saw of them, who is writing them now, and which of its transactions are open.

use crate::bucket::Bucket;
use crate::codec::{Content, IDS, Stored, Time, read_key};
use crate::ids::{ID_WINDOW, Remembered, read_list};
use async_nats::HeaderMap;
use linchpin_core::{Key, Revision, TransactionId};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as Turn, MutexGuard};

/// How long before its end a key is left alone.
const ENDING: Duration = Duration::from_millis(100);
/// How long until it is looked again whether a key that has ended is gone.
const ENDED_WITHIN: Duration = Duration::from_millis(10);

/// What stands at a key: what its newest message says. The default is what no message says: nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The message's place in the stream; 0 if there is none. A write that expects it fails if anything was written since.
    pub(crate) sequence: u64,
    pub(crate) content: Option<Content>,
    ids: Ids,
}

/// The transactions that wrote a key lately: as its message lists them, which few ask for, or read.
#[derive(Clone, Debug)]
enum Ids {
    Written(Arc<HeaderMap>, Revision, Time),
    Read(Vec<Remembered>),
}

impl Default for Ids {
    fn default() -> Self {
        Self::Read(Vec::new())
    }
}

impl Standing {
    pub(crate) fn of(message: &Stored) -> Self {
        let (meta, _, content) = read_key(message);
        let version = Revision(message.sequence.saturating_add(meta.rest));
        let ids = if message.headers.get(IDS).is_some() {
            Ids::Written(message.headers.clone(), version, message.time)
        } else {
            Ids::default()
        };
        Self { sequence: message.sequence, content, ids }
    }

    pub(crate) fn new(sequence: u64, content: Option<Content>, ids: Vec<Remembered>) -> Self {
        Self { sequence, content, ids: Ids::Read(ids) }
    }

    pub(crate) fn with_ids(self, ids: Vec<Remembered>) -> Self {
        Self { ids: Ids::Read(ids), ..self }
    }

    /// The transactions that wrote the key lately.
    pub(crate) fn ids(&self) -> Cow<'_, [Remembered]> {
        match &self.ids {
            Ids::Written(headers, version, time) => read_list(headers, *version, *time).into(),
            Ids::Read(ids) => ids.into(),
        }
    }

    /// Whether the server may be about to remove it, as its time is over or nearly so. It then marks the key as gone
    /// without looking whether anybody has written it meanwhile, so nobody may.
    pub(crate) fn is_ending(&self, now: Time) -> bool {
        self.content.as_ref().and_then(|content| content.removed).is_some_and(|end| end <= now.after(ENDING))
    }

    /// Returns when the server may have removed it.
    pub(crate) async fn has_ended(&self, bucket: &Bucket) {
        let removed = self.content.as_ref().and_then(|content| content.removed).unwrap_or_default();
        tokio::time::sleep(removed.since(bucket.clock.now()) + ENDED_WITHIN).await;
    }

    pub(crate) fn remembers(&self, id: TransactionId) -> Option<Remembered> {
        self.ids().iter().rev().find(|one| one.id == id).cloned()
    }

    fn size(&self) -> usize {
        self.content.as_ref().map_or(0, |content| content.value.len())
    }
}

/// What a handle knows of keys. It may be out of date: it is good for what a write expects to find, for nothing else.
#[derive(Default)]
pub(crate) struct Known(Mutex<Generations>);

/// The lately used, and those before: when the first are many they take the place of the second.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Standing>,
    old: HashMap<Key, Standing>,
    bytes: usize,
}

impl Known {
    const KEYS: usize = 4096;
    const BYTES: usize = 8 * 1024 * 1024;
    /// Larger values are not worth it.
    const VALUE: usize = 64 * 1024;

    pub(crate) fn get(&self, key: &Key) -> Option<Standing> {
        let known = self.0.lock();
        known.young.get(key).or_else(|| known.old.get(key)).cloned()
    }

    pub(crate) fn put(&self, key: &Key, standing: Standing) {
        let size = standing.size();
        if size > Self::VALUE {
            return self.forget(key);
        }
        let mut known = self.0.lock();
        let before = known.young.insert(key.clone(), standing).map_or(0, |before| before.size());
        known.bytes = known.bytes + size - before;
        if known.young.len() > Self::KEYS || known.bytes > Self::BYTES {
            known.old = std::mem::take(&mut known.young);
            known.bytes = 0;
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        let mut known = self.0.lock();
        known.young.remove(key);
        known.old.remove(key);
    }

    pub(crate) fn clear(&self) {
        *self.0.lock() = Generations::default();
    }
}

/// Who of this handle writes a key: one at a time, so that they do not get into each other's way at the server.
pub(crate) struct Turns {
    turns: Vec<Turn<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { turns: (0..1024).map(|_| Turn::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    pub(crate) async fn of(&self, key: &Key) -> MutexGuard<'_, ()> {
        self.turns[self.index(key)].lock().await
    }

    /// The turns at several keys; in one order everywhere, so that nobody waits for each other.
    pub(crate) async fn of_all(&self, keys: &[&Key]) -> Vec<MutexGuard<'_, ()>> {
        let indices: BTreeSet<_> = keys.iter().map(|key| self.index(key)).collect();
        let mut turns = Vec::with_capacity(indices.len());
        for index in indices {
            turns.push(self.turns[index].lock().await);
        }
        turns
    }

    fn index(&self, key: &Key) -> usize {
        // The remainder is less than a length.
        usize::try_from(self.hasher.hash_one(key) % self.turns.len() as u64).unwrap_or(0)
    }
}

/// The transactions that were sent and not answered: whoever gave up on one may send it again.
#[derive(Default)]
pub(crate) struct Open(Mutex<Sent>);

#[derive(Default)]
struct Sent {
    open: HashMap<TransactionId, Instant>,
    /// When those that nobody asks about any more were forgotten last.
    looked: Option<Instant>,
}

/// A transaction on its way. It stays open if nobody waits for the answer any more.
pub(crate) struct OnItsWay<'a>(&'a Open, Option<TransactionId>);

impl Open {
    pub(crate) fn send(&self, id: Option<TransactionId>) -> OnItsWay<'_> {
        if let Some(id) = id {
            let mut sent = self.0.lock();
            let now = Instant::now();
            sent.open.insert(id, now);
            if sent.looked.is_none_or(|looked| now - looked > ID_WINDOW) {
                sent.looked = Some(now);
                sent.open.retain(|_, sent| now - *sent < ID_WINDOW);
            }
        }
        OnItsWay(self, id)
    }

    pub(crate) fn contains(&self, id: TransactionId) -> bool {
        self.0.lock().open.contains_key(&id)
    }
}

impl OnItsWay<'_> {
    pub(crate) fn answered(self) {
        if let Some(id) = self.1 {
            self.0.0.lock().open.remove(&id);
        }
    }
}
