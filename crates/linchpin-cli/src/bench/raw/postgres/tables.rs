//! The tables of the adapter, looked at from outside.

use crate::bench::problem::Result;
use crate::bench::report::TableSize;
use sqlx::{AssertSqlSafe, PgConnection};

/// What each takes now.
pub(super) async fn sizes(connection: &mut PgConnection) -> Result<Vec<TableSize>> {
    type Row = (String, i64, i64, i64, i64);
    let tables: Vec<Row> = sqlx::query_as(include_str!("sql/tables.sql")).fetch_all(&mut *connection).await?;
    let mut sizes = Vec::new();
    for (name, dead, autovacuums, bytes, index_bytes) in tables {
        let count = format!("SELECT count(*) FROM linchpin.{}", quoted(&name));
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await?;
        let [rows, dead, autovacuums, bytes, index_bytes] =
            [rows, dead, autovacuums, bytes, index_bytes].map(|number| u64::try_from(number).unwrap_or_default());
        sizes.push(TableSize { name, rows, dead, autovacuums, bytes, index_bytes });
    }
    Ok(sizes)
}

/// Does what autovacuum does in its own time.
pub(super) async fn vacuum(connection: &mut PgConnection) -> Result<()> {
    for name in names(connection).await? {
        let vacuum = format!("VACUUM linchpin.{}", quoted(&name));
        sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Removes a namespace from each table that has a column for it, and from those of namespaces: one that is cleared keeps its
/// revision, and this one nobody will ever use again. It has a row of each generation.
pub(super) async fn forget(connection: &mut PgConnection, namespace: &str) -> Result<()> {
    let is_there = "SELECT to_regclass('linchpin.namespaces') IS NOT NULL";
    if !sqlx::query_scalar(is_there).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let tables = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
        WHERE c.relnamespace = to_regnamespace('linchpin') AND c.relkind = 'r' AND a.attname = 'namespace'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *connection).await?;
    for table in tables {
        let delete = format!(
            "DELETE FROM linchpin.{} WHERE namespace IN (SELECT id FROM linchpin.namespaces WHERE name = $1)",
            quoted(&table)
        );
        sqlx::query(AssertSqlSafe(delete)).bind(namespace).execute(&mut *connection).await?;
    }
    for delete in ["DELETE FROM linchpin.namespaces WHERE name = $1", "DELETE FROM linchpin.holds WHERE name = $1"] {
        sqlx::query(delete).bind(namespace).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn names(connection: &mut PgConnection) -> Result<Vec<String>> {
    let names = "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'linchpin' AND c.relkind = 'r' ORDER BY relname";
    Ok(sqlx::query_scalar(names).fetch_all(connection).await?)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
