//! What nobody asks for any more, and that would stay as long as nobody writes: the outcomes of transactions.

use crate::arguments::{Given, field};
use crate::commit::ID_WINDOW;
use crate::connection::{Behind, Pool};
use linchpin_core::Result;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Whoever left something at the server removes it later, and what others left; nobody has to write for that.
#[derive(Default)]
pub(crate) struct Forgetting {
    duty: Arc<Mutex<Duty>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Duty {
    /// Something was left since the last look began.
    is_left: bool,
    has_task: bool,
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

impl Forgetting {
    /// Sees to it that what is left at the server now is removed once nobody may ask for it any more.
    pub(crate) fn later(&self, pool: &Arc<Pool>) {
        let mut duty = self.duty.lock();
        duty.is_left = true;
        if !std::mem::replace(&mut duty.has_task, true) {
            let task = pool.life.spawn(forget_later(self.duty.clone(), Arc::downgrade(pool)));
            *self.task.lock() = Some(task);
        }
    }
}

async fn forget_later(duty: Arc<Mutex<Duty>>, pool: Weak<Pool>) {
    loop {
        {
            let mut duty = duty.lock();
            if !std::mem::take(&mut duty.is_left) {
                duty.has_task = false;
                return;
            }
        }
        // Not all handles at once.
        sleep(ID_WINDOW + Duration::from_secs(10).mul_f64(fastrand::f64())).await;
        let Some(pool) = pool.upgrade() else { return };
        if let Err(error) = forget(&pool).await {
            tracing::debug!(%error, "old outcomes could not be removed");
        }
    }
}

async fn forget(pool: &Arc<Pool>) -> Result<()> {
    /// How many rows of each namespace a call removes.
    const MOST: i32 = 4096;
    loop {
        let given = Given::default().with(MOST).of("commit")?;
        let row = pool.row_behind(Behind::Nobody, "commit", "SELECT linchpin.forget($1)", given).await?;
        if !field("commit", &row, 0)? {
            return Ok(());
        }
    }
}
