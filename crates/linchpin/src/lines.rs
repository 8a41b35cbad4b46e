//! What this process knows of the queues that it waits in: one watch per queue, however many wait in it here.
//!
//! A place in a queue is a key; the revision that created it says where it stands. A watch tells of keys in the
//! order in which they came to be, so who has been told of its own place knows everybody before it, and is first
//! when all of those are told to be gone. Nobody is woken but who is first, and nobody asks the backend again.
//! Who is far back and alone here leaves the line, see [`ahead`](crate::ahead).

use futures::StreamExt;
use linchpin_core::life::Home;
use linchpin_core::{Driver, Error, ErrorKind, Key, Range, Result, Revision, WatchEvent, WatchStream};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// For how long a queue is watched after the last who waited in it here: who comes back finds it known.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Who holds on to a line though nobody waits: the task that watches it, and the list.
const KEPT: usize = 2;

/// The queues that this process waits in.
pub(crate) struct Lines {
    driver: Arc<dyn Driver>,
    home: Home,
    watched: Arc<Mutex<HashMap<Range, LineWatch>>>,
}

struct LineWatch {
    line: Arc<Line>,
    /// None if there was no runtime for it.
    task: Option<JoinHandle<()>>,
}

impl LineWatch {
    /// Whether nobody watches any more: the runtime that ran the task may have ended.
    fn is_over(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for LineWatch {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

impl Lines {
    pub(crate) fn new(driver: Arc<dyn Driver>, home: Home) -> Self {
        Self { driver, home, watched: Arc::default() }
    }

    /// The line of a queue; it is watched from now on if it was not.
    pub(crate) fn join(&self, range: &Range) -> Arc<Line> {
        let mut lines = self.watched.lock();
        if let Some(watched) = lines.get(range).filter(|watched| !watched.is_over()) {
            return watched.line.clone();
        }
        let line = Arc::new(Line { state: Mutex::default() });
        let (driver, own) = (self.driver.clone(), range.clone());
        let all = Arc::downgrade(&self.watched);
        // Also if the task never begins.
        let ending = Ending(line.clone());
        let task = self.home.spawn(async move { keep(&ending.0, &*driver, &all, &own).await });
        lines.insert(range.clone(), LineWatch { line: line.clone(), task });
        line
    }

    /// Stops watching a queue in which nobody waits here, if so many are in it.
    pub(crate) fn leave_long(&self, range: &Range, long: usize) {
        let mut lines = self.watched.lock();
        let is_left = |watched: &LineWatch| {
            Arc::strong_count(&watched.line) <= KEPT && watched.line.state.lock().places.len() >= long
        };
        if lines.get(range).is_some_and(is_left) {
            lines.remove(range);
        }
    }

    /// Whether a queue is watched.
    pub(crate) fn is_watched(&self, range: &Range) -> bool {
        self.watched.lock().get(range).is_some_and(|watched| !watched.is_over())
    }

    /// Whether somebody is in the queue, as far as is known here. It may be gone by now.
    pub(crate) fn is_somebody_in(&self, range: &Range) -> bool {
        let lines = self.watched.lock();
        let watched = lines.get(range).filter(|watched| !watched.is_over());
        watched.is_some_and(|watched| !watched.line.state.lock().places.is_empty())
    }
}

/// Tells those who wait that nobody watches for them any more, however that came about.
struct Ending(Arc<Line>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(Error::new(ErrorKind::Unavailable, "watch", "the task that watches the queue ended"));
    }
}

/// Watches a queue until the watch ends or nobody has waited in it for a while. The list ends this task when it
/// is dropped.
async fn keep(line: &Arc<Line>, driver: &dyn Driver, all: &Weak<Mutex<HashMap<Range, LineWatch>>>, range: &Range) {
    let ended = match driver.watch(range).await {
        Ok(events) => follow(line, events, all, range).await,
        Err(error) => Some(error),
    };
    if let Some(ended) = ended {
        // Who comes next begins anew; who waits now is told.
        if let Some(all) = all.upgrade() {
            take_off(&mut all.lock(), range, line);
        }
        line.end(ended);
    }
}

/// Takes a line off the list; another may have taken its place.
fn take_off(lines: &mut HashMap<Range, LineWatch>, range: &Range, line: &Arc<Line>) {
    if lines.get(range).is_some_and(|watched| Arc::ptr_eq(&watched.line, line)) {
        lines.remove(range);
    }
}

/// Takes what a watch tells; returns what it ended with, or nothing if nobody needs it any more.
async fn follow(
    line: &Arc<Line>,
    mut events: WatchStream,
    all: &Weak<Mutex<HashMap<Range, LineWatch>>>,
    range: &Range,
) -> Option<Error> {
    let mut used = Instant::now();
    loop {
        match tokio::time::timeout(LINGER, events.next()).await {
            Ok(Some(Ok(event))) => line.take(event),
            Ok(Some(Err(error))) => return Some(error),
            Ok(None) => return Some(Error::new(ErrorKind::Unavailable, "watch", "the watch ended")),
            Err(_) => {}
        }
        if Arc::strong_count(line) > KEPT {
            used = Instant::now();
        } else if used.elapsed() >= LINGER {
            let all = all.upgrade()?;
            let mut all = all.lock();
            // Under the lock nobody can join.
            if Arc::strong_count(line) <= KEPT {
                take_off(&mut all, range, line);
                return None;
            }
        }
    }
}

/// One queue, as far as its watch has told.
pub(crate) struct Line {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    places: BTreeMap<Revision, Key>,
    created: HashMap<Key, Revision>,
    /// Every place that came to be up to here has been told.
    told: Option<Revision>,
    /// Those who wait here, by their places.
    waiting: BTreeMap<Revision, Arc<Notify>>,
    ended: Option<Arc<Error>>,
}

/// Where a place stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    First,
    /// Behind others.
    Behind,
    Gone,
}

impl State {
    /// `None` as long as it is not known.
    fn standing(&self, place: Revision) -> Option<Rank> {
        self.told.filter(|told| *told >= place)?;
        Some(match self.places.first_key_value() {
            Some((first, _)) if *first == place => Rank::First,
            _ if self.places.contains_key(&place) => Rank::Behind,
            _ => Rank::Gone,
        })
    }

