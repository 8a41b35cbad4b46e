//! What is held while a command runs.

use linchpin::{Leadership, LockGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A lock or a leadership.
pub(crate) trait Hold {
    /// Its deadline, if no renewal succeeds any more.
    fn held_until(&self) -> Option<Instant>;

    /// Returns when it is held no more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn lost(&self) -> impl Future<Output = ()>;
}

impl Hold for LockGuard {
    fn held_until(&self) -> Option<Instant> {
        self.held_until()
    }

    fn lost(&self) -> impl Future<Output = ()> {
        self.lost()
    }
}

impl Hold for Leadership {
    fn held_until(&self) -> Option<Instant> {
        self.held_until()
    }

    fn lost(&self) -> impl Future<Output = ()> {
        self.lost()
    }
}

/// Returns the deadline once no more than `grace` is left until then, and never if it is lost before.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn running_out(hold: &impl Hold, grace: Duration) -> Instant {
    while let Some(until) = hold.held_until() {
        if until.saturating_duration_since(Instant::now()) <= grace {
            return until;
        }
        sleep_until(until - grace).await;
    }
    std::future::pending().await
}
