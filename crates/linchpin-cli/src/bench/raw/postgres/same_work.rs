//! What linchpin guarantees, by hand: versioned entries with deadlines, writes that may be repeated and watched, locks with a
//! fencing token. Each write is one function that locks the namespace first, and one commit; see `sql`.

use super::MESSAGES;
use crate::bench::contender::Contender;
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::SAME_WORK;
use crate::bench::{LOCK_TTL, PAYLOAD, VALUE_TTL};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::PgPool;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct SameWork(PgPool);

impl SameWork {
    pub(super) fn of(pool: PgPool) -> Self {
        Self(pool)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// An id that nobody else has.
fn unique() -> [u8; 16] {
    fastrand::u128(..).to_be_bytes()
}

impl Contender for SameWork {
    const NAME: &'static str = SAME_WORK;

    async fn get(&self, key: &str) -> Result<()> {
        type Row = (i64, Option<Vec<u8>>, Option<i64>, Option<i64>, Option<i64>);
        let get = sqlx::query_as(include_str!("sql/get.sql")).bind(key.as_bytes());
        let (_revision, value, _version, _created, _left): Row = get.fetch_one(&self.0).await?;
        value.map(drop).ok_or_else(|| Problem::new("the key is gone"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        let put = sqlx::query_as("SELECT o_revision, o_created FROM linchpin_bench.put($1, $2, $3, $4)");
        let put = put.bind(key.as_bytes()).bind(PAYLOAD).bind(micros(VALUE_TTL)).bind(unique());
        let (_revision, _created): (i64, i64) = put.fetch_one(&self.0).await?;
        Ok(())
    }

    /// All messages go over one channel: a subscriber's pattern is matched with what is before the payload.
    async fn publish(&self, channel: &str) -> Result<()> {
        let message = format!("{} {}", STANDARD.encode(channel), STANDARD.encode(PAYLOAD));
        sqlx::query("SELECT pg_notify($1, $2)").bind(MESSAGES).bind(message).execute(&self.0).await?;
        Ok(())
    }

    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        let (key, who) = (lock.as_bytes(), unique());
        let acquire = sqlx::query_scalar("SELECT linchpin_bench.acquire($1, $2, $3)");
        let token: Option<i64> = acquire.bind(key).bind(who).bind(micros(LOCK_TTL)).fetch_one(&self.0).await?;
        let release = sqlx::query_scalar("SELECT linchpin_bench.release($1, $2)");
        let released: bool = release.bind(key).bind(who).fetch_one(&self.0).await?;
        if token.is_some() && released { Ok(()) } else { Err(Problem::new("somebody else held the lock")) }
    }
}
