//! What the server is, and what follows for what may be promised.

use crate::arguments::{Arguments, field};
use crate::connection::{ALIVE, Connector, Holder, Pool, PooledConnection};
use crate::error::Failure;
use crate::names::Names;
use crate::numbers::MAX_BYTES;
use crate::{commit, migrate, streams};
use linchpin_core::{
    Capabilities, Durability, Error, MessageSupport, Result, StreamSupport, TransactionScope, TtlSupport,
    WatchCompleteness,
};
use parking_lot::Mutex;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Executor, Row};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The oldest version that is tried by anybody: its number as the server writes it.
const OLDEST: i32 = 130_000;

/// What the server says of itself.
pub(crate) struct Facts {
    version: String,
    number: i32,
    /// What it says may be old, and it refuses writes.
    is_standby: bool,
    fsync: bool,
    full_page_writes: bool,
    synchronous_commit: String,
    /// How full the queue of notifications is, from 0 to 1.
    queue: f64,
}

impl Facts {
    const ASK: &str = "\
        SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(), \
            current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', \
            current_setting('synchronous_commit'), pg_notification_queue_usage()";

    /// Asks anew; `None` if the server is a standby.
    pub(crate) async fn ask(pool: &Arc<Pool>, operation: &'static str) -> Result<Option<Self>> {
        let rows = pool.ask(Holder::Nobody, Self::ASK, Arguments::default().of(operation)?).await;
        match rows {
            Ok(rows) => {
                let row = rows.first().ok_or_else(|| Error::unreadable(operation, "no row"))?;
                let facts = Self::read(operation, row)?;
                Ok((!facts.is_standby).then_some(facts))
            }
            Err(Failure::Standby) => Ok(None),
            Err(failure) => Err(failure.told(operation).of_read()),
        }
    }

    async fn over(connection: &mut PgConnection, connector: &Connector) -> Result<Self> {
        let limit = connector.response_timeout;
        let asked = timeout(limit, sqlx::query(Self::ASK).fetch_one(connection)).await;
        Self::read("connect", &asked.map_err(|_| told(Failure::Late(limit)))?.map_err(told)?)
    }

    fn read(operation: &'static str, row: &PgRow) -> Result<Self> {
        let version: String = field(operation, row, 0)?;
        Ok(Self {
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            number: field(operation, row, 1)?,
            is_standby: field(operation, row, 2)?,
            fsync: field(operation, row, 3)?,
            full_page_writes: field(operation, row, 4)?,
            synchronous_commit: field(operation, row, 5)?,
            queue: field(operation, row, 6)?,
        })
    }

    pub(crate) fn degraded(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.queue > 0.5 {
            let full = (self.queue * 100.0).round();
            reasons.push(format!("the queue of notifications is {full} % full: some client listens in a transaction"));
        }
        reasons
    }

    fn durability(&self) -> Durability {
        let Self { fsync, full_page_writes, synchronous_commit, .. } = self;
        let survives = |power_loss: bool, why: String| Durability::new(true, power_loss, why);
        if !fsync {
            return survives(false, "fsync is off: a loss of power may leave the whole database unusable".to_owned());
        }
        if synchronous_commit == "off" {
            let why = "synchronous_commit is off: a crash of the server loses what it acknowledged in its last moments";
            return Durability::new(false, false, why);
        }
        if !full_page_writes {
            return survives(false, "full_page_writes is off: a loss of power may tear pages".to_owned());
        }
        survives(
            true,
            format!("each commit is written to the disk (fsync on, synchronous_commit {synchronous_commit})"),
        )
    }
}

const THERE: &str = "SELECT 1 FROM linchpin.namespaces WHERE name = $1 ORDER BY generation DESC LIMIT 1";

/// Connects, checks that this will do, and sets up what is missing.
pub(crate) async fn prepare(pool: &Arc<Pool>, names: &Names) -> Result<Facts> {
    let (mut first, facts) = first(pool).await?;
    if facts.number < OLDEST {
        let found = format!("postgres {}", facts.version);
        return Err(Error::unsupported("connect", &found, "what linchpin needs: Postgres 13 or later"));
    }
    migrate::set_up(&mut first.connection).await?;
    first.give_back(Ok(())).map_err(told)?;
    let given = Arguments::default().with(&names.namespace).of("connect")?;
    if pool.rows_behind(Holder::Nobody, "connect", THERE, given).await.map_err(Error::of_read)?.is_empty() {
        let given = Arguments::default().with(&names.namespace).of("connect")?;
        pool.row_behind(Holder::Namespace, "connect", "SELECT (linchpin.hold($1)).id", given)
            .await
            .map_err(Error::of_read)?;
    }
    Ok(facts)
}

/// A connection, and what the server says of itself over it.
async fn first(pool: &Pool) -> Result<(PooledConnection, Facts)> {
    if let Some(mut open) = pool.open().await {
        let asked = timeout(ALIVE, Facts::over(&mut open.connection, pool.connector())).await;
        if let Ok(Ok(facts)) = asked
            && !facts.is_standby
        {
            return Ok((open, facts));
        }
        // The server is another by now, or away.
        pool.drop_idle();
    }
    let mut new = connect(pool).await?;
    let facts = Facts::over(&mut new.connection, pool.connector()).await?;
    if facts.is_standby { Err(told(Failure::Standby)) } else { Ok((new, facts)) }
}

