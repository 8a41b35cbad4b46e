//! The backend: each method asks the namespace.

use crate::audience::Audience;
use crate::config::MemoryConfig;
use crate::registry;
use crate::space::Space;
use bytes::Bytes;
use linchpin_adapter::fanout::Scan;
use linchpin_adapter::{Backend, Coordination};
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Durability, GroupName, HasPort, Health, Key,
    MessageSupport, Namespace, Outcome, Page, Pattern, Port, Publication, Range, Reach, Record, Result, Retention,
    ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, StreamSupport, Subscription, Transaction,
    TransactionScope, TtlSupport, WatchCompleteness, WatchStream,
};
use linchpin_machine::{DEDUPE_WINDOW, ID_WINDOW};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after its time an expiry or a due record may go unnoticed: a timer's granularity and a busy
/// runtime.
const SLACK: Duration = Duration::from_millis(50);

/// A handle to one namespace in this process's memory: the port, and [`driver`](Self::driver) is what lies below it.
/// Clones are the same handle; closing one closes all.
///
/// ```
/// use linchpin_core::DistributedCoordination;
/// use linchpin_memory::{MemoryConfig, MemoryCoordination};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let config = MemoryConfig::from_url("memory://example?namespace=orders")?;
/// let (one, other) = (MemoryCoordination::connect(config.clone()).await?, MemoryCoordination::connect(config).await?);
/// one.set("order:7", b"paid", None).await?;
/// assert_eq!(other.get("order:7").await?.as_deref(), Some(&b"paid"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryCoordination(Coordination<Memory>);

impl fmt::Debug for MemoryCoordination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl MemoryCoordination {
    /// Opens a namespace that only this handle and its clones can reach. Works outside of a runtime too.
    pub fn new() -> Self {
        Self::open(&MemoryConfig::new())
    }

    /// Opens the namespace that the configuration names: the one that other handles have open, or a new one.
    ///
    /// # Errors
    /// None; other adapters have some.
    ///
    /// # Cancel safety
    /// It does not wait.
    #[allow(clippy::unused_async, reason = "every adapter is opened by the same call")]
    pub async fn connect(config: MemoryConfig) -> Result<Self> {
        Ok(Self::open(&config))
    }

    fn open(config: &MemoryConfig) -> Self {
        let life = Memory::life();
        Self(Coordination::opened(Memory::open(config, &life), life, config))
    }

    /// As [`Coordination::close`].
    ///
    /// # Errors
    /// None; other adapters have some.
    ///
    /// # Cancel safety
    /// It does not wait.
    pub async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    /// The driver: transactions, watches, streams.
    pub fn driver(&self) -> Arc<dyn Driver> {
        self.0.driver()
    }
}

impl Default for MemoryCoordination {
    fn default() -> Self {
        Self::new()
    }
}

impl HasPort for MemoryCoordination {
    fn port(&self) -> &Port {
        self.0.port()
    }
}

impl From<MemoryCoordination> for Arc<dyn Driver> {
    fn from(coordination: MemoryCoordination) -> Self {
        coordination.0.into()
    }
}

/// One namespace in this process's memory, through one handle.
pub struct Memory {
    capabilities: Capabilities,
    space: Arc<Space>,
    audience: Arc<Audience>,
}

impl Memory {
    fn open(config: &MemoryConfig, life: &Life) -> Self {
        let space = registry::open(config);
        let audience = space.join();
        let (left, ending) = (Arc::downgrade(&space), audience.clone());
        life.on_end(move |ended| {
            ending.end(ended);
            left.upgrade().inspect(|space| space.leave(&ending));
        });
        Self { capabilities: capabilities(), space, audience }
    }

    /// How a watch reads its range. It holds on to what the watch hears by, as a watch outlives its handle.
    fn scanner(&self) -> Scan {
        let (space, audience) = (self.space.clone(), self.audience.clone());
        Arc::new(move |range, page| {
            let _ = &audience;
            let found = space.read(|machine, now| machine.scan(now, &range, &page));
            Box::pin(async { Ok(found) })
        })
    }
}

impl Backend for Memory {
    type Config = MemoryConfig;

    const NAME: &'static str = "MemoryCoordination";

    /// It has no task of its own: its namespace's sweeper runs wherever somebody uses it.
    fn life() -> Life {
        Life::without_runtime()
    }

    async fn connect(config: MemoryConfig, life: &Life) -> Result<Self> {
        Ok(Self::open(&config, life))
    }

    async fn erase(_: MemoryConfig, _: &[Namespace]) -> Result<()> {
        Ok(())
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        Ok(self.space.read(|machine, now| machine.get(now, keys)))
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        Ok(self.space.read(|machine, now| machine.scan(now, range, page)))
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.space.apply(|machine, now| machine.commit(now, transaction))
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.audience.watchers.add(range.clone(), self.scanner()).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        Ok(Reach { at_most: Some(self.space.publish(&Publication::new(channel.clone(), payload))) })
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        // A subscription outlives its handle: it holds on to what it hears by.
        let hears_by = (self.space.clone(), self.audience.clone());
        Ok(self.audience.subscribers.add(pattern.clone(), move || {
            let _ = &hears_by;
        }))
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        Ok(self.space.apply(|machine, now| machine.append(now, stream, records)))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        Ok(self.space.claim(claim).await)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        Ok(self.space.apply(|machine, now| machine.settle(now, settlements)))
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        Ok(self.space.read(|machine, _| machine.inspect(stream)))
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        Ok(self.space.apply(|machine, now| machine.trim(now, stream, keep)))
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        Ok(self.space.apply(|machine, now| machine.remove_group(now, stream, group)))
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.space.apply(|machine, now| machine.clear(now, prefix));
        Ok(())
    }

    async fn health(&self) -> Result<Health> {
        let asked = Instant::now();
        self.space.read(|machine, _| machine.revision());
        Ok(Health::new(asked.elapsed(), Vec::new()))
    }
}

fn capabilities() -> Capabilities {
    const MIB: usize = 1024 * 1024;
    let mut capabilities = Capabilities::minimum("memory");
    capabilities.version = concat!("memory ", env!("CARGO_PKG_VERSION")).into();
    capabilities.transactions = TransactionScope::MultiKey;
    capabilities.transaction_ids = Some(ID_WINDOW);
    capabilities.prefix_guards = true;
    capabilities.watch = WatchCompleteness::LatestVersion;
    capabilities.key_watches = true;
    capabilities.ttl = Some(TtlSupport::within(SLACK));
    capabilities.messages = Some(MessageSupport::new(true));
    capabilities.streams = Some(StreamSupport::full(DEDUPE_WINDOW, SLACK));
    let limits = &mut capabilities.limits;
    (limits.value, limits.message, limits.record) = (MIB, MIB + 1024, MIB);
    (limits.transaction_operations, limits.transaction_bytes, limits.batch) = (1024, 16 * MIB, 1024);
    capabilities.durability = Durability::new(false, false, "kept in this process's memory");
    capabilities
}
