//! Postgres, with the crate `sqlx`.

mod plain;
mod same_work;
mod statements;
mod tables;
mod token_queue;
mod url;

use super::{Idle, Raw};
use crate::bench::problem::{Problem, Result};
use crate::bench::report::{Backend, ServerFacts, TableSize};
use futures::stream::{BoxStream, StreamExt};
use linchpin::Capabilities;
use plain::Plain;
use same_work::SameWork;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};
use statements::Statements;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use token_queue::{TokenQueue, TokenTaker};
use tokio::sync::OnceCell;

/// The tables and functions of what is done by hand.
const SCHEMA: [&str; 5] = [
    include_str!("sql/schema.sql"),
    include_str!("sql/put.sql"),
    include_str!("sql/acquire.sql"),
    include_str!("sql/release.sql"),
    include_str!("sql/tokens.sql"),
];

/// As many as make the raw client fastest: writers of one namespace wait for each other, and more readers than the server
/// has processors only take turns.
const CONNECTIONS: u32 = 10;
/// Where messages by hand are sent. A name of 63 bytes at most.
const MESSAGES: &str = "linchpin_bench_messages";
const SETTINGS: [&str; 4] = ["fsync", "full_page_writes", "synchronous_commit", "wal_sync_method"];
/// What Postgres says of a schema that is there already.
const DUPLICATE_SCHEMA: &str = "42P06";

#[derive(Clone)]
pub(crate) struct Server {
    options: PgConnectOptions,
    namespace: String,
    is_set_up: Arc<OnceCell<()>>,
}

impl Server {
    /// Nothing is sent yet.
    pub(crate) fn new(url: &str, namespace: &str) -> Result<Self> {
        Ok(Self { options: url::options(url)?, namespace: namespace.to_owned(), is_set_up: Arc::default() })
    }

    /// A connection that nobody else uses.
    async fn connection(&self) -> Result<PgConnection> {
        Ok(self.options.connect().await?)
    }

    /// A pool as sqlx makes it, without the ping before each use: that is another round trip.
    fn pool_of(connections: u32) -> PgPoolOptions {
        let options = PgPoolOptions::new().max_connections(connections).min_connections(connections);
        options.acquire_timeout(Duration::from_secs(30)).test_before_acquire(false)
    }

    async fn pool(&self) -> Result<PgPool> {
        self.set_up().await?;
        Ok(Self::pool_of(CONNECTIONS).connect_with(self.options.clone()).await?)
    }

    /// A connection that hears of channels.
    async fn listener(&self, channels: &[&str]) -> Result<PgListener> {
        let pool = Self::pool_of(1).connect_with(self.options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen_all(channels.iter().copied()).await?;
        Ok(listener)
    }

    /// Makes the schema of what is done by hand: once, all of it or nothing.
    async fn set_up(&self) -> Result<()> {
        self.is_set_up.get_or_try_init(|| self.make_schema()).await.copied()
    }

    async fn make_schema(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin().await?;
        for part in SCHEMA {
            sqlx::raw_sql(part).execute(&mut *transaction).await.map_err(told)?;
        }
        let own = sqlx::query("INSERT INTO linchpin_bench.run VALUES ($1)").bind(&self.namespace);
        own.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Drops the schema, if it is this run's.
    async fn drop_schema(&self, connection: &mut PgConnection) -> Result<()> {
        let is_there = "SELECT to_regclass('linchpin_bench.run') IS NOT NULL";
        if !sqlx::query_scalar(is_there).fetch_one(&mut *connection).await? {
            return Ok(());
        }
        let is_ours = sqlx::query_scalar("SELECT EXISTS (SELECT FROM linchpin_bench.run WHERE name = $1)");
        if is_ours.bind(&self.namespace).fetch_one(&mut *connection).await? {
            sqlx::raw_sql("DROP SCHEMA linchpin_bench CASCADE").execute(connection).await?;
        }
        Ok(())
    }
}

/// A schema that is there is not this run's.
fn told(error: sqlx::Error) -> Problem {
    let code = error.as_database_error().and_then(DatabaseError::code);
    if code.is_some_and(|code| code == DUPLICATE_SCHEMA) {
        return Problem::new(
            "there is a schema linchpin_bench in the database: another run is measuring, or one was killed; once none \
             runs, `DROP SCHEMA linchpin_bench CASCADE` removes it",
        );
    }
    error.into()
}

impl Raw for Server {
    type SameWork = SameWork;
    type Plain = Plain;
    type Taker = TokenTaker;
    type Idle = IdleConnection;
    type Counter = Statements;

    const HAS_TABLES: bool = true;

    async fn same_work(&self) -> Result<SameWork> {
        Ok(SameWork::of(self.pool().await?))
    }

    async fn plain(&self) -> Result<Plain> {
        Ok(Plain::of(self.pool().await?))
    }

    async fn listen(&self) -> Result<BoxStream<'static, ()>> {
        // As the adapter names the channel of a namespace's messages: after a secret that the namespace's row has.
        let name = sqlx::query_scalar::<_, String>("SELECT linchpin.channel(linchpin.secret($1), 'm')");
        let adapters = name.bind(&self.namespace).fetch_one(&mut self.connection().await?).await?;
        let listener = self.listener(&[&adapters, MESSAGES]).await?;
        // An error ends it: what does not arrive is told by who waits for it.
        Ok(listener.into_stream().take_while(|heard| std::future::ready(heard.is_ok())).map(drop).boxed())
    }

    async fn takers(&self, name: &str, count: usize) -> Result<Vec<TokenTaker>> {
        TokenQueue::takers(self, name, count).await
    }

    async fn idle(&self) -> Result<IdleConnection> {
        self.set_up().await?;
        Ok(IdleConnection { connection: self.connection().await? })
    }

    async fn counter(&self) -> Result<Option<Statements>> {
        self.set_up().await?;
        Statements::open(self.connection().await?).await
    }

    async fn facts(&self, linchpin: &Capabilities, _: u64) -> Result<ServerFacts> {
        let mut connection = self.connection().await?;
        let settings = sqlx::query_as("SELECT name, setting FROM pg_settings WHERE name = ANY ($1)");
        let settings: Vec<(String, Option<String>)> = settings.bind(SETTINGS).fetch_all(&mut connection).await?;
        // The adapter's connections, of which there are several, and ours say who they are.
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND backend_type = 'client backend' AND application_name NOT LIKE 'linchpin%'";
        let others: i64 = sqlx::query_scalar(others).fetch_one(&mut connection).await?;
        Ok(ServerFacts {
            backend: Backend::Postgres,
            version: linchpin.version.clone(),
            durability: linchpin.durability.why.clone(),
            settings: BTreeMap::from_iter(settings),
            other_clients: Some(u64::try_from(others).unwrap_or_default()),
        })
    }

    async fn sweep(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        self.drop_schema(&mut connection).await?;
        tables::forget(&mut connection, &self.namespace).await
    }

    async fn tables(&self) -> Result<Vec<TableSize>> {
        tables::sizes(&mut self.connection().await?).await
    }

    async fn vacuum(&self) -> Result<()> {
        tables::vacuum(&mut self.connection().await?).await
    }
}

pub(crate) struct IdleConnection {
    connection: PgConnection,
}

impl Idle for IdleConnection {
    const COMMITS: bool = true;

    async fn round_trip(&mut self) -> Result<()> {
        let _one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut self.connection).await?;
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        sqlx::query("UPDATE linchpin_bench.idle SET count = count + 1").execute(&mut self.connection).await?;
        Ok(())
    }
}