    fn remove(&mut self, key: &Key) {
        if let Some(place) = self.created.remove(key) {
            self.places.remove(&place);
            self.wake(place);
        }
    }

    fn wake(&self, place: Revision) {
        if let Some(waiting) = self.waiting.get(&place) {
            waiting.notify_one();
        }
    }

    /// Notes that everything up to here was told.
    fn told(&mut self, revision: Revision) {
        if self.told.is_none_or(|told| told < revision) {
            let before = self.told.replace(revision).unwrap_or_default();
            for waiting in self.waiting.range(before..=revision).map(|(_, waiting)| waiting) {
                waiting.notify_one();
            }
        }
    }
}

impl Line {
    fn take(&self, event: WatchEvent) {
        let mut state = self.state.lock();
        match event {
            WatchEvent::Put(entry) => {
                // Older than what was told, and new: the backend lost its data and begins again.
                if state.told.is_some_and(|told| entry.created < told) && !state.created.contains_key(&entry.key) {
                    state.told = Some(entry.created);
                }
                state.remove(&entry.key);
                state.places.insert(entry.created, entry.key.clone());
                state.created.insert(entry.key, entry.created);
                // Before the first of all were told their order says nothing.
                if state.told.is_some() {
                    state.told(entry.created);
                }
            }
            WatchEvent::Deleted { key, .. } => state.remove(&key),
            WatchEvent::Synced { revision } => state.told(revision),
            _ => {}
        }
        if let Some((first, _)) = state.places.first_key_value() {
            state.wake(*first);
        }
    }

    fn end(&self, error: Error) {
        let mut state = self.state.lock();
        state.ended.get_or_insert_with(|| Arc::new(error));
        for waiting in state.waiting.values() {
            waiting.notify_one();
        }
    }

    /// Whether several wait here, of whom one asks.
    pub(crate) fn is_shared(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > KEPT + 1
    }

