//! A lock as a token in a table: a call takes it or stands in line, another hands it to who has waited longest and tells it
//! by NOTIFY. Nothing guards against a holder that dies and nothing is made durable; it is the shortest way to hand
//! something over on Postgres to more than have a connection.

use super::{CONNECTIONS, Server};
use crate::bench::contender::Taker;
use crate::bench::problem::{Problem, Result};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

/// A queue with its token. All who take turns share its connections: waiting blocks none.
pub(super) struct TokenQueue {
    pool: PgPool,
    name: String,
    /// Where who waits is told; of 63 bytes at most.
    channel: String,
    /// A bell for each.
    told: Vec<Arc<Notify>>,
    listening: JoinHandle<()>,
}

impl Drop for TokenQueue {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl TokenQueue {
    /// Who takes turns over one token.
    pub(super) async fn takers(server: &Server, name: &str, count: usize) -> Result<Vec<TokenTaker>> {
        server.set_up().await?;
        // A token that is lost with the server is not waited for: no call waits for the disk.
        let pool =
            Server::pool_of(CONNECTIONS).connect_with(server.options.clone().options([("synchronous_commit", "off")]));
        let (pool, channel) = (pool.await?, format!("linchpin_bench_{name}"));
        sqlx::query("INSERT INTO linchpin_bench.tokens VALUES ($1, true)").bind(name).execute(&pool).await?;
        let told: Vec<Arc<Notify>> = (0..count).map(|_| Arc::default()).collect();
        let listening = tokio::spawn(ring(server.listener(&[&channel]).await?, told.clone()));
        let queue = Arc::new(Self { pool, name: name.to_owned(), channel, told, listening });
        Ok((0..count).map(|number| TokenTaker { queue: queue.clone(), number }).collect())
    }
}

/// Tells each who is handed the token. One that is not told says so after a while.
async fn ring(mut listener: PgListener, told: Vec<Arc<Notify>>) {
    while let Ok(heard) = listener.recv().await {
        if let Some(bell) = heard.payload().parse::<usize>().ok().and_then(|number| told.get(number)) {
            bell.notify_one();
        }
    }
}

pub(crate) struct TokenTaker {
    queue: Arc<TokenQueue>,
    number: usize,
}

impl Taker for TokenTaker {
    type Held = ();

    async fn take(&mut self) -> Result<()> {
        let take = sqlx::query_scalar("SELECT linchpin_bench.take($1, $2)").bind(&self.queue.name);
        let take = take.bind(i32::try_from(self.number).unwrap_or(i32::MAX));
        if take.fetch_one(&self.queue.pool).await? {
            return Ok(());
        }
        let told = tokio::time::timeout(PATIENCE, self.queue.told[self.number].notified()).await;
        told.map_err(|_| Problem::new(format!("no token came within {PATIENCE:?}")))
    }

    async fn give(&mut self, (): ()) -> Result<()> {
        let give = sqlx::query("SELECT linchpin_bench.give($1, $2)").bind(&self.queue.name).bind(&self.queue.channel);
        give.execute(&self.queue.pool).await?;
        Ok(())
    }
}
