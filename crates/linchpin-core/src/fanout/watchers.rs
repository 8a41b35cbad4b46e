//! The watchers of one handle.

use crate::entry::{Entry, Page, Range, Revision, ScanPage};
use crate::error::{Error, Result};
use crate::name::Key;
use crate::watch::{WatchEvent, WatchStream};
use futures::future::BoxFuture;
use futures::stream;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// A change to one key.
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

/// Reads a page of a watched range: an adapter's own `scan`.
pub type Scan = Arc<dyn Fn(Range, Page) -> BoxFuture<'static, Result<ScanPage>> + Send + Sync>;

/// The watchers of one handle: an adapter dispatches the changes of its namespace in order of their
/// revisions; each watcher takes those of its range. A slow watcher keeps only the newest change per key;
/// after a gap, or when too many keys have changed, it reads its range again and tells the difference.
///
/// Begin to listen for changes before you [`add`](Self::add) a watcher. Changes that are told twice, or are older
/// than what the watcher has read, are dropped. Call [`mark_gap`](Self::mark_gap) after a reconnect, and
/// [`end`](Self::end) in `close`; a backend without a feed of changes may poll its revision and mark a gap whenever it
/// has grown. The stream holds its `scan`, and so whatever that captures: let it capture the connection, so that a
/// watch outlives the handle that opened it.
#[derive(Default)]
pub struct Watchers {
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    keys: HashMap<Key, Vec<Weak<Queue>>>,
    prefixes: Vec<(String, Weak<Queue>)>,
}

struct Queue {
    state: Mutex<Pending>,
    arrived: Notify,
}

#[derive(Default)]
struct Pending {
    /// The newest change of each key, in the order of these: so who is told of a key was told of all that are older.
    changes: BTreeMap<u64, Change>,
    places: HashMap<Key, u64>,
    next: u64,
    resync: bool,
    ended: Option<Arc<dyn Fn() -> Error + Send + Sync>>,
}

enum Next {
    Change(Change),
    Resync,
    Ended(Error),
}

impl Watchers {
    /// How many changed keys a watcher may lag before it reads its range again instead.
    pub const CAPACITY: usize = 4096;

