//! Where the port and the recipes keep their things, so that they never meet.

use crate::error::{Error, Result};
use crate::name::{Channel, Key, NodeId};
use crate::pattern::Pattern;

/// The group that the port's nodes are in, and the election that its leaders win.
pub const DEFAULT_GROUP: &str = "default";

/// A part of a namespace. What a user names lives behind the area's prefix, so that a user's key can
/// never be taken for a node, a lock or a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// What `get`, `set`, `keys`, ... see; and the channels of `publish` and `subscribe`.
    User,
    /// A key per node of a group: see [`node`](Self::node) and [`stored::Node`](crate::stored::Node).
    Nodes,
    /// A key per election, which is its leader's: see [`stored::Leader`](crate::stored::Leader). Its `created`
    /// is the term.
    Elections,
    /// A key per candidate who waits to become leader.
    Candidates,
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
            Self::Candidates => "candidate/",
            Self::Locks => "lock/",
            Self::Acks => "ack/",
        }
    }

    /// The key that a user calls `name` in this area.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is not allowed.
    pub fn key(self, name: &str) -> Result<Key> {
        Key::within(self.prefix(), name)
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
        Channel::within(self.prefix(), name)
    }

    /// The pattern that a user writes as `text`, for names of this area.
    ///
    /// # Errors
    /// `InvalidArgument` if the pattern is malformed.
    pub fn pattern(self, text: &str) -> Result<Pattern> {
        Pattern::new(text)?.prefixed(self.prefix())
    }

    /// What the keys of a group start with: of the nodes of a group, of those who want a lock, of an
    /// election's candidates. The length keeps apart a group called "a" and one called "a/b".
    ///
    /// # Errors
    /// `InvalidArgument` if the name is not allowed.
    pub fn group(self, name: &str) -> Result<String> {
        let name = Key::new(name)?;
        Ok(format!("{}{}:{name}/", self.prefix(), name.as_str().len()))
    }

    /// The key of a node in a group: the port's nodes are the group [`DEFAULT_GROUP`].
    ///
    /// # Errors
    /// `InvalidArgument` if the group or the id is not allowed.
    pub fn node(group: &str, node_id: &str) -> Result<Key> {
        Key::new(NodeId::new(node_id)?)?.prefixed(&Self::Nodes.group(group)?)
    }

    /// A name that came back from a driver without the prefix that every name of this area has.
    pub(crate) fn strip(self, operation: &'static str, name: &str) -> Result<String> {
        without(self.prefix(), operation, name)
    }
}

/// A name that came back from a driver without the prefix that was asked for.
pub(crate) fn without(prefix: &str, operation: &'static str, name: &str) -> Result<String> {
    name.strip_prefix(prefix).map(str::to_owned).ok_or_else(|| {
        let problem = format!("the driver answered with a name outside of {prefix:?}");
        Error::new(crate::error::ErrorKind::Backend, operation, problem)
    })
}
