//! What nobody asks for any more, and that would stay as long as nobody writes: the outcomes of transactions, the ids of
//! records, and long messages.

use crate::arguments::{Arguments, field};
use crate::commit::ID_WINDOW;
use crate::connection::{Holder, Pool};
use crate::streams::DEDUPE_WINDOW;
use linchpin_core::Result;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Whoever left something at the server removes it later, and what others left; nobody has to write for that.
pub(crate) struct Cleaner {
    pool: Weak<Pool>,
    duty: Arc<Mutex<Duty>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Duty {
    /// Until when somebody may ask for what was left.
    until: Option<Instant>,
    has_task: bool,
}

/// For how long somebody may ask for what is left.
#[derive(Clone, Copy)]
pub(crate) enum Leftover {
    /// The outcome of a transaction, or a long message.
    Outcome,
    /// The id of a record, of whoever appended it: those from SQL have no handle.
    RecordId,
}

impl Leftover {
    fn time(self) -> Duration {
        match self {
            Self::Outcome => ID_WINDOW,
            Self::RecordId => DEDUPE_WINDOW,
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

impl Cleaner {
    /// Others may have left something.
    pub(crate) fn new(pool: &Arc<Pool>) -> Self {
        let forgetting = Self { pool: Arc::downgrade(pool), duty: Arc::default(), task: Mutex::default() };
        forgetting.later(Leftover::RecordId);
        forgetting
    }

    /// Sees to it that what is left at the server now is removed once nobody may ask for it any more.
    pub(crate) fn later(&self, kept: Leftover) {
        let mut duty = self.duty.lock();
        duty.until = duty.until.max(Some(Instant::now() + kept.time()));
        if !std::mem::replace(&mut duty.has_task, true) {
            let Some(pool) = self.pool.upgrade() else { return };
            let task = pool.life.spawn(forget_later(self.duty.clone(), self.pool.clone()));
            *self.task.lock() = Some(task);
        }
    }
}

async fn forget_later(duty: Arc<Mutex<Duty>>, pool: Weak<Pool>) {
    loop {
        // Not all handles at once.
        sleep(ID_WINDOW + Duration::from_secs(10).mul_f64(fastrand::f64())).await;
        let began = Instant::now();
        let Some(pool) = pool.upgrade() else { return };
        if let Err(error) = forget(&pool).await {
            tracing::debug!(%error, "what is old could not be removed");
        }
        let mut duty = duty.lock();
        if duty.until.is_none_or(|until| until < began) {
            duty.has_task = false;
            return;
        }
    }
}

async fn forget(pool: &Arc<Pool>) -> Result<()> {
    /// How many rows a call removes, of each namespace.
    const MOST: i32 = 4096;
    loop {
        let given = Arguments::default().with(MOST).of("commit")?;
        let row = pool.row_behind(Holder::Nobody, "commit", "SELECT linchpin.forget($1)", given).await?;
        if !field("commit", &row, 0)? {
            return Ok(());
        }
    }
}