    /// Adds a watcher. Its first scan happens here, after it was registered, so that nothing dispatched
    /// from now on is missed.
    ///
    /// # Errors
    /// What `scan` fails with.
    ///
    /// # Cancel safety
    /// Dropping the future removes the watcher.
    pub async fn add(&self, range: Range, scan: Scan) -> Result<WatchStream> {
        let queue = Arc::new(Queue { state: Mutex::default(), arrived: Notify::new() });
        self.registry.lock().insert(&range, Arc::downgrade(&queue));
        let mut watch = Watch { range, scan, queue, known: HashMap::new(), floor: Revision(0), ready: VecDeque::new() };
        let revision = watch.read_range().await?;
        watch.ready.push_back(WatchEvent::Synced { revision });
        Ok(Box::pin(stream::unfold(Some(watch), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(event) => Some((Ok(event), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    /// Whether anybody watches `key`; without, an adapter need not fetch its value.
    pub fn wants(&self, key: &Key) -> bool {
        !self.registry.lock().of(key).is_empty()
    }

    /// Hands a change to everybody who watches its key.
    pub fn dispatch(&self, change: &Change) {
        let queues = self.registry.lock().of(change.key());
        for queue in queues {
            queue.put(change.clone());
        }
    }

    /// Makes every watcher read its range again: changes may have been missed.
    pub fn mark_gap(&self) {
        for queue in self.registry.lock().all() {
            queue.state.lock().lose();
            queue.arrived.notify_one();
        }
    }

    /// Ends every watch with an error.
    pub fn end(&self, error: impl Fn() -> Error + Send + Sync + 'static) {
        let error: Arc<dyn Fn() -> Error + Send + Sync> = Arc::new(error);
        for queue in self.registry.lock().all() {
            queue.state.lock().ended = Some(error.clone());
            queue.arrived.notify_one();
        }
    }

    /// How many watchers there are.
    pub fn count(&self) -> usize {
        self.registry.lock().all().len()
    }
}

impl Registry {
    fn insert(&mut self, range: &Range, queue: Weak<Queue>) {
        self.keys.retain(|_, queues| {
            queues.retain(|queue| queue.strong_count() > 0);
            !queues.is_empty()
        });
        self.prefixes.retain(|(_, queue)| queue.strong_count() > 0);
        match range {
            Range::Key(key) => self.keys.entry(key.clone()).or_default().push(queue),
            Range::Prefix(prefix) => self.prefixes.push((prefix.clone(), queue)),
        }
    }

    fn of(&self, key: &Key) -> Vec<Arc<Queue>> {
        let exact = self.keys.get(key).into_iter().flatten();
        let prefixed = self.prefixes.iter().filter(|(prefix, _)| key.as_str().starts_with(prefix.as_str()));
        exact.chain(prefixed.map(|(_, queue)| queue)).filter_map(Weak::upgrade).collect()
    }

    fn all(&self) -> Vec<Arc<Queue>> {
        let exact = self.keys.values().flatten();
        exact.chain(self.prefixes.iter().map(|(_, queue)| queue)).filter_map(Weak::upgrade).collect()
    }
}

impl Queue {
    fn put(&self, change: Change) {
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

    async fn next(&self) -> Next {
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
            return Some(Next::Ended(error()));
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
    fn lose(&mut self) {
        self.changes.clear();
        self.places.clear();
        self.resync = true;
    }
}

struct Watch {
    range: Range,
    scan: Scan,
    queue: Arc<Queue>,
    /// The version last told, of every key that the watcher believes to exist.
    known: HashMap<Key, Revision>,
    /// The revision that it has read its range at: what is not known was absent then.
    floor: Revision,
    ready: VecDeque<WatchEvent>,
}

impl Watch {
    async fn next(&mut self) -> Result<WatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            match self.queue.next().await {
                Next::Change(change) => self.take(change).await?,
                Next::Ended(error) => return Err(error),
                Next::Resync => self.resync().await?,
            }
        }
    }

    /// Reads the range again until it succeeds: while the backend is away there is nothing to tell.
    async fn resync(&mut self) -> Result<()> {
        let mut pause = Duration::from_millis(50);
        loop {
            // The flag falls before the range is read: what changes while it is read is queued.
            self.queue.state.lock().resync = false;
            match self.read_range().await {
                Ok(_) => return Ok(()),
                Err(error) if !error.is_transient() => return Err(error),
                Err(_) => self.queue.state.lock().lose(),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Tells a change, unless the watcher was told as much or more already.
    async fn take(&mut self, change: Change) -> Result<()> {
        let version = change.version();
        let known = self.known.get(change.key()).copied();
        if version <= known.unwrap_or(self.floor) {
            return Ok(());
        }
        match change {
            Change::Put(entry) => self.tell(entry),
            Change::Written(key, written) => match (self.scan)(Range::Key(key), Page::first()).await {
                // One that is gone by now, or came again, is told by a change of its own.
                Ok(page) => {
                    page.entries
                        .into_iter()
                        .filter(|entry| entry.created <= written)
                        .for_each(|entry| self.tell(entry));
                }
                Err(error) if error.is_transient() => self.queue.state.lock().lose(),
                Err(error) => return Err(error),
            },
            Change::Deleted(key, version) => {
                if self.known.remove(&key).is_some() {
                    self.ready.push_back(WatchEvent::Deleted { key, version });
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, entry: Entry) {
        self.known.insert(entry.key.clone(), entry.version);
        self.ready.push_back(WatchEvent::Put(entry));
    }

    /// Reads the range and tells how it differs from what the watcher knows: first what is gone, then what was
    /// written, by the order in which the keys came to be. Keys that came to be after the first page was read
    /// are left to their changes, which are queued: so nobody is told of a key before those that are older.
    async fn read_range(&mut self) -> Result<Revision> {
        let mut page = Page::first();
        let (mut found, mut read_at) = (Vec::new(), None);
        loop {
            let ScanPage { revision, entries, more } = (self.scan)(self.range.clone(), page.clone()).await?;
            let read_at = *read_at.get_or_insert(revision);
            page.after = entries.last().map(|entry| entry.key.clone()).or(page.after);
            found.extend(entries.into_iter().filter(|entry| entry.created <= read_at));
            if !more {
                self.floor = read_at;
                break;
            }
        }
        let known = found.iter().map(|entry| (entry.key.clone(), entry.version)).collect();
        let known = std::mem::replace(&mut self.known, known);
        let gone = known.keys().filter(|key| !self.known.contains_key(*key));
        self.ready.extend(gone.map(|key| WatchEvent::Deleted { key: key.clone(), version: self.floor }));
        found.retain(|entry| known.get(&entry.key).is_none_or(|known| *known < entry.version));
        found.sort_by_key(|entry| entry.created);
        self.ready.extend(found.into_iter().map(WatchEvent::Put));
        Ok(self.floor)
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers").field("count", &self.count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::StreamExt;

    fn key(name: &str) -> Key {
        Key::new(name).expect("valid")
    }

    fn entry(name: &str, version: u64) -> Entry {
        Entry { key: key(name), value: Bytes::new(), created: Revision(1), version: Revision(version), ttl: None }
    }

    /// A range whose content the test sets: (revision, entries).
    fn source(content: &Arc<Mutex<(u64, Vec<Entry>)>>) -> Scan {
        let content = content.clone();
        Arc::new(move |range, page| {
            let (revision, entries) = content.lock().clone();
            let wanted = |e: &Entry| range.contains(&e.key) && page.after.as_ref().is_none_or(|after| e.key > *after);
            let rest: Vec<_> = entries.into_iter().filter(wanted).collect();
            let more = rest.len() > 2;
            let entries = rest.into_iter().take(2).collect();
            Box::pin(async move { Ok(ScanPage { revision: Revision(revision), entries, more }) })
        })
    }

    async fn told(stream: &mut WatchStream) -> String {
        match stream.next().await {
            Some(Ok(WatchEvent::Put(entry))) => format!("+{}@{}", entry.key, entry.version),
            Some(Ok(WatchEvent::Deleted { key, version })) => format!("-{key}@{version}"),
            Some(Ok(WatchEvent::Synced { revision })) => format!("synced@{revision}"),
            Some(Err(error)) => error.kind().as_str().to_owned(),
            None => "end".to_owned(),
        }
    }

    #[tokio::test]
    async fn present_then_synced_then_changes_and_nothing_twice() {
        let content = Arc::new(Mutex::new((5, vec![entry("a", 2), entry("b", 3), entry("c", 4)])));
        let watchers = Watchers::default();
        let mut stream = watchers.add(Range::all(), source(&content)).await.expect("scans");
        watchers.dispatch(&Change::Put(entry("b", 3)));
        watchers.dispatch(&Change::Deleted(key("gone"), Revision(4)));
        watchers.dispatch(&Change::Put(entry("c", 6)));
        watchers.dispatch(&Change::Deleted(key("a"), Revision(7)));
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(told(&mut stream).await);
        }
        assert_eq!(seen, ["+a@2", "+b@3", "+c@4", "synced@5", "+c@6", "-a@7"]);
    }

    #[tokio::test]
    async fn a_slow_watcher_gets_the_newest_and_a_gap_is_told_as_its_difference() {
        let content = Arc::new(Mutex::new((5, vec![entry("a", 2), entry("b", 3)])));
        let watchers = Watchers::default();
        let mut stream = watchers.add(Range::all(), source(&content)).await.expect("scans");
        for _ in 0..3 {
            told(&mut stream).await;
        }
        watchers.dispatch(&Change::Put(entry("a", 6)));
        watchers.dispatch(&Change::Put(entry("a", 7)));
        assert_eq!(told(&mut stream).await, "+a@7");
        *content.lock() = (9, vec![entry("a", 7), entry("c", 9)]);
        watchers.mark_gap();
        assert_eq!(told(&mut stream).await, "-b@9");
        assert_eq!(told(&mut stream).await, "+c@9");
        watchers.dispatch(&Change::Put(entry("b", 8)));
        watchers.dispatch(&Change::Put(entry("b", 10)));
        assert_eq!(told(&mut stream).await, "+b@10");
        // A value that did not come along is read; one that is gone again is told as gone, not as written.
        *content.lock() = (11, vec![entry("a", 7), entry("b", 11), entry("c", 9)]);
        watchers.dispatch(&Change::Written(key("b"), Revision(11)));
        assert_eq!(told(&mut stream).await, "+b@11");
        *content.lock() = (13, vec![entry("a", 7), entry("c", 9)]);
        watchers.dispatch(&Change::Written(key("b"), Revision(12)));
        watchers.dispatch(&Change::Deleted(key("b"), Revision(13)));
        assert_eq!(told(&mut stream).await, "-b@13");
        watchers.end(|| Error::closed("watch"));
        assert_eq!(told(&mut stream).await, "closed");
        assert_eq!(told(&mut stream).await, "end");
    }
}
