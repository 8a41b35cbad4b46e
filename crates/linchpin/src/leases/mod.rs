//! The leases of a coordinator: kept alive together, in batches, by one task.
//!
//! A lease is a key that this process wrote with a TTL. It is renewed at a third of its TTL. Its holder's
//! own deadline is the time before the renewal was sent, plus the TTL, less a margin, on a monotonic clock:
//! past it the holder counts itself out before the backend can give the key's place to another.

mod keeper;
mod lease;
mod removal;
mod schedule;

pub(crate) use lease::{Callbacks, Kind, Lease, call};

use crate::held::lost;
use bytes::Bytes;
use futures::future::join_all;
use lease::{Revisions, Status};
use linchpin_core::life::Home;
use linchpin_core::{Driver, Error, ErrorKind, Key, MAX_TTL, MutationResult, Outcome, Result, Transaction};
use parking_lot::Mutex;
use removal::{Removal, Removals, Whose};
use schedule::Schedule;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, RwLock};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The shortest TTL of a lease: a third of it has to be enough for a renewal, and the margin is 50 ms.
pub(crate) const MIN_TTL: Duration = Duration::from_millis(300);

/// For how long a shutdown waits for the calls that are on their way: longer than those take that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Refuses a TTL that a lease cannot have; `what` says whose it is.
pub(crate) fn check_ttl(operation: &'static str, what: &str, name: &str, ttl: Duration) -> Result<()> {
    let limit = match ttl {
        short if short < MIN_TTL => format!("{MIN_TTL:?} at least"),
        long if long > MAX_TTL => "100 years at most".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::invalid(operation, format!("{what}'s ttl is {limit}, not {ttl:?}")).with_subject(name))
}

/// The leases of a coordinator. Its task runs from the first lease on, and ends when the owner is dropped and what was
/// released is gone.
pub(crate) struct Leases {
    shared: Arc<Shared>,
    next: AtomicU64,
    home: Home,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    driver: Arc<dyn Driver>,
    state: Mutex<State>,
    changed: Notify,
    /// Read by whoever writes or removes a key: a shutdown waits for them.
    busy: Arc<RwLock<()>>,
}

#[derive(Default)]
struct State {
    leases: Schedule,
    removals: Removals,
    /// Presences that are just being written.
    wanted: Vec<Key>,
    owner_gone: bool,
    shut_down: bool,
}

/// A lease that is asked for.
pub(crate) struct Request {
    pub(crate) operation: &'static str,
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    /// What the key says; a value that is like no other tells a write of ours whose answer was lost.
    pub(crate) value: Bytes,
    pub(crate) ttl: Duration,
    /// Only if no key starts with this one.
    pub(crate) empty: Option<Key>,
}

/// What became of a request.
pub(crate) enum Answer {
    Granted(Arc<Lease>),
    /// Somebody else holds the key.
    Taken,
}

impl Leases {
    pub(crate) fn new(driver: Arc<dyn Driver>, home: Home) -> Self {
        let shared = Shared { driver, state: Mutex::default(), changed: Notify::new(), busy: Arc::default() };
        Self { shared: Arc::new(shared), next: AtomicU64::new(1), home, task: Mutex::new(None) }
    }

