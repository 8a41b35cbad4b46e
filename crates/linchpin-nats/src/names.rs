//! The names that things have on the server.

use linchpin_core::{Channel, Key, Namespace, StreamName, TransactionId};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;

/// A namespace's names on the server. What a user calls something is written so that `nats` tools show it, in the
/// characters that they allow: `/` separates the tokens of a subject, whatever else is not a letter, a digit, `-` or
/// `_` becomes `=` and two hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The namespace in the characters of a bucket's name: it has no upper-case letter of its own.
    namespace: Arc<str>,
    /// The stream that holds the keys: a bucket of `nats kv`.
    pub(crate) state: Arc<str>,
}

impl Names {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        let namespace = namespace.as_str().replace('.', "D");
        Self { state: format!("KV_linchpin_{namespace}").into(), namespace: namespace.into() }
    }

    /// The subjects of the stream that holds the keys.
    pub(crate) fn state_subjects(&self) -> [String; 2] {
        [format!("$KV.linchpin_{}.>", self.namespace), format!("linchpin.{}.t.>", self.namespace)]
    }

    pub(crate) fn key(&self, key: &Key) -> String {
        let mut subject = format!("$KV.linchpin_{}.", self.namespace);
        encode(key.as_str(), &mut subject);
        subject
    }

    /// The subjects of all keys that may start with `prefix`: they all lie under the same tokens.
    pub(crate) fn keys_under(&self, prefix: &str) -> String {
        format!("$KV.linchpin_{}.{}>", self.namespace, leading_tokens(prefix))
    }

    /// The key of a subject.
    pub(crate) fn key_of(&self, subject: &str) -> Option<Key> {
        let name = subject.strip_prefix("$KV.linchpin_")?.strip_prefix(&*self.namespace)?.strip_prefix('.')?;
        Key::stored(decode(name)?).ok()
    }

    /// Where the outcome of a transaction is kept that wrote no key, or several.
    pub(crate) fn outcome(&self, id: TransactionId) -> String {
        format!("linchpin.{}.t.{id}", self.namespace)
    }

    /// Where a handle keeps which transactions of its own wrote a key and were answered, by the place of the message that
    /// listed them: others may keep theirs of the same message at the same time.
    pub(crate) fn answered(&self, key: &Key, sequence: u64, writer: u32) -> String {
        format!("{}{sequence}.{writer:x}", self.answered_under(key))
    }

    pub(crate) fn all_answered(&self, key: &Key) -> String {
        format!("{}>", self.answered_under(key))
    }

    fn answered_under(&self, key: &Key) -> String {
        let mut subject = format!("linchpin.{}.t.answered.", self.namespace);
        encode(key.as_str(), &mut subject);
        subject.push('.');
        subject
    }

    /// Where what only checks a key in a transaction over several lies, by its place in the transaction.
    pub(crate) fn check(&self, place: usize) -> String {
        format!("linchpin.{}.t.check.{place}", self.namespace)
    }

    /// A message that is always there, so that reading several subjects always tells the stream's revision.
    pub(crate) fn anchor(&self) -> String {
        format!("linchpin.{}.t.anchor", self.namespace)
    }

    pub(crate) fn channel(&self, channel: &Channel) -> String {
        let mut subject = format!("linchpin.{}.m.", self.namespace);
        encode(channel.as_str(), &mut subject);
        subject
    }

    /// The subjects of all channels that may start with `prefix`.
    pub(crate) fn channels_under(&self, prefix: &str) -> String {
        format!("linchpin.{}.m.{}>", self.namespace, leading_tokens(prefix))
    }

    /// The channel of a subject.
    pub(crate) fn channel_of(&self, subject: &str) -> Option<String> {
        let name = subject.strip_prefix("linchpin.")?.strip_prefix(&*self.namespace)?.strip_prefix(".m.")?;
        decode(name)
    }

    /// What the subjects of a stream's records start with, and of what its groups keep.
    pub(crate) fn stream(&self, part: &str, stream: &StreamName) -> String {
        let mut subject = format!("linchpin.{}.{part}.", self.namespace);
        encode(&stream.storage_name(), &mut subject);
        subject
    }

    /// What the names of the namespace's other streams start with, and of no other's: it has no upper-case `S`.
    pub(crate) fn stream_prefix(&self) -> String {
        format!("linchpin_{}_S_", self.namespace)
    }

    /// The name of the stream that holds a stream's records.
    pub(crate) fn records(&self, stream: &StreamName) -> String {
        format!("{}{}", self.stream_prefix(), short_token(&stream.storage_name()))
    }

    /// The subjects of all streams' records.
    pub(crate) fn all_records(&self) -> String {
        format!("linchpin.{}.s.>", self.namespace)
    }

    /// The name of the stream that holds what groups were delivered; no records have it.
    pub(crate) fn ledger(&self) -> String {
        format!("{}=groups", self.stream_prefix())
    }

    /// The subjects of what groups were delivered, and of where cleared streams ended.
    pub(crate) fn ledger_subjects(&self) -> [String; 2] {
        ["g", "c"].map(|part| format!("linchpin.{}.{part}.>", self.namespace))
    }
}

