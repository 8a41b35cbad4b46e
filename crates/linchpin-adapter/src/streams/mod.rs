//! Streams over transactions and watches, for a backend that has no streams of its own.
//!
//! What is held back - a claimed record until its visibility is over, a delayed one, one that waits for a retry - is a key
//! with a TTL: so the time is the server's, and nobody needs a clock. A claim reads what its group has pending, so what it
//! costs grows with the number of records that are claimed and not settled. Appends to one stream write one key, and so
//! does who takes new records for one group: where many processes do it at once they take turns.

mod append;
mod claim;
mod dead;
mod layout;
mod removal;
mod settle;
mod view;

use crate::claims::Queues;
use linchpin_core::layers::NamespaceLayer;
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Claim, Delivery, Driver, GroupName, Key, Namespace, Outcome, Page, Range, Record, Result, Retention,
    ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, StreamSupport, Transaction, WatchStream,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// For how long the id of an appended record is remembered.
///
/// ```
/// use linchpin_adapter::streams::{DEDUPE_WINDOW, support};
/// use std::time::Duration;
///
/// let streams = support(Duration::from_millis(50));
/// assert_eq!(streams.dedupe_window, Some(DEDUPE_WINDOW));
/// assert!(streams.delays && streams.dead_letters);
/// ```
pub const DEDUPE_WINDOW: Duration = Duration::from_mins(2);

/// What [`Streams`] can do: all of it. `slack` is that of the keys' TTL.
pub fn support(slack: Duration) -> StreamSupport {
    StreamSupport::full(DEDUPE_WINDOW, slack)
}

/// Keys that nobody else uses: [`Streams`] are kept there. A backend that has streams this way has two of them over one
/// connection, one for its user's keys and one for this.
///
/// The methods mean what those of [`Driver`] of the same name mean. Transactions are over several
/// keys, with conditions on single ones; none has an id or a guard on a prefix. Keys are up to
/// [`MAX_STORED_NAME`](linchpin_core::MAX_STORED_NAME) bytes long.
///
/// ```
/// use linchpin_adapter::streams::{KeySpace, Room, Streams};
/// # use linchpin_core::life::Life;
/// # use linchpin_core::*;
/// # use linchpin_memory::MemoryCoordination;
/// # use std::sync::Arc;
/// # use std::time::Duration;
///
/// /// A second table of a server, over the connection to the first. Here it is the memory of this process.
/// struct StreamTable(Arc<dyn Driver>);
///
/// impl KeySpace for StreamTable {
///     async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
///         self.0.get(keys).await
///     }
///
///     async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
///         self.0.scan(range, page).await
///     }
///
///     async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
///         self.0.commit(transaction).await
///     }
///
///     async fn watch(&self, range: &Range) -> Result<WatchStream> {
///         self.0.watch(range).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let table = StreamTable(MemoryCoordination::new().driver());
/// let room = Room { operations: 1024, value: 1 << 20, bytes: 16 << 20, minimum_ttl: Duration::from_millis(1) };
/// let (streams, orders) = (Streams::new(Life::in_runtime(), table, room), StreamName::new("orders")?);
/// streams.append(&orders, &[Record::new("order 7"), Record::new("order 8")]).await?;
/// assert_eq!(streams.inspect(&orders).await?.length, 2);
/// # Ok(())
/// # }
/// ```
pub trait KeySpace: Send + Sync + 'static {
    /// Reads keys, all as of one revision; linearizable. An expired key is absent, and stays so.
    fn get(&self, keys: &[Key]) -> impl Future<Output = Result<Snapshot>> + Send;

    /// Reads one page of a range, ascending by the keys' bytes, as of one revision.
    fn scan(&self, range: &Range, page: &Page) -> impl Future<Output = Result<ScanPage>> + Send;

    /// Checks the guards and applies the mutations, all or nothing, linearizable.
    fn commit(&self, transaction: &Transaction) -> impl Future<Output = Result<Outcome>> + Send;

    /// Watches a range: the present entries, `Synced`, then changes. It ends with the handle.
    fn watch(&self, range: &Range) -> impl Future<Output = Result<WatchStream>> + Send;
}

/// The keys of a nested namespace of a driver, where a backend has one for itself.
#[derive(Clone, Debug)]
pub struct DriverKeys(Arc<NamespaceLayer>);

