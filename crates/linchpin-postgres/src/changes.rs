//! Watching: what serves the watches of a handle while there are some, a sweeper of expired keys among it.

use crate::feed::Feed;
use crate::hub::{Hub, Listening};
use crate::names::Topic;
use crate::state::State;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::fanout::Scan;
use linchpin_adapter::service::Service;
use linchpin_core::life::End;
use linchpin_core::{Page, Range, Result, WatchStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// For how long watches are served after the last one is gone.
const LINGER: Duration = Duration::from_secs(5);

/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    state: Arc<State>,
    hub: Arc<Hub>,
    service: Service<WatchService>,
}

/// What serves watches. Each uses it, so it may outlive its handle.
struct WatchService {
    state: Arc<State>,
    feed: Arc<Feed>,
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
        Self { state, hub, service: Service::new(LINGER) }
    }

    pub(crate) async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let begin = WatchService::begin(self.state.clone(), self.hub.clone());
        let service = self.service.used(&self.hub.life, "watch", begin).await?;
        let used = service.clone();
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let service = used.clone();
            Box::pin(async move { service.state.scan(&range, &page).await })
        });
        service.feed.changes.watchers.add(range.clone(), scan).await
    }

    pub(crate) fn end(&self, ended: End) {
        if let Some(service) = self.service.end() {
            service.feed.changes.end(ended);
            service.sweeper.abort();
        }
    }
}

impl WatchService {
    /// Listens to changes; nothing that changes after this returns is missed.
    async fn begin(state: Arc<State>, hub: Arc<Hub>) -> Result<Self> {
        let feed = Arc::<Feed>::default();
        feed.changes.start();
        let listening = hub.listen("watch", Topic::Changes, feed.clone(), None).await?;
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
