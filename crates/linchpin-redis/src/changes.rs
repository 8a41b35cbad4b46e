//! Watching: what the scripts tell of changes, and one sweeper of expired keys per handle, while anybody watches.

use crate::codec::Packed;
use crate::commands::{self, LOG, Prefix};
use crate::connection::{Backoff, Connection};
use crate::hub::{Hub, Listener, Listening};
use crate::state;
use crate::topics::Topic;
use bytes::Bytes;
use linchpin_core::fanout::{Change, Scan, Watchers};
use linchpin_core::life::Ended;
use linchpin_core::{Entry, MAX_TTL, Page, Range, Result, WatchStream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// How long after a beat of whichever process the next one comes: that of the process that comes first, at random.
const BEAT: (Duration, Duration) = (Duration::from_millis(900), Duration::from_millis(300));

/// How soon a beat is repeated until it is heard: without, what was lost since the connection broke is not known.
const UNHEARD: Duration = Duration::from_millis(200);

/// Where a beat begins to look for keys that are listed and not there.
const BEGINNING: &[u8] = b"-";

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    connection: Connection,
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
    pub(crate) fn new(connection: Connection, prefix: Prefix, hub: Arc<Hub>) -> Self {
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
            self.feed.beat_now();
        }
        Ok(stream)
    }

    pub(crate) fn end(&self, ended: Ended) {
        self.feed.end(ended);
        if let Some(serving) = self.serving.get() {
            serving.sweeper.abort();
        }
    }

    /// Listens to changes; nothing that changes or is lost after this returns is missed.
    async fn serve(&self) -> Result<Serving> {
        let listening = self.hub.listen("watch", Topic::Channel(LOG.to_owned()), self.feed.clone()).await?;
        let (connection, prefix, feed) = (self.connection.clone(), self.prefix.clone(), self.feed.clone());
        // It tells how many revisions there are, before anybody reads what there is.
        sweep(&connection, &prefix, Some(BEGINNING)).await?;
        let sweeper = self.connection.life().spawn(async move { serve_feed(&connection, &prefix, &feed).await });
        Ok(Serving { _listening: listening, sweeper })
    }
}

/// What the scripts tell.
struct Feed {
    watchers: Watchers,
    count: Mutex<Count>,
    times: Mutex<Times>,
    /// Something is due earlier than the sweeper knows.
    sooner: Notify,
    /// Nobody watches, so nobody sweeps.
    idle: AtomicBool,
}

/// How many revisions there were when it was told last.
#[derive(Clone, Copy, Default)]
struct Count {
    known: Option<u64>,
    /// Something may have been missed, of which the watchers are to be told once it is known how many there are: who
    /// reads before that would not notice what is lost between.
    gap: bool,
}

/// When the sweeper has what to do.
struct Times {
    /// When the next key ends, as far as is known: every TTL that is granted is told.
    due: Option<Instant>,
    /// When the next beat is, and where it looks on.
    beat: Instant,
    look: Vec<u8>,
}

impl Default for Feed {
    fn default() -> Self {
        let (watchers, count, sooner) = Default::default();
        let times = Times { due: Some(Instant::now()), beat: Instant::now() + BEAT.0, look: BEGINNING.to_vec() };
        Self { watchers, count, times: Mutex::new(times), sooner, idle: AtomicBool::new(true) }
    }
}

impl Feed {
    fn ends_in(&self, time: Duration) {
        let at = Instant::now() + time.min(MAX_TTL);
        let mut times = self.times.lock();
        if times.due.is_none_or(|due| at < due) {
            times.due = Some(at);
            self.sooner.notify_one();
        }
    }

    fn beat_now(&self) {
        self.times.lock().beat = Instant::now();
        self.ends_in(Duration::ZERO);
        self.sooner.notify_one();
    }

    /// Somebody's beat was heard: the next one comes after a while.
    fn heard(&self, look: Vec<u8>) {
        let mut times = self.times.lock();
        times.beat = Instant::now() + BEAT.0 + BEAT.1.mul_f64(fastrand::f64());
        times.look = look;
    }
}

impl Listener for Feed {
    fn receive(&self, _: &str, told: &[u8]) {
        // Whoever connects asks there whether he may publish.
        if told.is_empty() {
            return;
        }
        let Told { before, after, changes, look } = match Told::read(told) {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%error, "a change could not be read; watchers read their ranges again");
                return self.mark_gap();
            }
        };
        // A script that failed half way, or a server that lost its data, or came back with older ones.
        let count = std::mem::replace(&mut *self.count.lock(), Count { known: Some(after), gap: false });
        if count.gap || count.known.is_some_and(|known| known != before) {
            self.watchers.mark_gap();
            self.ends_in(Duration::ZERO);
        }
        for (change, ttl) in changes {
            self.watchers.dispatch(&change);
            if let Some(ttl) = ttl {
                self.ends_in(ttl);
            }
        }
        if let Some(look) = look {
            self.heard(look);
        }
    }

    fn mark_gap(&self) {
        *self.count.lock() = Count { known: None, gap: true };
        self.beat_now();
    }

    fn end(&self, ended: Ended) {
        self.watchers.end(move || ended.error("watch"));
    }
}

