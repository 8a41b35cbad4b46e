//! A lock that is held.

use crate::coordinator::lost;
use crate::leases::{Lease, Leases, check_ttl};
use linchpin_core::{Area, Error, ErrorKind, Outcome, Result, Revision, Transaction};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Grows with every holder of a lock: a resource that refuses a smaller token than it has seen is safe
/// from a holder that was paused and does not know yet that it lost the lock.
///
/// Source: M. Kleppmann, "How to do distributed locking" (2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A lock that is held, until it is released, dropped, or lost.
///
/// It is renewed in the background. If that fails for too long it reports itself lost before the backend
/// can pass the lock on; once lost it stays lost. Dropping it releases the lock in the background.
#[must_use = "dropping the guard releases the lock"]
pub struct LockGuard {
    leases: Arc<Leases>,
    lease: Arc<Lease>,
    name: String,
}

impl LockGuard {
    pub(super) fn new(leases: Arc<Leases>, lease: Arc<Lease>, name: String) -> Self {
        Self { leases, lease, name }
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fencing token: greater than that of every holder before.
    pub fn token(&self) -> FencingToken {
        let Revision(token) = self.lease.created;
        FencingToken(token)
    }

    /// Whether the lock is still held, by this process's own monotonic clock.
    ///
    /// It turns `false` before the backend can pass the lock on, paused process or not. It cannot know at
    /// once of what happens at the backend alone - keys removed by hand, data lost in a failover, a server
    /// clock that jumps ahead - or of time that passes while the whole machine sleeps: so what must not go
    /// wrong is written with [`put`](Self::put) or checks the [`token`](Self::token).
    pub fn is_held(&self) -> bool {
        self.lease.is_held()
    }

    /// Until when the lock is held if no renewal succeeds any more; `None` once it was lost or released.
    ///
    /// Each renewal moves it on: it is the time before the last one that was granted was sent, plus the TTL, less the
    /// margin by which a holder counts itself out before the backend does. At this time [`lost`](Self::lost) returns,
    /// unless the loss is found out before. Only [`extend`](Self::extend) with a shorter TTL brings it nearer.
    ///
    /// It tells whether there is time enough for another step, and what has to end in order can begin to before the loss.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use std::time::Duration;
    /// use tokio::time::{Instant, timeout_at};
    ///
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let guard = coordinator.lock("report").ttl(Duration::from_millis(600)).acquire().await?;
    ///
    /// let until = guard.held_until().expect("held");
    /// assert!(until > Instant::now());
    /// let step = timeout_at(until - Duration::from_millis(100), async { "done" }).await;
    /// assert_eq!(step, Ok("done"));
    ///
    /// timeout_at(until, guard.lost()).await.expect_err("it was renewed, and not lost");
    /// assert!(guard.held_until().expect("held") > until);
    /// # Ok(())
    /// # }
    /// ```
    pub fn held_until(&self) -> Option<Instant> {
        self.lease.held_until()
    }

    /// Returns when the lock is no longer held.
    ///
    /// # Cancel safety
    /// Cancel safe; made for `tokio::select!`.
    pub async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Sets the TTL, counted from now, and renews with it from now on. A shorter one than before takes hold
    /// at the backend once the longer one has run out.
    ///
    /// # Errors
    /// `Lost` if the lock is no longer held; `InvalidArgument` for a TTL under 300 ms; what the backend
    /// fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the backend took the new TTL; the guard goes by the old one.
    pub async fn extend(&self, ttl: Duration) -> Result<()> {
        check_ttl("extend", "a lock", &self.name, ttl)?;
        let extended = self.leases.extend("extend", &self.lease, ttl).await;
        extended.map_err(|error| error.with_subject(&self.name))
    }

    /// Writes a key of the port's (what `get` reads), in one transaction with the check that the lock is
    /// still held under its token. The guarded write: who lost the lock cannot overwrite what its successor
    /// wrote.
    ///
    /// # Errors
    /// `Lost` if the lock is no longer held: nothing was written. `InvalidArgument` for a key or value that
    /// is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was written.
    pub async fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        let put = Transaction::new().put(Area::User.key(key)?, value.as_ref().to_vec(), None);
        self.commit_as("put", put).await.map(drop).map_err(|error| match error.kind() {
            ErrorKind::Lost => error,
            _ => error.with_subject(key),
        })
    }

    /// Commits a transaction of the driver's with the check that the lock is still held under its token. Its
    /// keys are the driver's: what the port calls `name` is `Area::User.key("name")`.
    ///
    /// # Errors
    /// `Lost` if the lock is no longer held: nothing was changed. What the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was committed.
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome> {
        self.commit_as("commit", transaction).await
    }

    async fn commit_as(&self, operation: &'static str, transaction: Transaction) -> Result<Outcome> {
        match self.leases.commit(operation, &self.lease, transaction).await {
            Err(error) if error.kind() == ErrorKind::Lost => Err(self.was_lost(operation)),
            committed => committed,
        }
    }

    /// Releases the lock; the next in the queue has it when this returns.
    ///
    /// # Errors
    /// `Lost` if it was lost before; what the backend fails with: then the release is tried again in the
    /// background until the TTL has passed.
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock in the background.
    pub async fn release(self) -> Result<()> {
        let released = self.leases.release("release", &self.lease).await;
        released.map_err(|error| error.with_subject(&self.name))
    }

    pub(super) fn was_lost(&self, operation: &'static str) -> Error {
        lost(operation, &self.name)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.leases.forget(&self.lease);
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("name", &self.name)
            .field("token", &self.token())
            .field("held", &self.is_held())
            .finish_non_exhaustive()
    }
}
