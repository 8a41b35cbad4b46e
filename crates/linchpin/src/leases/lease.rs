//! One lease: a key that this process holds, and its own deadline.

use linchpin_core::{Error, Key, MAX_TTL, Revision};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
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

/// What a lease is on, which says how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key whose random name nobody else ever uses, and which nobody rewrites: a place in a queue.
    Ticket,
    /// A key that others want too: the leader's. It is removed only while it is ours.
    Seat,
    /// A key of a node's own, for others to see: ours until the backend says that it is gone.
    Presence,
}

impl Kind {
    /// When a holder counts itself out that sent its last word at `sent`.
    fn deadline(self, sent: Instant, ttl: Duration) -> Instant {
        match self {
            Self::Ticket | Self::Seat => sent + ttl - margin(ttl),
            Self::Presence => sent + MAX_TTL,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    Held { until: Instant },
    Lost,
    Released,
}

/// A key as it is held: its two revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revisions {
    pub(crate) created: Revision,
    pub(crate) version: Revision,
}

/// A key held by this process.
pub(crate) struct Lease {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(crate) key: Key,
    /// The revision that created the key: the fencing token.
    pub(crate) created: Revision,
    /// The revision that wrote it last, as far as is known here.
    version: AtomicU64,
    /// Set once there is something to lose: a place in a queue has no callbacks.
    pub(super) callbacks: OnceLock<Callbacks>,
    loss_told: AtomicBool,
    pub(super) state: Mutex<State>,
    /// It has ended, or ends earlier than it was to.
    sooner: Notify,
}

/// What changes about a lease. Ten thousand are renewed in a few milliseconds because there is one lock to take.
pub(super) struct State {
    status: Status,
    pub(super) ttl: Duration,
    /// When the key is gone by itself, whatever was granted: an `Extend` never shortens what was granted before.
    pub(super) gone_by: Instant,
    /// When to renew next; `None` for a lease that is left to run out.
    at: Option<Instant>,
    /// How much earlier it may be renewed together with others: not at all while it is seen what becomes of a renewal.
    early: Duration,
}

impl Lease {
    /// A lease on a key that was created as `held` says and granted `ttl`, asked for at `sent`.
    pub(super) fn new(number: u64, kind: Kind, key: Key, held: Revisions, sent: Instant, ttl: Duration) -> Self {
        let Revisions { created, version: Revision(version) } = held;
        Self {
            number,
            kind,
            key,
            created,
            version: AtomicU64::new(version),
            callbacks: OnceLock::new(),
            loss_told: AtomicBool::new(false),
            state: Mutex::new(State {
                status: Status::Held { until: kind.deadline(sent, ttl) },
                ttl,
                gone_by: Instant::now() + ttl,
                at: Some(sent + ttl / 3),
                early: ttl / 12,
            }),
            sooner: Notify::new(),
        }
    }

    /// The key as it is held.
    pub(crate) fn revisions(&self) -> Revisions {
        Revisions { created: self.created, version: Revision(self.version.load(Ordering::SeqCst)) }
    }

    /// Notes that the key was written again, by us or by another handle of ours.
    pub(super) fn rewritten(&self, Revision(version): Revision) {
        self.version.fetch_max(version, Ordering::SeqCst);
    }

    /// When something is to be done about it, its renewal or its end; and from when on it may be renewed with others.
    pub(super) fn due(&self) -> (Instant, Instant) {
        let state = self.state.lock();
        let Status::Held { until } = state.status else { return (Instant::now(), Instant::now()) };
        state.at.map_or((until, until), |at| (at.min(until), state.earlier(at).min(until)))
    }

    /// Puts its renewal off for long enough to see what becomes of one that is sent now, if it may be: by when that is seen,
    /// when the lease ends without, and its TTL.
    pub(super) fn put_off(&self, now: Instant) -> Option<(Instant, Instant, Duration)> {
        let mut state = self.state.lock();
        let until = state.held_until(now)?;
        state.at.filter(|at| state.earlier(*at) <= now)?;
        state.postpone(now, 4);
        state.at.map(|at| (at, until, state.ttl))
    }

    /// Whether it was given up: nobody wants to hear of it any more.
    pub(super) fn is_released(&self) -> bool {
        self.state.lock().status == Status::Released
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held_until().is_some()
    }

    /// The deadline, unless it has passed or the lease has ended.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.state.lock().held_until(Instant::now())
    }

