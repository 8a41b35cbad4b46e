//! What is held while a command runs: a lock or a leadership.

use linchpin::Held;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Returns the deadline once no more than `grace` is left until then, and never if it is lost before.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn running_out(held: &Held, grace: Duration) -> Instant {
    while let Some(until) = held.held_until() {
        if until.saturating_duration_since(Instant::now()) <= grace {
            return until;
        }
        sleep_until(until - grace).await;
    }
    std::future::pending().await
}
