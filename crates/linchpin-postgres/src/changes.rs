//! Watching: the feed of changes, and one sweeper of expired keys per handle, while anybody watches.

use crate::feed::Feed;
use crate::hub::{Hub, Listener, Listening};
use crate::names::Topic;
use crate::state::State;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::fanout::Scan;
use linchpin_adapter::tasks::on_behalf;
use linchpin_core::life::End;
use linchpin_core::{Page, Range, Result, WatchStream};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    state: Arc<State>,
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    /// Held by the watches.
    serving: AsyncMutex<Weak<WatchService>>,
}

/// The tasks end with the last watch.
struct WatchService {
    _listening: Listening,
    sweeper: JoinHandle<()>,
}

impl Drop for WatchService {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Changes {
    pub(crate) fn new(state: Arc<State>, hub: Arc<Hub>) -> Self {
        Self { state, hub, feed: Arc::default(), serving: AsyncMutex::default() }
    }

    /// The stream keeps what serves it alive, so it may outlive its handle.
    pub(crate) async fn watch(self: &Arc<Self>, range: &Range) -> Result<WatchStream> {
        let serving = self.served().await?;
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

    pub(crate) fn close(&self, ended: End) {
        self.feed.end(ended);
    }

    /// As `serving`, as a task of the handle: a caller who does not go on keeps nobody waiting.
    async fn served(self: &Arc<Self>) -> Result<Arc<WatchService>> {
        let me = self.clone();
        let served = on_behalf(&self.hub.life, async move { me.serving().await }).await;
        served.unwrap_or_else(|| Err(self.hub.life.unanswered("watch")))
    }

    /// Listens to changes; nothing that changes after this returns is missed.
    async fn serving(&self) -> Result<Arc<WatchService>> {
        let mut slot = self.serving.lock().await;
        if let Some(serving) = slot.upgrade() {
            return Ok(serving);
        }
        self.feed.start();
        let listening = self.hub.listen("watch", Topic::Changes, self.feed.clone(), None).await?;
        let (state, feed) = (self.state.clone(), self.feed.clone());
        let sweeper = self.hub.spawn(async move { sweep(&state, &feed).await });
        let serving = Arc::new(WatchService { _listening: listening, sweeper });
        *slot = Arc::downgrade(&serving);
        Ok(serving)
    }
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them; sleeps in between.
async fn sweep(state: &State, feed: &Feed) {
    let mut backoff = Backoff::default();
    loop {
        let due = feed.due();
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
        feed.forget_due();
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
