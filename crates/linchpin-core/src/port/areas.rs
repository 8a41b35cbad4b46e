//! Where the port and the recipes keep their things, so that they never meet.

use crate::error::{Error, Result};
use crate::name::{Channel, Key, NodeId, StreamName};
use crate::pattern::Pattern;

/// The group that the port's nodes are in, and the election that its leaders win.
pub const DEFAULT_GROUP: &str = "default";

/// A part of a namespace: names that start alike. What a user names lives behind the area's prefix, so that a user's
/// key can never be taken for a node, a lock or a leader. The port's areas are here; each recipe has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Area(&'static str);

impl Area {
    /// What `get`, `set`, `keys`, ... see; the channels of `publish` and `subscribe`; the streams of users.
    pub const USER: Self = Self::new("user/");
    /// A key per node of a group: see [`node`](Self::node) and [`stored::Node`](crate::stored::Node).
    pub const NODES: Self = Self::new("node/");
    /// A key per election, which is its leader's: see [`stored::Leader`](crate::stored::Leader). Its `created`
    /// is the term.
    pub const ELECTIONS: Self = Self::new("election/");
    /// The channels on which acknowledgements come back.
    pub const ACKS: Self = Self::new("ack/");

    /// An area of your own, for a recipe of yours. Two recipes that have one area meet in it.
    ///
    /// ```
    /// use linchpin_core::Area;
    /// const SEMAPHORES: Area = Area::new("semaphore/");
    /// assert_eq!(SEMAPHORES.key("pool")?.as_str(), "semaphore/pool");
    /// # Ok::<(), linchpin_core::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the prefix is not 1 to 31 lower-case letters and a `/` after them: for a constant, while it is compiled.
    pub const fn new(prefix: &'static str) -> Self {
        let bytes = prefix.as_bytes();
        assert!(1 < bytes.len() && bytes.len() <= 32 && bytes[bytes.len() - 1] == b'/', "1 to 31 letters, and a '/'");
        let mut index = 0;
        while index + 1 < bytes.len() {
            assert!(bytes[index].is_ascii_lowercase(), "lower-case letters before the '/'");
            index += 1;
        }
        Self(prefix)
    }

    /// What names in this area start with.
    pub const fn prefix(self) -> &'static str {
        self.0
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

    /// The stream that a user calls `name` in this area. Its dead letters are in the same area.
    ///
    /// ```
    /// use linchpin_core::Area;
    /// assert_eq!(Area::USER.stream("orders")?.to_string(), "user/orders");
    /// # Ok::<(), linchpin_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if the name is not allowed.
    pub fn stream(self, name: &str) -> Result<StreamName> {
        StreamName::new(name)?.prefixed(self.prefix())
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
        Key::new(NodeId::new(node_id)?)?.prefixed(&Self::NODES.group(group)?)
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
