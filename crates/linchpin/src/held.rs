//! What is held for as long as it is renewed: the same for every recipe.

use crate::context::Context;
use crate::leases::{Callbacks, Lease};
use linchpin_core::{Area, Error, ErrorKind, Outcome, Result, Revision, Transaction};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use tokio::time::Instant;

/// Grows with every holder of a lock, and with every term of an election: a resource that refuses a smaller token than it has seen is safe
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

/// What a guard holds, a lock or a leadership: each guard derefs to it.
///
/// It is renewed in the background. If that fails for too long it reports itself lost before the backend can pass it
/// on; once lost it stays lost. Dropping the guard gives it up in the background.
pub struct Held {
    context: Arc<Context>,
    lease: Arc<Lease>,
    name: Arc<str>,
}

impl Held {
    pub(crate) fn new(context: Arc<Context>, lease: Arc<Lease>, name: Arc<str>) -> Self {
        Self { context, lease, name }
    }

    /// Tells from now on what becomes of it.
    pub(crate) fn tell(&self, callbacks: Callbacks) {
        self.lease.tell(callbacks);
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The name of the lock or of the election.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fencing token: greater than that of every holder before. An election's is its term.
    pub fn token(&self) -> FencingToken {
        let Revision(token) = self.lease.created;
        FencingToken(token)
    }

    /// Whether it is still held, by this process's own monotonic clock.
    ///
    /// It turns `false` before the backend can pass it on, paused process or not. It cannot know at
    /// once of what happens at the backend alone - keys removed by hand, data lost in a failover, a server
    /// clock that jumps ahead - or of time that passes while the whole machine sleeps: so what must not go
    /// wrong is written with [`put`](Self::put) or checks the [`token`](Self::token).
    pub fn is_held(&self) -> bool {
        self.lease.is_held()
    }

    /// Until when it is held if no renewal succeeds any more; `None` once it was lost or given up.
    ///
    /// Each renewal moves it on: it is the time before the last one that was granted was sent, plus the TTL, less the
    /// margin by which a holder counts itself out before the backend does. At this time [`lost`](Self::lost) returns,
    /// unless the loss is found out before. Only [`extend`](crate::LockGuard::extend) with a shorter TTL brings it nearer.
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

    /// Returns when it is no longer held.
    ///
    /// # Cancel safety
    /// Cancel safe; made for `tokio::select!`.
    pub async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Writes a key of the port's (what `get` reads), in one transaction with the check that this is still held under
    /// its token. The guarded write: who lost a lock cannot overwrite what its successor wrote.
    ///
    /// # Errors
    /// `Lost` if it is no longer held: nothing was written. `InvalidArgument` for a key or value that is
    /// not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was written.
    pub async fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        let named = |error: Error| error.with_operation("put").with_subject(key);
        let put = Transaction::new().put(Area::USER.key(key).map_err(named)?, value.as_ref().to_vec(), None);
        self.commit_as("put", put).await.map(drop).map_err(|error| match error.kind() {
            ErrorKind::Lost => error,
            _ => named(error),
        })
    }

    /// Commits a transaction of the driver's with the check that this is still held under its token. Its
    /// keys are the driver's: what the port calls `name` is `Area::USER.key("name")`.
    ///
    /// # Errors
    /// `Lost` if it is no longer held: nothing was changed. `InvalidArgument` for a leader's transaction with an id of
    /// your own: the check is a part of it, and changes with every proclamation. What the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was committed.
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome> {
        self.commit_as("commit", transaction).await
    }

    async fn commit_as(&self, operation: &'static str, transaction: Transaction) -> Result<Outcome> {
        let committed = self.context.leases.commit(operation, &self.lease, transaction).await;
        committed.map_err(|error| if error.kind() == ErrorKind::Lost { error.with_subject(&*self.name) } else { error })
    }

    /// Gives it up; the next has it when this returns.
    pub(crate) async fn release(&self, operation: &'static str) -> Result<()> {
        self.named(self.context.leases.release(operation, &self.lease).await)
    }

    /// An error about what is held.
    pub(crate) fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with_subject(&*self.name))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.context.leases.forget(&self.lease);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("name", &self.name)
            .field("token", &self.token())
            .field("held", &self.is_held())
            .finish_non_exhaustive()
    }
}

/// Runs a body under a guard, and gives up what it holds after. If that is lost, the body is dropped at its next await.
pub(crate) async fn run<G: Deref<Target = Held>, T>(
    operation: &'static str,
    guard: G,
    body: impl AsyncFnOnce(&G) -> T,
) -> Result<T> {
    let result = tokio::select! {
        biased;
        () = guard.lost() => return Err(lost(operation, guard.name())),
        result = body(&guard) => result,
    };
    // What the body did is done, whatever becomes of giving up: that is tried again in the background.
    if let Err(error) = guard.release(operation).await {
        tracing::warn!(%error, "what was held could not be given up after its body");
    }
    Ok(result)
}

/// A lease that is no longer held.
pub(crate) fn lost(operation: &'static str, name: &str) -> Error {
    let problem = "it is no longer held: it was released, its time ran out, or somebody removed it";
    Error::new(ErrorKind::Lost, operation, problem).with_subject(name)
}