    /// Whether it is held at this time.
    pub(super) fn is_held_at(&self, now: Instant) -> bool {
        self.state.lock().held_until(now).is_some()
    }

    /// Returns when the lease is no longer held, however that came about.
    pub(crate) async fn lost(&self) {
        let mut ended = std::pin::pin!(self.ended());
        // The clock is asked each time: a timer fires late on a runtime that is busy, or was stopped.
        std::future::poll_fn(|cx| if self.is_held() { ended.as_mut().poll(cx) } else { Poll::Ready(()) }).await;
    }

    async fn ended(&self) {
        loop {
            // From here on, though nobody waits yet.
            let sooner = self.sooner.notified();
            let Status::Held { until } = self.state.lock().status else { return };
            if Instant::now() >= until {
                return;
            }
            let _ = tokio::time::timeout_at(until, sooner).await;
        }
    }

    /// Tells from now on what happens to it.
    pub(crate) fn tell(&self, callbacks: Callbacks) {
        // A lease is taken over once.
        let _ = self.callbacks.set(callbacks);
        if self.state.lock().status == Status::Lost {
            self.tell_loss();
        }
    }

    /// Tells of the loss, once, if there is somebody to tell.
    fn tell_loss(&self) {
        if let Some(callback) = self.callbacks.get().and_then(|callbacks| callbacks.on_lost.as_ref())
            && !self.loss_told.swap(true, Ordering::SeqCst)
        {
            call(|| callback());
        }
    }

    /// Moves the deadline to what `ttl`, sent at `sent`, was granted, unless it has passed: what counted
    /// itself out stays out. `deadline` combines the present and the granted one.
    pub(super) fn granted(&self, sent: Instant, ttl: Duration, deadline: fn(Instant, Instant) -> Instant) -> bool {
        self.move_deadline(self.state.lock(), ttl, self.kind.deadline(sent, ttl), deadline)
    }

    /// A renewal that was sent then was granted: the deadline moves on, as in [`granted`](Self::granted), never back, here
    /// as at the backend: the caller may have extended further meanwhile. And no further than the caller wants by now.
    pub(super) fn renewed(&self, sent: Instant, ttl: Duration) -> bool {
        let mut state = self.state.lock();
        state.was_granted(sent);
        let until = self.kind.deadline(sent, ttl.min(state.ttl));
        self.move_deadline(state, ttl, until, Instant::max)
    }

    fn move_deadline(
        &self,
        mut state: MutexGuard<'_, State>,
        ttl: Duration,
        granted: Instant,
        deadline: fn(Instant, Instant) -> Instant,
    ) -> bool {
        // Not before the lock is taken: nobody has seen it end later than this.
        let now = Instant::now();
        state.may_live(now, ttl);
        let Some(until) = state.held_until(now) else { return false };
        let moved = deadline(until, granted);
        state.status = Status::Held { until: moved };
        drop(state);
        // Who waits for a deadline looks again when it comes: of a later one nobody has to be told.
        if moved < until {
            self.sooner.notify_waiters();
        }
        true
    }

    /// Notes that its key may be there for this time from now on.
    pub(super) fn may_live(&self, ttl: Duration) {
        self.state.lock().may_live(Instant::now(), ttl);
    }

    /// Ends the lease and says how; `None` if it had ended before. Past its deadline it can only be lost.
    pub(super) fn end(&self, as_what: Status) -> Option<Status> {
        let ended = {
            let mut state = self.state.lock();
            let Status::Held { .. } = state.status else { return None };
            state.status = if state.held_until(Instant::now()).is_some() { as_what } else { Status::Lost };
            state.status
        };
        self.sooner.notify_waiters();
        if ended == Status::Lost {
            tracing::warn!(key = %self.key, "a lease was lost");
            self.tell_loss();
        }
        Some(ended)
    }
}

/// Runs a callback of the user's. If it panics, the leases of everybody else must not pay for it.
pub(crate) fn call(callback: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback of a lease panicked");
    }
}

impl State {
    /// The deadline, unless it has passed or the lease has ended.
    fn held_until(&self, now: Instant) -> Option<Instant> {
        match self.status {
            Status::Held { until } if now < until => Some(until),
            _ => None,
        }
    }

    fn may_live(&mut self, now: Instant, ttl: Duration) {
        self.gone_by = self.gone_by.max(now + ttl);
    }

