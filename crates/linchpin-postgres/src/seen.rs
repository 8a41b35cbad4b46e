//! The latest time of the server that a handle has seen.

use std::sync::atomic::{AtomicI64, Ordering};

/// Whoever was told that something had ended by this time must not see it again, wherever the server's clock goes: so
/// each call says it, and the server goes on from there.
#[derive(Debug, Default)]
pub(crate) struct LatestTime(AtomicI64);

impl LatestTime {
    /// In microseconds, as the server writes it.
    pub(crate) fn latest(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// The earliest time at which something may be written: no version that was seen is given twice, also where the server
    /// has lost it since.
    pub(crate) fn next(&self) -> i64 {
        self.latest() + 1
    }

    pub(crate) fn note(&self, now: i64) {
        self.0.fetch_max(now, Ordering::AcqRel);
    }
}