/// Appends a name as the tokens of a subject. A token ends after `/`, which is not written, and after `:` and `.`,
/// which are: so what a prefix asks for can be asked of the server. An empty token is written as `=`.
fn encode(name: &str, subject: &mut String) {
    let mut empty = true;
    for byte in name.bytes() {
        match byte {
            b'/' => {
                subject.push_str(if empty { "=." } else { "." });
                empty = true;
            }
            b':' | b'.' => {
                let _ = write!(subject, "={byte:02X}.");
                empty = true;
            }
            byte => {
                encode_byte(byte, subject);
                empty = false;
            }
        }
    }
    if empty {
        subject.push('=');
    }
}

fn encode_byte(byte: u8, text: &mut String) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
        text.push(char::from(byte));
    } else {
        let _ = write!(text, "={byte:02X}");
    }
}

/// The tokens that every name has that starts with `prefix`, each with its dot.
fn leading_tokens(prefix: &str) -> String {
    let whole = prefix.rfind(['/', ':', '.']).map_or("", |end| &prefix[..=end]);
    let mut tokens = String::new();
    encode(whole, &mut tokens);
    // The last is the empty one after the last separator.
    tokens.pop();
    tokens
}

/// A name from its tokens.
fn decode(subject: &str) -> Option<String> {
    let mut name = Vec::with_capacity(subject.len());
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token != "=" {
            decode_token(token, &mut name)?;
        }
        let written = token.ends_with("=3A") || token.ends_with("=2E");
        if tokens.peek().is_some() && !written {
            name.push(b'/');
        }
    }
    String::from_utf8(name).ok()
}

fn decode_token(token: &str, name: &mut Vec<u8>) -> Option<()> {
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(())
}

/// A name as one token, for what is named and no subject: streams and consumers.
pub(crate) fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    name.bytes().for_each(|byte| encode_byte(byte, &mut token));
    token
}

/// A name as one token that is no longer than a stream's or a consumer's name may be: a long one ends with its hash.
pub(crate) fn short_token(name: &str) -> String {
    const LONGEST: usize = 150;
    let mut token = token(name);
    if token.len() > LONGEST {
        token.truncate(LONGEST - 34);
        token.push_str("=-");
        for byte in &Sha256::digest(name)[..16] {
            let _ = write!(token, "{byte:02x}");
        }
    }
    token
}

/// The name of a [`token`].
pub(crate) fn name_of_token(token: &str) -> Option<String> {
    let mut name = Vec::with_capacity(token.len());
    decode_token(token, &mut name)?;
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: &[&str] = &[
        "a",
        "order:123",
        "a/b",
        "a//b",
        "/",
        "//",
        "a/",
        "/a",
        ":",
        "::",
        "a:/b",
        "a:b",
        "a.b",
        "..",
        "a.",
        ".a",
        "*",
        ">",
        "a b",
        "=",
        "=3A",
        "a=3A/b",
        "$KV",
        "é",
        "\u{1F600}",
        "lock/3:abc/00ff",
        "\r\n",
        "\t",
        "a\\b",
        "=2E",
        "A_b-C",
    ];

    fn encoded(name: &str) -> String {
        let mut subject = String::new();
        encode(name, &mut subject);
        subject
    }

    #[test]
    fn every_name_comes_back_and_none_is_anothers() {
        for name in HARD {
            let subject = encoded(name);
            assert_eq!(decode(&subject).as_deref(), Some(*name), "{subject}");
            assert!(subject.split('.').all(|token| !token.is_empty()), "{subject}");
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_=.".contains(c);
            assert!(subject.chars().all(allowed), "{subject}");
            assert_eq!(name_of_token(&token(name)).as_deref(), Some(*name));
        }
        let all: std::collections::HashSet<_> = HARD.iter().map(|name| encoded(name)).collect();
        assert_eq!(all.len(), HARD.len());
    }

    #[test]
    fn what_starts_with_a_prefix_lies_under_its_tokens() {
        for name in HARD {
            for (end, _) in name.char_indices().chain([(name.len(), ' ')]) {
                let tokens = leading_tokens(&name[..end]);
                let subject = encoded(name);
                assert!(
                    subject.starts_with(&tokens) && subject.len() > tokens.len(),
                    "{name:?} {tokens:?} {subject:?}"
                );
            }
        }
        assert_eq!(leading_tokens("lock/3:abc/x"), "lock.3=3A.abc.");
        assert_eq!((leading_tokens("user"), leading_tokens("")), (String::new(), String::new()));
    }

    #[test]
    fn a_long_name_is_cut_to_a_token_of_its_own() {
        let long = |end: &str| short_token(&format!("{}{end}", "é".repeat(256)));
        assert_eq!(short_token("a/b"), token("a/b"));
        assert_eq!(long("a").len(), 150);
        assert_ne!(long("a"), long("b"));
        // What is cut off ends with what no token of a whole name has.
        assert!(long("a").contains("=-") && name_of_token(&long("a")).is_none());
    }

    #[test]
    fn a_namespace_never_names_what_is_anothers() {
        let names = |text: &str| Names::new(&Namespace::new(text).expect("valid"));
        let (one, other, dotted) = (names("a"), names("a-b"), names("a.b"));
        let key = Key::new("k/1").expect("valid");
        assert_eq!(one.key(&key), "$KV.linchpin_a.k.1");
        assert_eq!(one.key_of(&one.key(&key)), Some(key.clone()));
        assert_eq!((one.key_of(&other.key(&key)), one.key_of(&dotted.key(&key))), (None, None));
        assert_eq!(dotted.keys_under("k/"), "$KV.linchpin_aDb.k.>");
        assert_eq!(&*dotted.state, "KV_linchpin_aDb");
    }
}
