//! What the watchers of a handle are told of a server that says which change follows which, and what serves them.

mod alarm;
mod doorbell;
mod topic;
mod topics;
mod watches;

pub use alarm::Alarm;
pub use doorbell::{Doorbell, Doorbells};
pub use topic::{topic, topic_of};
pub use topics::{Topics, WatchedTopics};
pub use watches::{WatchSource, Watches};

use crate::fanout::{Change, Watchers};
use linchpin_core::life::End;
use parking_lot::Mutex;
use std::fmt;
use std::time::Duration;

/// What the watchers of a handle are told, in order, and by what it is noticed that something is missing: the server says
/// of each change after which place it came, a count or whatever else never comes twice. Where that is not the place of the
/// change before, or where nothing is known any more, the watchers read their ranges again.
///
/// They are told to only once the place is known again. Otherwise one who reads at once misses what happens between.
///
/// ```
/// use linchpin_adapter::fanout::Change;
/// use linchpin_adapter::feed::Feed;
/// use linchpin_core::{Key, Revision};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let feed = Feed::default();
/// feed.goes_on_at(3_u64);
/// let change = Change::Deleted(Key::new("config")?, Revision(12));
/// assert!(feed.tell(&3, 4, [change.clone()]));
/// assert!(!feed.tell(&7, 8, [change]), "5 to 7 are missing: the watchers read their ranges again");
/// assert_eq!(feed.place(), Some(8));
/// feed.lose(); // the connection broke
/// assert_eq!(feed.place(), None);
/// feed.goes_on_at(9); // it is back, and the server was asked: now they read
/// assert_eq!(feed.place(), Some(9));
/// # Ok(())
/// # }
/// ```
pub struct Feed<P> {
    /// Who is told.
    pub watchers: Watchers,
    /// When the next key ends, as far as is known: who sweeps waits for it.
    pub alarm: Alarm,
    progress: Mutex<Progress<P>>,
}

/// How far the changes were told.
struct Progress<P> {
    /// The place of the last one; none if that is not known.
    place: Option<P>,
    /// Something may have been missed, of which the watchers are to be told.
    gap: bool,
}

impl<P: Clone + PartialEq> Feed<P> {
    /// How far the changes were told, if that is known.
    pub fn place(&self) -> Option<P> {
        self.progress.lock().place.clone()
    }

    /// Changes may have been missed. The watchers are told once it is known where the feed goes on.
    pub fn lose(&self) {
        *self.progress.lock() = Progress { place: None, gap: true };
    }

    /// What comes next comes after this place: the server was asked, or said so by itself. What is not told by then is
    /// missing if the feed was lost before, or was elsewhere by what it knows.
    pub fn goes_on_at(&self, place: P) {
        let before = place.clone();
        self.moves(&before, place);
    }

    /// Tells changes that came after the place `before`, and after which it is `after`; whether nothing was missing
    /// before them.
    pub fn tell(&self, before: &P, after: P, changes: impl IntoIterator<Item = Change>) -> bool {
        let is_whole = self.moves(before, after);
        for change in changes {
            self.watchers.dispatch(&change);
        }
        is_whole
    }

    fn moves(&self, before: &P, after: P) -> bool {
        let known = std::mem::replace(&mut *self.progress.lock(), Progress { place: Some(after), gap: false });
        let is_whole = !known.gap && known.place.is_none_or(|place| place == *before);
        if !is_whole {
            tracing::debug!("changes may have been missed; watchers read their ranges again");
            self.mark_gap();
        }
        is_whole
    }

    /// Has the watchers read their ranges again, though no change is missing.
    ///
    /// ```
    /// use linchpin_adapter::feed::Feed;
    /// use tokio::time::Instant;
    ///
    /// let feed = Feed::default();
    /// feed.goes_on_at(3_u64);
    /// feed.mark_gap(); // another process may have lost changes of ours, say
    /// assert_eq!(feed.place(), Some(3));
    /// let due = feed.alarm.due().expect("when the next key ends is read again, too");
    /// assert!(due <= Instant::now());
    /// ```
    pub fn mark_gap(&self) {
        self.watchers.mark_gap();
        self.alarm.rings_in(Duration::ZERO);
    }

