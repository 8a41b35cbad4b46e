//! The channels of NOTIFY that a namespace has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use linchpin_core::Namespace;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The longest payload of a notification, in bytes: the server takes less than 8000.
pub(crate) const LONGEST: usize = 7999;

/// What is told on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Changes of keys, for watchers.
    Changes,
    /// Messages.
    Messages,
    /// Streams that are worth another look, for members that wait.
    Streams,
}

/// What a namespace is called on the server.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) namespace: String,
    channels: [String; 3],
}

impl Names {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        let namespace = namespace.to_string();
        let channels = ['c', 'm', 's'].map(|kind| channel(&namespace, kind));
        Self { namespace, channels }
    }

    pub(crate) fn channel(&self, topic: Topic) -> &str {
        match topic {
            Topic::Changes => &self.channels[0],
            Topic::Messages => &self.channels[1],
            Topic::Streams => &self.channels[2],
        }
    }

    pub(crate) fn topic(&self, channel: &str) -> Option<Topic> {
        let topics = [Topic::Changes, Topic::Messages, Topic::Streams];
        topics.into_iter().find(|topic| self.channel(*topic) == channel)
    }
}

/// As `linchpin.channel` in SQL: a namespace is too long for the name of a channel, which has 63 bytes at most.
fn channel(namespace: &str, kind: char) -> String {
    let mut name = "linchpin_".to_owned();
    for byte in &Sha256::digest(namespace)[..16] {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.push('_');
    name.push(kind);
    name
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

    #[test]
    fn channels_fit_and_come_back_as_topics() {
        let names = Names::new(&Namespace::new("a".repeat(63)).expect("valid"));
        for topic in [Topic::Changes, Topic::Messages, Topic::Streams] {
            assert!(names.channel(topic).len() <= 63);
            assert_eq!(names.topic(names.channel(topic)), Some(topic));
        }
        assert_eq!(channel("orders", 'c'), "linchpin_1c168adb00d208e42f93314529f1fa9c_c");
    }
}
