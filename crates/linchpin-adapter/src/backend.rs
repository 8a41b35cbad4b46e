//! What an adapter writes.

use bytes::Bytes;
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Error, GroupName, Health, Key, Namespace, Operation, Outcome,
    Page, Pattern, Range, Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo,
    StreamName, Subscription, Transaction, WatchStream,
};
use std::future::Future;

/// What one backend does natively, within one namespace, and nothing else: what [`Coordination`](crate::Coordination)
/// makes a driver and a port of.
///
/// A method is called only while the handle is open, and only with what the declared [`Capabilities`] admit: nothing here
/// checks an argument, a closed handle or an undeclared feature. What is not declared need not be written. A call needs no
/// deadline of its own, and ends when its handle does. The methods mean what those of [`Driver`](linchpin_core::Driver) of
/// the same name mean, and fail and are cancelled alike.
///
/// Write them as `async fn`.
///
/// ```
/// use linchpin_adapter::decide::{Decision, Effect, Keys, Standing, decide};
/// use linchpin_adapter::url::{Common, Parts};
/// use linchpin_adapter::{Backend, Config, Coordination};
/// use linchpin_core::life::Life;
/// use linchpin_core::*;
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// /// Keys in a map that nobody shares. It declares as little as the contract allows.
/// struct Shelf {
///     capabilities: Capabilities,
///     space: Mutex<Space>,
/// }
///
/// #[derive(Default)]
/// struct Space {
///     revision: Revision,
///     entries: BTreeMap<Key, Entry>,
/// }
///
/// impl Backend for Shelf {
///     type Config = ShelfConfig;
///     const NAME: &'static str = "ShelfCoordination";
///
///     async fn connect(_: ShelfConfig, _: &Life) -> Result<Self> {
///         Ok(Self { capabilities: Capabilities::minimum("shelf"), space: Mutex::default() })
///     }
///
///     async fn erase(_: ShelfConfig, _: &[Namespace]) -> Result<()> {
///         Ok(())
///     }
///
///     fn capabilities(&self) -> &Capabilities {
///         &self.capabilities
///     }
///
///     async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
///         let space = self.space.lock().expect("no panic");
///         let entries = keys.iter().map(|key| space.entries.get(key).cloned()).collect();
///         Ok(Snapshot { revision: space.revision, entries })
///     }
///
///     async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
///         let space = self.space.lock().expect("no panic");
///         let after = |key: &Key| page.after.as_ref().is_none_or(|after| key > after);
///         let mut found = space.entries.values().filter(|entry| range.contains(&entry.key) && after(&entry.key));
///         let entries = found.by_ref().take(page.limit).cloned().collect();
///         Ok(ScanPage { revision: space.revision, entries, more: found.next().is_some() })
///     }
///
///     async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
///         let mut space = self.space.lock().expect("no panic");
///         match decide(transaction, &*space) {
///             Decision::Apply(effects) => {
///                 let results = effects.into_iter().map(|effect| space.apply(effect)).collect();
///                 Ok(Outcome::Committed { revision: space.revision, results })
///             }
///             Decision::Refuse(guard, found) => {
///                 let found = found.and_then(|key| space.entries.get(&key).cloned());
///                 Ok(Outcome::Refused { guard, found, revision: space.revision })
///             }
///             Decision::Fail(failure) => Err(failure.into()),
///         }
///     }
///
///     async fn clear(&self, prefix: &str) -> Result<()> {
///         let mut space = self.space.lock().expect("no panic");
///         space.revision.0 += 1;
///         space.entries.retain(|key, _| !key.as_str().starts_with(prefix));
///         Ok(())
///     }
///
///     async fn health(&self) -> Result<Health> {
///         Ok(Health::new(Duration::ZERO, Vec::new()))
///     }
/// }
///
/// impl Keys for Space {
///     fn standing(&self, key: &Key) -> Option<Standing<'_>> {
///         let Entry { value, created, version, .. } = self.entries.get(key)?;
///         Some(Standing { value, created: *created, version: *version })
///     }
///
///     fn first(&self, _: &str) -> Option<(Key, Revision)> {
///         None // guards on a prefix are not declared
///     }
/// }
///
/// impl Space {
///     fn apply(&mut self, effect: Effect<'_>) -> MutationResult {
///         self.revision.0 += u64::from(effect.writes());
///         let version = self.revision;
///         let created = |entries: &BTreeMap<Key, Entry>, key| entries.get(key).map_or(version, |entry| entry.created);
///         match effect {
///             Effect::Put { key, value, .. } => {
///                 let (value, created) = (value.clone(), created(&self.entries, key));
///                 self.entries.insert(key.clone(), Entry { key: key.clone(), value, created, version, ttl: None });
///                 MutationResult::Put { created, ttl: None }
///             }
///             Effect::Add { key, value: sum, .. } => {
///                 let (value, created) = (sum.to_string().into(), created(&self.entries, key));
///                 self.entries.insert(key.clone(), Entry { key: key.clone(), value, created, version, ttl: None });
///                 MutationResult::Added { value: sum }
///             }
///             Effect::Delete { key } => MutationResult::Deleted { existed: self.entries.remove(key).is_some() },
///             Effect::Extend { .. } => MutationResult::Extended { ttl: None }, // TTLs are not declared
///             Effect::Nothing(result) => result,
///         }
///     }
/// }
///
/// #[derive(Clone, Default)]
/// struct ShelfConfig(Common);
///
/// impl Config for ShelfConfig {
///     const SCHEMES: &'static [&'static str] = &["shelf"];
///
///     fn from_url(url: &str) -> Result<Self> {
///         let mut config = Self::default();
///         Parts::of(url, Self::SCHEMES)?.read_query(Common::KEYS, |key, value| config.0.set(key, value))?;
///         Ok(config)
///     }
///
///     fn with_namespace(mut self, namespace: Namespace) -> Self {
///         self.0.namespace = namespace;
///         self
///     }
///
///     fn namespace(&self) -> &Namespace {
///         &self.0.namespace
///     }
///
///     fn address(&self) -> String {
///         "shelf://".to_owned()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let shelf = Coordination::<Shelf>::new("shelf://?namespace=orders", "pod-1".to_owned(), None).await?;
/// shelf.set("config", b"v1", None).await?;
/// assert_eq!(shelf.get("config").await?.as_deref(), Some(&b"v1"[..]));
/// # Ok(())
/// # }
/// ```
///
/// What it declares besides it writes as well. Much of that is in this crate: here messages and streams. Its keys, and
/// those of its streams, are in memory.
///
/// ```
/// # use bytes::Bytes;
/// # use futures::StreamExt;
/// use linchpin_adapter::fanout::Subscribers;
/// use linchpin_adapter::streams::{DriverKeys, Room, Streams, support};
/// use linchpin_adapter::{Backend, Coordination};
/// use linchpin_core::life::{CLOSING, Life};
/// use linchpin_core::*;
/// use linchpin_memory::{MemoryConfig, MemoryCoordination};
/// # use std::sync::Arc;
/// use std::time::Duration;
///
/// struct Desk {
///     capabilities: Capabilities,
///     keys: Arc<dyn Driver>,
///     subscribers: Arc<Subscribers>,
///     streams: Streams<DriverKeys>,
/// }
///
/// impl Desk {
///     fn open(life: &Life) -> Result<Self> {
///         let mut capabilities = Capabilities::minimum("desk");
///         capabilities.watch = WatchCompleteness::LatestVersion;
///         capabilities.messages = Some(MessageSupport::new(true));
///         capabilities.streams = Some(support(Duration::from_millis(50)));
///         let memory = || MemoryCoordination::new().driver();
///         let minimum_ttl = Duration::from_millis(1);
///         let room = Room { operations: 1024, value: 1 << 20, bytes: 16 << 20, minimum_ttl };
///         let stream_keys = DriverKeys::new(memory(), &Namespace::new("streams")?);
///         let streams = Streams::new(life.clone(), stream_keys, room);
///         let subscribers = Arc::<Subscribers>::default();
///         life.ends(&subscribers, |subscribers, ended| subscribers.end(move || ended.error("subscribe")));
///         Ok(Self { capabilities, keys: memory(), subscribers, streams })
///     }
/// }
///
/// impl Backend for Desk {
///     // ... and what every backend has.
/// #     type Config = MemoryConfig;
/// #     const NAME: &'static str = "DeskCoordination";
/// #     async fn connect(_: MemoryConfig, life: &Life) -> Result<Self> {
/// #         Self::open(life)
/// #     }
/// #     async fn erase(_: MemoryConfig, _: &[Namespace]) -> Result<()> {
/// #         Ok(())
/// #     }
/// #     fn capabilities(&self) -> &Capabilities {
/// #         &self.capabilities
/// #     }
/// #     async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
/// #         self.keys.get(keys).await
/// #     }
/// #     async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
/// #         self.keys.scan(range, page).await
/// #     }
/// #     async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
/// #         self.keys.commit(transaction).await
/// #     }
/// #     async fn health(&self) -> Result<Health> {
/// #         self.keys.health().await
/// #     }
///     async fn watch(&self, range: &Range) -> Result<WatchStream> {
///         self.keys.watch(range).await
///     }
///
///     async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
///         let reached = self.subscribers.dispatch(&Publication::new(channel.clone(), payload));
///         Ok(Reach { at_most: Some(reached) })
///     }
///
///     async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
///         Ok(self.subscribers.add(pattern.clone(), || ()))
///     }
///
///     async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
///         self.streams.append(stream, records).await
///     }
///
///     async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
///         self.streams.claim(claim).await
///     }
///
///     async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
///         self.streams.settle(settlements).await
///     }
///
///     async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
///         self.streams.inspect(stream).await
///     }
///
///     async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
///         self.streams.trim(stream, keep).await
///     }
///
///     async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
///         self.streams.remove_group(stream, group).await
///     }
///
///     async fn clear(&self, prefix: &str) -> Result<()> {
///         self.keys.clear(prefix).await?;
///         self.streams.clear(prefix).await
///     }
///
///     async fn close(&self) {
///         self.streams.close(CLOSING).await;
///         let _ = self.keys.close().await; // its watches end
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let life = Desk::life();
/// let desk = Coordination::opened(Desk::open(&life)?, life, &MemoryConfig::new());
/// let driver = desk.driver();
/// let (jobs, printers) = (StreamName::new("jobs")?, GroupName::new("printers")?);
/// driver.append(&jobs, &[Record::new("print 7")]).await?;
/// let claim = Claim::new(jobs.clone(), printers.clone(), MemberName::new("pod-1")?);
/// let receipt = driver.claim(&claim).await?.remove(0).receipt;
/// assert_eq!(driver.settle(&[Settlement { receipt, action: Action::Ack }]).await?, [Settled::Done]);
/// assert_eq!(driver.inspect(&jobs).await?.length, 1);
/// assert_eq!(driver.trim(&jobs, Retention::Unsettled).await?, 1);
/// assert!(driver.remove_group(&jobs, &printers).await?);
///
/// let mut watch = driver.watch(&Range::all()).await?;
/// let mut news = driver.subscribe(&Pattern::new("*")?).await?;
/// assert_eq!(driver.publish(&Channel::new("news")?, "2:1".into()).await?, Reach { at_most: Some(1) });
///
/// desk.close().await?;
/// assert!(matches!(news.next().await, Some(Ok(SubscriptionEvent::Message(_)))));
/// assert!(news.next().await.expect("an error").is_err());
/// assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Synced { .. }))));
/// assert!(watch.next().await.expect("an error").is_err());
/// assert_eq!(driver.claim(&claim).await.expect_err("it is closed").kind(), ErrorKind::Closed);
/// # Ok(())
/// # }
/// ```
pub trait Backend: Send + Sync + Sized + 'static {
    /// Where the backend is and how to talk to it.
    type Config: Config;

    /// What its handle is called where one is printed for debugging.
    const NAME: &'static str;

    /// How long a handle lives: as long as the runtime in which it is opened, where connections and other background
    /// tasks run. One that has no such tasks takes [`Life::without_runtime`].
    fn life() -> Life {
        Life::in_runtime()
    }

    /// Connects. Background tasks are run by [`Life::spawn`]; watches and subscriptions end as [`Life::on_end`] says.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unavailable`, `Timeout`, `Unauthorized`, `Unsupported`, ...
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    fn connect(config: Self::Config, life: &Life) -> impl Future<Output = Result<Self>> + Send;

    /// Removes namespaces with all that is in them, and with what `clear` keeps: how far their revisions went, which
    /// transactions were applied. For namespaces that nobody will use again, as those of a test. The namespace of `config`
    /// does not matter. A backend that keeps nothing without a handle has nothing to do.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Dropping the future leaves some of it undone; erasing again does the rest.
    fn erase(config: Self::Config, namespaces: &[Namespace]) -> impl Future<Output = Result<()>> + Send;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Reads keys, all as of one revision; linearizable. An expired key is absent, and stays so.
    fn get(&self, keys: &[Key]) -> impl Future<Output = Result<Snapshot>> + Send;

    /// Reads one page of a range, ascending by the keys' bytes, as of one revision.
    fn scan(&self, range: &Range, page: &Page) -> impl Future<Output = Result<ScanPage>> + Send;

    /// Checks the guards and applies the mutations, all or nothing, linearizable.
    fn commit(&self, transaction: &Transaction) -> impl Future<Output = Result<Outcome>> + Send;

    /// Watches a range: the present entries, `Synced`, then changes.
    fn watch(&self, range: &Range) -> impl Future<Output = Result<WatchStream>> + Send {
        let _ = range;
        not_offered(self, Operation::Watch)
    }

    /// Sends a message to those subscribed now.
    fn publish(&self, channel: &Channel, payload: Bytes) -> impl Future<Output = Result<Reach>> + Send {
        let _ = (channel, payload);
        not_offered(self, Operation::Publish)
    }

    /// Subscribes to the channels that match; live when it returns.
    fn subscribe(&self, pattern: &Pattern) -> impl Future<Output = Result<Subscription>> + Send {
        let _ = pattern;
        not_offered(self, Operation::Subscribe)
    }

    /// Appends records, in their order, next to each other.
    fn append(&self, stream: &StreamName, records: &[Record]) -> impl Future<Output = Result<Vec<Appended>>> + Send {
        let _ = (stream, records);
        not_offered(self, Operation::Append)
    }

    /// Claims records for one member of a group; waits up to `claim.wait` for the first.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<Vec<Delivery>>> + Send {
        let _ = claim;
        not_offered(self, Operation::Claim)
    }

    /// Settles deliveries; each on its own.
    fn settle(&self, settlements: &[Settlement]) -> impl Future<Output = Result<Vec<Settled>>> + Send {
        let _ = settlements;
        not_offered(self, Operation::Settle)
    }

    /// What a stream holds.
    fn inspect(&self, stream: &StreamName) -> impl Future<Output = Result<StreamInfo>> + Send {
        let _ = stream;
        not_offered(self, Operation::Inspect)
    }

    /// Drops old records, but none that a group has not settled; returns how many.
    fn trim(&self, stream: &StreamName, keep: Retention) -> impl Future<Output = Result<u64>> + Send {
        let _ = (stream, keep);
        not_offered(self, Operation::Trim)
    }

    /// Removes a group; whether there was one.
    fn remove_group(&self, stream: &StreamName, group: &GroupName) -> impl Future<Output = Result<bool>> + Send {
        let _ = (stream, group);
        not_offered(self, Operation::RemoveGroup)
    }

    /// Removes every key and stream whose name starts with `prefix`.
    fn clear(&self, prefix: &str) -> impl Future<Output = Result<()>> + Send;

    /// Asks the server how it is.
    fn health(&self) -> impl Future<Output = Result<Health>> + Send;

    /// What is left to do when the handle is closed, besides what [`Life::on_end`] says: it is done to its end as a task
    /// of the handle, while new calls are refused already.
    fn close(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What is called though nothing declares it.
fn not_offered<B: Backend, T: Send>(backend: &B, operation: Operation) -> impl Future<Output = Result<T>> + Send {
    let name = operation.as_str();
    std::future::ready(Err(Error::unsupported(name, &backend.capabilities().backend, name)))
}

/// Where a backend is and how to talk to it.
pub trait Config: Clone + Send + 'static {
    /// The URL schemes that it reads, in lower case.
    const SCHEMES: &'static [&'static str];

    /// Reads a URL.
    ///
    /// # Errors
    /// `InvalidArgument` if it cannot be read, naming what is wrong and never repeating a user or password.
    fn from_url(url: &str) -> Result<Self>;

    /// Lives in this namespace, instead of the URL's.
    fn with_namespace(self, namespace: Namespace) -> Self;

    /// The namespace to live in.
    fn namespace(&self) -> &Namespace;

    /// The backend's address, without secrets.
    fn address(&self) -> String;
}
