//! The connections that ask: few, opened as they are needed, shared, and closed when they are idle.

use super::{ALIVE, Connector, IDLE};
use crate::error::Failure;
use linchpin_adapter::backoff::Backoff;
use linchpin_core::life::Life;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use sqlx::Connection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Whom a call may have to wait for on the server. Those that wait leave room for those that need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// Whoever holds the namespace.
    Namespace,
    /// Whoever holds a stream.
    Stream,
}

/// The connections of a handle that ask.
pub(crate) struct Pool {
    me: Weak<Self>,
    connector: Arc<Connector>,
    pub(crate) life: Life,
    inner: Mutex<Inner>,
    /// A connection is idle again.
    returned: Notify,
    /// Places for all calls, for those that may have to wait, and for those that may have to wait for a stream.
    all: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    streaming: Arc<Semaphore>,
}

#[derive(Default)]
struct Inner {
    closed: bool,
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
struct Place {
    pool: Weak<Pool>,
    is_kept: bool,
    is_opening: bool,
}

impl Place {
    /// The connection is open.
    fn opened(mut self) -> Self {
        self.is_opening = false;
        if let Some(pool) = self.pool.upgrade() {
            pool.inner.lock().opening -= 1;
        }
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut inner = pool.inner.lock();
        inner.opening -= usize::from(self.is_opening);
        inner.open -= usize::from(!self.is_kept);
    }
}

/// A connection in use. Whoever drops it, as nobody waits for the answer any more, closes it.
pub(crate) struct PooledConnection {
    pub(crate) connection: PgConnection,
    place: Place,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl PooledConnection {
    /// Runs a statement, and gives the connection back.
    async fn ask(
        mut self,
        statement: &'static str,
        arguments: PgArguments,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Vec<PgRow>, Failure> {
        let asking = sqlx::query_with(statement, arguments).fetch_all(&mut self.connection);
        let rows = timeout_at(deadline, asking).await.map_err(|_| Failure::Late(limit))?;
        self.give_back(rows.map_err(Failure::from))
    }

    /// Gives it back after this answer, if it is still of use.
    pub(crate) fn give_back<T>(self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let Self { connection, mut place, _permits } = self;
        let Some(pool) = place.pool.upgrade() else { return answer };
        if answer.as_ref().is_ok() || answer.as_ref().is_err_and(Failure::leaves_the_connection) {
            place.is_kept = true;
            pool.put(connection);
        } else if answer.as_ref().is_err_and(Failure::is_loss) {
            // The others broke with it, most likely.
            pool.drop_idle();
        }
        answer
    }
}

impl Pool {
    /// One that was not used for so long is looked at before it is used: the server, or something in between, may have
    /// closed it.
    const UNSURE: Duration = Duration::from_millis(250);

    pub(crate) fn new(connector: Arc<Connector>, life: Life) -> Arc<Self> {
        let places = |count: usize| Arc::new(Semaphore::new(count));
        let asking = connector.asking;
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            connector,
            life,
            inner: Mutex::default(),
            returned: Notify::new(),
            all: places(asking),
            waiting: places(asking - 1),
            streaming: places(asking.saturating_sub(2).max(1)),
        })
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.connector.response_timeout
    }

    /// Runs a statement that may have to wait for whoever holds a stream.
    pub(crate) async fn rows(
        &self,
        operation: &'static str,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>> {
        self.rows_behind(Holder::Stream, operation, statement, arguments).await
    }

    /// Runs a statement.
    pub(crate) async fn rows_behind(
        &self,
        behind: Holder,
        operation: &'static str,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>> {
        let rows = self.ask(behind, statement, arguments).await;
        rows.map_err(|failure| failure.told(operation))
    }

    /// Runs a statement; tells how it failed. It runs as a task of the handle: a caller who does not go on, or gives up, holds
    /// no connection and no place that others need, and closes none.
    pub(crate) async fn ask(
        &self,
        behind: Holder,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let pool = self.me.upgrade().ok_or(Failure::Closed)?;
        let (mut reply, answer) = oneshot::channel();
        self.life.spawn(async move {
            let limit = pool.response_timeout();
            let deadline = Instant::now() + limit;
            let taken = tokio::select! {
                taken = timeout_at(deadline, pool.take(behind)) => taken.unwrap_or(Err(Failure::Unasked(limit))),
                // Nobody waits for it any more, and nothing was asked.
                () = reply.closed() => return,
            };
            let rows = match taken {
                Ok(taken) => taken.ask(statement, arguments, deadline, limit).await,
                Err(failure) => Err(failure),
            };
            let _ = reply.send(rows);
        });
        // Without an answer the handle has ended, and it may have been asked.
        answer.await.unwrap_or(Err(Failure::Late(Duration::ZERO)))
    }

