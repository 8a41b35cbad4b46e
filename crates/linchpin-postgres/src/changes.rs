//! Watching: what the doorbell tells of changes, and one sweeper of expired keys per handle, while anybody watches.

use crate::bell::Told;
use crate::connection::Backoff;
use crate::hub::{Hub, Listener, Listening};
use crate::names::Topic;
use crate::state::State;
use linchpin_core::fanout::{Scan, Watchers};
use linchpin_core::{Error, MAX_TTL, Page, Range, Result, WatchStream};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// How long a change is held back that came before one that was made before it. Notifications of several handles
/// overtake each other by less.
const OVERTAKEN: Duration = Duration::from_millis(25);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    state: Arc<State>,
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    /// Held by the watches.
    serving: AsyncMutex<Weak<Serving>>,
}

/// The tasks end with the last watch.
struct Serving {
    _listening: Listening,
    sweeper: JoinHandle<()>,
    patience: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.sweeper.abort();
        self.patience.abort();
    }
}

impl Changes {
    pub(crate) fn new(state: Arc<State>, hub: Arc<Hub>) -> Self {
        Self { state, hub, feed: Arc::default(), serving: AsyncMutex::default() }
    }

    /// The stream keeps what serves it alive, so it may outlive its handle.
    pub(crate) async fn watch(self: &Arc<Self>, range: &Range) -> Result<WatchStream> {
        let serving = self.serving().await?;
        let state = self.state.clone();
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let (state, serving) = (state.clone(), serving.clone());
            Box::pin(async move {
                let page = state.scan(&range, &page).await;
                drop(serving);
                page
            })
        });
        self.feed.watchers.add(range.clone(), scan).await
    }

    pub(crate) fn close(&self) {
        self.feed.end();
    }

    /// Listens to changes; nothing that changes after this returns is missed.
    async fn serving(&self) -> Result<Arc<Serving>> {
        let mut slot = self.serving.lock().await;
        if let Some(serving) = slot.upgrade() {
            return Ok(serving);
        }
        self.feed.start();
        let listening = self.hub.listen("watch", Topic::Changes, self.feed.clone()).await?;
        let (state, feed) = (self.state.clone(), self.feed.clone());
        let sweeper = tokio::spawn(async move { sweep(&state, &feed).await });
        let feed = self.feed.clone();
        let patience = tokio::spawn(async move { feed.lose_patience().await });
        let serving = Arc::new(Serving { _listening: listening, sweeper, patience });
        *slot = Arc::downgrade(&serving);
        Ok(serving)
    }
}

/// What the doorbell tells, in order.
#[derive(Default)]
struct Feed {
    watchers: Watchers,
    order: Mutex<Order>,
    /// Something is held back.
    held: Notify,
    /// When the next key ends, as far as is known: every TTL that is granted is told.
    due: Mutex<Option<Instant>>,
    /// It is due earlier than the sweeper knows.
    sooner: Notify,
}

/// How far the changes were told.
#[derive(Default)]
struct Order {
    /// How many there were when it was told last; none if that is not known.
    count: Option<u64>,
    /// What was told ahead of others, by how many changes there were before.
    ahead: BTreeMap<u64, Vec<Told>>,
    held_since: Option<Instant>,
    /// How many there were at the last heartbeat.
    beat: u64,
}

impl Order {
    /// How many notifications are held back at most.
    const HELD: usize = 1024;

    /// What is to be told now.
    fn take(&mut self, told: Told) -> Vec<Told> {
        let Some(mut count) = self.count else { return Vec::new() };
        if told.before > count {
            self.ahead.entry(told.before).or_default().push(told);
            self.held_since.get_or_insert_with(Instant::now);
            return Vec::new();
        }
        let mut ready = Vec::new();
        let mut next = vec![told];
        while !next.is_empty() {
            // What was read before is told again by nobody.
            for told in next.drain(..).filter(|told| told.before == count) {
                ready.push(told);
            }
            count = ready.last().map_or(count, |told: &Told| told.after.max(count));
            while let Some(entry) = self.ahead.first_entry() {
                if *entry.key() > count {
                    break;
                }
                next.extend(entry.remove());
            }
        }
        if self.ahead.is_empty() {
            self.held_since = None;
        } else if self.count != Some(count) {
            self.held_since = Some(Instant::now());
        }
        self.count = Some(count);
        ready
    }

    /// Gives up on what should have come before what is held back, and on that too: the watchers are to read it.
    fn skip(&mut self) {
        let last = self.ahead.values().flatten().map(|told| told.after).max();
        self.restart(self.count.max(last));
    }

    /// Goes on from so many changes: whatever was held back was missed or is in what the watchers read now.
    fn restart(&mut self, count: Option<u64>) {
        *self = Self { count, beat: count.unwrap_or(0), ..Self::default() };
    }
}

impl Feed {
    fn start(&self) {
        self.order.lock().restart(None);
        self.ends_in(Duration::ZERO);
    }

