//! Where the port and the recipes keep their things, so that they never meet.

use crate::error::{Error, Result};
use crate::name::{Channel, Key, NodeId};
use crate::pattern::Pattern;

/// A part of a namespace. What a user names lives behind the area's prefix, so that a user's key can
/// never be taken for a node, a lock or a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// What `get`, `set`, `keys`, ... see; and the channels of `publish` and `subscribe`.
    User,
    /// A key per node: its id, and its metadata as the value.
    Nodes,
    /// A key per election: the leader's id as the value; its `created` is the term.
    Elections,
    /// A key per holder and waiter of a lock.
    Locks,
    /// The channels on which acknowledgements come back.
    Acks,
}

impl Area {
    /// What names in this area start with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::User => "user/",
            Self::Nodes => "node/",
            Self::Elections => "election/",
            Self::Locks => "lock/",
            Self::Acks => "ack/",
        }
    }

    /// The key that a user calls `name` in this area.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is not allowed.
    pub fn key(self, name: &str) -> Result<Key> {
        Key::new(name)?.prefixed(self.prefix())
    }

    /// What a user calls a key of this area.
    pub fn name(self, key: &Key) -> Option<&str> {
        key.as_str().strip_prefix(self.prefix())
    }

    /// The channel that a user calls `name` in this area.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is not allowed.
    pub fn channel(self, name: &str) -> Result<Channel> {
        Channel::new(name)?.prefixed(self.prefix())
    }

    /// The pattern that a user writes as `text`, for names of this area.
    ///
    /// # Errors
    /// `InvalidArgument` if the pattern is malformed.
    pub fn pattern(self, text: &str) -> Result<Pattern> {
        Pattern::new(text)?.prefixed(self.prefix())
    }

    /// The key of a node.
    ///
    /// # Errors
    /// `InvalidArgument` if the id is not allowed.
    pub fn node(node_id: &str) -> Result<Key> {
        Self::Nodes.key(NodeId::new(node_id)?.as_str())
    }

    /// A name that came back from a driver without the prefix that every name of this area has.
    pub(crate) fn strip(self, operation: &'static str, name: &str) -> Result<String> {
        name.strip_prefix(self.prefix()).map(str::to_owned).ok_or_else(|| {
            let problem = format!("the driver answered with a name outside of {:?}", self.prefix());
            Error::new(crate::error::ErrorKind::Backend, operation, problem)
        })
    }
}
