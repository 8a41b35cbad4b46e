//! Waiting far back in a queue: told of the one who came just before, and of nobody else.
//!
//! Each change of a queue is told to every process that watches it, see [`lines`](crate::lines). That is much where a
//! hundred wait, and for most of them it is no news. So who has many before it, and is the only one of its process to
//! wait there, watches one place: the last of those ahead. Once that is gone it asks the backend who is left of them.
//! Nobody comes ahead later: the revision that created a place says where it stands. For a moment after its turn the queue
//! is taken for long.

use crate::lines::LINGER;
use crate::range::{read_all, until_gone};
use linchpin_adapter::backoff::Backoff;
use linchpin_core::{Driver, Key, Page, Range, Result, Revision};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// How many are far: for fewer it costs less to be told of all.
pub(crate) const FAR: usize = 16;

/// How many places are asked for at once.
const CHUNK: usize = 128;

/// Those ahead of a place, as far as they may still be there.
pub(crate) struct Ahead {
    own: Key,
    created: Revision,
    /// In the order in which they came.
    places: Mutex<Vec<Key>>,
}

impl Ahead {
    /// Those ahead of a place, in the order in which they came.
    pub(crate) fn new(own: &Key, created: Revision, places: Vec<Key>) -> Self {
        Self { own: own.clone(), created, places: Mutex::new(places) }
    }

    /// Reads who is ahead of a place; `None` if the place is gone.
    pub(crate) async fn read(own: &Key, created: Revision, driver: &dyn Driver, range: &Range) -> Result<Option<Self>> {
        let mut places = read_all(driver, range, Page::first_keys()).await?;
        if !places.iter().any(|place| place.key == *own && place.created == created) {
            return Ok(None);
        }
        places.retain(|place| place.created < created);
        places.sort_unstable_by_key(|place| place.created);
        Ok(Some(Self::new(own, created, places.into_iter().map(|place| place.key).collect())))
    }

    pub(crate) fn is_far(&self) -> bool {
        self.places.lock().len() >= FAR
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.places.lock().is_empty()
    }

