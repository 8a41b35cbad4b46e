//! Watching: what serves the watches of a handle while there are some, a sweeper of expired keys among it.

use crate::commands::{self, LOG, Prefix};
use crate::connection::Connection;
use crate::feed::{BEGINNING, Duty, Feed};
use crate::server::{Listening, Pushes};
use crate::state;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::feed::{self, WatchSource, Watches, topic, topic_of};
use linchpin_adapter::hub::Topic;
use linchpin_core::life::End;
use linchpin_core::{Page, Range, Result, ScanPage, WatchStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The watches of a handle and what serves them.
pub(crate) struct Changes {
    connection: Connection,
    prefix: Prefix,
    hub: Arc<Pushes>,
    watches: Watches<WatchService>,
}

/// What serves watches.
struct WatchService {
    connection: Connection,
    prefix: Prefix,
    hub: Arc<Pushes>,
    feed: Arc<Feed>,
    _listening: Listening,
    sweeper: JoinHandle<()>,
}

impl WatchSource for WatchService {
    type Listening = Listening;
    type Place = u64;

    async fn listen(&self, range: &Range) -> Result<Listening> {
        let topic = match range {
            // It is told of that key alone, and not of those that share its topic.
            Range::Key(key) if topic_of(key.as_str()) != key.as_str() => {
                Topic::Channel([commands::KEY_CHANGES, key.as_str()].concat())
            }
            range => Topic::within(commands::CHANGES, topic(range)),
        };
        self.hub.listen("watch", topic, self.feed.clone()).await
    }

    fn feed(&self) -> &feed::Feed<u64> {
        &self.feed.changes
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        state::scan(&self.connection, &self.prefix, range, page).await
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
    pub(crate) fn new(connection: Connection, prefix: Prefix, hub: Arc<Pushes>) -> Self {
        Self { connection, prefix, hub, watches: Watches::default() }
    }

    pub(crate) async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let (connection, prefix, hub) = (self.connection.clone(), self.prefix.clone(), self.hub.clone());
        let begin = WatchService::begin(connection, prefix, hub);
        self.watches.watch(self.connection.life(), range, begin).await
    }

    pub(crate) fn end(&self, ended: End) {
        self.watches.end(ended);
    }
}

impl WatchService {
    /// Begins to look for what has ended, and hears of it; nothing that is lost after this returns is missed.
    async fn begin(connection: Connection, prefix: Prefix, hub: Arc<Pushes>) -> Result<Self> {
        let feed = Arc::<Feed>::default();
        let listening = hub.listen("watch", Topic::Channel(LOG.to_owned()), feed.clone()).await?;
        // It tells the epoch, before anybody reads what there is.
        look(&connection, &prefix, &feed, Duty::Beat(BEGINNING.to_vec())).await?;
        let sweeper = sweep(connection.clone(), prefix.clone(), feed.clone());
        let sweeper = connection.life().spawn(sweeper);
        Ok(Self { connection, prefix, hub, feed, _listening: listening, sweeper })
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
                feed.changes.alarm.rings_in(Duration::from_micros(next));
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
    }
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them, and beats; sleeps in between.
async fn sweep(connection: Connection, prefix: Prefix, feed: Arc<Feed>) {
    let mut backoff = Backoff::default();
    loop {
        let duty = feed.duty().await;
        match look(&connection, &prefix, &feed, duty).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(%error, "expired keys could not be swept");
                backoff.pause().await;
                feed.beat_now();
            }
        }
    }
}
