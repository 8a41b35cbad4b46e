//! The connections that ask, of all handles of a process that connect alike: few, opened as they are needed, and closed when
//! they are idle.

use super::{ALIVE, Connector, IDLE};
use crate::config::PostgresConfig;
use crate::error::Failure;
use linchpin_adapter::backoff::Backoff;
use linchpin_core::Result;
use parking_lot::Mutex;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Those of this process.
static ALL: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

/// A connection lives in the runtime that opened it.
struct Listed {
    runtime: Id,
    config: PostgresConfig,
    connections: Weak<Connections>,
}

/// Connections that are all alike.
pub(crate) struct Connections {
    me: Weak<Self>,
    pub(crate) connector: Arc<Connector>,
    runtime: Handle,
    inner: Mutex<Inner>,
    /// A connection is idle again.
    returned: Notify,
}

#[derive(Default)]
struct Inner {
    /// How many handles share them, and how many of them these need at once at most.
    handles: usize,
    needed: usize,
    /// Used last comes last, and is taken first: those that are not needed stay idle.
    idle: Vec<(PgConnection, Instant)>,
    /// How many there are, idle or not, and how many are being opened.
    open: usize,
    opening: usize,
    is_reaped: bool,
    /// Since when and for how long together calls waited for a connection.
    waits: Option<(Instant, Duration)>,
    /// How long it took to open the last one.
    took: Duration,
}

impl Inner {
    fn waited(&self) -> Option<(Instant, Duration)> {
        const PERIOD: Duration = Duration::from_secs(1);
        self.waits.filter(|(since, _)| since.elapsed() < PERIOD)
    }

    /// How long a call waits for another one to be done before it opens a further connection: as long as opening it would
    /// take. A server that is slow is not asked for more, which would make it slower.
    fn patience(&self) -> Duration {
        const LEAST: Duration = Duration::from_millis(10);
        const MOST: Duration = Duration::from_millis(250);
        self.took.clamp(LEAST, MOST)
    }

    /// Whether calls wait so much for each other that another connection is worth it.
    fn is_busy(&self) -> bool {
        self.waited().is_some_and(|(_, sum)| sum > self.patience() * 2)
    }
}

/// A place among those that are open, until it is dropped.
pub(super) struct Place {
    connections: Weak<Connections>,
    is_kept: bool,
    is_opening: bool,
}

impl Place {
    /// The connection is open.
    fn opened(mut self) -> Self {
        self.is_opening = false;
        if let Some(connections) = self.connections.upgrade() {
            connections.inner.lock().opening -= 1;
        }
        self
    }
}

/// What a handle has of them, until it is closed and the last of its calls has ended.
pub(super) struct Share {
    pub(super) connections: Arc<Connections>,
    needed: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut inner = self.connections.inner.lock();
        inner.handles -= 1;
        inner.needed -= self.needed;
        // Nobody is left who closes them.
        if inner.handles > 0 {
            return;
        }
        let idle = std::mem::take(&mut inner.idle);
        inner.open -= idle.len();
        drop(inner);
        drop(idle);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(connections) = self.connections.upgrade() else { return };
        let mut inner = connections.inner.lock();
        inner.opening -= usize::from(self.is_opening);
        inner.open -= usize::from(!self.is_kept);
        drop(inner);
        // Another may be opened in its place.
        connections.returned.notify_one();
    }
}

impl Connections {
    /// One that was not used for so long is looked at before it is used: the server, or something in between, may have
    /// closed it.
    const UNSURE: Duration = Duration::from_millis(250);

