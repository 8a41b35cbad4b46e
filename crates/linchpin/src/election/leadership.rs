//! A leadership that is held.

use super::Election;
use crate::leases::{Callbacks, Lease};
use crate::lock::FencingToken;
use bytes::Bytes;
use linchpin_core::{Area, Error, ErrorKind, Outcome, Result, Revision, Transaction};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// A leadership, until it is resigned, dropped, or lost.
///
/// It is renewed in the background. If that fails for too long it reports itself lost before the backend can pass
/// it on; once lost it stays lost. Dropping it resigns in the background.
#[must_use = "dropping the leadership resigns"]
pub struct Leadership {
    election: Election,
    lease: Arc<Lease>,
    campaign: u64,
}

impl Leadership {
    pub(super) fn new(election: Election, lease: Arc<Lease>, campaign: u64) -> Self {
        Self { election, lease, campaign }
    }

    /// Tells from now on what becomes of it.
    pub(super) fn tell(&self, callbacks: Callbacks) {
        self.lease.tell(callbacks);
    }

    /// The election's name.
    pub fn name(&self) -> &str {
        &self.election.name
    }

    /// The term, which is a fencing token: greater than that of every leader before.
    pub fn term(&self) -> FencingToken {
        let Revision(term) = self.lease.created;
        FencingToken(term)
    }

    /// Whether this node still leads, by this process's own monotonic clock.
    ///
    /// It turns `false` before the backend can pass the leadership on, paused process or not. It cannot know at once
    /// of what happens at the backend alone, see [`LockGuard::is_held`](crate::LockGuard::is_held): so what must not go
    /// wrong is written with [`put`](Self::put) or checks the [`term`](Self::term).
    pub fn is_leader(&self) -> bool {
        self.lease.is_held()
    }

    /// Until when this node leads if no renewal succeeds any more; `None` once the leadership was lost or resigned. As
    /// [`LockGuard::held_until`](crate::LockGuard::held_until).
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use std::time::Duration;
    /// use tokio::time::{Instant, sleep_until};
    ///
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let leadership = coordinator.election("scheduler").ttl(Duration::from_millis(600)).campaign().await?;
    ///
    /// let until = leadership.held_until().expect("it leads");
    /// assert!(until < Instant::now() + Duration::from_millis(600));
    /// sleep_until(until).await;
    /// assert!(leadership.held_until().expect("it was renewed") > until);
    /// # Ok(())
    /// # }
    /// ```
    pub fn held_until(&self) -> Option<Instant> {
        self.lease.held_until()
    }

    /// Returns when this node leads no more.
    ///
    /// # Cancel safety
    /// Cancel safe; made for `tokio::select!`.
    pub async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Says something new as the leader: what [`Election::leader`] and [`Election::observe`] tell. The term stays.
    ///
    /// # Errors
    /// `Lost` if this node leads no more: nothing was written, or the answer came when the term was over. `InvalidArgument`
    /// for a value that is too large; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was written.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let election = coordinator.election("scheduler");
    /// let leadership = election.campaign().await?;
    /// leadership.proclaim("ready").await?;
    /// assert_eq!(election.leader().await?.expect("somebody leads").value, "ready");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn proclaim(&self, value: impl AsRef<[u8]>) -> Result<()> {
        let stored = self.election.stored(self.campaign, Bytes::copy_from_slice(value.as_ref()));
        self.named(self.election.leases.rewrite("proclaim", &self.lease, stored).await)
    }

    /// Writes a key of the port's (what `get` reads), in one transaction with the check that this node still leads:
    /// who lost the leadership cannot overwrite what the next leader wrote.
    ///
    /// # Errors
    /// `Lost` if this node leads no more: nothing was written. `InvalidArgument` for a key or value that is not
    /// allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was written.
    pub async fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        let put = Transaction::new().put(Area::User.key(key)?, value.as_ref().to_vec(), None);
        match self.election.leases.commit("put", &self.lease, put).await {
            Err(error) if error.kind() != ErrorKind::Lost => Err(error.with_subject(key)),
            committed => self.named(committed.map(drop)),
        }
    }

    /// Commits a transaction of the driver's with the check that this node still leads. Its keys are the driver's: what
    /// the port calls `name` is `Area::User.key("name")`.
    ///
    /// # Errors
    /// `Lost` if this node leads no more: nothing was changed. `InvalidArgument` for a transaction with an id
    /// of your own: the check is a part of it, and changes with every proclamation. What the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was committed.
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome> {
        match self.election.leases.commit("commit", &self.lease, transaction).await {
            Err(error) if error.kind() != ErrorKind::Lost => Err(error),
            committed => self.named(committed),
        }
    }

    /// Steps down; the next candidate can lead when this returns.
    ///
    /// # Errors
    /// `Lost` if the leadership was lost before; what the backend fails with: then it is tried again in the background
    /// until the TTL has passed.
    ///
    /// # Cancel safety
    /// Dropping the future resigns in the background.
    pub async fn resign(self) -> Result<()> {
        self.named(self.election.leases.release("resign", &self.lease).await)
    }

    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error: Error| error.with_subject(&self.election.name))
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.election.leases.forget(&self.lease);
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("name", &self.election.name)
            .field("term", &self.term())
            .field("leads", &self.is_leader())
            .finish_non_exhaustive()
    }
}
