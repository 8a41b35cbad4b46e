//! Locks: one holder at a time, first come first served, with a fencing token.
//!
//! Everybody who wants the lock takes a place in a queue. Who has nobody before it holds the
//! lock, and the revision that created its place is its fencing token.

mod guard;

pub use guard::{FencingToken, LockGuard};

use crate::leases::{Callbacks, Leases, check_ttl};
use crate::lines::{Lines, Rank};
use crate::queue::{Place, Queue};
use linchpin_core::{Area, Driver, Error, ErrorKind, NodeId, Result};
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
    lines: Arc<Lines>,
    name: String,
    holder: Option<NodeId>,
    ttl: Duration,
    wait: Option<Duration>,
    renew: bool,
    callbacks: Callbacks,
}

impl LockBuilder {
    pub(crate) fn new(driver: Arc<dyn Driver>, leases: Arc<Leases>, lines: Arc<Lines>, name: String) -> Self {
        let ttl = Duration::from_secs(10);
        let callbacks = Callbacks::default();
        Self { driver, leases, lines, name, holder: None, ttl, wait: None, renew: true, callbacks }
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
            if !queue.seems_taken()
                && Queue::knows_emptiness(&*self.driver)
                && let Some(place) = self.within(first_look, queue.enter_first(self.who(), self.ttl)).await?
            {
                return self.take(place).await;
            }
            let look = async {
                let place = queue.enter(self.who(), self.ttl).await?;
                let standing = queue.look(&place).await?;
                Ok((place, standing))
            };
            let (place, mut standing) = self.within(first_look, look).await?;
            if standing == Rank::Behind {
                standing = self.within(last, queue.turn(&place)).await?;
            }
            // A place that was lost while waiting (a pause longer than the TTL) is taken anew at the end.
            if standing == Rank::First {
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
        let place = if Queue::knows_emptiness(&*self.driver) {
            queue.enter_first(self.who(), self.ttl).await?
        } else {
            // Looking first keeps those who only try out of the queue.
            if !queue.is_empty(&*self.driver).await? {
                return Ok(None);
            }
            let place = queue.enter(self.who(), self.ttl).await?;
            (queue.look(&place).await? == Rank::First).then_some(place)
        };
        match place {
            Some(place) => Ok(Some(self.take(place).await?)),
            None => Ok(None),
        }
    }

    /// Runs `body` while holding the lock, and releases it after. If the lock is lost, `body` is dropped at
    /// its next await, before the lock can pass to another. Once `body` has finished its result is returned,
    /// whatever becomes of the release. That is waited for: if the backend is away then, the result comes as late as any
    /// call's would, 15 seconds at worst unless the builder says otherwise.
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

    /// Checks name and TTL.
    fn queue(&self, operation: &'static str) -> Result<Queue<'_>> {
        check_ttl(operation, "a lock", &self.name, self.ttl)?;
        Queue::new(operation, Area::Locks, &self.name, &self.leases, &self.lines)
    }

    fn who(&self) -> &str {
        self.holder.as_ref().map_or("", NodeId::as_str)
    }

    async fn take(self, place: Place) -> Result<LockGuard> {
        let lease = place.keep();
        lease.tell(self.callbacks);
        let guard = LockGuard::new(self.leases.clone(), lease.clone(), self.name);
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