impl DriverKeys {
    /// Those of the namespace `name`, which nobody else uses.
    pub fn new(driver: Arc<dyn Driver>, name: &Namespace) -> Self {
        Self(Arc::new(NamespaceLayer::new(driver, name)))
    }
}

impl KeySpace for DriverKeys {
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.0.get(keys).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.0.scan(range, page).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.0.commit(transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.0.watch(range).await
    }
}

/// What one transaction of a [`KeySpace`] holds.
///
/// ```
/// use linchpin_adapter::streams::{OVERHEAD, Room};
/// use linchpin_core::{Capabilities, Limits};
/// use std::time::Duration;
///
/// const MIB: usize = 1024 * 1024;
/// let room = Room { operations: 528, value: MIB, bytes: 16 * MIB, minimum_ttl: Duration::from_millis(1) };
/// let mut capabilities = Capabilities::minimum("desk");
/// capabilities.limits.batch = room.batch();
/// capabilities.limits.record = room.value - OVERHEAD;
/// assert_eq!(capabilities.limits.batch, Limits::MINIMUM.batch);
/// assert!(capabilities.limits.record >= Limits::MINIMUM.record);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Guards and mutations: 16, and 4 for each record of a batch. So 528 for the 128 that every backend offers at least.
    pub operations: usize,
    /// One value, in bytes. It holds a record with its id and, once it is dead, what is told of that: a backend whose
    /// values are larger by [`OVERHEAD`] than the records that it declares refuses none but with hundreds of headers.
    pub value: usize,
    /// All values together, in bytes.
    pub bytes: usize,
    /// The shortest TTL of a key: what is held back for less is held back for as long.
    pub minimum_ttl: Duration,
}

impl Room {
    /// How many records one append or claim holds at most: what a backend declares as its
    /// [`batch`](linchpin_core::Limits::batch).
    pub const fn batch(self) -> usize {
        self.operations.saturating_sub(FIXED) / PER_RECORD
    }

    /// Whether a transaction of so many operations, and of so many bytes in dead letters, has room for another record.
    fn has_another(self, operations: usize, bytes: usize) -> bool {
        // The first dead letter always has: what is larger was not appended.
        let has_bytes = bytes == 0 || bytes + self.value + OTHER_VALUES <= self.bytes;
        operations + PER_RECORD <= self.operations && has_bytes
    }
}

/// What a transaction has besides what it has for each record: that the stream and the group are there, how far the group
/// has looked, the end of the dead letters.
const FIXED: usize = 16;
/// For each record: what is pending and held back, and the dead letter.
const PER_RECORD: usize = 4;

/// What a value has in bytes besides a record's payload and headers: their lengths, the id, and the room for why it is dead.
pub const OVERHEAD: usize = 4 * 1024;

/// What is told of a dead letter, in bytes, at most: a reason of 512 bytes above all.
const DEATH: usize = 1024;

/// What else one transaction writes, in bytes: names of streams above all.
const OTHER_VALUES: usize = 8 * 1024;

/// The streams of a handle. Its backend's methods of the same names hand on to these, [`clear`](Self::clear) and
/// [`close`](Self::close) besides what they do themselves.
///
/// ```
/// use linchpin_adapter::streams::{DriverKeys, Room, Streams};
/// use linchpin_core::life::{CLOSING, Life};
/// use linchpin_core::{Action, Claim, GroupName, MemberName, Namespace, Record, Retention, Settlement, StreamName};
/// use linchpin_memory::{MemoryConfig, MemoryCoordination};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let driver = MemoryCoordination::connect(MemoryConfig::new()).await?.driver();
/// let keys = DriverKeys::new(driver, &Namespace::new("streams")?);
/// let room = Room { operations: 1024, value: 1 << 20, bytes: 16 << 20, minimum_ttl: Duration::from_millis(1) };
/// let life = Life::in_runtime();
/// let streams = Streams::new(life.clone(), keys, room);
///
/// let orders = StreamName::new("orders")?;
/// streams.append(&orders, &[Record::new("order 7")]).await?;
/// let billing = GroupName::new("billing")?;
/// let claim = Claim::new(orders.clone(), billing.clone(), MemberName::new("pod-1")?);
/// let delivery = streams.claim(&claim).await?.remove(0);
/// assert_eq!(delivery.payload, "order 7");
/// assert!(streams.claim(&claim).await?.is_empty(), "pod-1 has it, for 30 seconds");
///
/// assert_eq!(streams.trim(&orders, Retention::Unsettled).await?, 0);
/// streams.settle(&[Settlement { receipt: delivery.receipt, action: Action::Ack }]).await?;
/// assert_eq!(streams.trim(&orders, Retention::Unsettled).await?, 1);
/// assert!(streams.remove_group(&orders, &billing).await?);
/// assert!(streams.inspect(&orders).await?.groups.is_empty());
/// streams.clear("ord").await?;
/// assert_eq!(streams.inspect(&orders).await?.last, None);
///
/// // The handle is closed.
/// life.close();
/// streams.close(CLOSING).await;
/// assert!(streams.claim(&claim).await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct Streams<K: KeySpace> {
    book: Arc<Book<K>>,
    claims: Queues<Book<K>>,
}

