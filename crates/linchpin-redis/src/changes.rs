//! Watching: what serves the watches of a handle while there are some, a sweeper of expired keys among it.

use crate::commands::{self, LOG, Prefix};
use crate::connection::Connection;
use crate::feed::{BEGINNING, Duty, Feed};
use crate::server::{Listening, Pushes};
use crate::state;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::fanout::Scan;
use linchpin_adapter::hub::{Listener, Topic};
use linchpin_adapter::tasks::SingleFlight;
use linchpin_core::life::End;
use linchpin_core::{Error, Page, Range, Result, WatchStream};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// For how long watches are served after the last one is gone: who waits for a lock now and then begins at once.
const LINGER: Duration = Duration::from_secs(5);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    connection: Connection,
    prefix: Prefix,
    hub: Arc<Pushes>,
    serving: Slot,
    beginning: SingleFlight<Result<Arc<WatchService>, Arc<Error>>>,
}

/// What serves watches at present, if there are some.
type Slot = Arc<Mutex<Option<Arc<WatchService>>>>;

/// What serves watches. Each holds it, so it may outlive its handle.
struct WatchService {
    connection: Connection,
    prefix: Prefix,
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
    pub(crate) fn new(connection: Connection, prefix: Prefix, hub: Arc<Pushes>) -> Self {
        let (serving, beginning) = Default::default();
        Self { connection, prefix, hub, serving, beginning }
    }

    pub(crate) async fn watch(self: &Arc<Self>, range: &Range) -> Result<WatchStream> {
        let serving = self.serving().await?;
        let held = serving.clone();
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let serving = held.clone();
            Box::pin(async move { state::scan(&serving.connection, &serving.prefix, &range, &page).await })
        });
        // Without watchers nobody looked when what ends.
        let was_idle = serving.feed.watchers.count() == 0;
        let stream = serving.feed.watchers.add(range.clone(), scan).await;
        if was_idle {
            serving.feed.beat_now();
        }
        stream
    }

    pub(crate) fn end(&self, ended: End) {
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            serving.feed.end(ended);
            serving.sweeper.abort();
        }
    }

    async fn serving(self: &Arc<Self>) -> Result<Arc<WatchService>> {
        if let Some(serving) = self.serving.lock().clone() {
            return Ok(serving);
        }
        let changes = self.clone();
        let beginning = async move { changes.begin().await };
        self.beginning.run_or_fail(self.connection.life(), "watch", beginning).await
    }

    /// Listens to changes, if nobody does by now; nothing that changes or is lost after this returns is missed.
    async fn begin(&self) -> Result<Arc<WatchService>> {
        if let Some(serving) = self.serving.lock().clone() {
            return Ok(serving);
        }
        let feed = Arc::<Feed>::default();
        let listening = self.hub.listen("watch", Topic::Channel(LOG.to_owned()), feed.clone()).await?;
        // It tells how many revisions there are, before anybody reads what there is.
        look(&self.connection, &self.prefix, &feed, Duty::Beat(BEGINNING.to_vec())).await?;
        let (connection, prefix) = (self.connection.clone(), self.prefix.clone());
        let (serving, feed_swept) = (Arc::downgrade(&self.serving), feed.clone());
        let sweeper = Sweeper { connection: connection.clone(), prefix: prefix.clone(), feed: feed_swept, serving };
        let mut slot = self.serving.lock();
        connection.life().admit("watch")?;
        let sweeper = connection.life().spawn(sweeper.run());
        let serving = Arc::new(WatchService { connection, prefix, feed, _listening: listening, sweeper });
        *slot = Some(serving.clone());
        Ok(serving)
    }
}

/// Removes keys past their deadline, and with a beat some of those that are not there any more, until none is left that
/// is due; notes when the next one ends.
async fn look(connection: &Connection, prefix: &Prefix, feed: &Feed, duty: Duty) -> Result<()> {
    let mut beat = match duty {
        Duty::Sweep => None,
        Duty::Beat(on) => Some(on),
    };
    loop {
        let mut script = prefix.invoke(&commands::SWEEP);
        script.arg(feed.number);
        if let Some(on) = beat.take() {
            script.arg(on);
        }
        let next = connection.run::<i64>("watch", &script).await?;
        match u64::try_from(next) {
            // Many ended at once.
            Ok(0) => {}
            Ok(next) => {
                feed.ends_in(Duration::from_micros(next));
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
    }
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them, and beats; sleeps in between.
struct Sweeper {
    connection: Connection,
    prefix: Prefix,
    feed: Arc<Feed>,
    serving: Weak<Mutex<Option<Arc<WatchService>>>>,
}

impl Sweeper {
    async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            if self.feed.watchers.count() == 0 && !self.linger().await {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.feed.next_look()) => {}
                () = self.feed.sooner.notified() => continue,
            }
            let Some(duty) = self.feed.duty() else { continue };
            match look(&self.connection, &self.prefix, &self.feed, duty).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::debug!(%error, "expired keys could not be swept");
                    backoff.pause().await;
                    self.feed.beat_now();
                }
            }
        }
    }

    /// Waits until somebody watches again, and says so; or ends what serves watches when nobody does for a while.
    async fn linger(&self) -> bool {
        let until = Instant::now() + LINGER;
        while Instant::now() < until {
            // Whoever watches again wants a beat.
            let _ = tokio::time::timeout_at(until, self.feed.sooner.notified()).await;
            if self.feed.watchers.count() > 0 {
                return true;
            }
        }
        let Some(slot) = self.serving.upgrade() else { return false };
        let last = {
            let mut slot = slot.lock();
            // Others are those who begin to watch.
            let is_held = slot.as_ref().is_some_and(|serving| Arc::strong_count(serving) > 1);
            if is_held { None } else { Some(slot.take()) }
        };
        last.is_none()
    }
}
