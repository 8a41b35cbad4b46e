//! The background task that lets keys expire in time when nobody looks.

use crate::space::Space;
use linchpin_machine::Time;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// Starts the task when there is a first deadline and a runtime to run it, and wakes it for earlier ones.
#[derive(Default)]
pub(crate) struct Sweeper {
    /// When the task comes back at the latest, [`Time::MAX`] if nothing will expire; `None` if there is no
    /// task. Written while the machine is locked, so that it knows every deadline that the machine has.
    comes_back: Mutex<Option<Time>>,
    wake: Arc<Notify>,
}

impl Sweeper {
    /// Makes sure that the task comes back at `deadline`.
    pub(crate) fn see_to(&self, space: &Arc<Space>, deadline: Time) {
        let mut comes_back = self.comes_back.lock();
        match *comes_back {
            Some(planned) if planned <= deadline => {}
            Some(_) => {
                *comes_back = Some(deadline);
                self.wake.notify_one();
            }
            None => {
                let Ok(runtime) = Handle::try_current() else { return };
                *comes_back = Some(deadline);
                // A runtime that is shutting down drops the task at once, and that takes this lock.
                drop(comes_back);
                runtime.spawn(run(Running(Arc::downgrade(space)), self.wake.clone()));
            }
        }
    }

    /// The task is about to sleep until then, or, without a deadline, until it is woken.
    pub(crate) fn sleeps_until(&self, deadline: Option<Time>) {
        *self.comes_back.lock() = Some(deadline.unwrap_or(Time::MAX));
    }

    /// Ends the task: its namespace is gone.
    pub(crate) fn end(&self) {
        self.wake.notify_one();
    }

    /// The task has ended; the next deadline starts another.
    pub(crate) fn ended(&self) {
        *self.comes_back.lock() = None;
    }
}

/// The task's hold on its namespace, which does not keep it alive. Dropped with the task, also when its
/// runtime ends before its namespace.
struct Running(Weak<Space>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(space) = self.0.upgrade() {
            space.sweeper.ended();
        }
    }
}

async fn run(running: Running, wake: Arc<Notify>) {
    while let Some(next) = running.0.upgrade().map(|space| space.sweep()) {
        match next {
            Some(deadline) => drop(timeout_at(deadline, wake.notified()).await),
            None => wake.notified().await,
        }
    }
}