    /// Who is ahead of a place, in the order in which they came; for one of which it is known where it stands.
    pub(crate) fn ahead(&self, place: Revision) -> Vec<Key> {
        self.state.lock().places.range(..place).map(|(_, key)| key.clone()).collect()
    }

    /// Where a place stands, as soon as that is known.
    ///
    /// # Errors
    /// What the watch ended with.
    pub(crate) async fn look(&self, place: Revision) -> Result<Rank> {
        self.until(place, |_| true).await
    }

    /// Returns when the place is first, or gone.
    ///
    /// # Errors
    /// What the watch ended with.
    pub(crate) async fn turn(&self, place: Revision) -> Result<Rank> {
        self.until(place, |standing| standing != Rank::Behind).await
    }

    async fn until(&self, place: Revision, wanted: impl Fn(Rank) -> bool) -> Result<Rank> {
        let waiting = Waiter::new(self, place);
        loop {
            {
                let state = self.state.lock();
                if let Some(error) = &state.ended {
                    return Err(Error::shared(error, error.operation()));
                }
                if let Some(standing) = state.standing(place).filter(|standing| wanted(*standing)) {
                    return Ok(standing);
                }
            }
            waiting.woken.notified().await;
        }
    }
}

/// Somebody who waits, until it is dropped.
struct Waiter<'a> {
    line: &'a Line,
    place: Revision,
    woken: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    fn new(line: &'a Line, place: Revision) -> Self {
        let woken = Arc::new(Notify::new());
        line.state.lock().waiting.insert(place, woken.clone());
        Self { line, place, woken }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.line.state.lock().waiting.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Entry;

    fn line(events: Vec<WatchEvent>) -> Line {
        let line = Line { state: Mutex::default() };
        for event in events {
            line.take(event);
        }
        line
    }

    fn key(place: u64) -> Key {
        Key::new(format!("q/{place}")).expect("valid")
    }

    fn put(place: u64) -> WatchEvent {
        let at = Revision(place);
        WatchEvent::Put(Entry { key: key(place), value: "".into(), created: at, version: at, ttl: None })
    }

    fn gone(place: u64) -> WatchEvent {
        WatchEvent::Deleted { key: key(place), version: Revision(99) }
    }

    fn synced(revision: u64) -> WatchEvent {
        WatchEvent::Synced { revision: Revision(revision) }
    }

    fn standing(line: &Line, place: u64) -> Option<Rank> {
        line.state.lock().standing(Revision(place))
    }

    #[test]
    fn nobody_is_first_before_all_who_may_be_earlier_are_told() {
        let line = line(vec![put(7)]);
        assert_eq!(standing(&line, 7), None, "a place before it may still be told");
        line.take(put(5));
        line.take(synced(8));
        assert_eq!((standing(&line, 5), standing(&line, 7)), (Some(Rank::First), Some(Rank::Behind)));
        assert_eq!(standing(&line, 9), None, "its own place was not told yet");
        line.take(put(9));
        line.take(gone(7));
        line.take(gone(5));
        assert_eq!((standing(&line, 7), standing(&line, 9)), (Some(Rank::Gone), Some(Rank::First)));
    }

    #[tokio::test]
    async fn who_is_first_is_woken_and_who_is_gone_too() {
        let line = Arc::new(line(vec![put(1), put(2), put(3), synced(3)]));
        let wait = |place| {
            let line = line.clone();
            tokio::spawn(async move { line.turn(Revision(place)).await })
        };
        let (second, third) = (wait(2), wait(3));
        while line.state.lock().waiting.len() < 2 {
            tokio::task::yield_now().await;
        }
        line.take(gone(3));
        assert_eq!(third.await.expect("no panic").expect("told"), Rank::Gone);
        line.take(gone(1));
        assert_eq!(second.await.expect("no panic").expect("told"), Rank::First);
        let fourth = wait(4);
        while line.state.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        line.end(Error::closed("watch"));
        assert_eq!(fourth.await.expect("no panic").expect_err("it ended").kind(), ErrorKind::Closed);
    }
}
