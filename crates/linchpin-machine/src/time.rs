//! Points of the server's time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A point of the server's time, in microseconds since 1970. Revisions are such times where the clock runs
/// ahead of them, so it stays below 2^53 like they do: what lies beyond the year 2255 counts as then.
///
/// ```
/// use linchpin_machine::Time;
/// use std::time::Duration;
/// let start = Time::from_micros(1_700_000_000_000_000);
/// assert_eq!(start.after(Duration::from_secs(2)).since(start), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The last point of time there is.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The time so many microseconds after the start of 1970.
    pub fn from_micros(micros: u64) -> Self {
        Self(micros).min(Self::MAX)
    }

    /// Microseconds since the start of 1970.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time when `duration` has passed; what is less than a microsecond counts as one.
    pub fn after(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(duration)))
    }

    /// How long after `earlier` it is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The duration in whole microseconds, rounded up: a TTL is never granted shorter than asked.
pub(crate) fn granted(duration: Duration) -> Duration {
    Duration::from_micros(micros(duration))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_and_nothing_overflows() {
        assert_eq!(granted(Duration::from_nanos(1001)), Duration::from_micros(2));
        assert_eq!(Time::from_micros(5).after(Duration::from_nanos(1)), Time::from_micros(6));
        assert_eq!(Time::MAX.after(Duration::MAX), Time::MAX);
        assert_eq!(Time::from_micros(u64::MAX), Time::MAX);
        assert_eq!(Time::from_micros(1).since(Time::MAX), Duration::ZERO);
    }
}