    /// From when on a renewal that is due then may go with others.
    fn earlier(&self, at: Instant) -> Instant {
        // A process may be younger than that.
        at.checked_sub(self.early).unwrap_or(at)
    }

    /// One that was sent at this time was granted.
    pub(super) fn was_granted(&mut self, sent: Instant) {
        self.at = self.at.map(|_| sent + self.ttl / 3);
        self.early = self.ttl / 12;
    }

    /// Renews the next time when this part of the TTL has passed from `now` on.
    pub(super) fn postpone(&mut self, now: Instant, part: u32) {
        self.at = self.at.map(|_| now + self.ttl / part);
        self.early = Duration::ZERO;
    }

    /// Renews at once, if at all.
    pub(super) fn hurry(&mut self) {
        self.at = self.at.map(|_| Instant::now());
        self.early = Duration::ZERO;
    }

    /// Leaves it to run out.
    pub(super) fn stop(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lease of this kind and TTL that was sent just now.
    fn sent_now(kind: Kind, ttl: Duration) -> Lease {
        let held = Revisions { created: Revision(1), version: Revision(1) };
        Lease::new(1, kind, Key::new("k").expect("a name"), held, Instant::now(), ttl)
    }

    /// A body that is ready when the process comes back after a pause: it must not be polled before the loss is seen.
    #[tokio::test]
    async fn a_loss_is_seen_before_the_timer_fires() {
        let ttl = Duration::from_millis(300);
        let lease = sent_now(Kind::Ticket, ttl);
        let body = async {
            // Nothing else runs on this thread meanwhile, as in a process that is stopped.
            std::thread::sleep(ttl * 2);
            tokio::task::yield_now().await;
            "went on"
        };
        let ended = tokio::select! {
            biased;
            () = lease.lost() => "lost",
            ended = body => ended,
        };
        assert_eq!(ended, "lost");
    }

    /// It was extended by less while a renewal was on its way.
    #[tokio::test(start_paused = true)]
    async fn a_renewal_lengthens_nothing_beyond_what_is_wanted_by_now() {
        let [long, short] = [30, 1].map(Duration::from_secs);
        let (lease, sent) = (sent_now(Kind::Ticket, long), Instant::now());
        assert!(lease.granted(sent, short, |_, granted| granted));
        lease.state.lock().ttl = short;
        let until = lease.held_until();
        assert!(lease.renewed(sent, long) && until.is_some());
        assert_eq!((lease.held_until(), lease.state.lock().gone_by), (until, sent + long));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_counted_from_the_sending_less_the_margin() {
        for (ttl, margin) in [(300, 50), (10_000, 100)] {
            let [ttl, margin] = [ttl, margin].map(Duration::from_millis);
            let (lease, first) = (sent_now(Kind::Seat, ttl), Instant::now());
            assert_eq!(lease.held_until(), Some(first + ttl - margin));
            tokio::time::advance(ttl / 3).await;
            let second = Instant::now();
            // The answer comes later.
            tokio::time::advance(ttl / 6).await;
            assert!(lease.granted(second, ttl, Instant::max));
            assert_eq!(lease.held_until(), Some(second + ttl - margin));
            // An answer that was overtaken takes nothing back.
            assert!(lease.granted(first, ttl, Instant::max));
            assert_eq!(lease.held_until(), Some(second + ttl - margin));
            tokio::time::sleep_until(second + ttl - margin).await;
            assert_eq!(lease.held_until(), None);
            assert!(!lease.granted(Instant::now(), ttl, Instant::max), "what counted itself out came back");
        }
    }

    #[tokio::test]
    async fn what_has_ended_has_no_deadline() {
        for status in [Status::Lost, Status::Released] {
            let lease = sent_now(Kind::Ticket, Duration::from_secs(10));
            lease.end(status);
            assert_eq!(lease.held_until(), None, "{status:?}");
        }
    }

    #[tokio::test]
    async fn a_loss_is_told_once_also_to_who_comes_late() {
        let told = Arc::new(AtomicU64::new(0));
        let counted = told.clone();
        let lease = sent_now(Kind::Seat, Duration::from_secs(1));
        lease.end(Status::Lost);
        let on_lost = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        lease.tell(Callbacks { on_lost: Some(Arc::new(on_lost)), ..Callbacks::default() });
        lease.end(Status::Lost);
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }
}