/// A connection that is a session, and told what each is told first.
async fn connect(pool: &Pool) -> Result<PooledConnection> {
    let (connector, since) = (pool.connector(), Instant::now());
    let connected = if SESSIONS.was_seen(connector) {
        connector.connect_untold_by(since + connector.response_timeout).await.map(Some)
    } else {
        unshared(connector).await
    };
    let Some(mut connection) = connected.map_err(told)? else {
        let problem = "a pooler that keeps a connection for a session: this one gives it to another after each \
                       transaction; use PgBouncer with pool_mode = session, or connect to the server itself";
        return Err(Error::unsupported("connect", "postgres", problem));
    };
    SESSIONS.note(connector);
    connector.settle_first(&mut connection).await.map_err(told)?;
    // There may have been two, and more was asked.
    pool.adopt(connection, since.elapsed() / 2).map_err(told)
}

fn told(failure: impl Into<Failure>) -> Error {
    failure.into().told("connect").of_read()
}

/// Where connections are sessions, as a handle of this process has seen a moment ago: the next one need not look again.
static SESSIONS: LazyLock<Sessions> = LazyLock::new(Sessions::default);

#[derive(Default)]
struct Sessions(Mutex<HashMap<(Arc<str>, String), Instant>>);

impl Sessions {
    /// A pooler may be told to work in another way meanwhile: handles that are open do not notice that either.
    const KEPT: Duration = Duration::from_mins(1);

    /// What a pooler goes by.
    fn place(connector: &Connector) -> (Arc<str>, String) {
        (connector.address.clone(), connector.options.get_username().to_owned())
    }

    fn was_seen(&self, connector: &Connector) -> bool {
        self.0.lock().get(&Self::place(connector)).is_some_and(|seen| seen.elapsed() < Self::KEPT)
    }

    /// It was seen, now or before.
    fn note(&self, connector: &Connector) {
        let mut seen = self.0.lock();
        seen.retain(|_, seen| seen.elapsed() < Self::KEPT);
        seen.entry(Self::place(connector)).or_insert_with(Instant::now);
    }
}

/// A connection, unless a pooler gives it to others between our transactions: then what is listened to and set would be
/// theirs. Another connection that has a transaction open gets ours then, or makes us get another: at once
/// where nobody else uses the pooler, else more likely than not.
///
/// It leaves nothing behind, no setting and no prepared statement: who has that connection next is somebody else.
async fn unshared(connector: &Connector) -> Result<Option<PgConnection>, Failure> {
    const ROUNDS: usize = 4;
    const PROCESS: &str = "SELECT pg_backend_pid()";
    let deadline = Instant::now() + connector.response_timeout;
    // Boxed: whoever connects would carry both about.
    let connecting = || Box::pin(connector.connect_untold_by(deadline));
    let (ours, other) = tokio::join!(connecting(), connecting());
    let (mut ours, mut other) = (ours?, other?);
    for _ in 0..ROUNDS {
        // Whoever is not in between tells the server's own process.
        let before = process(&mut ours, PROCESS).await?;
        let others = match process(&mut other, "BEGIN; SELECT pg_backend_pid()").await {
            // A pooler of statements.
            Err(error) if refuses_transactions(&error) => return Ok(None),
            begun => begun?,
        };
        let after = process(&mut ours, PROCESS).await?;
        other.execute("ROLLBACK").await?;
        if others == before || after != before {
            return Ok(None);
        }
    }
    // So that another handle finds a place at once.
    other.close().await?;
    Ok(Some(ours))
}

/// The server's process that answers, asked without a prepared statement.
async fn process(connection: &mut PgConnection, question: &'static str) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql(question).fetch_one(connection).await?.try_get(0)
}

/// A server would begin one, or shut down.
fn refuses_transactions(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| !code.starts_with("57"))
}

pub(crate) fn capabilities(facts: &Facts) -> Capabilities {
    const SLACK: Duration = Duration::from_millis(250);
    let mut capabilities = Capabilities::minimum("postgres");
    capabilities.version = format!("postgres {}", facts.version);
    capabilities.transactions = TransactionScope::MultiKey;
    capabilities.transaction_ids = Some(commit::ID_WINDOW);
    capabilities.prefix_guards = true;
    capabilities.key_watches = true;
    capabilities.watch = WatchCompleteness::LatestVersion;
    capabilities.ttl = Some(TtlSupport::within(SLACK));
    capabilities.messages = Some(MessageSupport::new(false));
    capabilities.streams = Some(StreamSupport::full(streams::DEDUPE_WINDOW, SLACK));
    let limits = &mut capabilities.limits;
    (limits.value, limits.message, limits.record) = (MAX_BYTES, MAX_BYTES + 1024, MAX_BYTES);
    (limits.transaction_operations, limits.transaction_bytes, limits.batch) = (1024, 8 * MAX_BYTES, 512);
    capabilities.durability = facts.durability();
    capabilities
}
