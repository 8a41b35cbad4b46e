//! Connections: each is set up in the same way, and dropped rather than mended when it fails.

use crate::config::PostgresConfig;
use crate::error::Failure;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions, Executor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How to connect.
pub(crate) struct Connector {
    pub(crate) options: PgConnectOptions,
    pub(crate) address: Arc<str>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) settings: String,
}

impl Connector {
    pub(crate) fn new(config: &PostgresConfig) -> Result<Self> {
        Ok(Self {
            options: config.options()?,
            address: config.address().into(),
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            settings: settings(config.response_timeout),
        })
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Failure> {
        self.in_time(async {
            let mut connection = self.options.connect().await?;
            connection.execute(sqlx::AssertSqlSafe(self.settings.as_str())).await?;
            Ok(connection)
        })
        .await
    }

    /// A new connection that was told nothing yet: a pooler in between may give it to others, with what it was told.
    pub(crate) async fn connect_untold(&self) -> Result<PgConnection, Failure> {
        self.in_time(self.options.connect()).await
    }

    async fn in_time(
        &self,
        connecting: impl Future<Output = Result<PgConnection, sqlx::Error>>,
    ) -> Result<PgConnection, Failure> {
        timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| Failure::ConnectingLate(self.address.clone(), self.connect_timeout))?
            .map_err(|error: sqlx::Error| Failure::Connecting(self.address.clone(), Arc::new(error)))
    }
}

/// What each connection is told first, where `PgBouncer` takes no startup parameters. Our statements look few keys up by an
/// index, whatever the statistics of a table that was empty a moment ago say; so planning them once is enough. The
/// server gives up on a call when we do, so what nobody waits for any more is not applied much later.
fn settings(response: Duration) -> String {
    let (limit, lock) = (response.as_millis(), response.as_millis() * 4 / 5);
    format!(
        "SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; \
         SET plan_cache_mode = force_generic_plan; SET default_transaction_isolation = 'read committed'; \
         SET statement_timeout = {limit}; SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {limit}; \
         SET client_min_messages = error"
    )
}

/// A few connections for whatever takes its time: scans, streams, and the rest.
pub(crate) struct Pool {
    connector: Arc<Connector>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    places: Semaphore,
    closed: AtomicBool,
}

impl Pool {
    /// How many there are at most.
    pub(crate) const CONNECTIONS: usize = 4;
    /// One that was not used for so long is closed.
    const IDLE: Duration = Duration::from_mins(1);

    pub(crate) fn new(connector: Arc<Connector>) -> Self {
        let (idle, places, closed) = (Mutex::default(), Semaphore::new(Self::CONNECTIONS), AtomicBool::new(false));
        Self { connector, idle, places, closed }
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.connector.response_timeout
    }

    /// Runs a statement.
    pub(crate) async fn rows(
        &self,
        operation: &'static str,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed(operation));
        }
        let limit = self.response_timeout();
        let call = async {
            let _place = self.places.acquire().await.map_err(|_| Error::closed(operation))?;
            // Whoever drops this call, or fails, drops the connection with it.
            let mut connection = self.take().await.map_err(|failure| failure.told(operation))?;
            match sqlx::query_with(statement, arguments).fetch_all(&mut connection).await.map_err(Failure::from) {
                Ok(rows) => {
                    self.put(connection);
                    Ok(rows)
                }
                Err(failure) => {
                    if failure.leaves_the_connection() {
                        self.put(connection);
                    } else {
                        // The others broke with it, most likely.
                        self.idle.lock().clear();
                    }
                    Err(failure.told(operation))
                }
            }
        };
        timeout(limit, call).await.unwrap_or_else(|_| Err(Error::timeout(operation, limit)))
    }

    /// Runs a statement that gives one row.
    pub(crate) async fn row(
        &self,
        operation: &'static str,
        statement: &'static str,
        arguments: PgArguments,
    ) -> Result<PgRow> {
        let rows = self.rows(operation, statement, arguments).await?;
        rows.into_iter().next().ok_or_else(|| crate::error::unexpected(operation, "no row"))
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle.lock().clear();
    }

    async fn take(&self) -> Result<PgConnection, Failure> {
        let idle = self.idle.lock().pop();
        match idle {
            Some((connection, _)) => Ok(connection),
            None => self.connector.connect().await,
        }
    }

    pub(crate) fn put(&self, connection: PgConnection) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let mut idle = self.idle.lock();
        idle.retain(|(_, since)| since.elapsed() < Self::IDLE);
        idle.push((connection, Instant::now()));
    }
}

/// The pauses between attempts to reconnect: doubled from 20 ms to 1 s, each cut by up to a half at random.
#[derive(Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) async fn pause(&mut self) {
        let doubled = Duration::from_millis(20 << self.0.min(6)).min(Duration::from_secs(1));
        self.0 += 1;
        tokio::time::sleep(doubled.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }

    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}
