//! SELECT, an upsert, NOTIFY and an advisory lock: no versions, no deadlines, no repeats. What the contract costs is seen
//! against it.

use super::MESSAGES;
use crate::bench::PAYLOAD;
use crate::bench::contender::Contender;
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::PLAIN;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::PgPool;

const SET: &str =
    "INSERT INTO linchpin_bench.plain VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

#[derive(Clone)]
pub(crate) struct Plain(PgPool);

impl Plain {
    pub(super) fn of(pool: PgPool) -> Self {
        Self(pool)
    }
}

impl Contender for Plain {
    const NAME: &'static str = PLAIN;

    async fn get(&self, key: &str) -> Result<()> {
        let get = sqlx::query_scalar("SELECT value FROM linchpin_bench.plain WHERE key = $1").bind(key);
        let value: Option<Vec<u8>> = get.fetch_optional(&self.0).await?;
        value.map(drop).ok_or_else(|| Problem::new("the key is gone"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        sqlx::query(SET).bind(key).bind(PAYLOAD).execute(&self.0).await?;
        Ok(())
    }

    async fn publish(&self, _: &str) -> Result<()> {
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(MESSAGES);
        notify.bind(STANDARD.encode(PAYLOAD)).execute(&self.0).await?;
        Ok(())
    }

    /// Of a session: nothing is written.
    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        let mut session = self.0.acquire().await?;
        let acquire = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))").bind(lock);
        let taken: bool = acquire.fetch_one(&mut *session).await?;
        let release = sqlx::query_scalar("SELECT pg_advisory_unlock(hashtextextended($1, 0))").bind(lock);
        let released: bool = release.fetch_one(&mut *session).await?;
        if taken && released { Ok(()) } else { Err(Problem::new("somebody else held the plain lock")) }
    }
}
