//! The watchers of one handle.

use super::queue::{Change, Queue};
use super::watch::Watch;
use futures::future::BoxFuture;
use futures::stream;
use linchpin_core::Key;
use linchpin_core::WatchStream;
use linchpin_core::{Error, Result};
use linchpin_core::{Page, Range, ScanPage};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};

/// Reads a page of a watched range: an adapter's own `scan`.
///
/// ```
/// use futures::StreamExt;
/// use linchpin_adapter::fanout::{Scan, Watchers};
/// use linchpin_core::{Key, Range, Transaction, WatchEvent};
/// use linchpin_memory::MemoryCoordination;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let (connection, watchers) = (MemoryCoordination::new().driver(), Watchers::default());
/// let reading = connection.clone(); // a watch holds on to what it reads by
/// let scan: Scan = Arc::new(move |range, page| {
///     let reading = reading.clone();
///     Box::pin(async move { reading.scan(&range, &page).await })
/// });
/// let mut events = watchers.add(Range::all(), scan).await?;
/// assert!(matches!(events.next().await, Some(Ok(WatchEvent::Synced { .. }))));
/// connection.commit(&Transaction::new().put(Key::new("config")?, "v1", None)).await?;
/// watchers.mark_gap(); // nobody told of that: so it reads again
/// assert!(matches!(events.next().await, Some(Ok(WatchEvent::Put(entry))) if entry.value == "v1"));
/// # Ok(())
/// # }
/// ```
pub type Scan = Arc<dyn Fn(Range, Page) -> BoxFuture<'static, Result<ScanPage>> + Send + Sync>;

/// The watchers of one handle: an adapter dispatches the changes of its namespace in order of their
/// revisions; each watcher takes those of its range. A slow watcher keeps only the newest change per key;
/// after a gap, or when too many keys have changed, it reads its range again and tells the difference.
///
/// Begin to listen for changes before you [`add`](Self::add) a watcher. Changes that are told twice, or are older
/// than what the watcher has read, are dropped. Call [`mark_gap`](Self::mark_gap) after a reconnect, and
/// [`end`](Self::end) when the handle ends (see [`Life::ends`](linchpin_core::life::Life::ends)); a backend without a feed of changes may poll its revision and mark a gap whenever it
/// has grown. The stream holds its `scan`, and so whatever that captures: let it capture the connection, so that a
/// watch outlives the handle that opened it.
///
/// ```
/// use futures::StreamExt;
/// use linchpin_adapter::fanout::{Change, Watchers};
/// use linchpin_core::{Key, Range, Revision, ScanPage, WatchEvent};
/// use std::sync::Arc;
///
/// # #[tokio::main]
/// # async fn main() -> linchpin_core::Result<()> {
/// let watchers = Watchers::default();
/// // Reads the range from the server: here it is empty, at revision 7.
/// let page = || ScanPage { revision: Revision(7), entries: Vec::new(), more: false };
/// let scan = Arc::new(move |_range, _page| futures::FutureExt::boxed(std::future::ready(Ok(page()))));
/// let key = Key::new("config")?;
/// let mut events = watchers.add(Range::Key(key.clone()), scan).await?;
/// assert!(matches!(events.next().await, Some(Ok(WatchEvent::Synced { .. }))));
/// // What the server pushes: one that is older than what was read says nothing new.
/// assert!(watchers.wants(&key));
/// watchers.dispatch(&Change::Deleted(key.clone(), Revision(6)));
/// watchers.dispatch(&Change::Put(linchpin_core::Entry {
///     key, value: "v1".into(), created: Revision(8), version: Revision(8), ttl: None,
/// }));
/// assert!(matches!(events.next().await, Some(Ok(WatchEvent::Put(entry))) if entry.value == "v1"));
/// // The handle has ended, and its watches with it.
/// watchers.end(|| linchpin_core::Error::closed("watch"));
/// assert!(events.next().await.expect("an error").is_err());
/// assert!(events.next().await.is_none());
/// assert_eq!(watchers.count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Watchers {
    registry: Mutex<Registry>,
}

