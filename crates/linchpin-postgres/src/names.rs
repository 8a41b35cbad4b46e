//! What a namespace is called on the server, and what is told of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use linchpin_adapter::feed::Topics;
use linchpin_core::Namespace;
use sha2::{Digest, Sha256};

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

/// What a topic of changes is told as: as `linchpin.doorbell` in SQL.
///
/// `NOTIFY` wakes every session of the database that listens, to whatever channel ("async.c" of the server's source), so a
/// channel for each topic would spare the server little. All listen to one, and what it carries says who has to look.
pub(crate) fn topic_hash(topic: &str) -> u16 {
    let hash = Sha256::digest(topic);
    u16::from_be_bytes([hash[0], hash[1]])
}

/// The topics of keys as they are stored.
pub(crate) fn topics(keys: &[Vec<u8>]) -> Topics {
    keys.iter().map(|key| str::from_utf8(key).map_or(Topics::All, |key| Topics::of_key(key, topic_hash))).collect()
}

/// Bytes as they travel in a notification, which is text.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `linchpin.doorbell` says in SQL.
    #[test]
    fn topics_are_told_as_in_sql() {
        for (key, told) in [
            ("k", "8254"),
            ("lock/6:orders/0a7f", "7c81a4b7"),
            ("lock/6:orders/", "a4b7"),
            ("user/config", "68db"),
            ("//a", "5c8aa2c2"),
            ("é\n/ /x", "f259f842"),
        ] {
            assert_eq!(Topics::of_key(key, topic_hash).to_string(), told, "{key:?}");
        }
    }
}
