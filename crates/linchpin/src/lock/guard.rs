//! A lock that is held.

use crate::held::Held;
use crate::leases::check_ttl;
use linchpin_core::Result;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A lock that is held, until it is released, dropped, or lost: what it can do besides is in [`Held`].
///
/// It is renewed in the background. If that fails for too long it reports itself lost before the backend
/// can pass the lock on; once lost it stays lost. Dropping it releases the lock in the background.
#[must_use = "dropping the guard releases the lock"]
pub struct LockGuard {
    held: Held,
}

impl LockGuard {
    pub(super) fn new(held: Held) -> Self {
        Self { held }
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
        check_ttl("extend", "a lock", self.name(), ttl)?;
        self.held.named(self.held.context().leases.extend("extend", self.held.lease(), ttl).await)
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
        self.held.release("release").await
    }
}

impl Deref for LockGuard {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.held).finish()
    }
}