    /// Ends every watch.
    ///
    /// ```
    /// use futures::{FutureExt, StreamExt};
    /// use linchpin_adapter::fanout::Scan;
    /// use linchpin_adapter::feed::Feed;
    /// use linchpin_core::life::Life;
    /// use linchpin_core::{ErrorKind, Range, Revision, ScanPage};
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> linchpin_core::Result<()> {
    /// let (life, feed) = (Life::in_runtime(), Arc::new(Feed::<u64>::default()));
    /// life.ends(&feed, Feed::end);
    /// let page = || ScanPage { revision: Revision(7), entries: Vec::new(), more: false };
    /// let scan: Scan = Arc::new(move |_, _| std::future::ready(Ok(page())).boxed());
    /// let (mut watch, mut last) = (feed.watchers.add(Range::all(), scan).await?, None);
    /// life.close();
    /// while let Some(event) = watch.next().await {
    ///     last = event.err();
    /// }
    /// assert_eq!(last.expect("an error").kind(), ErrorKind::Closed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn end(&self, ended: End) {
        self.watchers.end(move || ended.error("watch"));
    }
}

impl<P> Default for Feed<P> {
    fn default() -> Self {
        let progress = Mutex::new(Progress { place: None, gap: false });
        Self { watchers: Watchers::default(), alarm: Alarm::default(), progress }
    }
}

impl<P> fmt::Debug for Feed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("watchers", &self.watchers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::Scan;
    use futures::{FutureExt, StreamExt};
    use linchpin_core::{Entry, Key, Range, Revision, ScanPage, WatchEvent, WatchStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A watch of a key that has been written as often as `written` says.
    async fn watch(feed: &Feed<u64>, written: &Arc<AtomicU64>) -> WatchStream {
        let written = written.clone();
        let scan: Scan = Arc::new(move |_, _| {
            let version = Revision(written.load(Ordering::SeqCst));
            let entries = vec![entry(version)];
            std::future::ready(Ok(ScanPage { revision: version, entries, more: false })).boxed()
        });
        feed.watchers.add(Range::all(), scan).await.expect("reads")
    }

    fn entry(version: Revision) -> Entry {
        let key = Key::new("k").expect("valid");
        Entry { key, value: "v".into(), created: Revision(1), version, ttl: None }
    }

    /// The versions that were told.
    fn told(watch: &mut WatchStream) -> Vec<u64> {
        let mut versions = Vec::new();
        while let Some(Some(Ok(event))) = watch.next().now_or_never() {
            if let WatchEvent::Put(entry) = event {
                versions.push(entry.version.0);
            }
        }
        versions
    }

    #[tokio::test]
    async fn what_is_missing_is_read_once_the_place_is_known() {
        let (feed, written) = (Feed::default(), Arc::new(AtomicU64::new(1)));
        feed.goes_on_at(1);
        let mut watch = watch(&feed, &written).await;
        assert_eq!(told(&mut watch), [1]);
        assert!(feed.tell(&1, 2, [Change::Put(entry(Revision(2)))]));
        assert_eq!(told(&mut watch), [2]);

        written.store(4, Ordering::SeqCst);
        feed.lose();
        assert_eq!(
            (told(&mut watch), feed.place()),
            (vec![], None),
            "who reads now misses what comes before the place"
        );
        feed.goes_on_at(4);
        assert_eq!((told(&mut watch), feed.place()), (vec![4], Some(4)));

        written.store(6, Ordering::SeqCst);
        assert!(!feed.tell(&5, 6, []), "one is missing");
        assert_eq!(told(&mut watch), [6]);

        written.store(7, Ordering::SeqCst);
        feed.goes_on_at(6);
        assert!(told(&mut watch).is_empty(), "it is where it was");
        feed.goes_on_at(5);
        assert_eq!(told(&mut watch), [7], "the server has other data");
    }
}
