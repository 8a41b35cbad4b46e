//! Patience with whoever holds a stream: an application's transaction may do so for long. A call waits for it on the server
//! for a moment only, as others need the connection, and then here; those of one stream come one after the other, and of all
//! that wait for a stream one asks at a time.

use crate::connection::Pool;
use crate::error::{held, is_held};
use linchpin_adapter::tasks::on_behalf;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use sqlx::postgres::{PgArguments, PgRow};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

/// Between two attempts, and twice that, at random. `linchpin.patience` says how long the server waits.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Patience {
    pool: Arc<Pool>,
    waits: Arc<Waits>,
}

struct Waits {
    /// The streams that somebody holds, and who waits for each.
    held: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
    asking: Semaphore,
}

/// A statement that gives one row and has to hold a stream.
struct Statement {
    operation: &'static str,
    text: &'static str,
    arguments: PgArguments,
}

impl Statement {
    async fn run(&self, pool: &Pool) -> Result<PgRow> {
        pool.row(self.operation, self.text, self.arguments.clone()).await
    }
}

impl Patience {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, waits: Arc::new(Waits { held: Mutex::default(), asking: Semaphore::new(1) }) }
    }

    /// Runs a statement that gives one row and has to hold a stream, or what goes by this name, for as long as a call may
    /// take to do so.
    pub(crate) async fn row(
        &self,
        operation: &'static str,
        stream: &str,
        text: &'static str,
        arguments: PgArguments,
    ) -> Result<PgRow> {
        let deadline = Instant::now() + self.pool.response_timeout().mul_f64(0.8);
        let statement = Statement { operation, text, arguments };
        let mut told = held(operation);
        if self.waits.queue(stream).is_none() {
            match statement.run(&self.pool).await {
                Err(error) if is_held(&error) => told = error,
                answer => return answer,
            }
        }
        self.wait(stream.to_owned(), statement, deadline, told).await
    }

    /// Waits as a task of the handle. An attempt that has begun goes on by itself, also where the caller gives up.
    async fn wait(&self, stream: String, statement: Statement, deadline: Instant, told: Error) -> Result<PgRow> {
        let (pool, waits) = (self.pool.clone(), self.waits.clone());
        let operation = statement.operation;
        let trying = async move { waits.try_by(&stream, &pool, &statement, deadline, told).await };
        // Without an answer the handle has ended, and it may have been asked.
        let tried = on_behalf(&self.pool.life, trying).await;
        tried.unwrap_or_else(|| Err(Error::timeout(operation, Duration::ZERO)))
    }
}

impl Waits {
    async fn try_by(
        &self,
        stream: &str,
        pool: &Pool,
        statement: &Statement,
        deadline: Instant,
        mut told: Error,
    ) -> Result<PgRow> {
        let queue = self.join(stream);
        let Ok(_first) = timeout_at(deadline, queue.lock()).await else { return Err(told) };
        // An attempt that has begun is waited for: it may succeed.
        while let Ok(turn) = timeout_at(deadline, self.asking.acquire()).await {
            match statement.run(pool).await {
                Err(error) if is_held(&error) => told = error,
                answer => return answer,
            }
            drop(turn);
            if Instant::now() >= deadline || pool.life.ended().is_some() {
                break;
            }
            sleep(PAUSE.mul_f64(1.0 + fastrand::f64())).await;
        }
        Err(told)
    }

    fn queue(&self, stream: &str) -> Option<Arc<AsyncMutex<()>>> {
        self.held.lock().get(stream).and_then(Weak::upgrade)
    }

    fn join(&self, stream: &str) -> Arc<AsyncMutex<()>> {
        let mut held = self.held.lock();
        if let Some(queue) = held.get(stream).and_then(Weak::upgrade) {
            return queue;
        }
        held.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::default();
        held.insert(stream.to_owned(), Arc::downgrade(&queue));
        queue
    }
}
