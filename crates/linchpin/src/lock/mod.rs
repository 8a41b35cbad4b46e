//! Locks: one holder at a time, first come first served, with a fencing token.
//!
//! After etcd's recipe (`client/v3/concurrency/mutex.go`): everybody who wants the lock creates a key of
//! its own under the lock's name. The revision that created it is its place in the queue and its fencing
//! token. Who has nobody before it holds the lock; everybody else watches the one right before it, so one
//! release wakes one waiter. A waiter that dies is skipped when its key expires.

mod guard;

pub use guard::{FencingToken, LockGuard};

use crate::leases::{Callbacks, Lease, Leases, MIN_TTL};
use futures::StreamExt;
use linchpin_core::{Area, Driver, Entry, Error, ErrorKind, Key, MAX_TTL, NodeId, Page, Range, Result, WatchEvent};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the backend has for the first look at the queue, however short the wait.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// A lock that is about to be acquired: made by [`Coordinator::lock`](crate::Coordinator::lock).
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> linchpin::Result<()> {
/// use std::time::Duration;
/// let coordinator = linchpin::connect("memory://").await?;
/// let guard = coordinator
///     .lock("order:123")
///     .ttl(Duration::from_secs(10))
///     .wait(Duration::from_secs(5))
///     .on_lost(|| eprintln!("order:123 is no longer ours"))
///     .acquire()
///     .await?;
/// println!("fencing token {}", guard.token());
/// assert!(coordinator.lock("order:123").try_acquire().await?.is_none());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a lock does nothing until it is acquired"]
pub struct LockBuilder {
    driver: Arc<dyn Driver>,
    leases: Arc<Leases>,
    name: String,
    holder: Option<NodeId>,
    ttl: Duration,
    wait: Option<Duration>,
    renew: bool,
    callbacks: Callbacks,
}

impl LockBuilder {
    pub(crate) fn new(driver: Arc<dyn Driver>, leases: Arc<Leases>, name: String) -> Self {
        let ttl = Duration::from_secs(10);
        Self { driver, leases, name, holder: None, ttl, wait: None, renew: true, callbacks: Callbacks::default() }
    }

    pub(crate) fn holder(mut self, node_id: NodeId) -> Self {
        self.holder = Some(node_id);
        self
    }

    /// After how long without a sign of life the lock passes to the next; 300 ms at least. It is renewed
    /// at a third of that for as long as it is held.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long to wait for the lock at most; for ever unless told. A free lock is taken even with zero:
    /// for the first look at the queue the backend has a second in any case.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Does not renew: the lock is held for the TTL at most, or as long as it is
    /// [extended](LockGuard::extend) by hand. While it waits for its turn it is renewed all the same.
    pub fn without_renewal(mut self) -> Self {
        self.renew = false;
        self
    }

    /// Calls back each time a renewal failed; it is tried again until the lock is lost. The callback must
    /// not block.
    pub fn on_renewal_failure(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.callbacks.on_renewal_failure = Some(Arc::new(callback));
        self
    }

    /// Calls back once when the lock is lost. The callback must not block.
    pub fn on_lost(mut self, callback: impl Fn() + Send + Sync + 'static) -> Self {
        self.callbacks.on_lost = Some(Arc::new(callback));
        self
    }

    /// Waits for its turn and takes the lock: first come, first served.
    ///
    /// # Errors
    /// `Timeout` if it did not come to its turn within [`wait`](Self::wait); `InvalidArgument` for a name
    /// or TTL that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue; its key is removed in the background.
    pub async fn acquire(self) -> Result<LockGuard> {
        let queue = self.queue("acquire")?;
        let started = Instant::now();
        let after = |wait: Duration| started.checked_add(wait);
        let (last, first_look) = (self.wait.and_then(after), self.wait.and_then(|wait| after(wait.max(FIRST_LOOK))));
        loop {
            let look = async {
                let place = self.enter(&queue).await?;
                let standing = self.standing(&queue, &place).await?;
                Ok((place, standing))
            };
            let (place, standing) = self.within(first_look, look).await?;
            let came = match standing {
                Standing::First => true,
                Standing::Gone => false,
                Standing::Behind(before) => self.within(last, self.turn(&queue, &place, before)).await?,
            };
            // A place that was lost while waiting (a pause longer than the TTL) is taken anew at the end.
            if came {
                return self.take(place).await;
            }
        }
    }

    /// Gives a step until the deadline, if there is one.
    async fn within<T>(&self, deadline: Option<Instant>, step: impl Future<Output = Result<T>>) -> Result<T> {
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, step).await.unwrap_or_else(|_| Err(self.too_late())),
            None => step.await,
        }
    }

    /// Takes the lock if nobody holds it or waits for it; `None` otherwise.
    ///
    /// # Errors
    /// `InvalidArgument` for a name or TTL that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(self) -> Result<Option<LockGuard>> {
        let queue = self.queue("try_acquire")?;
        // Looking first keeps those who only try out of the queue.
        if !self.places(&queue).await?.is_empty() {
            return Ok(None);
        }
        let place = self.enter(&queue).await?;
        match self.standing(&queue, &place).await? {
            Standing::First => Ok(Some(self.take(place).await?)),
            _ => Ok(None),
        }
    }

    /// Runs `body` while holding the lock, and releases it after. If the lock is lost, `body` is dropped at
    /// its next await, before the lock can pass to another. Once `body` has finished its result is returned,
    /// whatever becomes of the release.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire): then `body` was not run; `Lost` if the lock was lost before `body` had
    /// finished.
    ///
    /// # Cancel safety
    /// Dropping the future drops `body` and releases the lock in the background.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let total = coordinator
    ///     .lock("totals")
    ///     .with_lock(async |guard| {
    ///         guard.put("total", "42").await?;
    ///         Ok::<_, linchpin::Error>(42)
    ///     })
    ///     .await??;
    /// assert_eq!(total, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn with_lock<T>(self, body: impl AsyncFnOnce(&LockGuard) -> T) -> Result<T> {
        let guard = self.acquire().await?;
        let result = tokio::select! {
            biased;
            () = guard.lost() => return Err(guard.was_lost("with_lock")),
            result = body(&guard) => result,
        };
        // What the body did is done, whatever becomes of the release: that is tried again in the background.
        if let Err(error) = guard.release().await {
            tracing::warn!(%error, "a lock could not be released after its body");
        }
        Ok(result)
    }

    /// Checks name and TTL, and names the range in which the queue's keys lie.
    fn queue(&self, operation: &'static str) -> Result<Queue> {
        if self.ttl < MIN_TTL {
            let problem = format!("a lock's ttl is {MIN_TTL:?} at least, not {:?}", self.ttl);
            return Err(Error::invalid(operation, problem).with_subject(&self.name));
        }
        if self.ttl > MAX_TTL {
            let problem = format!("a lock's ttl is 100 years at most, not {:?}", self.ttl);
            return Err(Error::invalid(operation, problem).with_subject(&self.name));
        }
        // The length keeps apart a lock called "a" and one called "a/b".
        let name = Key::new(&self.name).map_err(|error| error.with_operation(operation))?;
        let prefix = format!("{}{}:{name}/", Area::Locks.prefix(), name.as_str().len());
        Ok(Queue { range: Range::prefix(prefix.clone())?, prefix, operation })
    }

    async fn enter(&self, queue: &Queue) -> Result<Place> {
        let key = Key::stored(format!("{}{:016x}", queue.prefix, fastrand::u64(..)))?;
        let holder = self.holder.as_ref().map_or("", NodeId::as_str);
        let created = self.leases.create(queue.operation, key, holder, self.ttl).await;
        let lease = created.map_err(|error| error.with_subject(&self.name))?;
        Ok(Place { lease: Some(lease), leases: self.leases.clone() })
    }

    /// Waits for the place's turn, once the one `before` it has left; `false` if the place was lost meanwhile.
    async fn turn(&self, queue: &Queue, place: &Place, mut before: Key) -> Result<bool> {
        loop {
            tokio::select! {
                () = place.lease()?.lost() => return Ok(false),
                left = self.left(queue, before) => left?,
            }
            before = match self.standing(queue, place).await? {
                Standing::First => return Ok(true),
                Standing::Gone => return Ok(false),
                Standing::Behind(before) => before,
            };
        }
    }

    /// Returns when a key is gone.
    async fn left(&self, queue: &Queue, key: Key) -> Result<()> {
        let failed = |error: Error| error.with_operation(queue.operation).with_subject(&self.name);
        let mut events = self.driver.watch(&Range::Key(key)).await.map_err(failed)?;
        let mut present = false;
        while let Some(event) = events.next().await {
            match event.map_err(failed)? {
                WatchEvent::Put(_) => present = true,
                WatchEvent::Synced { .. } if present => {}
                WatchEvent::Synced { .. } | WatchEvent::Deleted { .. } => return Ok(()),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, queue.operation, "the watch ended").with_subject(&self.name))
    }

    async fn standing(&self, queue: &Queue, place: &Place) -> Result<Standing> {
        let own = place.lease()?;
        let places = self.places(queue).await?;
        // A place that has gone cannot win: its turn may have passed to another already.
        if !own.is_held() || !places.iter().any(|entry| entry.key == own.key && entry.created == own.created) {
            return Ok(Standing::Gone);
        }
        let before = places.into_iter().filter(|entry| entry.created < own.created);
        Ok(before.max_by_key(|entry| entry.created).map_or(Standing::First, |entry| Standing::Behind(entry.key)))
    }

    async fn places(&self, queue: &Queue) -> Result<Vec<Entry>> {
        let mut places = Vec::new();
        let mut page = Page::first_keys();
        loop {
            let found = self.driver.scan(&queue.range, &page).await;
            let found = found.map_err(|error| error.with_operation(queue.operation).with_subject(&self.name))?;
            page.after = found.entries.last().map(|entry| entry.key.clone()).or(page.after);
            places.extend(found.entries);
            if !found.more {
                return Ok(places);
            }
        }
    }

    async fn take(self, mut place: Place) -> Result<LockGuard> {
        let lease = place.lease.take().ok_or_else(|| self.too_late())?;
        lease.tell(self.callbacks);
        let guard = LockGuard::new(self.driver, self.leases.clone(), lease.clone(), self.name);
        if !self.renew {
            self.leases.stop_renewing(&lease);
            guard.extend(self.ttl).await?;
        }
        Ok(guard)
    }

    fn too_late(&self) -> Error {
        let waited = self.wait.unwrap_or_default();
        let problem = format!("its turn did not come within {waited:?}: others hold it, or the backend is slow");
        Error::new(ErrorKind::Timeout, "acquire", problem).with_subject(&self.name)
    }
}

impl fmt::Debug for LockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockBuilder")
            .field("name", &self.name)
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .field("renew", &self.renew)
            .finish_non_exhaustive()
    }
}

/// Where the keys of those who want a lock lie, and for which operation they are looked at.
struct Queue {
    prefix: String,
    range: Range,
    operation: &'static str,
}

/// A place in the queue; given up when it is dropped.
struct Place {
    lease: Option<Arc<Lease>>,
    leases: Arc<Leases>,
}

impl Place {
    fn lease(&self) -> Result<&Arc<Lease>> {
        self.lease.as_ref().ok_or_else(|| Error::closed("acquire"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            self.leases.forget(lease);
        }
    }
}

enum Standing {
    First,
    Behind(Key),
    Gone,
}