/// What one script tells: how many revisions there were before and after it, each change with the TTL that its key
/// got, and of a beat where the next one looks on.
struct Told {
    before: u64,
    after: u64,
    changes: Vec<(Change, Option<Duration>)>,
    look: Option<Vec<u8>>,
}

impl Told {
    /// Reads what `changed` and `done` of the prelude pack.
    fn read(told: &[u8]) -> Result<Self> {
        let mut told = Packed::new("watch", Bytes::copy_from_slice(told));
        let (before, after) = (told.number()?, told.number()?);
        let (mut changes, mut look) = (Vec::new(), None);
        while !told.is_empty() {
            let kind = told.kind()?;
            if kind == b'l' {
                look = Some(told.bytes()?.to_vec());
                continue;
            }
            let (version, key) = (told.revision()?, told.key()?);
            changes.push(match kind {
                b'd' => (Change::Deleted(key, version), None),
                b'b' => (Change::Written(key, version), told.ttl()?),
                _ => {
                    let (ttl, created, value) = (told.ttl()?, told.revision()?, told.bytes()?);
                    (Change::Put(Entry { key, value, created, version, ttl }), ttl)
                }
            });
        }
        Ok(Self { before, after, changes, look })
    }
}

/// Removes keys past their deadline, and with a beat some of those that are not there any more; tells how long it is
/// until the next one ends.
async fn sweep(connection: &Connection, prefix: &Prefix, beat: Option<&[u8]>) -> Result<Option<Duration>> {
    let mut script = prefix.invoke(&commands::SWEEP);
    if let Some(look) = beat {
        script.arg(look);
    }
    let next = connection.run::<i64>("watch", &script).await?;
    Ok(u64::try_from(next).ok().map(Duration::from_micros))
}

/// Removes expired keys as their deadlines pass, so that watchers hear of them, and beats; sleeps in between.
async fn serve_feed(connection: &Connection, prefix: &Prefix, feed: &Feed) {
    let mut backoff = Backoff::default();
    loop {
        feed.idle.store(feed.watchers.count() == 0, Ordering::SeqCst);
        // Looked at again: one may have come in between.
        if feed.watchers.count() == 0 {
            feed.sooner.notified().await;
            continue;
        }
        feed.idle.store(false, Ordering::SeqCst);
        let at = {
            let times = feed.times.lock();
            times.due.map_or(times.beat, |due| times.beat.min(due + JITTER.mul_f64(fastrand::f64())))
        };
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = feed.sooner.notified() => continue,
        }
        match serve_once(connection, prefix, feed).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(%error, "expired keys could not be swept");
                backoff.pause().await;
                feed.beat_now();
            }
        }
    }
}

/// Does what is due, until nothing is.
async fn serve_once(connection: &Connection, prefix: &Prefix, feed: &Feed) -> Result<()> {
    let mut beat = {
        let mut times = feed.times.lock();
        // Before asking: what comes up meanwhile is looked at again.
        times.due = None;
        let is_due = times.beat <= Instant::now();
        if is_due {
            let is_heard = feed.count.lock().known.is_some();
            times.beat = Instant::now() + if is_heard { BEAT.0 } else { UNHEARD };
        }
        is_due.then(|| times.look.clone())
    };
    loop {
        match sweep(connection, prefix, beat.take().as_deref()).await? {
            // Many ended at once.
            Some(next) if next.is_zero() => {}
            next => {
                if let Some(next) = next {
                    feed.ends_in(next);
                }
                return Ok(());
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
            [b"l".to_vec(), text("(c")].concat(),
        ];
        let told = parts.concat();
        let Told { before, after, changes, look } = Told::read(&told).expect("readable");
        assert_eq!((before, after, look.as_deref()), (12, 14, Some(&b"(c"[..])));
        let key = |name: &str| Key::new(name).expect("valid");
        let ttl = Some(Duration::from_micros(1500));
        let entry = Entry { key: key("a"), value: "x:y".into(), created: Revision(17), version: Revision(20), ttl };
        let expected = [
            (Change::Put(entry), ttl),
            (Change::Written(key("b"), Revision(20)), None),
            (Change::Deleted(key("c:d"), Revision(21)), None),
        ];
        assert_eq!(changes, expected);
        let ends: Vec<_> = (1..parts.len()).map(|whole| parts[..whole].concat().len()).collect();
        for cut in (0..told.len()).filter(|cut| !ends.contains(cut)) {
            assert!(Told::read(&told[..cut]).is_err(), "{cut}");
        }
    }
}
