//! The leases of a coordinator: kept alive together, in batches, by one task.
//!
//! A lease is a key that this process created with a TTL. It is renewed at a third of its TTL. Its holder's
//! own deadline is the time before the renewal was sent, plus the TTL, less a margin, on a monotonic clock:
//! past it the holder counts itself out before the backend can give the key's place to another.

mod keeper;
mod lease;

pub(crate) use lease::{Callbacks, Lease};

use crate::coordinator::lost;
use futures::future::join_all;
use lease::Status;
use linchpin_core::{Driver, Error, ErrorKind, Key, MutationResult, Outcome, Result, Transaction};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The shortest TTL of a lease: a third of it has to be enough for a renewal, and the margin is 50 ms.
pub(crate) const MIN_TTL: Duration = Duration::from_millis(300);

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
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lease = Arc::new(Lease::new(number, key, created, sent, ttl));
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

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("held", &self.shared.state.lock().leases.len()).finish_non_exhaustive()
    }
}
