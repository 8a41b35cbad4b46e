//! Patience with whoever holds a stream: an application's transaction may do so for long. A call waits for it on the server
//! for a moment only, as others need the connection, and then here; those of one stream come one after the other, and of all
//! that wait for a stream one asks at a time.

use crate::arguments::Given;
use crate::connection::Pool;
use crate::error::{held, is_held};
use linchpin_core::Result;
use parking_lot::Mutex;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

/// Between two attempts, and twice that, at random. `linchpin.patience` says how long the server waits.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Patience {
    pool: Arc<Pool>,
    /// The streams that somebody holds, and who waits for each.
    held: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
    asking: Semaphore,
}

impl Patience {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, held: Mutex::default(), asking: Semaphore::new(1) }
    }

    /// Runs a statement that gives one row and has to hold a stream, or what goes by this name, for as long as a call may
    /// take to do so.
    pub(crate) async fn row(
        &self,
        operation: &'static str,
        stream: &str,
        statement: &'static str,
        given: impl Fn() -> Given,
    ) -> Result<PgRow> {
        let deadline = Instant::now() + self.pool.response_timeout().mul_f64(0.8);
        let ask = async || self.pool.row(operation, statement, given().of(operation)?).await;
        let mut told = held(operation);
        if self.queue(stream).is_none() {
            match ask().await {
                Err(error) if is_held(&error) => told = error,
                answer => return answer,
            }
        }
        let queue = self.join(stream);
        let Ok(_first) = timeout_at(deadline, queue.lock()).await else { return Err(told) };
        // An attempt that has begun is waited for: it may succeed.
        while let Ok(turn) = timeout_at(deadline, self.asking.acquire()).await {
            match ask().await {
                Err(error) if is_held(&error) => told = error,
                answer => return answer,
            }
            drop(turn);
            if Instant::now() >= deadline {
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
