//! Claims that wait.

use crate::space::Space;
use linchpin_core::{Claim, Delivery, StreamName};
use linchpin_machine::ClaimAnswer;
use std::array;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Where claims wait for their stream. Some streams share a door, so now and then a claim looks in vain.
pub(crate) struct WakeUps([Notify; 64]);

impl Default for WakeUps {
    fn default() -> Self {
        Self(array::from_fn(|_| Notify::new()))
    }
}

impl WakeUps {
    pub(crate) fn of(&self, stream: &StreamName) -> &Notify {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        &self.0[usize::from(hasher.finish().to_le_bytes()[0]) % self.0.len()]
    }
}

impl Space {
    /// Claims records; waits up to `claim.wait` for the first.
    pub(crate) async fn claim(self: &Arc<Self>, claim: &Claim) -> Vec<Delivery> {
        // Further off than a clock can tell is never.
        let gives_up = Instant::now().checked_add(claim.wait);
        loop {
            // Before looking: what comes after the look wakes it.
            let woken = self.wake_ups.of(&claim.stream).notified();
            let ClaimAnswer { deliveries, next_due, .. } = self.apply(|machine, now| machine.claim(now, claim));
            let late = gives_up.is_some_and(|gives_up| Instant::now() >= gives_up);
            if !deliveries.is_empty() || late {
                return deliveries;
            }
            let due = next_due.map(|due| self.clock.instant(due));
            match due.into_iter().chain(gives_up).min() {
                Some(until) => drop(timeout_at(until, woken).await),
                None => woken.await,
            }
        }
    }
}