/// Who watches what. To find who watches a key costs as much as there are lengths of watched prefixes, however many watch
/// something else.
#[derive(Default)]
struct Registry {
    keys: HashMap<Key, Vec<Weak<Queue>>>,
    prefixes: HashMap<String, Vec<Weak<Queue>>>,
    /// How long the prefixes are.
    lengths: BTreeSet<usize>,
    /// How many were registered since those that are gone were taken off, and how many were left then.
    registered: usize,
    left: usize,
}

impl Watchers {
    /// How many changed keys a watcher may lag before it reads its range again instead.
    ///
    /// ```
    /// # use futures::{FutureExt, StreamExt};
    /// # use linchpin_adapter::fanout::{Change, Scan, Watchers};
    /// # use linchpin_core::{Key, Range, Revision, ScanPage, WatchEvent};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> linchpin_core::Result<()> {
    /// let (watchers, reads) = (Watchers::default(), Arc::new(AtomicUsize::new(0)));
    /// let counted = reads.clone();
    /// let scan: Scan = Arc::new(move |_, _| {
    ///     counted.fetch_add(1, Ordering::SeqCst);
    ///     async { Ok(ScanPage { revision: Revision(7), entries: Vec::new(), more: false }) }.boxed()
    /// });
    /// let mut events = watchers.add(Range::all(), scan).await?;
    /// assert!(matches!(events.next().await, Some(Ok(WatchEvent::Synced { .. }))));
    /// for n in 0..=Watchers::CAPACITY {
    ///     watchers.dispatch(&Change::Deleted(Key::new(format!("order:{n}"))?, Revision(8)));
    /// }
    /// assert!(events.next().now_or_never().is_none(), "nothing was there, and nothing is");
    /// assert_eq!(reads.load(Ordering::SeqCst), 2, "it was read again");
    /// # Ok(())
    /// # }
    /// ```
    pub const CAPACITY: usize = 4096;

    /// Adds a watcher. The first page of its range is read here, after it was registered, so that nothing dispatched
    /// from now on is missed; the rest as the stream is polled, however long that takes.
    ///
    /// # Errors
    /// What `scan` fails with.
    ///
    /// # Cancel safety
    /// Dropping the future removes the watcher.
    pub async fn add(&self, range: Range, scan: Scan) -> Result<WatchStream> {
        let queue = Arc::new(Queue::default());
        self.registry.lock().insert(&range, Arc::downgrade(&queue));
        let watch = Watch::begin(range, scan, queue).await?;
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
        self.registered += 1;
        if self.registered > self.left + 16 {
            self.take_off();
        }
        match range {
            Range::Key(key) => self.keys.entry(key.clone()).or_default().push(queue),
            Range::Prefix(prefix) => {
                self.lengths.insert(prefix.len());
                self.prefixes.entry(prefix.clone()).or_default().push(queue);
            }
        }
    }

    /// Takes off those that are gone. Now and then: it looks at all.
    fn take_off(&mut self) {
        fn is_left(queues: &mut Vec<Weak<Queue>>, left: &mut usize) -> bool {
            queues.retain(|queue| queue.strong_count() > 0);
            *left += queues.len();
            !queues.is_empty()
        }
        (self.registered, self.left) = (0, 0);
        let left = &mut self.left;
        self.keys.retain(|_, queues| is_left(queues, left));
        self.prefixes.retain(|_, queues| is_left(queues, left));
        self.lengths = self.prefixes.keys().map(String::len).collect();
    }

    fn of(&self, key: &Key) -> Vec<Arc<Queue>> {
        let starts = self.lengths.iter().map_while(|length| (*length <= key.as_str().len()).then_some(*length));
        let prefixed = starts.filter_map(|length| self.prefixes.get(key.as_str().get(..length)?));
        let exact = self.keys.get(key).into_iter();
        exact.chain(prefixed).flatten().filter_map(Weak::upgrade).collect()
    }

