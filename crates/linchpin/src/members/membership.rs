//! A membership that is kept.

use super::{Members, ascending, check_capabilities};
use crate::leases::{Answer, Callbacks, Kind, Lease, Leases, Request, call};
use bytes::Bytes;
use linchpin_core::{Error, ErrorKind, Key, Result, stored};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The longest pause before a member that was gone tries to be there again.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A member that stays for as long as this is kept. Dropping it leaves in the background.
///
/// Its heartbeats are sent together with the renewals of locks and leaderships. If the backend has lost the member -
/// an outage or a pause longer than the TTL - it joins again with what it said last.
#[must_use = "dropping the membership leaves"]
pub struct Membership {
    shared: Arc<Shared>,
    /// Joins again when the member was gone.
    task: Option<JoinHandle<()>>,
}

struct Shared {
    leases: Arc<Leases>,
    id: String,
    key: Key,
    ttl: Duration,
    callbacks: Callbacks,
    node: Mutex<stored::Node>,
    lease: Mutex<Arc<Lease>>,
    /// Held by whoever writes the key: so nobody writes what another has just replaced.
    writing: tokio::sync::Mutex<()>,
}

impl Membership {
    pub(super) async fn join(members: &Members, key: Key) -> Result<Self> {
        let Members { context, id, node, ttl, callbacks, .. } = members.clone();
        let (leases, node) = (context.leases.clone(), stored::Node { membership: Some(fastrand::u64(..)), ..node });
        let lease = request("join", &leases, &id, &key, node.encode(), ttl).await?;
        lease.tell(callbacks.clone());
        let (node, lease, writing) = (Mutex::new(node), Mutex::new(lease), tokio::sync::Mutex::default());
        let shared = Arc::new(Shared { leases, id, key, ttl, callbacks, node, lease, writing });
        let task = shared.leases.home().spawn(shared.clone().stay());
        Ok(Self { shared, task })
    }

    /// Who this is.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Says something else of itself from now on, and joins again with that if it must.
    ///
    /// # Errors
    /// `InvalidArgument` for metadata that is too large; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether others see it now or when the member joins again.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let workers = coordinator.members("workers");
    /// let membership = workers.join().await?;
    /// membership.update("load 0.7").await?;
    /// membership.update_capabilities(["draining"]).await?;
    /// let member = &workers.list().await?[0];
    /// assert_eq!(member.metadata, "load 0.7");
    /// assert!(member.can("draining"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update(&self, metadata: impl AsRef<[u8]>) -> Result<()> {
        let metadata = Bytes::copy_from_slice(metadata.as_ref());
        self.shared.say("update", |node| node.metadata = metadata).await
    }

    /// Can something else from now on, and joins again with that if it must.
    ///
    /// # Errors
    /// `InvalidArgument` for a capability that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// As [`update`](Self::update).
    pub async fn update_capabilities<C: Into<String>>(&self, capabilities: impl IntoIterator<Item = C>) -> Result<()> {
        let capabilities = ascending(capabilities);
        let checked = check_capabilities("update_capabilities", &capabilities);
        checked.map_err(|error| error.with_subject(&self.shared.id))?;
        self.shared.say("update_capabilities", |node| node.capabilities = capabilities).await
    }

    /// Leaves; others see it gone when this returns.
    ///
    /// # Errors
    /// What the backend fails with: then it is tried again in the background until the TTL has passed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves in the background.
    pub async fn leave(self) -> Result<()> {
        // Whoever is joining again just now is waited for: what it writes is removed here.
        let _writing = self.shared.writing.lock().await;
        self.task.iter().for_each(JoinHandle::abort);
        let lease = self.shared.lease.lock().clone();
        match self.shared.leases.release("leave", &lease).await {
            Err(error) if error.kind() == ErrorKind::Lost => Ok(()),
            left => left.map_err(|error| error.with_subject(&self.shared.id)),
        }
    }
}

impl Shared {
    /// Changes what the member says, and writes it.
    async fn say(&self, operation: &'static str, change: impl FnOnce(&mut stored::Node)) -> Result<()> {
        let _writing = self.writing.lock().await;
        let before = self.node.lock().clone();
        let said = {
            let mut node = self.node.lock();
            change(&mut node);
            node.encode()
        };
        let lease = self.lease.lock().clone();
        let written = match self.leases.rewrite(operation, &lease, said).await {
            Err(error) if error.kind() == ErrorKind::Lost => self.join_again(operation).await,
            written => written,
        };
        written.map_err(|error| {
            if error.kind() == ErrorKind::InvalidArgument {
                *self.node.lock() = before;
            }
            error.with_subject(&self.id)
        })
    }

    /// Joins again whenever the member was gone. Ends with the leases, or when it is aborted.
    async fn stay(self: Arc<Self>) {
        let mut pause = self.ttl / 12;
        loop {
            let lease = self.lease.lock().clone();
            lease.lost().await;
            let writing = self.writing.lock().await;
            if self.lease.lock().is_held() {
                continue;
            }
            match self.join_again("join").await {
                Ok(()) => {
                    tracing::info!(member = %self.id, "a member that was gone is there again");
                    pause = self.ttl / 12;
                }
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    drop(writing);
                    tracing::warn!(%error, member = %self.id, "a member could not join again; trying on");
                    if let Some(callback) = &self.callbacks.on_renewal_failure {
                        call(|| callback(&error));
                    }
                    tokio::time::sleep(pause.min(MAX_PAUSE)).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    async fn join_again(&self, operation: &'static str) -> Result<()> {
        let said = self.node.lock().encode();
        let lease = request(operation, &self.leases, &self.id, &self.key, said, self.ttl).await?;
        lease.tell(self.callbacks.clone());
        *self.lease.lock() = lease;
        Ok(())
    }
}

/// Writes the member's key for a time.
async fn request(
    operation: &'static str,
    leases: &Leases,
    id: &str,
    key: &Key,
    value: Bytes,
    ttl: Duration,
) -> Result<Arc<Lease>> {
    let request = Request { operation, kind: Kind::Presence, key: key.clone(), value, ttl, empty: None };
    match leases.request(request).await.map_err(|error| error.with_subject(id))? {
        Answer::Granted(lease) => Ok(lease),
        Answer::Taken => Err(Error::new(ErrorKind::Backend, operation, "a write without a guard was refused")),
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Shared {
    /// With the last of membership and task: so what the task has just written is given up too.
    fn drop(&mut self) {
        self.leases.forget(self.lease.get_mut());
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("id", &self.shared.id).field("ttl", &self.shared.ttl).finish_non_exhaustive()
    }
}
