//! Asking: what a handle asks at once, over the connections that it shares with others.

use super::Connector;
use super::shared::{Connections, Place, Share};
use crate::config::PostgresConfig;
use crate::error::Failure;
use linchpin_core::life::Life;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// How many connections of a handle listen.
const LISTENING: usize = 1;

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

/// What a handle asks over.
pub(crate) struct Pool {
    me: Weak<Self>,
    connector: Arc<Connector>,
    /// None once the handle is closed; calls that are on their way hold on to it.
    share: Mutex<Option<Arc<Share>>>,
    pub(crate) life: Life,
    /// Places for all calls, for those that may have to wait, and for those that may have to wait for a stream.
    all: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    streaming: Arc<Semaphore>,
}

/// A connection in use. Whoever drops it, as nobody waits for the answer any more, closes it.
pub(crate) struct PooledConnection {
    pub(crate) connection: PgConnection,
    place: Place,
    _permits: Vec<OwnedSemaphorePermit>,
    /// Dropped last: whoever stays may need the place as long as it is ours.
    share: Arc<Share>,
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
        let Self { connection, place, _permits, share } = self;
        if answer.as_ref().is_ok() || answer.as_ref().is_err_and(Failure::leaves_the_connection) {
            share.connections.put(connection, place);
        } else if answer.as_ref().is_err_and(Failure::is_loss) {
            // The others broke with it, most likely.
            share.connections.drop_idle();
        }
        answer
    }
}

impl Pool {
    /// Of a handle with this configuration.
    pub(crate) fn new(config: &PostgresConfig, life: Life) -> Result<Arc<Self>> {
        let places = |count: usize| Arc::new(Semaphore::new(count));
        let asking = config.max_connections - LISTENING;
        let runtime = life.runtime().ok_or_else(|| Error::closed("connect"))?;
        let connections = Connections::of(config, runtime)?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            connector: connections.connector.clone(),
            share: Mutex::new(Some(Arc::new(connections.share(asking)))),
            life,
            all: places(asking),
            waiting: places(asking - 1),
            streaming: places(asking.saturating_sub(2).max(1)),
        }))
    }

    pub(crate) fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    fn share(&self) -> Result<Arc<Share>, Failure> {
        self.share.lock().clone().ok_or(Failure::Closed)
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.connector().response_timeout
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

    /// Ends with what the handle asks, and closes the connections that nobody else shares.
    pub(crate) fn close(&self) {
        *self.share.lock() = None;
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
        let share = self.share()?;
        let (connection, place) = share.connections.take(deadline).await?;
        Ok(PooledConnection { connection, place, _permits: permits, share })
    }

    /// One that is open, for a handle that has asked nothing yet.
    pub(crate) async fn open(&self) -> Option<PooledConnection> {
        let share = self.share().ok()?;
        let (connection, place) = share.connections.idle().await?;
        Some(PooledConnection { connection, place, _permits: Vec::new(), share })
    }

    /// Those that are open are of no use any more, most likely.
    pub(crate) fn drop_idle(&self) {
        if let Ok(share) = self.share() {
            share.connections.drop_idle();
        }
    }

    /// Takes in one that was opened by somebody else, and took so long.
    pub(crate) fn adopt(&self, connection: PgConnection, took: Duration) -> Result<PooledConnection, Failure> {
        let share = self.share()?;
        let place = share.connections.adopt(took);
        Ok(PooledConnection { connection, place, _permits: Vec::new(), share })
    }
}