    /// Runs a statement that may have to wait for whoever holds a stream, and gives one row.
    pub(crate) async fn row(
        &self,
        operation: &'static str,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<PgRow> {
        self.row_behind(Holder::Stream, operation, statement, arguments).await
    }

    /// Runs a statement that gives one row.
    pub(crate) async fn row_behind(
        &self,
        behind: Holder,
        operation: &'static str,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<PgRow> {
        let rows = self.rows_behind(behind, operation, statement, arguments).await?;
        rows.into_iter().next().ok_or_else(|| Error::unreadable(operation, "no row"))
    }

    /// Closes what is idle, and what is in use once it is given back.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let idle = std::mem::take(&mut inner.idle);
        inner.open -= idle.len();
        drop(inner);
        // Whoever waits for one is to find out.
        self.all.close();
    }

    /// A connection of which the server was heard a moment ago. Waits where others are about to be done, and where the
    /// server has no connection left.
    ///
    /// # Errors
    /// As [`Connector::connect`]: nothing was asked yet.
    pub(crate) async fn take(&self, behind: Holder) -> Result<PooledConnection, Failure> {
        let needed: &[_] = match behind {
            Holder::Nobody => &[&self.all],
            Holder::Namespace => &[&self.waiting, &self.all],
            Holder::Stream => &[&self.streaming, &self.waiting, &self.all],
        };
        let mut permits = Vec::with_capacity(needed.len());
        for semaphore in needed {
            permits.push(Arc::clone(semaphore).acquire_owned().await.map_err(|_| Failure::Closed)?);
        }
        let deadline = Instant::now() + self.response_timeout().mul_f64(0.8);
        let mut backoff = Backoff::default();
        loop {
            if let Some((connection, place)) = self.idle().await {
                return Ok(PooledConnection { connection, place, _permits: permits });
            }
            match self.connect().await {
                // One of ours may be given back, and one of others closed.
                Err(failure) if failure.is_full() && Instant::now() < deadline => {
                    let _ = timeout(backoff.step(), self.returned.notified()).await;
                }
                connected => {
                    let (connection, place) = connected?;
                    return Ok(PooledConnection { connection, place, _permits: permits });
                }
            }
        }
    }

    /// One that is idle, or is so in a moment; none if it is better to open another.
    async fn idle(&self) -> Option<(PgConnection, Place)> {
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
                let place = Place { pool: self.me.clone(), is_kept: false, is_opening: false };
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
    async fn connect(&self) -> Result<(PgConnection, Place), Failure> {
        let pool = self.me.upgrade().ok_or(Failure::Closed)?;
        let place = {
            let mut inner = self.inner.lock();
            inner.open += 1;
            inner.opening += 1;
            Place { pool: self.me.clone(), is_kept: false, is_opening: true }
        };
        let (reply, opened) = oneshot::channel();
        self.life.spawn(async move {
            if let Err(Ok((connection, mut place))) = reply.send(pool.open(place).await) {
                place.is_kept = true;
                pool.put(connection);
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

    fn drop_idle(&self) {
        let mut inner = self.inner.lock();
        let idle = std::mem::take(&mut inner.idle);
        inner.open = inner.open.saturating_sub(idle.len());
    }

    /// Takes in a connection that has its place and of which the server was just heard.
    fn put(&self, connection: PgConnection) {
        let mut inner = self.inner.lock();
        if inner.closed {
            inner.open = inner.open.saturating_sub(1);
            return;
        }
        inner.idle.push((connection, Instant::now()));
        let is_reaped = std::mem::replace(&mut inner.is_reaped, true);
        drop(inner);
        self.returned.notify_one();
        if !is_reaped {
            self.life.spawn(reap(self.me.clone(), Instant::now() + self.connector.idle_limit(false)));
        }
    }

    /// Takes in a connection that was opened past this pool, and took so long.
    pub(crate) fn adopt(&self, connection: PgConnection, took: Duration) {
        let mut inner = self.inner.lock();
        inner.open += 1;
        inner.took = took;
        drop(inner);
        self.put(connection);
    }

    /// Asks over the last connection, once it is idle for longer than others would be, whether the server is crowded by now.
    async fn look_over_the_last(&self) {
        let Ok(_place) = Arc::clone(&self.all).try_acquire_owned() else { return };
        let last = {
            let mut inner = self.inner.lock();
            let is_due = inner.idle.len() == 1 && inner.idle[0].1.elapsed() >= IDLE;
            if is_due { inner.idle.pop() } else { None }
        };
        let Some((mut connection, used)) = last else { return };
        let is_alive = self.connector.is_alive(&mut connection, used.elapsed()).await;
        let mut inner = self.inner.lock();
        if is_alive && !inner.closed {
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
async fn reap(pool: Weak<Pool>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(strong) = pool.upgrade() else { return };
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
