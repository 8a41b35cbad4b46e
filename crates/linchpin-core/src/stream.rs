//! Durable streams: records, claims, settlements.

use crate::error::{Error, Result};
use crate::name::{GroupName, MemberName, StreamName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Something to append to a stream.
///
/// ```
/// use linchpin_core::Record;
/// let record = Record::new("pay order 7").with_id("order-7")?.with_header("type", "payment");
/// assert_eq!(record.headers.len(), 1);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The payload: any bytes, at least 512 KiB of them on every backend.
    pub payload: Bytes,
    /// With an id (1 to 256 bytes) it is appended once within the backend's dedupe window.
    pub id: Option<String>,
    /// Names and values that travel with it.
    pub headers: Vec<(String, String)>,
    /// Not delivered before this time has passed since it was appended, by the server's clock.
    pub delay: Option<Duration>,
}

impl Record {
    /// The longest record id, in bytes.
    pub const MAX_ID: usize = 256;

    /// A record without id, headers or delay.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), id: None, headers: Vec::new(), delay: None }
    }

    /// Names it, so that appending it again within the dedupe window does nothing.
    ///
    /// # Errors
    /// `InvalidArgument` if the id is empty or longer than 256 bytes.
    pub fn with_id(mut self, id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        if id.is_empty() || id.len() > Self::MAX_ID {
            return Err(Error::invalid("record", format!("an id has 1 to {} bytes, not {}", Self::MAX_ID, id.len())));
        }
        self.id = Some(id);
        Ok(self)
    }

    /// Adds a header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Holds it back for `delay` after it was appended.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Its size against the record limit: payload and headers, in bytes.
    pub fn size(&self) -> usize {
        self.payload.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

impl fmt::Debug for Record {
    /// The payload's length only: payloads are the user's and never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("id", &self.id)
            .field("headers", &self.headers.len())
            .field("delay", &self.delay)
            .finish()
    }
}

/// Where a record stands in its stream: 1 for the first, growing by one. A stream that was cleared goes on
/// where it was for a day, so a receipt from before fits nothing that came after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u64);

/// What became of an appended record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Where it stands.
    pub position: Position,
    /// Whether a record with its id was there already: then this is that one's position.
    pub duplicate: bool,
}

/// A group member's wish for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The stream.
    pub stream: StreamName,
    /// The group; it comes to be with its first claim and sees every record still in the stream.
    pub group: GroupName,
    /// The member that claims.
    pub member: MemberName,
    /// How many records at most; at least 1.
    pub max: usize,
    /// For how long a delivered record is this member's alone, unless settled or extended.
    pub visibility: Duration,
    /// How long to wait for the first record; zero looks once.
    pub wait: Duration,
    /// A record delivered this often without being acknowledged goes to the group's dead letters instead
    /// of being delivered again; `None` never gives up.
    pub max_deliveries: Option<u32>,
}

impl Claim {
    /// A claim for one record, visible for 30 seconds, that looks once and never gives up.
    pub fn new(stream: StreamName, group: GroupName, member: MemberName) -> Self {
        Self {
            stream,
            group,
            member,
            max: 1,
            visibility: Duration::from_secs(30),
            wait: Duration::ZERO,
            max_deliveries: None,
        }
    }

    /// How many records at most.
    pub fn max(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// For how long a delivered record is this member's alone.
    pub fn visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility;
        self
    }

    /// How long to wait for the first record.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// After how many deliveries a record goes to the dead letters.
    pub fn max_deliveries(mut self, max_deliveries: u32) -> Self {
        self.max_deliveries = Some(max_deliveries);
        self
    }
}

/// One delivery of one record to one group: what a settlement refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt {
    /// The stream.
    pub stream: StreamName,
    /// The group that it was delivered to.
    pub group: GroupName,
    /// Where the record stands.
    pub position: Position,
    /// How often the record has been delivered to the group, this time included; a later delivery makes
    /// this receipt stale.
    pub delivery: u32,
}

/// A record in a member's hands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What to settle it with; also says where it stands and how often it was delivered.
    pub receipt: Receipt,
    /// The payload as appended.
    pub payload: Bytes,
    /// The id as appended.
    pub id: Option<String>,
    /// The headers as appended; a dead letter has more (see [`dead_letter`]).
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Delivery {
    /// The payload's length only: payloads are the user's and never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("receipt", &self.receipt)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("id", &self.id)
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// The headers that a dead letter has besides its own.
pub mod dead_letter {
    /// Why it is dead: the text given to `Reject`, or `max deliveries`.
    pub const REASON: &str = "linchpin-dead-reason";
    /// How often it had been delivered.
    pub const DELIVERIES: &str = "linchpin-dead-deliveries";
    /// Where it stood in its stream.
    pub const POSITION: &str = "linchpin-dead-position";
    /// The reason of a record that was delivered too often.
    pub const MAX_DELIVERIES: &str = "max deliveries";
}

/// What to do with a delivered record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The delivery it is about.
    pub receipt: Receipt,
    /// What to do.
    pub action: Action,
}

/// What a [`Settlement`] does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Done: the group never sees it again.
    Ack,
    /// Deliver it again, not before `after` has passed.
    Retry {
        /// How long to hold it back.
        after: Duration,
    },
    /// Keep it for this long from now.
    Extend {
        /// For how long it is this member's alone.
        visibility: Duration,
    },
    /// Put it into the group's dead letters, once, and never deliver it again.
    Reject {
        /// Why, for whoever reads the dead letters; at most 512 bytes.
        reason: String,
    },
}

/// What became of a [`Settlement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled {
    /// It was done.
    Done,
    /// The receipt is stale: the record was delivered again or settled before. Nothing was changed.
    Stale,
}

/// How much of a stream to keep. Records that a group has not settled yet are kept in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retention {
    /// The newest so many records.
    Newest(u64),
    /// Records at or after this position.
    From(Position),
    /// What some group has not settled; everything, where there is no group.
    Unsettled,
}

/// What a stream holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// How many records are in it.
    pub length: u64,
    /// The position of the newest record ever appended, also if it was dropped since; `None` if there never was one,
    /// or none since the stream was cleared.
    pub last: Option<Position>,
    /// The groups, ascending by name.
    pub groups: Vec<GroupInfo>,
}

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// The group.
    pub name: GroupName,
    /// Records delivered but not settled, or waiting for a retry or a delay.
    pub pending: u64,
    /// Records that the group has not looked at yet.
    pub lag: u64,
    /// Records in its dead letters.
    pub dead: u64,
}
