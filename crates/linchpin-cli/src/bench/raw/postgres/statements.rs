//! Counting the statements that clients send: the extension `pg_stat_statements` does, where the server has loaded it.

use crate::bench::problem::Result;
use crate::bench::raw::{Counter, Requests};
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::HashMap;

/// What a client sends to set a connection up, and what is asked here.
const SET_UP: [&str; 3] = ["set_config", "pg_stat_statements", "SET"];

/// Sees what was sent to the database, by everybody.
pub(crate) struct Statements {
    connection: PgConnection,
    read: String,
    before: HashMap<i64, i64>,
}

impl Statements {
    /// `None` if the server does not count.
    pub(super) async fn open(mut connection: PgConnection) -> Result<Option<Self>> {
        let loaded = "SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'";
        // Who may not know has no right to count either.
        let is_loaded = sqlx::query_scalar(loaded).fetch_one(&mut connection).await;
        if !is_loaded.unwrap_or(false) {
            return Ok(None);
        }
        // It goes with our schema, unless the database has it already.
        let install = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA linchpin_bench";
        if sqlx::query(install).execute(&mut connection).await.is_err() {
            return Ok(None);
        }
        let schema = "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
            WHERE e.extname = 'pg_stat_statements'";
        let schema: String = sqlx::query_scalar(schema).fetch_one(&mut connection).await?;
        let read = format!(
            "SELECT s.queryid, max(s.query), sum(s.calls)::bigint FROM {schema}.pg_stat_statements s \
             JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() AND s.queryid IS NOT NULL \
             GROUP BY s.queryid"
        );
        Ok(Some(Self { connection, read, before: HashMap::new() }))
    }
}

impl Counter for Statements {
    async fn mark(&mut self) -> Result<Requests> {
        // The name of the schema was quoted by the server.
        let read = sqlx::query_as(AssertSqlSafe(self.read.as_str()));
        let rows: Vec<(i64, String, i64)> = read.fetch_all(&mut self.connection).await?;
        let mut requests = Requests::default();
        for (id, query, calls) in rows {
            let before = self.before.insert(id, calls).unwrap_or_default();
            let sent = u64::try_from(calls - before).unwrap_or_default();
            if let Some(what) = asked(&query).filter(|_| sent > 0) {
                *requests.0.entry(what).or_default() += sent;
            }
        }
        Ok(requests)
    }
}

/// What a statement asks for: the function or the table that it names first, or its first word.
fn asked(query: &str) -> Option<String> {
    if SET_UP.iter().any(|word| query.contains(word)) {
        return None;
    }
    let is_named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut words = query.split(|c| !is_named(c)).filter(|word| !word.is_empty());
    let first = words.clone().next()?.to_ascii_uppercase();
    let named = words.find(|word| word.starts_with("linchpin") && word.contains('.') || *word == "pg_notify");
    Some(named.map_or(first, str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn a_statement_is_called_by_what_it_asks_for() {
        for (query, expected) in [
            ("SELECT outcome FROM linchpin.commit($1, $2)", Some("linchpin.commit")),
            ("SELECT pg_catalog.pg_notify($1, $2)", Some("SELECT")),
            ("SELECT pg_notify($1, $2)", Some("pg_notify")),
            ("LISTEN \"linchpin_0a_m\"", Some("LISTEN")),
            ("begin", Some("BEGIN")),
            ("SELECT pg_catalog.set_config($1, $2, $3)", None),
            ("SET synchronous_commit = off", None),
            ("", None),
        ] {
            assert_eq!(asked(query).as_deref(), expected, "{query}");
        }
    }
}
