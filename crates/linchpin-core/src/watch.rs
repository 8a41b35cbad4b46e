//! Watching state: events and their stream.

use crate::entry::{Entry, Revision};
use crate::error::Result;
use crate::name::Key;
use futures::stream::Stream;
use std::pin::Pin;

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// The entry is there: present when the watch began, created or written since.
    Put(Entry),
    /// The key is gone: deleted or expired.
    Deleted {
        /// The key.
        key: Key,
        /// The revision at or before which it went; greater than any version seen of it.
        version: Revision,
    },
    /// Every entry that was present when the watch began has been told; changes follow. Comes once.
    Synced {
        /// The revision up to which everything has been told.
        revision: Revision,
    },
}

/// The events of a range: first the present entries, then `Synced`, then changes.
///
/// Per key, versions strictly increase; intermediate versions may be missed, the last one never is.
/// Dropping the stream ends the watch.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent>> + Send>>;
