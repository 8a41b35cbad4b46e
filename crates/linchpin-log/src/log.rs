//! What a log has to do.

use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::{Result, StreamName};
use linchpin_machine::Time;

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands: one more than the record before it.
    pub offset: u64,
    /// When the log took it, by the log's own clock. That may step.
    pub time: Time,
    /// What was appended.
    pub body: Bytes,
}

/// Which records of a log are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Which log it is: one that was removed and made anew is another one.
    pub log: u64,
    /// The offset of the first one: what stood before it was dropped. That of the next one, if none is there.
    pub first: u64,
    /// The offset that the next one will have.
    pub next: u64,
}

/// A totally ordered log of one namespace, and a place for snapshots of what its records come to. Everybody who reads it
/// reads the same records in the same order.
///
/// A call that fails says by [`Error::maybe_applied`](linchpin_core::Error::maybe_applied) whether it may have been done,
/// or may be still. None may take for ever.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// What reads it.
    type Reader: LogReader;

    /// Waits for a moment until the log can be reached. Calls that come while it cannot fail at once, and were surely not
    /// applied.
    ///
    /// # Errors
    /// Why it cannot be reached now.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn is_reached(&self) -> Result<()> {
        Ok(())
    }

    /// Appends a record; returns once the log has it as durably as it promises. Where this fails, the record may come
    /// later, or twice, as it is appended again: that is noticed.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it is appended.
    async fn append(&self, body: Bytes) -> Result<()>;

    /// Reads from this offset on.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn read(&self, from: u64) -> Result<Self::Reader>;

    /// Which records are there now.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn bounds(&self) -> Result<Bounds>;

    /// Drops the records before this offset.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether they are dropped.
    async fn trim(&self, before: u64) -> Result<()>;

    /// Keeps a snapshot of what the records before this offset come to, beside those that it keeps. Two of one offset say
    /// the same, so either may stay. One that is kept in part is taken for none.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it is kept.
    async fn keep_snapshot(&self, offset: u64, body: Bytes) -> Result<()>;

    /// The offsets of the snapshots that are kept, in their order.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn snapshots(&self) -> Result<Vec<u64>>;

    /// Reads a snapshot; none if it is not kept any more.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn snapshot(&self, offset: u64) -> Result<Option<Bytes>>;

    /// Drops a snapshot, if it is kept.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it is dropped.
    async fn drop_snapshot(&self, offset: u64) -> Result<()>;

    /// Keeps what records of a stream carry, beside the log, and as durably: the place of each. What is kept later has a
    /// greater place.
    ///
    /// # Errors
    /// What the log fails with. Some may be kept then: nobody asks for them.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether they are kept.
    async fn keep_contents(&self, stream: &StreamName, contents: Vec<Bytes>) -> Result<Vec<u64>>;

    /// Reads what lies at these places; nothing where it is not kept any more.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn contents(&self, stream: &StreamName, places: &[u64]) -> Result<Vec<Option<Bytes>>>;

    /// What is wrong with the log, although it works: for [`Health`](linchpin_core::Health).
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    async fn degraded(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Drops what lies before this place.
    ///
    /// # Errors
    /// What the log fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it is dropped.
    async fn drop_contents(&self, stream: &StreamName, before: u64) -> Result<()>;
}

/// Reads a log, record by record.
#[async_trait]
pub trait LogReader: Send {
    /// The next record; waits for it. Where records are missing it goes on with those that are there, or fails.
    ///
    /// # Errors
    /// What the log fails with: then it is read anew, by another reader.
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    async fn next(&mut self) -> Result<LogRecord>;
}
