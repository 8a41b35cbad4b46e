//! Watching: what the scripts tell of changes, and one sweeper of expired keys per handle, while anybody watches.

use crate::codec::Packed;
use crate::commands::{self, LOG, Prefix};
use crate::connection::{Backoff, Connection};
use crate::hub::{Hub, Listener, Listening};
use crate::state;
use crate::topics::Topic;
use bytes::Bytes;
use linchpin_core::fanout::{Change, Scan, Watchers};
use linchpin_core::{Entry, Error, MAX_TTL, Page, Range, Result, WatchStream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    connection: Arc<Connection>,
    prefix: Prefix,
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    serving: OnceCell<Serving>,
}

struct Serving {
    _listening: Listening,
    sweeper: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Changes {
    pub(crate) fn new(connection: Arc<Connection>, prefix: Prefix, hub: Arc<Hub>) -> Self {
        Self { connection, prefix, hub, feed: Arc::default(), serving: OnceCell::new() }
    }

    /// The stream keeps what serves it alive, so it may outlive its handle.
    pub(crate) async fn watch(self: &Arc<Self>, range: &Range) -> Result<WatchStream> {
        self.serving.get_or_try_init(|| self.serve()).await?;
        let changes = self.clone();
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let changes = changes.clone();
            Box::pin(async move { state::scan(&changes.connection, &changes.prefix, &range, &page).await })
        });
        let stream = self.feed.watchers.add(range.clone(), scan).await?;
        // Without watchers nobody looked when what ends.
        if self.feed.idle.swap(false, Ordering::SeqCst) {
            self.feed.ends_in(Duration::ZERO);
        }
        Ok(stream)
    }

    pub(crate) fn close(&self) {
        self.feed.end();
        if let Some(serving) = self.serving.get() {
            serving.sweeper.abort();
        }
    }

    /// Listens to changes; nothing that changes after this returns is missed.
    async fn serve(&self) -> Result<Serving> {
        let listening = self.hub.listen("watch", Topic::Channel(LOG.to_owned()), self.feed.clone()).await?;
        let (connection, prefix, feed) = (self.connection.clone(), self.prefix.clone(), self.feed.clone());
        let sweeper = tokio::spawn(async move { sweep(&connection, &prefix, &feed).await });
        Ok(Serving { _listening: listening, sweeper })
    }
}

/// What the scripts tell.
struct Feed {
    watchers: Watchers,
    /// How many revisions there were when it was told last.
    count: Mutex<Option<u64>>,
    /// When the next key ends, as far as is known: every TTL that is granted is told.
    due: Mutex<Option<Instant>>,
    /// It is due earlier than the sweeper knows.
    sooner: Notify,
    /// Nobody watches, so nobody sweeps.
    idle: AtomicBool,
}

impl Default for Feed {
    fn default() -> Self {
        let (watchers, count, due, sooner) = Default::default();
        Self { watchers, count, due, sooner, idle: AtomicBool::new(true) }
    }
}

impl Feed {
    fn ends_in(&self, time: Duration) {
        let at = Instant::now() + time.min(MAX_TTL);
        let mut due = self.due.lock();
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.sooner.notify_one();
        }
    }
}

impl Listener for Feed {
    fn receive(&self, _: &str, told: &[u8]) {
        let Told { before, after, changes } = match Told::read(told) {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%error, "a change could not be read; watchers read their ranges again");
                return self.mark_gap();
            }
        };
        // A script that failed half way, or a server that lost its data.
        let missed = self.count.lock().replace(after).is_some_and(|count| count != before);
        if missed {
            self.watchers.mark_gap();
            self.ends_in(Duration::ZERO);
        }
        for (change, ttl) in changes {
            self.watchers.dispatch(&change);
            if let Some(ttl) = ttl {
                self.ends_in(ttl);
            }
        }
    }

    fn mark_gap(&self) {
        *self.count.lock() = None;
        self.watchers.mark_gap();
        self.ends_in(Duration::ZERO);
    }

    fn end(&self) {
        self.watchers.end(|| Error::closed("watch"));
    }
}

/// What one script tells: how many revisions there were before and after it, and each change with the TTL
/// that its key got.
struct Told {
    before: u64,
    after: u64,
    changes: Vec<(Change, Option<Duration>)>,
}

impl Told {
    /// Reads what `changed` and `done` of the prelude pack.
    fn read(told: &[u8]) -> Result<Self> {
        let mut told = Packed::new("watch", Bytes::copy_from_slice(told));
        let (before, after) = (told.number()?, told.number()?);
        let mut changes = Vec::new();
        while !told.is_empty() {
            let (kind, version, key) = (told.kind()?, told.revision()?, told.key()?);
            changes.push(match kind {
                b'd' => (Change::Deleted(key, version), None),
                b'b' => (Change::Written(key, version), told.ttl()?),
                _ => {
                    let (ttl, created, value) = (told.ttl()?, told.revision()?, told.bytes()?);
                    (Change::Put(Entry { key, value, created, version, ttl }), ttl)
                }
            });
        }
        Ok(Self { before, after, changes })
    }
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them; sleeps in between.
async fn sweep(connection: &Connection, prefix: &Prefix, feed: &Feed) {
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
        feed.idle.store(feed.watchers.count() == 0, Ordering::SeqCst);
        if feed.watchers.count() == 0 {
            continue;
        }
        feed.idle.store(false, Ordering::SeqCst);
        match connection.run::<i64>("watch", &prefix.invoke(&commands::SWEEP)).await {
            Ok(next) => {
                backoff.reset();
                if let Ok(next) = u64::try_from(next) {
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
    use linchpin_core::{Key, Revision};

    #[test]
    fn what_the_scripts_tell_is_read_and_nothing_that_is_cut_short() {
        let number = |number: f64| number.to_le_bytes().to_vec();
        let text = |text: &str| [&u32::try_from(text.len()).expect("short").to_le_bytes(), text.as_bytes()].concat();
        let parts = [
            [number(12.0), number(14.0)].concat(),
            [b"p".to_vec(), number(20.0), text("a"), number(1500.0), number(17.0), text("x:y")].concat(),
            [b"b".to_vec(), number(20.0), text("b"), number(0.0)].concat(),
            [b"d".to_vec(), number(21.0), text("c:d")].concat(),
        ];
        let told = parts.concat();
        let Told { before, after, changes } = Told::read(&told).expect("readable");
        assert_eq!((before, after), (12, 14));
        let key = |name: &str| Key::new(name).expect("valid");
        let ttl = Some(Duration::from_micros(1500));
        let entry = Entry { key: key("a"), value: "x:y".into(), created: Revision(17), version: Revision(20), ttl };
        let expected = [
            (Change::Put(entry), ttl),
            (Change::Written(key("b"), Revision(20)), None),
            (Change::Deleted(key("c:d"), Revision(21)), None),
        ];
        assert_eq!(changes, expected);
        let ends = [parts[..1].concat().len(), parts[..2].concat().len(), parts[..3].concat().len()];
        for cut in (0..told.len()).filter(|cut| !ends.contains(cut)) {
            assert!(Told::read(&told[..cut]).is_err(), "{cut}");
        }
    }
}
