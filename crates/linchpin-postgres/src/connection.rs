//! Connections: each is set up in the same way, and dropped rather than mended when it fails.

mod pool;
mod shared;

use crate::config::PostgresConfig;
use crate::error::Failure;
use linchpin_adapter::backoff::Backoff;
use linchpin_core::Result;
pub(crate) use pool::{Holder, Pool, PooledConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How to connect.
pub(crate) struct Connector {
    pub(crate) options: PgConnectOptions,
    pub(crate) address: Arc<str>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) settings: String,
    /// The server had few places left when it was asked last.
    is_crowded: AtomicBool,
}

/// How long a connection stays that nobody uses, in the usual case.
const IDLE: Duration = Duration::from_secs(2);

/// A healthy server says within this time that it is there.
pub(crate) const ALIVE: Duration = Duration::from_millis(500);

impl Connector {
    pub(crate) fn new(config: &PostgresConfig) -> Result<Self> {
        Ok(Self {
            options: config.options()?,
            address: linchpin_adapter::Config::address(config).into(),
            connect_timeout: config.common.connect_timeout,
            response_timeout: config.common.response_timeout,
            settings: settings(config.common.response_timeout),
            is_crowded: AtomicBool::new(false),
        })
    }

    /// How long a connection stays that nobody uses: others may need the place at the server. The last one stays
    /// longer, so that who renews leases opens none for each time.
    pub(crate) fn idle_limit(&self, is_last: bool) -> Duration {
        const LAST: Duration = Duration::from_secs(10);
        const IDLE_IN_A_CROWD: Duration = Duration::from_millis(100);
        match (self.is_crowded.load(Ordering::Relaxed), is_last) {
            (true, _) => IDLE_IN_A_CROWD,
            (false, true) => LAST,
            (false, false) => IDLE,
        }
    }

    /// A new connection to the server that takes writes.
    ///
    /// # Errors
    /// `Standby` if it is another one.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Failure> {
        let mut connection = self.connect_untold().await?;
        self.settle(&mut connection).await?;
        Ok(connection)
    }

    /// A new connection that was told nothing yet: a pooler in between may give it to others, with what it was told.
    pub(crate) async fn connect_untold(&self) -> Result<PgConnection, Failure> {
        let connected = self.in_time(self.options.connect()).await;
        if connected.as_ref().is_err_and(Failure::is_full) {
            self.is_crowded.store(true, Ordering::Relaxed);
        }
        connected
    }

    /// As `connect_untold`; where the server has no connection left, waits until it has one, as long as there is time.
    pub(crate) async fn connect_untold_by(&self, deadline: Instant) -> Result<PgConnection, Failure> {
        let mut backoff = Backoff::default();
        loop {
            match self.connect_untold().await {
                Err(failure) if failure.is_full() && Instant::now() < deadline => {
                    // Once more at the end.
                    let _ = timeout_at(deadline, backoff.pause()).await;
                }
                connected => return connected,
            }
        }
    }

    /// Tells a new connection what each is told first, and has a [look](Self::look).
    async fn settle(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        self.in_time(self.look(connection, &self.settings)).await?
    }

    /// The same of the first one of a handle, which is asked more anyway, and for others' sake every two seconds.
    pub(crate) async fn settle_first(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        let settings = sqlx::raw_sql(sqlx::AssertSqlSafe(self.settings.clone()));
        self.in_time(settings.execute(connection)).await.map(drop)
    }

    /// Sees that the server is there and takes writes, and notes whether it has few places left.
    ///
    /// # Errors
    /// `Standby` if the server is one: what it says may be old.
    async fn look(&self, connection: &mut PgConnection, first: &str) -> Result<Result<(), Failure>, sqlx::Error> {
        const ASK: &str = "SELECT pg_is_in_recovery(), (SELECT sum(pg_stat_get_db_numbackends(d.oid)) FROM pg_database AS d) > \
                           current_setting('max_connections')::integer * 0.6";
        let row = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{first}; {ASK}"))).fetch_one(connection).await?;
        self.is_crowded.store(row.try_get::<Option<bool>, _>(1)?.unwrap_or(false), Ordering::Relaxed);
        Ok(if row.try_get(0)? { Err(Failure::Standby) } else { Ok(()) })
    }

    /// Whether the server answers soon on a connection that was idle for so long. One that would have been closed before, were
    /// it not the last, is of a server that may be another, or full, by now.
    pub(crate) async fn is_alive(&self, connection: &mut PgConnection, idle: Duration) -> bool {
        if idle < IDLE {
            return matches!(timeout(ALIVE, connection.ping()).await, Ok(Ok(())));
        }
        matches!(timeout(ALIVE, self.look(connection, "")).await, Ok(Ok(Ok(()))))
    }

    async fn in_time<T>(&self, connecting: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
        timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| Failure::ConnectingLate(self.address.clone(), self.connect_timeout))?
            .map_err(|error: sqlx::Error| Failure::Connecting(self.address.clone(), Arc::new(error)))
    }
}

/// What each connection is told first, where `PgBouncer` takes no startup parameters. Nobody's `search_path` has a say in
/// what our statements run, and no role's or database's settings in how the answers are written that are read as text, nor in
/// whether there is anything to write to. They look few keys up by an index, whatever the statistics of a table that was
/// empty a moment ago say; so planning them once is enough. The server gives up on a call when we do, so what nobody waits
/// for any more is not applied much later.
fn settings(response: Duration) -> String {
    let (limit, lock) = (response.as_millis(), response.as_millis() * 4 / 5);
    format!(
        "SET search_path = pg_catalog, pg_temp; SET standard_conforming_strings = on; SET bytea_output = hex; \
         SET array_nulls = on; SET default_transaction_read_only = off; SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; \
         SET plan_cache_mode = force_generic_plan; SET default_transaction_isolation = 'read committed'; \
         SET statement_timeout = {limit}; SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {limit}; \
         SET client_min_messages = error"
    )
}