    /// Returns when nobody is ahead any more, or the place is gone: whether it is there. An outage is waited out, as
    /// long as the place lasts.
    ///
    /// # Errors
    /// What watching or reading fails with for good.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn turn(&self, driver: &dyn Driver) -> Result<bool> {
        let mut backoff = Backoff::default();
        while let Some(last) = self.last() {
            let asked = async {
                until_gone(driver, &last).await?;
                self.ask(driver).await
            };
            match asked.await {
                Ok(true) if self.last().as_ref() != Some(&last) => backoff.reset(),
                // It is gone and is there.
                Ok(true) => backoff.pause().await,
                Ok(false) => return Ok(false),
                Err(error) if error.is_transient() => backoff.pause().await,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn last(&self) -> Option<Key> {
        self.places.lock().last().cloned()
    }

    /// Asks, from the last one on, until one is found that is still there; whether the own place is.
    async fn ask(&self, driver: &dyn Driver) -> Result<bool> {
        loop {
            let (from, keys) = {
                let places = self.places.lock();
                let from = places.len().saturating_sub(CHUNK);
                (from, [std::slice::from_ref(&self.own), &places[from..]].concat())
            };
            let (own, ahead) = match &driver.get(&keys).await?.entries[..] {
                [own, ahead @ ..] => (own.as_ref().map(|own| own.created), ahead.iter().rposition(Option::is_some)),
                [] => (None, None),
            };
            if own != Some(self.created) {
                return Ok(false);
            }
            let mut places = self.places.lock();
            places.truncate(from + ahead.map_or(0, |at| at + 1));
            if ahead.is_some() || places.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// The queues in which one of this process waits alone, or did a moment ago.
#[derive(Default)]
pub(crate) struct LongQueues(Arc<Mutex<HashMap<Range, QueueState>>>);

#[derive(Clone, Copy, Default)]
struct QueueState {
    waits: bool,
    /// When it was known to be long.
    long: Option<Instant>,
}

impl QueueState {
    fn is_long(&self) -> bool {
        self.long.is_some_and(|long| self.waits || long.elapsed() < LINGER)
    }
}

impl LongQueues {
    /// Begins to wait alone; `None` if somebody does.
    pub(crate) fn wait_alone(&self, range: &Range) -> Option<Alone> {
        let mut queues = self.0.lock();
        queues.retain(|_, known| known.waits || known.is_long());
        let known = queues.entry(range.clone()).or_default();
        let is_first = !std::mem::replace(&mut known.waits, true);
        is_first.then(|| Alone { queues: self.0.clone(), range: range.clone(), is_far: false })
    }

    /// Whether a queue was long a moment ago.
    pub(crate) fn is_long(&self, range: &Range) -> bool {
        self.0.lock().get(range).is_some_and(QueueState::is_long)
    }
}

/// Somebody who waits alone, until it is dropped.
pub(crate) struct Alone {
    queues: Arc<Mutex<HashMap<Range, QueueState>>>,
    range: Range,
    is_far: bool,
}

impl Alone {
    /// It is known whether it is far back.
    pub(crate) fn stands(&mut self, is_far: bool) {
        self.is_far = is_far;
        if let Some(known) = self.queues.lock().get_mut(&self.range) {
            known.long = is_far.then(Instant::now);
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(known) = self.queues.lock().get_mut(&self.range) {
            known.waits = false;
            // Others came after it.
            if self.is_far {
                known.long = Some(Instant::now());
            }
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;
    use crate::Coordinator;
    use linchpin_core::Transaction;
    use tokio::task::yield_now;

    /// A backend, and a queue in it.
    async fn queue(name: &str) -> (Coordinator, Range) {
        let coordinator = crate::connect(&format!("memory://ahead-{name}")).await.expect("connected");
        (coordinator, Range::prefix("q/").expect("valid"))
    }

    fn place(number: usize) -> Key {
        // Their order says nothing.
        Key::new(format!("q/{:03}", (number * 7) % 1000)).expect("valid")
    }

    async fn enter(driver: &dyn Driver, number: usize) {
        driver.commit(&Transaction::new().put(place(number), "", None)).await.expect("written");
    }

    async fn leave(driver: &dyn Driver, number: usize) {
        driver.commit(&Transaction::new().delete(place(number))).await.expect("written");
    }

    async fn ahead(driver: &dyn Driver, range: &Range, number: usize) -> Option<Ahead> {
        let created = driver.get(&[place(number)]).await.expect("read").into_entry().expect("there").created;
        Ahead::read(&place(number), created, driver, range).await.expect("read")
    }

    async fn idle() {
        for _ in 0..200 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_is_nobodys_turn_while_one_who_came_before_is_there() {
        let (coordinator, range) = queue("turn").await;
        let driver = coordinator.driver().clone();
        // More than are asked for at once.
        for number in 0..=2 * CHUNK + 10 {
            enter(&*driver, number).await;
        }
        let own = 2 * CHUNK;
        let ahead = Arc::new(ahead(&*driver, &range, own).await.expect("there"));
        assert!(ahead.is_far() && ahead.places.lock().len() == own, "and nobody who came later");
        let turn = {
            let (ahead, driver) = (ahead.clone(), driver.clone());
            tokio::spawn(async move { ahead.turn(&*driver).await.expect("told") })
        };
        // The last, those before it, all but two, and one of them.
        let others = [vec![own - 1], (own - 40..own - 1).collect(), (2..own - 40).collect(), vec![0]];
        for leaving in others {
            for number in leaving {
                leave(&*driver, number).await;
            }
            idle().await;
            assert!(!turn.is_finished(), "one is there: {:?}", ahead.places.lock().len());
        }
        leave(&*driver, 1).await;
        assert!(turn.await.expect("no panic"));
        assert!(ahead.is_nobody());
    }

    #[tokio::test]
    async fn a_place_that_is_gone_has_no_turn() {
        let (coordinator, range) = queue("gone").await;
        let driver = coordinator.driver();
        for number in 0..3 {
            enter(&**driver, number).await;
        }
        let (own, other) = (ahead(&**driver, &range, 2).await.expect("there"), ahead(&**driver, &range, 1).await);
        leave(&**driver, 2).await;
        leave(&**driver, 1).await;
        assert!(!own.turn(&**driver).await.expect("told"), "the backend lost it");
        // There again, and later than others.
        enter(&**driver, 1).await;
        leave(&**driver, 0).await;
        assert!(!other.expect("there").turn(&**driver).await.expect("told"), "another is there under its name");
        let none = Ahead::read(&place(1), Revision(1), &**driver, &range).await.expect("read");
        assert!(none.is_none(), "it is not where it was");
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_alone_and_a_long_queue_is_known_for_a_while() {
        let (queues, range) = (LongQueues::default(), Range::prefix("q/").expect("valid"));
        let mut alone = queues.wait_alone(&range).expect("the first");
        assert!(queues.wait_alone(&range).is_none() && !queues.is_long(&range));
        alone.stands(true);
        assert!(queues.is_long(&range));
        tokio::time::advance(LINGER * 2).await;
        assert!(queues.is_long(&range), "it still waits");
        drop(alone);
        assert!(queues.is_long(&range));
        let mut alone = queues.wait_alone(&range).expect("nobody waits");
        alone.stands(false);
        assert!(!queues.is_long(&range));
        alone.stands(true);
        drop(alone);
        tokio::time::advance(LINGER / 2).await;
        drop(queues.wait_alone(&range).expect("nobody waits"));
        tokio::time::advance(LINGER / 2).await;
        assert!(!queues.is_long(&range), "that one saw nothing");
        drop(queues.wait_alone(&Range::all()));
        drop(queues.wait_alone(&range));
        assert!(queues.0.lock().len() <= 1, "those that are of no use are kept");
    }
}
