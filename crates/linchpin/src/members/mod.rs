//! Members: who is there, what they can do, and who comes and goes.
//!
//! A member is a key with a TTL under the group's name, renewed together with the leases of the process. It goes on
//! for as long as the backend has it; if it was gone - after an outage, or a pause longer than the TTL - it is written
//! again. A member that died is gone after its TTL and the slack that the backend declares.
//!
//! The nodes of the port (`register_node`, `heartbeat`, `list_nodes`, `get_node_metadata`) are the members of the
//! group called [`DEFAULT_GROUP`](linchpin_core::DEFAULT_GROUP): each side sees what the other registered.

mod membership;
mod watch;

pub use membership::Membership;
pub use watch::{MemberEvent, MemberStream};

use crate::context::Context;
use crate::leases::{Callbacks, check_ttl};
use crate::range::read_all;
use bytes::Bytes;
use linchpin_core::{Area, Entry, Error, MAX_NAME, NodeId, Page, Range, Result, Revision, stored};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A group of members: made by [`Coordinator::members`](crate::Coordinator::members). Cheap to clone.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> linchpin::Result<()> {
/// let coordinator = linchpin::connect("memory://").await?;
/// let workers = coordinator.members("workers");
/// let membership = workers.clone().id("w1").metadata("10.0.0.7:8080").capabilities(["gpu"]).join().await?;
///
/// let gpus: Vec<_> = workers.list().await?.into_iter().filter(|member| member.can("gpu")).collect();
/// assert_eq!((gpus[0].id.as_str(), &gpus[0].metadata[..]), ("w1", &b"10.0.0.7:8080"[..]));
/// membership.leave().await?;
/// assert!(workers.list().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a group does nothing until it is joined or asked for"]
pub struct Members {
    context: Arc<Context>,
    group: String,
    id: String,
    node: stored::Node,
    ttl: Duration,
    callbacks: Callbacks,
}

impl Members {
    pub(crate) fn new(context: Arc<Context>, group: String) -> Self {
        let (id, ttl) = (context.node_id.to_string(), context.ttl);
        Self { context, group, id, node: stored::Node::default(), ttl, callbacks: Callbacks::default() }
    }

    /// Who joins; the coordinator's node id unless told. Two who join under one id are one member, which says what the
    /// last of them said; if one leaves, the other is there again with its next heartbeat.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// What the member says of itself: any bytes. Empty unless told.
    pub fn metadata(mut self, metadata: impl AsRef<[u8]>) -> Self {
        self.node.metadata = Bytes::copy_from_slice(metadata.as_ref());
        self
    }

    /// What the member can do, for others to choose by: each 1 to 512 bytes of text without NUL and line breaks.
    pub fn capabilities<C: Into<String>>(mut self, capabilities: impl IntoIterator<Item = C>) -> Self {
        self.node.capabilities = ascending(capabilities);
        self
    }

    /// After how long without a sign of life the member is gone; 300 ms at least. It is renewed at a third of that.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Calls back each time a heartbeat failed; it is tried again until the member is there again. The callback must
    /// not block.
    pub fn on_renewal_failure(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.callbacks.on_renewal_failure = Some(Arc::new(callback));
        self
    }

    /// Joins, and stays for as long as the [`Membership`] is kept.
    ///
    /// # Errors
    /// `InvalidArgument` for a group, id, capability, metadata or TTL that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future removes in the background what may have been written.
    pub async fn join(&self) -> Result<Membership> {
        check_ttl("join", "a member", &self.id, self.ttl)?;
        check_capabilities("join", &self.node.capabilities).map_err(|error| error.with_subject(&self.id))?;
        let key = Area::node(&self.group, &self.id).map_err(|error| error.with_operation("join"))?;
        Membership::join(self, key).await
    }

    /// Who is there, ascending by id.
    ///
    /// # Errors
    /// `InvalidArgument` for a group's name that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self) -> Result<Vec<Member>> {
        let named = |error: Error| error.with_operation("list").with_subject(&self.group);
        let prefix = Area::NODES.group(&self.group).map_err(named)?;
        let range = Range::prefix(prefix.clone()).map_err(named)?;
        let entries = read_all(&*self.context.driver, &range, Page::first()).await.map_err(named)?;
        entries.iter().map(|entry| Member::of(&prefix, entry).map_err(named)).collect()
    }

    /// Watches who comes and goes: first who is there, then [`MemberEvent::Synced`], then changes. Somebody who reads
    /// too slowly, or is cut off for a while, may miss changes in between, never the last one of a member.
    ///
    /// # Errors
    /// As [`list`](Self::list). What cannot be read is an error in the stream, which goes on; an error of the watch is its
    /// end.
    ///
    /// # Cancel safety
    /// Cancel safe; dropping the stream ends it.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use futures::StreamExt;
    /// use linchpin::members::MemberEvent;
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let workers = coordinator.members("workers");
    /// let mut changes = workers.watch().await?;
    /// assert!(matches!(changes.next().await.transpose()?, Some(MemberEvent::Synced)));
    /// let membership = workers.join().await?;
    /// assert!(matches!(changes.next().await.transpose()?, Some(MemberEvent::Joined(_))));
    /// drop(membership); // leaves in the background
    /// assert!(matches!(changes.next().await.transpose()?, Some(MemberEvent::Left(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn watch(&self) -> Result<MemberStream> {
        let named = |error: Error| error.with_operation("watch").with_subject(&self.group);
        let prefix = Area::NODES.group(&self.group).map_err(named)?;
        watch::changes(&*self.context.driver, prefix, self.group.clone()).await.map_err(named)
    }
}

/// Capabilities as they are stored: each once.
fn ascending<C: Into<String>>(capabilities: impl IntoIterator<Item = C>) -> Vec<String> {
    let mut capabilities: Vec<String> = capabilities.into_iter().map(Into::into).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    capabilities
}

/// Refuses what would not come back as it was.
fn check_capabilities(operation: &'static str, capabilities: &[String]) -> Result<()> {
    let allowed =
        |capability: &&String| (1..=MAX_NAME).contains(&capability.len()) && !capability.contains(['\0', '\n', '\r']);
    match capabilities.iter().find(|capability| !allowed(capability)) {
        None => Ok(()),
        Some(wrong) => {
            let problem = format!(
                "a capability is 1 to {MAX_NAME} bytes of text without NUL and line breaks; one of {} bytes is not",
                wrong.len()
            );
            Err(Error::invalid(operation, problem))
        }
    }
}

/// A member, as others see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub id: NodeId,
    /// What it says of itself.
    pub metadata: Bytes,
    /// What it can do, ascending.
    pub capabilities: Vec<String>,
    /// The revision at which it came: a member that was gone and came back has a greater one.
    pub joined: Revision,
}

impl Member {
    /// Whether it has this capability.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|own| own == capability)
    }

    fn of(prefix: &str, entry: &Entry) -> Result<Self> {
        let stored::Node { capabilities, metadata, .. } = stored::Node::decode(&entry.value)?;
        let id = NodeId::new(entry.key.as_str().strip_prefix(prefix).unwrap_or_default())?;
        Ok(Self { id, metadata, capabilities, joined: entry.created })
    }
}

impl fmt::Debug for Member {
    /// Without the metadata: that is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .field("metadata", &format_args!("{} bytes", self.metadata.len()))
            .field("capabilities", &self.capabilities)
            .field("joined", &self.joined)
            .finish()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("group", &self.group)
            .field("id", &self.id)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
