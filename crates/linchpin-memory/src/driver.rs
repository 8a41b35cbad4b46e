//! The driver: each method checks, then asks the namespace.

use crate::audience::Audience;
use crate::config::MemoryConfig;
use crate::registry;
use crate::space::Space;
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::fanout::Scan;
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Driver, Durability, GroupName, Health, Key, Limits, Message,
    MessageSupport, Outcome, Page, Pattern, PortState, Range, Reach, Record, Result, Retention, ScanPage, Settled,
    Settlement, Snapshot, StreamInfo, StreamName, StreamSupport, Subscription, Transaction, TransactionScope,
    TtlSupport, WatchCompleteness, WatchStream,
};
use linchpin_machine::{DEDUPE_WINDOW, ID_WINDOW};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after its time an expiry or a due record may go unnoticed: a timer's granularity and a busy
/// runtime.
const SLACK: Duration = Duration::from_millis(50);

/// A handle to one namespace in this process's memory. Clones are the same handle; closing one closes all.
///
/// ```
/// use linchpin_core::{Driver, Key, Transaction};
/// use linchpin_memory::{MemoryConfig, MemoryCoordination};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let config = MemoryConfig::from_url("memory://example?namespace=orders")?;
/// let (one, other) = (MemoryCoordination::connect(config.clone()).await?, MemoryCoordination::connect(config).await?);
/// let key = Key::new("order:7")?;
/// one.commit(&Transaction::new().put(key.clone(), "paid", None)).await?;
/// let found = Driver::get(&other, &[key]).await?;
/// assert_eq!(found.entries[0].as_ref().map(|entry| entry.value.as_ref()), Some(&b"paid"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryCoordination(Arc<Handle>);

struct Handle {
    config: MemoryConfig,
    capabilities: Capabilities,
    space: Arc<Space>,
    audience: Arc<Audience>,
    port: PortState,
    life: Life,
}

impl MemoryCoordination {
    /// Opens a namespace that only this handle and its clones can reach. Works outside of a runtime too.
    pub fn new() -> Self {
        Self::open(MemoryConfig::new())
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
        Ok(Self::open(config))
    }

    fn open(config: MemoryConfig) -> Self {
        let space = registry::open(&config);
        let audience = space.join();
        // It has no task of its own: its namespace's sweeper runs wherever somebody uses it.
        let life = Life::without_runtime();
        let ending = audience.clone();
        life.on_end(move |ended| ending.end(ended));
        Self(Arc::new(Handle {
            config,
            capabilities: capabilities(),
            space,
            audience,
            port: PortState::default(),
            life,
        }))
    }

    /// The handle, if it is open. Its calls never wait for a server, so without a yield now and then a loop
    /// of them would starve whatever else its thread runs: the renewal of a lock, say.
    async fn handle(&self, operation: &'static str) -> Result<&Handle> {
        tokio::task::coop::consume_budget().await;
        self.0.life.admit(operation).map(|()| &*self.0)
    }
}

impl Default for MemoryCoordination {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCoordination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCoordination")
            .field("name", &self.0.config.name)
            .field("namespace", &self.0.config.namespace)
            .field("life", &self.0.life)
            .finish_non_exhaustive()
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        backend: "memory".to_owned(),
        version: concat!("memory ", env!("CARGO_PKG_VERSION")).to_owned(),
        transactions: TransactionScope::MultiKey,
        transaction_ids: Some(ID_WINDOW),
        prefix_guards: true,
        watch: WatchCompleteness::LatestVersion,
        ttl: Some(TtlSupport {
            granularity: Duration::from_micros(1),
            minimum: Duration::from_millis(1),
            slack: SLACK,
        }),
        messages: Some(MessageSupport { knows_nobody: true }),
        streams: Some(StreamSupport {
            dedupe_window: Some(DEDUPE_WINDOW),
            delays: true,
            dead_letters: true,
            slack: SLACK,
        }),
        limits: Limits {
            value: 1024 * 1024,
            message: 1024 * 1024 + 1024,
            record: 1024 * 1024,
            transaction_operations: 1024,
            transaction_bytes: 16 * 1024 * 1024,
            batch: 1024,
        },
        durability: Durability {
            survives_restart: false,
            survives_power_loss: false,
            why: "kept in this process's memory".to_owned(),
        },
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for MemoryCoordination {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn port_state(&self) -> &PortState {
        &self.0.port
    }

    fn share(&self) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let handle = self.handle("get").await?;
        Ok(handle.space.read(|machine, now| machine.get(now, keys)))
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let handle = self.handle("scan").await?;
        handle.capabilities.admit_scan(page)?;
        Ok(handle.space.read(|machine, now| machine.scan(now, range, page)))
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let handle = self.handle("commit").await?;
        handle.capabilities.admit_commit(transaction)?;
        handle.space.apply(|machine, now| machine.commit(now, transaction))
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let handle = self.handle("watch").await?;
        handle.capabilities.admit_watch()?;
        let stream = handle.audience.watchers.add(range.clone(), handle.scanner()).await?;
        // Closed meanwhile: then this one may have been missed.
        self.handle("watch").await.map(|_| stream)
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let handle = self.handle("publish").await?;
        handle.capabilities.admit_publish(channel, &payload)?;
        let message = Message { channel: channel.as_str().to_owned(), payload: payload.into(), timestamp: None };
        Ok(Reach { at_most: Some(handle.space.publish(&message)) })
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let handle = self.handle("subscribe").await?;
        handle.capabilities.admit_subscribe()?;
        // A subscription outlives its handle: it holds on to what it hears by.
        let hears_by = (handle.space.clone(), handle.audience.clone());
        let stream = handle.audience.subscribers.add(pattern.clone(), move || {
            let _ = &hears_by;
        });
        // Closed meanwhile: then this one may have been missed.
        self.handle("subscribe").await.map(|_| stream)
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let handle = self.handle("append").await?;
        handle.capabilities.admit_append(stream, records)?;
        Ok(handle.space.apply(|machine, now| machine.append(now, stream, records)))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let handle = self.handle("claim").await?;
        handle.capabilities.admit_claim(claim)?;
        handle.life.run("claim", async { Ok(handle.space.claim(claim).await) }).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let handle = self.handle("settle").await?;
        handle.capabilities.admit_settle(settlements)?;
        Ok(handle.space.apply(|machine, now| machine.settle(now, settlements)))
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        let handle = self.handle("inspect").await?;
        handle.capabilities.admit_streams("inspect")?;
        Ok(handle.space.read(|machine, _| machine.inspect(stream)))
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let handle = self.handle("trim").await?;
        handle.capabilities.admit_streams("trim")?;
        Ok(handle.space.apply(|machine, now| machine.trim(now, stream, keep)))
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let handle = self.handle("remove_group").await?;
        handle.capabilities.admit_streams("remove_group")?;
        Ok(handle.space.apply(|machine, now| machine.remove_group(now, stream, group)))
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        let handle = self.handle("clear").await?;
        handle.space.apply(|machine, now| machine.clear(now, prefix));
        Ok(())
    }

    async fn health(&self) -> Result<Health> {
        let handle = self.handle("health").await?;
        let asked = Instant::now();
        handle.space.read(|machine, _| machine.revision());
        Ok(Health::new(asked.elapsed(), Vec::new()))
    }

    async fn close(&self) -> Result<()> {
        let handle = &self.0;
        if handle.life.close() {
            handle.space.leave(&handle.audience);
        }
        Ok(())
    }
}

impl Handle {
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