/// What does it.
struct Book<K> {
    keys: K,
    room: Room,
    life: Life,
}

impl<K: KeySpace> Streams<K> {
    /// The streams in these keys, of a handle that lives as `life` says.
    pub fn new(life: Life, keys: K, room: Room) -> Self {
        let book = Arc::new(Book { keys, room, life: life.clone() });
        Self { claims: Queues::new(life, book.clone()), book }
    }

    /// As [`Driver::append`], all or nothing.
    ///
    /// # Errors
    /// What the keys fail with; `InvalidArgument` if the records do not fit a transaction.
    ///
    /// # Cancel safety
    /// Dropping the future leaves its effect unknown.
    pub async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        of("append", stream, self.book.append(stream, records).await)
    }

    /// As [`Driver::claim`]. It gives fewer than it could where they do not fit a transaction.
    ///
    /// # Errors
    /// What the keys fail with.
    ///
    /// # Cancel safety
    /// As [`Queues::claim`].
    pub async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        of("claim", &claim.stream, self.claims.claim(claim).await)
    }

    /// As [`Driver::settle`].
    ///
    /// # Errors
    /// What the keys fail with: some may have been settled.
    ///
    /// # Cancel safety
    /// Dropping the future leaves its effect unknown.
    pub async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.book.settle(settlements).await.map_err(|error| error.with_operation("settle"))
    }

    /// As [`Driver::inspect`], but not as of one revision.
    ///
    /// # Errors
    /// What the keys fail with.
    ///
    /// # Cancel safety
    /// It changes nothing.
    pub async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        of("inspect", stream, self.book.inspect(stream).await)
    }

    /// As [`Driver::trim`].
    ///
    /// # Errors
    /// What the keys fail with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves its effect unknown. What it left undone is done by the next.
    pub async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        of("trim", stream, self.book.trim(stream, keep).await)
    }

    /// As [`Driver::remove_group`].
    ///
    /// # Errors
    /// What the keys fail with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves its effect unknown. What it left undone is done by the next that removes something.
    pub async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        of("remove_group", stream, self.book.remove_group(stream, group).await)
    }

    /// Removes every stream whose name starts with `prefix`.
    ///
    /// # Errors
    /// What the keys fail with.
    ///
    /// # Cancel safety
    /// As [`remove_group`](Self::remove_group).
    pub async fn clear(&self, prefix: &str) -> Result<()> {
        self.book.clear(prefix).await.map_err(|error| error.with_operation("clear"))
    }

    /// As [`Queues::close`]; [`CLOSING`](linchpin_core::life::CLOSING) is the usual limit.
    ///
    /// # Cancel safety
    /// As [`Queues::close`].
    pub async fn close(&self, limit: Duration) {
        self.claims.close(limit).await;
    }
}

impl<K: KeySpace> fmt::Debug for Streams<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("room", &self.book.room).finish_non_exhaustive()
    }
}

/// An error of the keys as one of the stream: the caller knows no such keys.
fn of<T>(operation: &'static str, stream: &StreamName, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.with_operation(operation).with_subject(stream.to_string()))
}

#[cfg(test)]
mod races;
#[cfg(test)]
mod tests;
