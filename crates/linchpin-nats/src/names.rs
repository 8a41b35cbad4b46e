//! The names that things have on the server.

use linchpin_core::{Channel, Namespace, StreamName};
use std::fmt::Write as _;
use std::sync::Arc;

/// A namespace's names on the server. What a user calls something is written so that `nats` tools show it, in the
/// characters that they allow: `/` separates the tokens of a subject, whatever else is not a letter, a digit, `-` or
/// `_` becomes `=` and two hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The namespace in the characters of a stream's name: it has no upper-case letter of its own.
    namespace: Arc<str>,
}

impl Names {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self { namespace: namespace.as_str().replace('.', "D").into() }
    }

    /// The stream that holds what was done, in its order.
    pub(crate) fn log(&self) -> String {
        format!("linchpin_{}_LOG", self.namespace)
    }

    pub(crate) fn log_subject(&self) -> String {
        format!("linchpin.{}.log", self.namespace)
    }

    /// The stream that holds snapshots, and what records of streams carry.
    pub(crate) fn data(&self) -> String {
        format!("linchpin_{}_DATA", self.namespace)
    }

    pub(crate) fn data_subjects(&self) -> [String; 2] {
        [self.all_parts(), format!("linchpin.{}.r.>", self.namespace)]
    }

    /// The subjects of the parts of all snapshots.
    pub(crate) fn all_parts(&self) -> String {
        format!("linchpin.{}.s.>", self.namespace)
    }

    /// The subjects of the parts of a snapshot.
    pub(crate) fn parts(&self, offset: u64) -> String {
        format!("linchpin.{}.s.{offset}.*", self.namespace)
    }

    pub(crate) fn part(&self, offset: u64, number: usize) -> String {
        format!("linchpin.{}.s.{offset}.{number}", self.namespace)
    }

    /// The offset of the snapshot that a subject is of.
    pub(crate) fn offset_of(&self, subject: &str) -> Option<u64> {
        let rest = subject.strip_prefix("linchpin.")?.strip_prefix(&*self.namespace)?.strip_prefix(".s.")?;
        rest.split('.').next()?.parse().ok()
    }

    /// What the records of a stream carry.
    pub(crate) fn contents(&self, stream: &StreamName) -> String {
        let mut subject = format!("linchpin.{}.r.", self.namespace);
        encode(stream.as_str(), &mut subject);
        subject
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
    fn a_namespace_never_names_what_is_anothers() {
        let names = |text: &str| Names::new(&Namespace::new(text).expect("valid"));
        let (one, other, dotted) = (names("a"), names("a-b"), names("a.b"));
        assert_eq!((one.log(), dotted.data()), ("linchpin_a_LOG".to_owned(), "linchpin_aDb_DATA".to_owned()));
        let channel = Channel::new("k/1").expect("valid");
        assert_eq!(one.channel(&channel), "linchpin.a.m.k.1");
        assert_eq!(one.channel_of(&one.channel(&channel)).as_deref(), Some("k/1"));
        assert_eq!((one.channel_of(&other.channel(&channel)), one.channel_of(&dotted.channel(&channel))), (None, None));
        assert_eq!((one.offset_of(&one.part(70, 3)), one.offset_of(&other.part(70, 3))), (Some(70), None));
    }
}
