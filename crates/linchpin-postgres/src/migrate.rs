//! The schema: set up by the first handle of a database, or by whoever administers it.

use crate::error::Failure;
use crate::numbers::named;
use linchpin_core::{Error, ErrorKind, Result};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use std::sync::LazyLock;

/// What is in the schema. Nobody's `search_path` has a say in what it is made of.
macro_rules! contents {
    () => {
        concat!(
            "SET LOCAL search_path = pg_catalog, pg_temp;\n",
            "CREATE TABLE linchpin.version (number integer NOT NULL);\n",
            "INSERT INTO linchpin.version VALUES ({SCHEMA_VERSION});\n\n",
            include_str!("sql/tables.sql"),
            "\n",
            include_str!("sql/namespaces.sql"),
            "\n",
            include_str!("sql/feed.sql"),
            "\n",
            include_str!("sql/state.sql"),
            "\n",
            include_str!("sql/commit.sql"),
            "\n",
            include_str!("sql/commit_one.sql"),
            "\n",
            include_str!("sql/messages.sql"),
            "\n",
            include_str!("sql/streams.sql"),
            "\n",
            include_str!("sql/application.sql"),
            "\n",
            include_str!("sql/fixed.sql"),
        )
    };
}

/// What the schema `linchpin` consists of, as SQL: what the first handle runs that connects to a database, if its role may.
/// An administrator may run it instead, in one transaction, and then grant [`PRIVILEGES`].
pub static SCHEMA: LazyLock<String> =
    LazyLock::new(|| named(concat!("CREATE SCHEMA IF NOT EXISTS linchpin;\n", contents!())));

/// As [`SCHEMA`], where an administrator made the schema itself: it takes no right to make one.
static CONTENTS: LazyLock<String> = LazyLock::new(|| named(contents!()));

/// What a role needs that uses the schema and did not set it up, as SQL; write its name instead of `application`.
pub const PRIVILEGES: &str = "\
    GRANT USAGE ON SCHEMA linchpin TO application;\n\
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA linchpin TO application;\n\
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA linchpin TO application;\n";

/// The version that this build needs.
pub(crate) const VERSION: i32 = 6;

/// The version of the schema that is there.
const NUMBER: &str = "SELECT number FROM linchpin.version";

/// The lock under which the schema is set up: concurrent starters wait for each other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7812733471026)";

/// Sets up the schema where it is missing.
pub(crate) async fn set_up(connection: &mut PgConnection) -> Result<()> {
    if is_current(connection).await? {
        return Ok(());
    }
    migrate(connection).await.map_err(|failure| {
        let error = failure.told("connect");
        if error.kind() != ErrorKind::Unauthorized {
            return error.of_read();
        }
        let problem = "the schema linchpin is not there, and this role may not create it: have an administrator run \
                       linchpin_postgres::SCHEMA and then linchpin_postgres::PRIVILEGES, or grant CREATE on the database";
        Error::new(ErrorKind::Unauthorized, "connect", problem).with_source(error)
    })
}

async fn migrate(connection: &mut PgConnection) -> Result<(), Failure> {
    let mut transaction = connection.begin().await?;
    transaction.execute(LOCK).await?;
    if version(&mut transaction).await?.is_none() {
        const THERE: &str = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'linchpin'";
        let is_there = sqlx::query(THERE).fetch_optional(&mut *transaction).await?.is_some();
        let schema: &'static str = if is_there { &CONTENTS } else { &SCHEMA };
        transaction.execute(schema).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether the schema is there, in the version that this build needs.
async fn is_current(connection: &mut PgConnection) -> Result<bool> {
    let number = match sqlx::query_scalar(NUMBER).fetch_optional(connection).await {
        Err(error) if is_missing(&error) => return Ok(false),
        number => number.map_err(|error| Failure::from(error).told("connect").of_read())?,
    };
    match number {
        None => Ok(false),
        Some(VERSION) => Ok(true),
        Some(other) => {
            let problem = format!(
                "the schema linchpin has version {other}, and this build of linchpin-postgres needs {VERSION}: use a build \
                 that fits it"
            );
            Err(Error::new(ErrorKind::Unsupported, "connect", problem))
        }
    }
}

/// The table is not there, or the schema.
fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "42P01" | "3F000"))
}

/// As it is in a transaction, which an error would end.
async fn version(connection: &mut PgConnection) -> Result<Option<i32>, Failure> {
    // Not to_regclass: a session that looked in vain before it waited for the lock would be told so again.
    const THERE: &str = "SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                         WHERE n.nspname = 'linchpin' AND c.relname = 'version'";
    if sqlx::query(THERE).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let row = sqlx::query(NUMBER).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
