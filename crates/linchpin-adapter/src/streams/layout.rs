//! Under which keys a stream is kept, and what stands there.
//!
//! A stream has an id of its own, and so has a group: what comes after one that was removed has another. So everything
//! that is to be changed is guarded by the key that says whose id it is, and what is left of the removed can be taken away
//! in steps.
//!
//! | key | value |
//! |---|---|
//! | `stream/` length and name | [`Head`]: the stream's id, where its first record stands |
//! | `cleared/` length and name | where the last record stood of a stream that was cleared |
//! | `bell/` length and name | nothing: written whenever a claim may find more |
//! | `next/` id | where the next record will stand |
//! | `bounds/` id | where the first record stands that is left; written, too, when a group comes to be |
//! | `record/` id `/` position | the record |
//! | `delay/` id `/` position | nothing: as long as it is there the record is held back |
//! | `once/` id `/` record's id | where the record stands, for as long as its id is remembered |
//! | `group/` id `/` group | the group's id |
//! | `looked/` group's id | the first position that it has not looked at |
//! | `pending/` group's id `/` position | [`Pending`]: what it has looked at and not settled |
//! | `hold/` group's id `/` position | nothing: as long as it is there the record is not delivered again |
//! | `left/` id | what of a stream or group that was removed may still be there |

use bytes::Bytes;
use linchpin_core::{Entry, Error, Key, MAX_STORED_NAME, Position, Range, Result, StreamName, hash_128};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The id of a stream or of a group: no other has or had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Id(u64);

impl Id {
    pub(super) fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a stream is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: Id,
    /// Where its first record stands, or will.
    pub(super) start: Position,
    pub(super) name: StreamName,
}

/// A record that a group has looked at and not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// How often it was delivered; 0 for one that was held back.
    pub(super) deliveries: u32,
    /// Whether a member has it, and may settle it even when it is due.
    pub(super) held: bool,
}

/// A stream or a group that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Removal {
    Stream(Id),
    Group(Id),
}

/// A kind of keys of which each stream has one.
#[derive(Clone, Copy)]
pub(super) enum OfName {
    Head,
    Cleared,
    Bell,
}

impl OfName {
    pub(super) fn key(self, stream: &StreamName) -> Result<Key> {
        let (kind, name) = (self.prefix(), stream.as_str());
        let group = stream.dead_letters_of().map_or("", |group| group.as_str());
        let key = format!("{kind}{}/{name}{group}", name.len());
        // Longer than a key may be, behind several layers: what stands there says whose it is.
        Key::stored(if key.len() > MAX_STORED_NAME { format!("{kind}#{:032x}", hash_128(key.bytes())) } else { key })
    }

    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Head => "stream/",
            Self::Cleared => "cleared/",
            Self::Bell => "bell/",
        }
    }
}

/// A kind of keys under the id of a stream or of a group.
#[derive(Clone, Copy)]
pub(super) enum OfId {
    Next,
    Bounds,
    Record,
    Delay,
    Once,
    Group,
    Looked,
    Pending,
    Hold,
    Left,
}

impl OfId {
    fn kind(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Bounds => "bounds",
            Self::Record => "record",
            Self::Delay => "delay",
            Self::Once => "once",
            Self::Group => "group",
            Self::Looked => "looked",
            Self::Pending => "pending",
            Self::Hold => "hold",
            Self::Left => "left",
        }
    }

    /// The one key of its kind under an id.
    pub(super) fn key(self, id: Id) -> Result<Key> {
        Key::stored(format!("{}/{id}", self.kind()))
    }

    /// In the order of the positions.
    pub(super) fn at(self, id: Id, position: Position) -> Result<Key> {
        Key::stored(format!("{}/{id}/{:020}", self.kind(), position.0))
    }

    pub(super) fn named(self, id: Id, name: &str) -> Result<Key> {
        // A record's id may contain what no key may.
        let name = name.replace('%', "%%").replace('\0', "%0");
        Key::stored(format!("{}/{id}/{name}", self.kind()))
    }

    /// All of its kind under an id.
    pub(super) fn range(self, id: Id) -> Range {
        Range::Prefix(format!("{}/{id}/", self.kind()))
    }

    /// All of its kind.
    pub(super) fn all(self) -> Range {
        Range::Prefix(format!("{}/", self.kind()))
    }
}

/// The position that a key of [`OfId::at`] ends with.
pub(super) fn position(key: &Key) -> Result<Position> {
    let digits = key.as_str().rsplit('/').next().and_then(|digits| digits.parse().ok());
    digits.map(Position).ok_or_else(|| unreadable(key))
}

/// The name that a key of [`OfId::named`] ends with, of one that has no `%`, as that of a group.
pub(super) fn name(key: &Key) -> String {
    let name = key.as_str().splitn(3, '/').nth(2).unwrap_or_default();
    // `%%0` is a percent sign and a zero.
    name.split("%%").map(|part| part.replace("%0", "\0")).collect::<Vec<_>>().join("%")
}

pub(super) fn write(value: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        Error::new(linchpin_core::ErrorKind::Backend, "streams", "something cannot be stored").with_source(error)
    })
}

pub(super) fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T> {
    serde_json::from_slice(&entry.value).map_err(|_| unreadable(&entry.key))
}

pub(super) fn unreadable(key: &Key) -> Error {
    Error::unreadable("streams", "something that is stored in another form").with_subject(key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::GroupName;

    #[test]
    fn no_two_streams_share_a_key() {
        let stream = |name: &str| StreamName::new(name).expect("valid");
        let dead = |name: &str, group: &str| stream(name).dead_letters(&GroupName::new(group).expect("valid"));
        let names = [stream("a"), stream("ab"), dead("a", "b"), dead("ab", "c"), dead("a", "bc"), stream("abc")];
        let keys: Vec<_> = names.iter().map(|name| OfName::Head.key(name).expect("short")).collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{key}");
        }
    }

    #[test]
    fn any_id_of_a_record_is_a_key_of_its_own() {
        let id = Id(7);
        let ids = ["a", "%", "\0", "%0", "%%0", "%\0", "a/b", "é"];
        let keys: Vec<_> = ids.iter().map(|name| OfId::Once.named(id, name).expect("valid")).collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{key}");
            assert_eq!(name(key), ids[index]);
        }
        OfId::Once.named(id, &"\0".repeat(256)).expect("short enough");
    }

    #[test]
    fn positions_are_in_their_order() {
        let keys = [9, 10, u64::MAX].map(|at| OfId::Record.at(Id(1), Position(at)).expect("valid"));
        assert!(keys.is_sorted());
        assert_eq!(position(&keys[2]).expect("readable"), Position(u64::MAX));
    }
}
