//! Versioned state as it is read: revisions, entries, ranges and pages.

use crate::error::{Error, Result};
use crate::name::{Key, MAX_STORED_NAME};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A point in a namespace's history. A namespace's revisions only grow: across deletes, expiry,
/// restarts and `clear`, and as far as the backend can know across lost data. Whatever changes keys takes one of
/// its own: a transaction that writes, an expiry. Below 2^53, so that every language and script can hold it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A key with its value and versions, as of the revision it was read at.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value; empty where the reader asked for keys only.
    pub value: Bytes,
    /// The revision at which the key came to be: the fencing token of whoever created it.
    pub created: Revision,
    /// The revision of its last write. Extending a TTL is not a write.
    pub version: Revision,
    /// How long it has left to live, by the server's clock at the time of reading: never more than was granted;
    /// `None` is for ever.
    pub ttl: Option<Duration>,
}

impl fmt::Debug for Entry {
    /// The value's length only: values are the user's and never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("value", &format_args!("{} bytes", self.value.len()))
            .field("created", &self.created)
            .field("version", &self.version)
            .field("ttl", &self.ttl)
            .finish()
    }
}

/// The entries of the keys asked for, in their order, all as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision that the entries were read at.
    pub revision: Revision,
    /// One per key asked for; `None` where the key does not exist.
    pub entries: Vec<Option<Entry>>,
}

impl Snapshot {
    /// The entry of the only key asked for, if it exists; the first that exists of several.
    pub fn into_entry(self) -> Option<Entry> {
        self.entries.into_iter().flatten().next()
    }
}

/// Some keys of a namespace: one, or all that start with a prefix.
///
/// ```
/// use linchpin_core::{Key, Range};
/// assert!(Range::all().contains(&Key::new("a")?));
/// assert!(Range::prefix("lock/")?.contains(&Key::new("lock/a")?));
/// assert!(!Range::Key(Key::new("a")?).contains(&Key::new("ab")?));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// One key.
    Key(Key),
    /// Every key that starts with this text; the empty text is every key.
    Prefix(String),
}

impl Range {
    /// Every key of the namespace.
    pub const fn all() -> Self {
        Self::Prefix(String::new())
    }

    /// Every key that starts with `prefix`.
    ///
    /// # Errors
    /// `InvalidArgument` if it is longer than a key may be or contains NUL.
    pub fn prefix(prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        if prefix.len() > MAX_STORED_NAME || prefix.contains('\0') {
            return Err(Error::invalid("range", "the prefix is too long or contains NUL").with_subject(prefix));
        }
        Ok(Self::Prefix(prefix))
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &Key) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Prefix(prefix) => key.as_str().starts_with(prefix.as_str()),
        }
    }
}

/// Which part of a range to read: keys ascend by their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Start after this key; `None` starts at the first.
    pub after: Option<Key>,
    /// How many entries at most; at least 1, at most [`Page::MAX_LIMIT`].
    pub limit: usize,
    /// Whether to read values; without, entries have empty values and cost less.
    pub values: bool,
}

impl Page {
    /// The largest page.
    pub const MAX_LIMIT: usize = 1000;

    /// The first page, with values.
    pub const fn first() -> Self {
        Self { after: None, limit: Self::MAX_LIMIT, values: true }
    }

    /// The first page, keys only.
    pub const fn first_keys() -> Self {
        Self { after: None, limit: Self::MAX_LIMIT, values: false }
    }
}

/// One page of a range, all of it as of one revision; two pages may be of different revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// The revision that this page was read at.
    pub revision: Revision,
    /// The entries, ascending by key.
    pub entries: Vec<Entry>,
    /// Whether there may be more after the last entry; a page may be shorter than its limit and have more.
    pub more: bool,
}
