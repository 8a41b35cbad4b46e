//! What a port keeps.

use super::STATS_WINDOW;
use super::ack::AckInboxes;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::time::Instant;

/// What a port keeps: counts for `stats`, the metadata of the nodes it registered, and the inbox for acknowledgements.
#[derive(Default)]
pub(super) struct PortState {
    pub(super) published: Rate,
    pub(super) received: Arc<Rate>,
    pub(super) subscriptions: Arc<AtomicUsize>,
    /// The nodes that this handle keeps listed, with the metadata that it lists them with.
    pub(super) registered: Mutex<HashMap<String, Bytes>>,
    /// The nodes that it has made leader.
    pub(super) led: Mutex<HashSet<String>>,
    pub(super) inbox: AckInboxes,
}

const BUCKETS: u64 = STATS_WINDOW.as_secs();

/// Counts events in one bucket per second of the window.
pub(super) struct Rate {
    opened: Instant,
    buckets: Mutex<[Bucket; 60]>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    second: u64,
    count: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { opened: Instant::now(), buckets: Mutex::new([Bucket::default(); 60]) }
    }
}

impl Rate {
    pub(super) fn count(&self) {
        let second = self.opened.elapsed().as_secs();
        let bucket = &mut self.buckets.lock()[usize::try_from(second % BUCKETS).unwrap_or_default()];
        if bucket.second != second {
            *bucket = Bucket { second, count: 0 };
        }
        bucket.count += 1;
    }

    /// Events per second over the window, or since the handle was opened.
    pub(super) fn per_second(&self) -> f64 {
        let age = self.opened.elapsed();
        let now = age.as_secs();
        let recent = |bucket: &&Bucket| now - bucket.second.min(now) < BUCKETS;
        let count: u64 = self.buckets.lock().iter().filter(recent).map(|bucket| bucket.count).sum();
        // The current second is a partial one.
        let window = if now < BUCKETS { age.as_secs_f64() } else { age.as_secs_f64().fract() + 59.0 };
        // Under a million seconds and messages: exact enough in a double.
        #[allow(clippy::cast_precision_loss)]
        let count = count as f64;
        count / window.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn rates_are_true_over_the_window() {
        let rate = Rate::default();
        for _ in 0..30 {
            rate.count();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!((rate.per_second() - 10.0).abs() < 0.01, "{}", rate.per_second());
        tokio::time::advance(Duration::from_secs(27)).await;
        assert!((rate.per_second() - 1.0).abs() < 0.01, "{}", rate.per_second());
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(rate.per_second() < f64::EPSILON, "{}", rate.per_second());
    }
}
