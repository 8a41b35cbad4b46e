//! The secret of a namespace: whoever may read its row knows the names of its channels, and nobody else.

use crate::names::Topic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// How long a seal is, and the space after it.
pub(crate) const SEAL: usize = 25;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    secret: Vec<u8>,
    channels: [(Topic, String); 3],
}

impl Secret {
    pub(crate) fn new(secret: Vec<u8>) -> Self {
        let channels = [Topic::Changes, Topic::Messages, Topic::Streams].map(|topic| (topic, channel(&secret, topic)));
        Self { secret, channels }
    }

    pub(crate) fn topic(&self, channel: &str) -> Option<Topic> {
        self.channels.iter().find(|(_, name)| name == channel).map(|(topic, _)| *topic)
    }

    /// What was sealed with it: as `linchpin.seal` in SQL.
    pub(crate) fn open<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (seal, text) = text.split_once(' ')?;
        let seal = STANDARD.decode(seal).ok()?;
        let inner = Sha256::new().chain_update(&self.secret).chain_update(text).finalize();
        let expected = Sha256::new().chain_update(&self.secret).chain_update(inner).finalize();
        // All bytes are looked at, however many are right.
        let differs = seal.iter().zip(&expected).fold(0, |differs, (one, other)| differs | (one ^ other));
        (seal.len() == 16 && differs == 0).then_some(text)
    }
}

/// As `linchpin.channel` in SQL.
fn channel(secret: &[u8], topic: Topic) -> String {
    let mut name = "linchpin_".to_owned();
    let digest = Sha256::new().chain_update(secret).chain_update(topic.kind()).finalize();
    for byte in &digest[..16] {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `linchpin.channel` and `linchpin.seal` say in SQL.
    #[test]
    fn channels_and_seals_are_those_of_the_server() {
        let secret = Secret::new(b"secret".to_vec());
        assert_eq!(channel(b"secret", Topic::Changes), "linchpin_a5d5ddccaa5eaf33cbcacfcad186516d");
        assert_eq!(secret.topic(&channel(b"secret", Topic::Streams)), Some(Topic::Streams));
        assert_eq!(secret.topic(&channel(b"another", Topic::Streams)), None);
        let sealed = "GeACdiliFAW287h/cJ62cQ== a b";
        assert_eq!(sealed.find(' '), Some(SEAL - 1));
        assert_eq!(secret.open(sealed), Some("a b"));
        assert_eq!(Secret::new(b"another".to_vec()).open(sealed), None);
        for forged in ["", "a b", " a b", "GeACdiliFAW287h/cJ62cQ== a c", "GeACdiliFAW287h/cJ62 a b"] {
            assert_eq!(secret.open(forged), None, "{forged}");
        }
    }
}
