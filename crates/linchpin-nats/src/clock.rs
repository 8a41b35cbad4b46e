//! The server's clock, as far as its answers tell.

use crate::codec::Time;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// For how long a look at the server's clock is good.
const FRESH: Duration = Duration::from_secs(1);

/// An estimate of the server's clock that never runs ahead of it: what an answer says the time is was the time
/// before the answer arrived. It is behind by as long as the fastest answer took.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// What the server's clock showed at `start`, at the least; in microseconds.
    ahead: Mutex<Option<i128>>,
    sampled: Mutex<Option<Instant>>,
}

impl Clock {
    /// A clock that shows 1970 until the first sample.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), ahead: Mutex::new(None), sampled: Mutex::new(None) }
    }

    pub(crate) fn now(&self) -> Time {
        let ahead = self.ahead.lock().unwrap_or_default();
        Time(u64::try_from(ahead.saturating_add(self.passed())).unwrap_or_default())
    }

    /// Learns from a time that the server wrote, as soon as it has arrived.
    pub(crate) fn sample(&self, time: Time) {
        let new = i128::from(time.0) - self.passed();
        let mut ahead = self.ahead.lock();
        *ahead = Some(ahead.map_or(new, |old| old.max(new)));
    }

    /// Learns from the time that the server wrote into an answer just now.
    pub(crate) fn sample_now(&self, time: Time) {
        self.sample(time);
        *self.sampled.lock() = Some(Instant::now());
    }

    /// Whether the server's clock may have moved since it was last looked at.
    pub(crate) fn is_stale(&self) -> bool {
        self.sampled.lock().is_none_or(|sampled| sampled.elapsed() > FRESH)
    }

    fn passed(&self) -> i128 {
        i128::try_from(self.start.elapsed().as_micros()).unwrap_or(i128::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_fastest_answer() {
        let clock = Clock::new();
        let time = Time(1_800_000_000_000_000);
        clock.sample(time);
        assert!(clock.now() >= time);
        // An answer that took long says less than is known.
        clock.sample(Time(time.0 - 5_000_000));
        assert!(clock.now() >= time && clock.now() < time.after(Duration::from_mins(1)));
        assert!(clock.is_stale());
        clock.sample_now(time);
        assert!(!clock.is_stale());
    }
}
