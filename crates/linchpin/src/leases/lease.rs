//! One lease: a key that this process holds, and its own deadline.

use linchpin_core::{Error, Key, Revision};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How much earlier than the backend a holder counts itself out: 1 % of the TTL, 50 ms at least. It covers
/// the drift of two clocks and the time from looking at the guard to acting on it.
pub(super) fn margin(ttl: Duration) -> Duration {
    (ttl / 100).max(Duration::from_millis(50))
}

/// Told each time a renewal failed.
type OnFailure = Arc<dyn Fn(&Error) + Send + Sync>;

/// What happens to a lease besides being held, told to whoever asked for it.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_renewal_failure: Option<OnFailure>,
    pub(crate) on_lost: Option<Arc<dyn Fn() + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    Held { until: Instant },
    Lost,
    Released,
}

/// A key held by this process.
pub(crate) struct Lease {
    pub(super) number: u64,
    pub(crate) key: Key,
    /// The revision that created the key: the fencing token, and as it is never rewritten its version too.
    pub(crate) created: Revision,
    status: watch::Sender<Status>,
    /// Set once there is something to lose: a place in a queue has no callbacks.
    pub(super) callbacks: OnceLock<Callbacks>,
    pub(super) renewal: Mutex<Renewal>,
}

pub(super) struct Renewal {
    pub(super) ttl: Duration,
    /// When to renew next; `None` for a lease that is left to run out.
    pub(super) at: Option<Instant>,
}

impl Lease {
    /// A lease on a key that was created at `created` with `ttl`, sent at `sent`.
    pub(super) fn new(number: u64, key: Key, created: Revision, sent: Instant, ttl: Duration) -> Self {
        Self {
            number,
            key,
            created,
            status: watch::Sender::new(Status::Held { until: sent + ttl - margin(ttl) }),
            callbacks: OnceLock::new(),
            renewal: Mutex::new(Renewal { ttl, at: Some(sent + ttl / 3) }),
        }
    }

    /// When something is to be done about it: its renewal, or its end.
    pub(super) fn due(&self) -> Instant {
        match *self.status.borrow() {
            Status::Held { until } => self.renewal.lock().at.map_or(until, |at| at.min(until)),
            Status::Lost | Status::Released => Instant::now(),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(*self.status.borrow(), Status::Held { until } if Instant::now() < until)
    }

    /// Returns when the lease is no longer held, however that came about.
    pub(crate) async fn lost(&self) {
        let mut status = self.status.subscribe();
        loop {
            let Status::Held { until } = *status.borrow_and_update() else { return };
            if Instant::now() >= until {
                return;
            }
            let _ = tokio::time::timeout_at(until, status.changed()).await;
        }
    }

    /// Tells from now on what happens to it.
    pub(crate) fn tell(&self, callbacks: Callbacks) {
        // A lease is taken over once.
        let _ = self.callbacks.set(callbacks);
    }

    /// Moves the deadline to what `ttl`, sent at `sent`, was granted, unless it has passed: what counted
    /// itself out stays out. `deadline` combines the present and the granted one.
    pub(super) fn granted(&self, sent: Instant, ttl: Duration, deadline: fn(Instant, Instant) -> Instant) -> bool {
        let mut held = false;
        self.status.send_if_modified(|status| {
            if let Status::Held { until } = status
                && Instant::now() < *until
            {
                *until = deadline(*until, sent + ttl - margin(ttl));
                held = true;
            }
            held
        });
        held
    }

    /// Ends the lease and says how; `None` if it had ended before. Past its deadline it can only be lost.
    pub(super) fn end(&self, as_what: Status) -> Option<Status> {
        let mut ended = None;
        self.status.send_if_modified(|status| {
            if let Status::Held { until } = *status {
                *status = if Instant::now() < until { as_what } else { Status::Lost };
                ended = Some(*status);
            }
            ended.is_some()
        });
        if ended == Some(Status::Lost) {
            tracing::warn!(key = %self.key, "a lease was lost");
            if let Some(callback) = self.callbacks.get().and_then(|callbacks| callbacks.on_lost.as_ref()) {
                call(|| callback());
            }
        }
        ended
    }
}

/// Runs a callback of the user's. If it panics, the leases of everybody else must not pay for it.
pub(super) fn call(callback: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback of a lease panicked");
    }
}

impl Renewal {
    /// Renews the next time after this part of the TTL.
    pub(super) fn postpone(&mut self, part: u32) {
        self.at = self.at.map(|_| Instant::now() + self.ttl / part);
    }
}
