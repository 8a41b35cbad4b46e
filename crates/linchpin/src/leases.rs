//! The leases of a coordinator: kept alive together, in batches, by one task.
//!
//! A lease is a key that this process created with a TTL. It is renewed at a third of its TTL. Its holder's
//! own deadline is the time before the renewal was sent, plus the TTL, less a margin, on a monotonic clock:
//! past it the holder counts itself out before the backend can give the key's place to another.

use crate::coordinator::lost;
use futures::future::{FutureExt, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use linchpin_core::{Driver, Error, ErrorKind, Key, MutationResult, Outcome, Result, Revision, Transaction};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The shortest TTL of a lease: a third of it has to be enough for a renewal, and the margin is 50 ms.
pub(crate) const MIN_TTL: Duration = Duration::from_millis(300);

/// The pause before the removal of a released key is tried again.
const RELEASE_PAUSE: Duration = Duration::from_millis(200);

/// How much earlier than the backend a holder counts itself out: 1 % of the TTL, 50 ms at least. It covers
/// the drift of two clocks and the time from looking at the guard to acting on it.
fn margin(ttl: Duration) -> Duration {
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
enum Status {
    Held { until: Instant },
    Lost,
    Released,
}

/// A key held by this process.
pub(crate) struct Lease {
    number: u64,
    pub(crate) key: Key,
    /// The revision that created the key: the fencing token, and as it is never rewritten its version too.
    pub(crate) created: Revision,
    status: watch::Sender<Status>,
    /// Set once there is something to lose: a place in a queue has no callbacks.
    callbacks: OnceLock<Callbacks>,
    renewal: Mutex<Renewal>,
}

struct Renewal {
    ttl: Duration,
    /// When to renew next; `None` for a lease that is left to run out.
    at: Option<Instant>,
}

impl Lease {
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
    fn granted(&self, sent: Instant, ttl: Duration, deadline: fn(Instant, Instant) -> Instant) -> bool {
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
    fn end(&self, as_what: Status) -> Option<Status> {
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
fn call(callback: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback of a lease panicked");
    }
}

/// The leases of a coordinator. Its task runs while there are leases or releases, and ends when the owner
/// is dropped and what was released is gone.
pub(crate) struct Leases {
    shared: Arc<Shared>,
    next: AtomicU64,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    driver: Arc<dyn Driver>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    leases: BTreeMap<u64, Arc<Lease>>,
    releases: Vec<Release>,
    owner_gone: bool,
    shut_down: bool,
}

/// A key to remove: released by a drop, or by a release that failed.
struct Release {
    key: Key,
    not_before: Instant,
    /// When the key is gone by itself.
    until: Instant,
}

impl Release {
    fn now(key: Key, ttl: Duration) -> Self {
        Self { key, not_before: Instant::now(), until: Instant::now() + ttl }
    }
}

impl Leases {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        let shared = Shared { driver, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared), next: AtomicU64::new(1), task: Mutex::new(None) }
    }

    /// Creates `key` for `ttl` and keeps it alive.
    ///
    /// # Cancel safety
    /// Dropping the future removes in the background what may have been created.
    pub(crate) async fn create(
        &self,
        operation: &'static str,
        key: Key,
        value: &str,
        ttl: Duration,
    ) -> Result<Arc<Lease>> {
        if self.shared.state.lock().shut_down {
            return Err(Error::closed(operation));
        }
        let undo = Undo { leases: self, key: Some((key.clone(), ttl)) };
        let sent = Instant::now();
        let create = Transaction::new().absent(key.clone()).put(key.clone(), value.to_owned(), Some(ttl));
        let created = match self.shared.driver.commit(&create).await {
            Ok(Outcome::Committed { revision, .. }) => revision,
            Ok(Outcome::Refused { .. }) => {
                return Err(Error::new(ErrorKind::Backend, operation, "a key with a random name existed already"));
            }
            Err(error) => return Err(error.with_operation(operation)),
        };
        undo.keep();
        let until = sent + ttl - margin(ttl);
        let at = Some(sent + ttl / 3);
        let lease = Arc::new(Lease {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            key,
            created,
            status: watch::Sender::new(Status::Held { until }),
            callbacks: OnceLock::new(),
            renewal: Mutex::new(Renewal { ttl, at }),
        });
        self.shared.state.lock().leases.insert(lease.number, lease.clone());
        self.run();
        Ok(lease)
    }

    /// Leaves the lease to run out, or to be extended by hand.
    pub(crate) fn stop_renewing(&self, lease: &Lease) {
        lease.renewal.lock().at = None;
        self.shared.changed.notify_one();
    }

    /// Sets the lease's TTL and renews it now.
    pub(crate) async fn extend(&self, operation: &'static str, lease: &Lease, ttl: Duration) -> Result<()> {
        if !lease.is_held() {
            return Err(lost(operation, lease.key.as_str()));
        }
        let sent = Instant::now();
        let extend = Transaction::new().extend(lease.key.clone(), lease.created, ttl);
        let outcome = self.shared.driver.commit(&extend).await.map_err(|error| error.with_operation(operation))?;
        let granted = matches!(outcome.results(), Some([MutationResult::Extended { ttl: Some(_) }]));
        // The caller's word counts, also where it shortens.
        if !granted || !lease.granted(sent, ttl, |_, granted| granted) {
            lease.end(Status::Lost);
            return Err(lost(operation, lease.key.as_str()));
        }
        let mut renewal = lease.renewal.lock();
        renewal.ttl = ttl;
        renewal.at = renewal.at.map(|_| sent + ttl / 3);
        drop(renewal);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Gives the lease up and waits until its key is gone. What fails is tried again in the background.
    pub(crate) async fn release(&self, operation: &'static str, lease: &Lease) -> Result<()> {
        if lease.end(Status::Released) != Some(Status::Released) {
            self.forget(lease);
            return Err(lost(operation, lease.key.as_str()));
        }
        self.shared.state.lock().leases.remove(&lease.number);
        let undo = Undo { leases: self, key: Some((lease.key.clone(), lease.renewal.lock().ttl)) };
        let removed = self.shared.remove(&lease.key).await.map_err(|error| error.with_operation(operation))?;
        undo.keep();
        if removed { Ok(()) } else { Err(lost(operation, lease.key.as_str())) }
    }

    /// Gives the lease up in the background: for a guard that was dropped.
    pub(crate) fn forget(&self, lease: &Lease) {
        lease.end(Status::Released);
        if self.shared.state.lock().leases.remove(&lease.number).is_some() {
            self.remove_later(lease.key.clone(), lease.renewal.lock().ttl);
        }
    }

    /// Releases everything and takes nothing more.
    pub(crate) async fn shutdown(&self) -> Result<()> {
        let (leases, keys) = {
            let mut state = self.shared.state.lock();
            state.shut_down = true;
            (std::mem::take(&mut state.leases), std::mem::take(&mut state.releases))
        };
        let held = leases.values().filter(|lease| lease.end(Status::Released).is_some()).map(|lease| &lease.key);
        let keys: Vec<&Key> = held.chain(keys.iter().map(|release| &release.key)).collect();
        let removed = join_all(keys.into_iter().map(|key| self.shared.remove(key))).await;
        removed.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.with_operation("shutdown")))
    }

    fn remove_later(&self, key: Key, within: Duration) {
        self.shared.state.lock().releases.push(Release::now(key, within));
        self.run();
    }

    /// Starts the task if there is none, and wakes it. Without a runtime keys are left to their TTL.
    fn run(&self) {
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let shared = self.shared.clone();
            *task = Some(runtime.spawn(async move { shared.keep_alive().await }));
        }
        self.shared.changed.notify_one();
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.shared.state.lock().owner_gone = true;
        self.shared.changed.notify_one();
    }
}

