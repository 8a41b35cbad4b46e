//! The pauses between attempts.

use linchpin_core::{Error, Result};
use std::time::Duration;

/// The pauses between attempts when others write the same: doubled each time, and cut at random.
pub(crate) struct Pauses {
    next: Duration,
    longest: Duration,
    left: Option<u32>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: Duration::ZERO, longest: Duration::from_millis(30), left: None }
    }
}

impl Pauses {
    /// A batch that is refused costs the server as much as one that is stored: a write to its disk.
    pub(crate) fn of_batches() -> Self {
        Self { next: Duration::from_millis(4), longest: Duration::from_millis(120), left: None }
    }

    /// For what passes within a second, or does not.
    pub(crate) fn bounded() -> Self {
        Self { left: Some(100), ..Self::default() }
    }

    /// Pauses, or fails if that was done often enough.
    pub(crate) async fn pause_or(&mut self, give_up: impl FnOnce() -> Error) -> Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or_else(give_up)?;
        }
        self.pause().await;
        Ok(())
    }

    pub(crate) async fn pause(&mut self) {
        if !self.next.is_zero() {
            tokio::time::sleep(self.next.mul_f64(fastrand::f64())).await;
        }
        self.next = (self.next * 2).clamp(Duration::from_micros(500), self.longest);
    }
}