    fn ends_in(&self, time: Duration) {
        let at = Instant::now() + time.min(MAX_TTL);
        let mut due = self.due.lock();
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.sooner.notify_one();
        }
    }

    fn tell(&self, told: Told) {
        for (change, ttl) in told.changes {
            self.watchers.dispatch(&change);
            if let Some(ttl) = ttl {
                self.ends_in(ttl);
            }
        }
    }

    /// Makes the watchers read their ranges: something was not told.
    fn resync(&self) {
        self.watchers.mark_gap();
        self.ends_in(Duration::ZERO);
    }

    /// Gives up on what should have come before something that is held back.
    async fn lose_patience(&self) {
        loop {
            let since = self.order.lock().held_since;
            let Some(since) = since else {
                self.held.notified().await;
                continue;
            };
            tokio::time::sleep_until(since + OVERTAKEN).await;
            let mut order = self.order.lock();
            // Something came meanwhile, and something else is held back.
            if order.held_since != Some(since) {
                continue;
            }
            order.skip();
            drop(order);
            tracing::debug!("a change was not told; watchers read their ranges again");
            self.resync();
        }
    }
}

impl Listener for Feed {
    fn receive(&self, text: &str) {
        let Some(told) = Told::read(text) else {
            tracing::warn!("a change could not be read; watchers read their ranges again");
            return self.resync();
        };
        let mut order = self.order.lock();
        // In the lock: nobody else may tell what came later before.
        for told in order.take(told) {
            self.tell(told);
        }
        let is_held = order.held_since.is_some();
        let too_many = order.ahead.len() > Order::HELD;
        if too_many {
            order.skip();
        }
        drop(order);
        if too_many {
            self.resync();
        } else if is_held {
            self.held.notify_one();
        }
    }

    fn count(&self, changes: u64) {
        let mut order = self.order.lock();
        let Some(count) = order.count else { return order.restart(Some(changes)) };
        // Of what was there a heartbeat ago somebody should have told by now.
        let is_missed = count < order.beat;
        order.beat = changes;
        // The server lost its data, and counts anew.
        if is_missed || changes < count {
            order.restart(Some(changes));
            drop(order);
            tracing::debug!("a change was not told; watchers read their ranges again");
            self.resync();
        }
    }

    fn mark_gap(&self) {
        self.order.lock().restart(None);
        self.resync();
    }

    fn end(&self) {
        self.watchers.end(|| Error::closed("watch"));
    }
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them; sleeps in between.
async fn sweep(state: &State, feed: &Feed) {
    let mut backoff = Backoff::default();
    loop {
        let due = *feed.due.lock();
        let pause = async {
            match due {
                Some(due) => tokio::time::sleep_until(due + JITTER.mul_f64(fastrand::f64())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            () = feed.sooner.notified() => continue,
        }
        // Before asking: what comes up meanwhile is looked at again.
        *feed.due.lock() = None;
        match state.sweep().await {
            Ok(next) => {
                backoff.reset();
                if let Some(next) = next {
                    feed.ends_in(Duration::from_micros(next));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "expired keys could not be swept");
                backoff.pause().await;
                feed.ends_in(Duration::ZERO);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: u64, after: u64) -> Told {
        Told { before, after, changes: Vec::new() }
    }

    fn taken(order: &mut Order, before: u64, after: u64) -> Vec<(u64, u64)> {
        order.take(told(before, after)).iter().map(|told| (told.before, told.after)).collect()
    }

    #[test]
    fn changes_are_told_in_their_order_and_once() {
        let mut order = Order::default();
        assert_eq!(taken(&mut order, 3, 4), [], "nobody knows yet what comes next");
        order.restart(Some(4));
        assert_eq!(taken(&mut order, 3, 4), [], "it is in what was read");
        assert_eq!(taken(&mut order, 4, 5), [(4, 5)]);
        assert_eq!(taken(&mut order, 7, 8), []);
        assert_eq!(taken(&mut order, 6, 6), [], "a part");
        assert_eq!(taken(&mut order, 6, 7), []);
        assert!(order.held_since.is_some());
        assert_eq!(taken(&mut order, 5, 6), [(5, 6), (6, 6), (6, 7), (7, 8)]);
        assert!(order.held_since.is_none() && order.ahead.is_empty());
        assert_eq!(taken(&mut order, 6, 7), [], "told before");
        assert_eq!(taken(&mut order, 8, 8), [(8, 8)]);
        assert_eq!(taken(&mut order, 8, 9), [(8, 9)]);
    }

    #[test]
    fn what_was_not_told_is_noticed_by_the_count() {
        let feed = Feed::default();
        feed.count(4);
        feed.count(5);
        assert_eq!(feed.order.lock().count, Some(4), "it may be on its way");
        feed.receive("4 5");
        feed.count(7);
        feed.count(8);
        assert_eq!(feed.order.lock().count, Some(8), "it should have been here");
        feed.count(3);
        assert_eq!(feed.order.lock().count, Some(3), "the server counts anew");
    }
}