/// Removes a key in the background if the future that works on it is dropped or fails.
struct Undo<'a> {
    leases: &'a Leases,
    key: Option<(Key, Duration)>,
}

impl Undo<'_> {
    fn keep(mut self) {
        self.key = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some((key, ttl)) = self.key.take() {
            self.leases.remove_later(key, ttl);
        }
    }
}

impl Shared {
    /// Renews what is due, removes what was released, ends what ran out; sleeps in between. A call that
    /// hangs holds up no other.
    async fn keep_alive(&self) {
        let mut calls = FuturesUnordered::new();
        loop {
            self.end_expired();
            let batch = self.driver.capabilities().limits.transaction_operations;
            for leases in self.due().chunks(batch) {
                calls.push(self.renew_batch(leases.to_vec()).boxed());
            }
            for release in self.releases() {
                calls.push(self.remove_or_keep(release).boxed());
            }
            let (next, done) = self.next();
            if done && calls.is_empty() {
                return;
            }
            let pause = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = calls.next() => {}
                () = self.changed.notified() => {}
                () = pause => {}
            }
        }
    }

    /// Counts out the leases whose own deadline has passed.
    fn end_expired(&self) {
        let expired: Vec<_> = {
            let mut state = self.state.lock();
            let expired = state.leases.values().filter(|lease| !lease.is_held()).cloned().collect::<Vec<_>>();
            for lease in &expired {
                state.leases.remove(&lease.number);
                // A renewal that came too late may have kept the key alive, and the next in the queue need not
                // wait for that. Not at once: the margin is for who looked at the guard and acts on it.
                let ttl = lease.renewal.lock().ttl;
                let mut release = Release::now(lease.key.clone(), ttl);
                release.not_before += margin(ttl);
                state.releases.push(release);
            }
            expired
        };
        for lease in expired {
            lease.end(Status::Lost);
        }
    }

    /// The leases to renew now, with those that are due soon: one round trip for all.
    fn due(&self) -> Vec<Arc<Lease>> {
        let state = self.state.lock();
        let now = Instant::now();
        let is_due = |lease: &Lease, early: u32| {
            let renewal = lease.renewal.lock();
            renewal.at.is_some_and(|at| at <= now + renewal.ttl / 12 * early)
        };
        if !state.leases.values().any(|lease| is_due(lease, 0)) {
            return Vec::new();
        }
        let due: Vec<_> = state.leases.values().filter(|lease| is_due(lease, 1)).cloned().collect();
        for lease in &due {
            lease.renewal.lock().postpone(4);
        }
        due
    }

    fn releases(&self) -> Vec<Release> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut state.releases).into_iter().partition(|r| r.not_before <= now);
        state.releases = later;
        due
    }

    /// When something is to be done next, and whether nothing ever will be.
    fn next(&self) -> (Option<Instant>, bool) {
        let state = self.state.lock();
        let lease = |lease: &Arc<Lease>| match *lease.status.borrow() {
            Status::Held { until } => lease.renewal.lock().at.map_or(until, |at| at.min(until)),
            Status::Lost | Status::Released => Instant::now(),
        };
        let releases = state.releases.iter().map(|release| release.not_before);
        let next = state.leases.values().map(lease).chain(releases).min();
        (next, state.owner_gone && next.is_none())
    }

    async fn renew_batch(&self, leases: Vec<Arc<Lease>>) {
        let sent = Instant::now();
        // The TTLs as they are sent: a lease's own may change while this is on its way.
        let leases: Vec<_> = leases.into_iter().map(|lease| (lease.renewal.lock().ttl, lease.clone())).collect();
        let extend = leases
            .iter()
            .fold(Transaction::new(), |extend, (ttl, lease)| extend.extend(lease.key.clone(), lease.created, *ttl));
        // An attempt that hangs must leave time for another before the first lease runs out.
        let patience = leases.iter().map(|(ttl, _)| *ttl).min().unwrap_or(MIN_TTL) / 4;
        let outcome = match tokio::time::timeout(patience, self.driver.commit(&extend)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::timeout("renew", patience)),
        };
        match outcome {
            Ok(outcome) => {
                for ((ttl, lease), result) in leases.iter().zip(outcome.results().unwrap_or_default()) {
                    renewed(lease, sent, *ttl, *result);
                }
            }
            Err(error) => {
                tracing::warn!(%error, leases = leases.len(), "leases could not be renewed; trying again");
                for (_, lease) in leases {
                    lease.renewal.lock().postpone(12);
                    let callbacks = lease.callbacks.get();
                    if let Some(callback) = callbacks.and_then(|callbacks| callbacks.on_renewal_failure.as_ref()) {
                        call(|| callback(&error));
                    }
                }
            }
        }
    }

    /// Removes a key, or keeps it for another attempt while it can still be there.
    async fn remove_or_keep(&self, mut release: Release) {
        let Err(error) = self.remove(&release.key).await else { return };
        tracing::debug!(%error, key = %release.key, "a released key could not be removed");
        if error.is_transient() && Instant::now() < release.until {
            release.not_before = Instant::now() + RELEASE_PAUSE;
            self.state.lock().releases.push(release);
        }
    }

    /// Removes a key of ours; `false` if it was gone. Its random name is never used again.
    async fn remove(&self, key: &Key) -> Result<bool> {
        let outcome = self.driver.commit(&Transaction::new().delete(key.clone())).await?;
        Ok(matches!(outcome.results(), Some([MutationResult::Deleted { existed: true }])))
    }
}

impl Renewal {
    /// Renews the next time after this part of the TTL.
    fn postpone(&mut self, part: u32) {
        self.at = self.at.map(|_| Instant::now() + self.ttl / part);
    }
}

/// Books a renewal that was sent with `ttl`.
fn renewed(lease: &Lease, sent: Instant, ttl: Duration, result: MutationResult) {
    {
        let mut renewal = lease.renewal.lock();
        renewal.at = renewal.at.map(|_| sent + renewal.ttl / 3);
    }
    let granted = matches!(result, MutationResult::Extended { ttl: Some(_) });
    // A renewal never shortens, here as at the backend: the caller may have extended further meanwhile.
    if !granted || !lease.granted(sent, ttl, Instant::max) {
        // Gone at the backend, or too late here. The task takes it out of its list in its next round.
        lease.end(Status::Lost);
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("held", &self.shared.state.lock().leases.len()).finish_non_exhaustive()
    }
}