    /// Those of the handles that connect like this, in the runtime of this one.
    pub(crate) fn of(config: &PostgresConfig, runtime: Handle) -> Result<Arc<Self>> {
        let mut all = ALL.lock();
        all.retain(|listed| listed.connections.strong_count() > 0);
        let mut alike =
            all.iter().filter(|listed| listed.runtime == runtime.id() && listed.config.connects_like(config));
        if let Some(connections) = alike.find_map(|listed| listed.connections.upgrade()) {
            return Ok(connections);
        }
        let (id, connector) = (runtime.id(), Arc::new(Connector::new(config)?));
        let connections = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            connector,
            runtime,
            inner: Mutex::default(),
            returned: Notify::new(),
        });
        all.push(Listed { runtime: id, config: config.clone(), connections: Arc::downgrade(&connections) });
        Ok(connections)
    }

    /// For a handle that needs so many at once at most.
    pub(super) fn share(self: &Arc<Self>, needed: usize) -> Share {
        let mut inner = self.inner.lock();
        inner.handles += 1;
        inner.needed += needed;
        drop(inner);
        Share { connections: self.clone(), needed }
    }

    /// One of which the server was heard a moment ago. Waits where others are about to be done, and, until then, where the
    /// server has none left.
    ///
    /// # Errors
    /// As [`Connector::connect`]: nothing was asked yet.
    pub(super) async fn take(&self, deadline: Instant) -> Result<(PgConnection, Place), Failure> {
        let mut backoff = Backoff::default();
        loop {
            if let Some(found) = self.idle().await {
                return Ok(found);
            }
            if let Some(place) = self.place() {
                match self.connect(place).await {
                    // One of ours may be given back, and one of others closed.
                    Err(failure) if failure.is_full() && Instant::now() < deadline => {}
                    connected => return connected,
                }
            }
            let _ = timeout(backoff.step(), self.returned.notified()).await;
        }
    }

    /// A place for one more; none if as many are open as are ever needed: one of them is being looked at. Those that are
    /// being opened do not count, as who wanted them may have given up.
    fn place(&self) -> Option<Place> {
        let mut inner = self.inner.lock();
        if inner.open - inner.opening >= inner.needed {
            return None;
        }
        inner.open += 1;
        inner.opening += 1;
        Some(Place { connections: self.me.clone(), is_kept: false, is_opening: true })
    }

    /// One that is idle, or is so in a moment; none if it is better to open another.
    pub(super) async fn idle(&self) -> Option<(PgConnection, Place)> {
        let since = Instant::now();
        let found = loop {
            let returned = self.returned.notified();
            let (idle, patience) = {
                let mut inner = self.inner.lock();
                let idle = inner.idle.pop();
                let patience = inner.patience().saturating_sub(since.elapsed());
                // Where one is being opened there was none to wait for a moment ago.
                let waits = inner.open > inner.opening && !patience.is_zero() && !inner.is_busy();
                (idle, waits.then_some(patience))
            };
            if let Some((mut connection, used)) = idle {
                let place = Place { connections: self.me.clone(), is_kept: false, is_opening: false };
                let is_sure = used.elapsed() < Self::UNSURE;
                if is_sure || self.connector.is_alive(&mut connection, used.elapsed()).await {
                    break Some((connection, place));
                }
                tracing::debug!("a connection was closed while it was idle");
                // The others as well, most likely.
                self.drop_idle();
                continue;
            }
            let Some(patience) = patience else { break None };
            // Come what may, it is looked at again, or another one is opened.
            let _ = timeout(patience, returned).await;
        };
        let mut inner = self.inner.lock();
        let (start, sum) = inner.waited().unwrap_or((since, Duration::ZERO));
        inner.waits = Some((start, sum + since.elapsed()));
        found
    }

    /// Opens one, in the handle's own runtime: it outlives the caller's. It is of use to others where the caller gives up
    /// meanwhile; else nobody who waits less long than that takes would ever have one.
    async fn connect(&self, place: Place) -> Result<(PgConnection, Place), Failure> {
        let connections = self.me.upgrade().ok_or(Failure::Closed)?;
        let (reply, opened) = oneshot::channel();
        self.runtime.spawn(async move {
            if let Err(Ok((connection, place))) = reply.send(connections.open(place).await) {
                connections.put(connection, place);
            }
        });
        opened.await.unwrap_or(Err(Failure::Closed))
    }

    async fn open(&self, place: Place) -> Result<(PgConnection, Place), Failure> {
        let since = Instant::now();
        let connected = self.connector.connect().await;
        self.inner.lock().took = since.elapsed();
        Ok((connected?, place.opened()))
    }

    pub(super) fn drop_idle(&self) {
        let mut inner = self.inner.lock();
        let idle = std::mem::take(&mut inner.idle);
        inner.open = inner.open.saturating_sub(idle.len());
    }

    /// Takes in a connection of which the server was just heard.
    pub(super) fn put(&self, connection: PgConnection, mut place: Place) {
        let mut inner = self.inner.lock();
        if inner.handles == 0 {
            drop(inner);
            return;
        }
        place.is_kept = true;
        inner.idle.push((connection, Instant::now()));
        let is_reaped = std::mem::replace(&mut inner.is_reaped, true);
        drop(inner);
        self.returned.notify_one();
        if !is_reaped {
            self.runtime.spawn(reap(self.me.clone(), Instant::now() + self.connector.idle_limit(false)));
        }
    }

    /// A place for a connection that was opened without one, and took so long.
    pub(super) fn adopt(&self, took: Duration) -> Place {
        let mut inner = self.inner.lock();
        inner.open += 1;
        inner.took = took;
        Place { connections: self.me.clone(), is_kept: false, is_opening: false }
    }

    /// Asks over the last connection, once it is idle for longer than others would be, whether the server is crowded by now.
    async fn look_over_the_last(&self) {
        let last = {
            let mut inner = self.inner.lock();
            let is_due = inner.idle.len() == 1 && inner.idle[0].1.elapsed() >= IDLE;
            if is_due { inner.idle.pop() } else { None }
        };
        let Some((mut connection, used)) = last else { return };
        let is_alive = self.connector.is_alive(&mut connection, used.elapsed()).await;
        let mut inner = self.inner.lock();
        if is_alive && inner.handles > 0 {
            inner.idle.insert(0, (connection, used));
            drop(inner);
            self.returned.notify_one();
        } else {
            inner.open = inner.open.saturating_sub(1);
        }
    }

    /// Those that have been idle for long, and when the next one will have been; `None` if none will.
    fn idle_for_long(&self) -> (Vec<PgConnection>, Option<Instant>) {
        let mut inner = self.inner.lock();
        let mut old = Vec::new();
        let next = loop {
            let Some((_, used)) = inner.idle.first() else { break None };
            let ends = *used + self.connector.idle_limit(inner.idle.len() == 1);
            if ends > Instant::now() {
                // Others may be idle before that, or the server be crowded.
                break Some(ends.min(Instant::now() + self.connector.idle_limit(false)));
            }
            old.push(inner.idle.remove(0).0);
            inner.open = inner.open.saturating_sub(1);
        };
        inner.is_reaped = next.is_some();
        (old, next)
    }
}

/// Closes what has been idle for long, until nothing is idle, and looks meanwhile whether others need the last place.
async fn reap(connections: Weak<Connections>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(strong) = connections.upgrade() else { return };
        strong.look_over_the_last().await;
        let (old, later) = strong.idle_for_long();
        drop(strong);
        for connection in old {
            // A server that does not listen finds out by itself.
            let _ = timeout(ALIVE, connection.close()).await;
        }
        let Some(later) = later else { return };
        next = later;
    }
}

#[cfg(test)]
mod tests;
