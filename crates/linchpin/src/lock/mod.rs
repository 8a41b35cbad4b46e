//! Locks: one holder at a time, first come first served, with a fencing token.
//!
//! Everybody who wants the lock takes a place in a queue. Who has nobody before it holds the
//! lock, and the revision that created its place is its fencing token.

mod guard;

pub use guard::LockGuard;

use crate::context::Context;
use crate::held::{Held, run};
use crate::leases::{Callbacks, check_ttl};
use crate::lines::Rank;
use crate::queue::{Place, Queue};
use crate::wait::Wait;
use linchpin_core::{Area, Error, Result};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where locks lie: a key per holder and waiter.
pub const LOCKS: Area = Area::new("lock/");

/// A lock: made by [`Coordinator::lock`](crate::Coordinator::lock). Cheap to clone; nothing is sent until it is acquired.
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
#[derive(Clone)]
#[must_use = "a lock does nothing until it is acquired"]
pub struct Lock {
    context: Arc<Context>,
    name: Arc<str>,
    ttl: Duration,
    wait: Option<Duration>,
    renew: bool,
    callbacks: Callbacks,
}

impl Lock {
    pub(crate) fn new(context: Arc<Context>, name: String) -> Self {
        let (ttl, callbacks) = (context.ttl, Callbacks::default());
        Self { context, name: name.into(), ttl, wait: None, renew: true, callbacks }
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

    /// Calls back when the lock is lost, once for each time that it was acquired. The callback must not block.
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
    pub async fn acquire(&self) -> Result<LockGuard> {
        let queue = self.queue("acquire")?;
        let wait = Wait::new("acquire", &self.name, self.wait);
        loop {
            if !queue.seems_taken()
                && queue.knows_emptiness()
                && let Some(place) = wait.look(queue.enter_first(self.ttl)).await?
            {
                return wait.look(self.take(place)).await;
            }
            let look = async {
                let mut place = queue.enter(self.ttl).await?;
                let rank = queue.look(&mut place).await?;
                Ok((place, rank))
            };
            let (place, mut rank) = wait.look(look).await?;
            if rank == Rank::Behind {
                rank = wait.turn(queue.turn(&place)).await?;
            }
            // A place that was lost while waiting (a pause longer than the TTL) is taken anew at the end.
            if rank == Rank::First {
                return wait.look(self.take(place)).await;
            }
        }
    }

    /// Takes the lock if nobody holds it or waits for it; `None` otherwise, however long the [`wait`](Self::wait).
    ///
    /// # Errors
    /// `InvalidArgument` for a name or TTL that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>> {
        let queue = self.queue("try_acquire")?;
        let place = if queue.knows_emptiness() {
            queue.enter_first(self.ttl).await?
        } else {
            // Looking first keeps those who only try out of the queue.
            if !queue.is_empty().await? {
                return Ok(None);
            }
            let mut place = queue.enter(self.ttl).await?;
            (queue.look(&mut place).await? == Rank::First).then_some(place)
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
    /// As [`acquire`](Self::acquire): then `body` was not run; `Lost` if the lock was lost while `body` waited for
    /// something.
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
    pub async fn with_lock<T>(&self, body: impl AsyncFnOnce(&LockGuard) -> T) -> Result<T> {
        run("with_lock", self.acquire().await?, body).await
    }

    /// As [`with_lock`](Self::with_lock) if nobody holds the lock or waits for it; `None`, and `body` was not run,
    /// otherwise.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire): then `body` was not run; `Lost` if the lock was lost while `body` waited
    /// for something.
    ///
    /// # Cancel safety
    /// As [`with_lock`](Self::with_lock).
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let nightly = coordinator.lock("nightly");
    /// let ran = nightly.try_with_lock(async |_| nightly.try_with_lock(async |_| "twice").await).await?;
    /// assert_eq!(ran.transpose()?, Some(None)); // it ran once: another one held the lock
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_with_lock<T>(&self, body: impl AsyncFnOnce(&LockGuard) -> T) -> Result<Option<T>> {
        match self.try_acquire().await? {
            Some(guard) => run("try_with_lock", guard, body).await.map(Some),
            None => Ok(None),
        }
    }

    /// Checks name and TTL.
    fn queue(&self, operation: &'static str) -> Result<Queue<'_>> {
        check_ttl(operation, "a lock", &self.name, self.ttl)?;
        Queue::new(&self.context, operation, LOCKS, &self.name)
    }

    async fn take(&self, place: Place) -> Result<LockGuard> {
        let lease = place.keep();
        let guard = LockGuard::new(Held::new(self.context.clone(), lease.clone(), self.name.clone()));
        if !self.renew {
            self.context.leases.stop_renewing(&lease);
            guard.extend(self.ttl).await?;
        }
        // Nobody has it before.
        guard.tell(self.callbacks.clone());
        Ok(guard)
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name)
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .field("renew", &self.renew)
            .finish_non_exhaustive()
    }
}