    /// Where its tasks run, and those of whoever holds a lease.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Writes a key for a time and keeps it alive. A presence replaces what stood there; anything else is
    /// taken only if nobody has it.
    ///
    /// # Cancel safety
    /// Dropping the future removes in the background what may have been written.
    pub(crate) async fn request(&self, request: Request) -> Result<Answer> {
        let Request { operation, kind, key, value, ttl, empty } = request;
        let _busy = self.shared.busy.read().await;
        if self.shared.state.lock().shut_down {
            return Err(Error::closed(operation));
        }
        let whose = match kind {
            Kind::Ticket => Whose::Ticket,
            Kind::Seat | Kind::Presence => Whose::Wrote(value.clone()),
        };
        let undo = Undo::new(self, Removal::of_a_ghost(key.clone(), whose, ttl));
        // What others want too is written only where it is not: nobody takes it for what was there before.
        let _wanted = (kind == Kind::Presence).then(|| KeyHold::new(&self.shared, key.clone()));
        let sent = Instant::now();
        let guarded = match (kind, empty) {
            (_, Some(prefix)) => Transaction::new().prefix_absent(prefix),
            (Kind::Ticket | Kind::Seat, None) => Transaction::new().absent(key.clone()),
            (Kind::Presence, None) => Transaction::new(),
        };
        let outcome = match self.shared.driver.commit(&guarded.put(key.clone(), value, Some(ttl))).await {
            Ok(outcome) => outcome,
            Err(error) => {
                if !error.maybe_applied() {
                    undo.keep();
                }
                return Err(error.with_operation(operation));
            }
        };
        let held = match outcome {
            Outcome::Refused { .. } => {
                undo.keep();
                return Ok(Answer::Taken);
            }
            Outcome::Committed { revision, results } => match results[..] {
                [MutationResult::Put { created, .. }] => Revisions { created, version: revision },
                _ => return Err(Error::new(ErrorKind::Backend, operation, "the driver answered something else")),
            },
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lease = Arc::new(Lease::new(number, kind, key, held, sent, ttl));
        if !self.shared.keep(&lease) {
            return Err(Error::closed(operation));
        }
        undo.keep();
        self.run();
        Ok(Answer::Granted(lease))
    }

    /// Writes what the lease's key says, and renews it so.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was written.
    pub(crate) async fn rewrite(&self, operation: &'static str, lease: &Lease, value: Bytes) -> Result<()> {
        let ttl = lease.state.lock().ttl;
        let mut held = lease.revisions();
        while lease.is_held() {
            let sent = Instant::now();
            let write = Transaction::new().version_is(lease.key.clone(), held.version);
            let write = write.put(lease.key.clone(), value.clone(), Some(ttl));
            let outcome = self.shared.driver.commit(&write).await.map_err(|error| error.with_operation(operation))?;
            match outcome {
                Outcome::Committed { revision, .. } => {
                    lease.rewritten(revision);
                    if lease.granted(sent, ttl, Instant::max) {
                        self.shared.reschedule(lease);
                        return Ok(());
                    }
                }
                // Another handle of ours was quicker, or somebody else has it.
                Outcome::Refused { found, .. } => match self.shared.standing(&lease.key, held.created, found).await? {
                    Some(version) => {
                        held.version = version;
                        continue;
                    }
                    None => break,
                },
            }
            break;
        }
        self.shared.lose(lease);
        Err(lost(operation, lease.key.as_str()))
    }

    /// Commits a transaction with the check that the lease is still held.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was committed.
    pub(crate) async fn commit(
        &self,
        operation: &'static str,
        lease: &Lease,
        transaction: Transaction,
    ) -> Result<Outcome> {
        if lease.kind == Kind::Seat && transaction.id.is_some() {
            // The check is a part of the transaction. It changes when the leader proclaims, and under the same id
            // that would be another transaction.
            let problem = "a leader's transaction takes no id of its own: it is repeated safely without";
            return Err(Error::invalid(operation, problem));
        }
        let last = transaction.guards.len();
        while lease.is_held() {
            let guarded = transaction.clone().version_is(lease.key.clone(), lease.revisions().version);
            match self.shared.driver.commit(&guarded).await.map_err(|error| error.with_operation(operation))? {
                Outcome::Refused { guard, found, .. } if guard == last => {
                    match self.shared.standing(&lease.key, lease.created, found).await? {
                        Some(version) => lease.rewritten(version),
                        None => break,
                    }
                }
                outcome => return Ok(outcome),
            }
        }
        self.shared.lose(lease);
        Err(lost(operation, lease.key.as_str()))
    }

    /// Leaves the lease to run out, or to be extended by hand.
    pub(crate) fn stop_renewing(&self, lease: &Lease) {
        lease.state.lock().stop();
        self.shared.reschedule(lease);
    }

    /// Sets the TTL of a lease that nobody rewrites, and renews it now.
    pub(crate) async fn extend(&self, operation: &'static str, lease: &Lease, ttl: Duration) -> Result<()> {
        if !lease.is_held() {
            return Err(lost(operation, lease.key.as_str()));
        }
        let sent = Instant::now();
        // Also if the answer never comes.
        lease.may_live(ttl);
        let extend = Transaction::new().extend(lease.key.clone(), lease.revisions().version, ttl);
        let outcome = self.shared.driver.commit(&extend).await.map_err(|error| error.with_operation(operation))?;
        let granted = matches!(outcome.results(), Some([MutationResult::Extended { ttl: Some(_) }]));
        // The caller's word counts, also where it shortens.
        if !granted || !lease.granted(sent, ttl, |_, granted| granted) {
            self.shared.lose(lease);
            return Err(lost(operation, lease.key.as_str()));
        }
        let mut state = lease.state.lock();
        state.ttl = ttl;
        state.was_granted(sent);
        drop(state);
        self.shared.reschedule(lease);
        Ok(())
    }

    /// Gives the lease up and waits until its key is gone. What fails is tried again in the background.
    pub(crate) async fn release(&self, operation: &'static str, lease: &Lease) -> Result<()> {
        let _busy = self.shared.busy.read().await;
        if lease.end(Status::Released) != Some(Status::Released) {
            self.forget(lease);
            return Err(lost(operation, lease.key.as_str()));
        }
        self.shared.state.lock().leases.remove(lease.number);
        let undo = Undo::new(self, Removal::of(lease));
        let removed = self.shared.remove(&lease.key, Whose::of(lease)).await;
        let removed = removed.map_err(|error| error.with_operation(operation))?;
        undo.keep();
        if removed { Ok(()) } else { Err(lost(operation, lease.key.as_str())) }
    }

    /// Gives the lease up in the background: for a guard that was dropped.
    pub(crate) fn forget(&self, lease: &Lease) {
        lease.end(Status::Released);
        if self.shared.state.lock().leases.remove(lease.number).is_some() {
            self.remove_later(Removal::of(lease));
        }
    }

    /// Releases everything and takes nothing more; waits for what is on its way.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what is not yet released to its TTL: nothing is renewed any more.
    pub(crate) async fn shutdown(&self) -> Result<()> {
        let leases = {
            let mut state = self.shared.state.lock();
            state.shut_down = true;
            state.leases.take_all()
        };
        let held = leases.iter().filter(|lease| lease.end(Status::Released).is_some());
        let mut all: Vec<(Key, Whose)> = held.map(|lease| (lease.key.clone(), Whose::of(lease))).collect();
        // A call that nobody polls any more keeps nobody waiting for ever.
        let _idle = timeout(PATIENCE, self.shared.busy.write()).await;
        let removals = std::mem::take(&mut self.shared.state.lock().removals);
        all.extend(removals.into_all().map(|removal| (removal.key, removal.whose)));
        let removed = join_all(all.iter().map(|(key, whose)| self.shared.remove(key, whose.clone()))).await;
        removed.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.with_operation("shutdown")))
    }

    fn remove_later(&self, removal: Removal) {
        self.shared.state.lock().removals.push(removal);
        self.run();
    }

    /// Starts the task if there is none, and wakes it. Without a runtime keys are left to their TTL.
    fn run(&self) {
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let shared = self.shared.clone();
            *task = self.home.spawn(async move { shared.keep_alive().await });
        }
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// Keeps a lease alive from now on, unless there was a shutdown meanwhile.
    fn keep(&self, lease: &Arc<Lease>) -> bool {
        let mut state = self.state.lock();
        if !state.shut_down {
            state.leases.insert(lease);
        }
        !state.shut_down
    }

    /// What is to be done about a lease has another time, or an earlier one.
    fn reschedule(&self, lease: &Lease) {
        self.reschedule_all([lease]);
    }

    fn reschedule_all<'a>(&self, leases: impl IntoIterator<Item = &'a Lease>) {
        let mut state = self.state.lock();
        for lease in leases {
            state.leases.update(lease.number);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A lease was found to be held no longer.
    fn lose(&self, lease: &Lease) {
        lease.end(Status::Lost);
        self.reschedule(lease);
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.shared.state.lock().owner_gone = true;
        self.shared.changed.notify_one();
    }
}

/// Keeps a key from being removed while it is asked for: it may have been ours before.
struct KeyHold<'a> {
    shared: &'a Shared,
    key: Key,
}

impl<'a> KeyHold<'a> {
    fn new(shared: &'a Shared, key: Key) -> Self {
        shared.state.lock().wanted.push(key.clone());
        Self { shared, key }
    }
}

impl Drop for KeyHold<'_> {
    fn drop(&mut self) {
        let wanted = &mut self.shared.state.lock().wanted;
        if let Some(at) = wanted.iter().position(|key| *key == self.key) {
            wanted.swap_remove(at);
        }
    }
}

/// Removes a key in the background if the future that works on it is dropped or fails.
struct Undo<'a> {
    leases: &'a Leases,
    removal: Option<Removal>,
}

impl<'a> Undo<'a> {
    fn new(leases: &'a Leases, removal: Removal) -> Self {
        Self { leases, removal: Some(removal) }
    }

    fn keep(mut self) {
        self.removal = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(removal) = self.removal.take() {
            self.leases.remove_later(removal.starting_now());
        }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("held", &self.shared.state.lock().leases.len()).finish_non_exhaustive()
    }
}
