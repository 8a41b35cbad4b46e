//! Watching: what serves the watches of a handle while there are some, a sweeper of expired keys among it.

use crate::feed::Feed;
use crate::hub::{Hub, Listening};
use crate::names::{Topic, topic_hash};
use crate::state::State;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::feed::{self, Topics, WatchSource, Watches};
use linchpin_core::life::End;
use linchpin_core::{Page, Range, Result, ScanPage, WatchStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// The watches of a handle and what serves them.
pub(crate) struct Changes {
    state: Arc<State>,
    hub: Arc<Hub>,
    watches: Watches<WatchService>,
}

/// What a watch hears of, while it is there.
struct WatchedTopics {
    feed: Arc<Feed>,
    topics: Topics,
}

impl Drop for WatchedTopics {
    fn drop(&mut self) {
        self.feed.watched.remove(&self.topics);
    }
}

/// What serves watches.
struct WatchService {
    state: Arc<State>,
    feed: Arc<Feed>,
    _listening: Listening,
    sweeper: JoinHandle<()>,
}

impl WatchSource for WatchService {
    type Listening = WatchedTopics;
    type Place = (u64, u64);

    /// The server tells of all changes already; what is told from now on is looked at if it may be of this range.
    async fn listen(&self, range: &Range) -> Result<WatchedTopics> {
        let topics = Topics::of_range(range, topic_hash);
        self.feed.watched.add(&topics);
        Ok(WatchedTopics { feed: self.feed.clone(), topics })
    }

    fn feed(&self) -> &feed::Feed<(u64, u64)> {
        &self.feed.changes
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.state.scan(range, page).await
    }

    fn end(&self) {
        self.sweeper.abort();
    }
}

impl Drop for WatchService {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Changes {
    pub(crate) fn new(state: Arc<State>, hub: Arc<Hub>) -> Self {
        Self { state, hub, watches: Watches::default() }
    }

    pub(crate) async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let begin = WatchService::begin(self.state.clone(), self.hub.clone());
        self.watches.watch(&self.hub.life, range, begin).await
    }

    pub(crate) fn end(&self, ended: End) {
        self.watches.end(ended);
    }
}

impl WatchService {
    /// Listens to changes; nothing that changes after this returns is missed.
    async fn begin(state: Arc<State>, hub: Arc<Hub>) -> Result<Self> {
        let feed = Arc::<Feed>::default();
        // What ended before is looked for at once.
        feed.changes.alarm.rings_in(Duration::ZERO);
        let listening = hub.listen("watch", Topic::Changes, feed.clone(), None).await?;
        state.own.served_by(&feed);
        let sweeper = hub.life.spawn(sweep(state.clone(), feed.clone()));
        Ok(Self { state, feed, _listening: listening, sweeper })
    }
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them; sleeps in between.
async fn sweep(state: Arc<State>, feed: Arc<Feed>) {
    let mut backoff = Backoff::default();
    let alarm = &feed.changes.alarm;
    loop {
        alarm.ring(|| JITTER.mul_f64(fastrand::f64())).await;
        match state.sweep().await {
            Ok(next) => {
                backoff.reset();
                if let Some(next) = next {
                    alarm.rings_in(Duration::from_micros(next));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "expired keys could not be swept");
                backoff.pause().await;
                alarm.rings_in(Duration::ZERO);
            }
        }
    }
}
