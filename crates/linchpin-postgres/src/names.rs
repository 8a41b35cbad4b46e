//! What a namespace is called on the server, and what is told of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use linchpin_core::Namespace;

/// The longest payload of a notification, in bytes: the server takes less than 8000.
pub(crate) const LONGEST: usize = 7999;

/// What is told by notifications; each has a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// How many changes of keys there are, and which topics they have, for watchers.
    Changes,
    /// Messages.
    Messages,
    /// Streams that are worth another look, for members that wait.
    Streams,
}

impl Topic {
    /// What it is called in SQL.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Changes => "c",
            Self::Messages => "m",
            Self::Streams => "s",
        }
    }
}

/// What a namespace is called on the server.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) namespace: String,
}

impl Names {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self { namespace: namespace.to_string() }
    }
}

/// Bytes as they travel in a notification, which is text.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