    fn all(&self) -> Vec<Arc<Queue>> {
        self.keys.values().chain(self.prefixes.values()).flatten().filter_map(Weak::upgrade).collect()
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
    use linchpin_core::WatchEvent;
    use linchpin_core::{Entry, Revision};
    use std::time::Duration;

    fn key(name: &str) -> Key {
        Key::new(name).expect("valid")
    }

    #[test]
    fn a_change_is_told_to_who_watches_it_and_nobody_else() {
        let mut registry = Registry::default();
        let mut watch = |range: Range| {
            let queue = Arc::new(Queue::default());
            registry.insert(&range, Arc::downgrade(&queue));
            (range, queue)
        };
        let mut watches: Vec<_> = ["", "lock/", "lock/1:a/", "lock/1:", "é", "lock/1:a/x", "lock/1:a/xy"]
            .into_iter()
            .flat_map(|text| [Some(Range::Prefix(text.to_owned())), Key::new(text).ok().map(Range::Key)])
            .flatten()
            .map(&mut watch)
            .collect();
        // Most of those that come and go are gone.
        for n in 0..1000 {
            drop(watch(Range::Prefix(format!("gone/{n}"))));
        }
        watches.extend((0..3).map(|n| watch(Range::Prefix(format!("lock/1:a/{n}")))));
        assert!(registry.prefixes.len() < 100 && registry.lengths.len() < 12, "{:?}", registry.lengths);
        for name in ["lock/1:a/x", "lock/1:a/xy", "lock/1:a/2", "lock/2:bb/x", "é", "ê", "other"] {
            let told = registry.of(&key(name));
            let is_told = |queue: &Arc<Queue>| told.iter().filter(|told| Arc::ptr_eq(told, queue)).count();
            for (range, queue) in &watches {
                assert_eq!(is_told(queue), usize::from(range.contains(&key(name))), "{name} to {range:?}");
            }
        }
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
            Some(Ok(other)) => format!("{other:?}"),
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

    #[tokio::test]
    async fn after_a_gap_the_watch_says_what_a_read_says_newer_or_older() {
        let content = Arc::new(Mutex::new((9, vec![entry("a", 7), entry("b", 8), entry("c", 3)])));
        let watchers = Watchers::default();
        let mut stream = watchers.add(Range::all(), source(&content)).await.expect("scans");
        for _ in 0..4 {
            told(&mut stream).await;
        }
        // The server came back with older data.
        *content.lock() = (5, vec![entry("a", 4), entry("c", 3)]);
        watchers.mark_gap();
        assert_eq!(told(&mut stream).await, "-b@9", "greater than any version told of it");
        assert_eq!(told(&mut stream).await, "+a@4");
        watchers.dispatch(&Change::Put(entry("a", 6)));
        assert_eq!(told(&mut stream).await, "+a@6");
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_that_takes_long_to_read_is_read_as_the_stream_is_polled() {
        let entries = (0..9).map(|n| entry(&n.to_string(), n + 1)).collect();
        let content = Arc::new(Mutex::new((9, entries)));
        let (pages, reads) = (source(&content), Arc::new(Mutex::new(0)));
        let slow: Scan = {
            let reads = reads.clone();
            Arc::new(move |range, page| {
                let (page, reads) = (pages(range, page), reads.clone());
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_secs(4)).await;
                    *reads.lock() += 1;
                    // The second page fails at first.
                    if *reads.lock() == 2 { Err(Error::timeout("scan", Duration::ZERO)) } else { page.await }
                })
            })
        };
        let watchers = Watchers::default();
        let adding = tokio::time::timeout(Duration::from_secs(5), watchers.add(Range::all(), slow));
        let mut stream = adding.await.expect("it waits for one page only").expect("scans");
        watchers.dispatch(&Change::Put(entry("8", 10)));
        for n in 0..9 {
            assert_eq!(told(&mut stream).await, format!("+{n}@{}", n + 1));
        }
        assert_eq!(told(&mut stream).await, "synced@9");
        assert_eq!((told(&mut stream).await, *reads.lock()), ("+8@10".to_owned(), 6));
    }
}
