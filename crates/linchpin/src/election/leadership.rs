//! A leadership that is held.

use super::Election;
use crate::held::{FencingToken, Held};
use bytes::Bytes;
use linchpin_core::Result;
use std::fmt;
use std::ops::Deref;

/// A leadership, until it is resigned, dropped, or lost: what it can do besides is in [`Held`].
///
/// It is renewed in the background. If that fails for too long it reports itself lost before the backend can pass
/// it on; once lost it stays lost. Dropping it resigns in the background.
#[must_use = "dropping the leadership resigns"]
pub struct Leadership {
    held: Held,
    election: Election,
    campaign: u64,
}

impl Leadership {
    pub(super) fn new(held: Held, election: Election, campaign: u64) -> Self {
        Self { held, election, campaign }
    }

    /// The term, which is the fencing [token](Held::token): greater than that of every leader before.
    pub fn term(&self) -> FencingToken {
        self.held.token()
    }

    /// Whether this node still leads, by this process's own monotonic clock: as [`is_held`](Held::is_held).
    pub fn is_leader(&self) -> bool {
        self.held.is_held()
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
        self.held.named(self.held.context().leases.rewrite("proclaim", self.held.lease(), stored).await)
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
        self.held.release("resign").await
    }
}

impl Deref for Leadership {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership").field(&self.held).finish()
    }
}
