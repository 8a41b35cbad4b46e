//! The server's clock: tokio's, from the system's time on.

use linchpin_machine::Time;
use std::time::SystemTime;
use tokio::time::Instant;

/// Runs with tokio's clock, which tests may pause, and never steps back.
pub(crate) struct Clock {
    started: Instant,
    started_at: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: u64::try_from(since_1970.as_micros()).unwrap_or_default() }
    }

    pub(crate) fn now(&self) -> Time {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Time::from_micros(self.started_at.saturating_add(elapsed))
    }

    /// When it will be, or was, `time`.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.started + time.since(Time::from_micros(self.started_at))
    }
}
