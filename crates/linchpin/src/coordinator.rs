//! The concrete type that applications use, and how it is built.

use crate::connect::open;
use crate::context::Context;
use crate::election::Election;
use crate::leases::MIN_TTL;
use crate::lock::Lock;
use crate::members::Members;
use linchpin_core::layers::{Layers, Metrics, MetricsSnapshot, NamespaceLayer, RetryPolicy};
use linchpin_core::{DistributedCoordination, Driver, Error, ErrorKind, Namespace, NodeId, Port, Result};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// Connects to the backend that a URL names, with every default: see [`Coordinator::builder`].
///
/// `memory://` is private to the handle, `memory://name` shared within the process; `redis://host` and
/// `rediss://host` (TLS) need the feature `redis`, `nats://host` and `tls://host` (TLS) the feature `nats`, and
/// `postgres://host/database` the feature `postgres`. Every URL takes `?namespace=name`.
///
/// # Errors
/// `InvalidArgument` for a URL that cannot be read or names a backend that is not compiled in; what
/// connecting fails with: `Unavailable`, `Timeout`, `Unauthorized`.
///
/// # Cancel safety
/// Dropping the future closes what was opened.
///
/// # Examples
/// ```
/// # #[tokio::main]
/// # async fn main() -> linchpin::Result<()> {
/// let coordinator = linchpin::connect("memory://").await?;
/// coordinator.set("greeting", b"hello", None).await?;
/// assert_eq!(coordinator.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: impl AsRef<str>) -> Result<Coordinator> {
    Coordinator::builder(url.as_ref()).connect().await
}

/// A connection to a backend and the door to the recipes. Cheap to clone; clones share everything.
///
/// It derefs to the port [`DistributedCoordination`], so the port's methods are called on it directly; a
/// function that takes `&dyn DistributedCoordination` is given `&*coordinator`.
/// When the last clone is dropped, and the last guard, lock, election or group that was made by it, the background tasks end; what is still held is
/// released in the background, or passes with its TTL.
#[derive(Clone)]
pub struct Coordinator {
    port: Port,
    context: Arc<Context>,
    metrics: Metrics,
}

impl Coordinator {
    /// Starts a coordinator for the backend that `url` names.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use linchpin::{Coordinator, RetryPolicy};
    /// use std::time::Duration;
    /// let coordinator = Coordinator::builder("memory://shop")
    ///     .namespace("orders")
    ///     .node_id("worker-1")
    ///     .lock_ttl(Duration::from_secs(15))
    ///     .timeout(Duration::from_secs(2))
    ///     .retry(RetryPolicy { attempts: 3, ..RetryPolicy::default() })
    ///     .connect()
    ///     .await?;
    /// assert_eq!(coordinator.node_id().as_str(), "worker-1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl Into<String>) -> CoordinatorBuilder {
        CoordinatorBuilder::new(Source::Url(url.into()))
    }

    /// Starts a coordinator over a driver: an adapter's handle that is configured by hand, or one of your own, as
    /// `Arc::new(driver) as Arc<dyn Driver>`.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use linchpin::{Coordinator, MemoryCoordination};
    /// let coordinator = Coordinator::over(MemoryCoordination::new()).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn over(driver: impl Into<Arc<dyn Driver>>) -> CoordinatorBuilder {
        CoordinatorBuilder::new(Source::Driver(driver.into()))
    }

    /// A lock: one holder at a time among all who name it alike in this namespace. Nothing is sent until
    /// it is acquired. See [`Lock`].
    pub fn lock(&self, name: impl Into<String>) -> Lock {
        Lock::new(self.context.clone(), name.into())
    }

    /// An election: one leader at a time among all who name it alike in this namespace. Nothing is sent until it
    /// is taken part in. See [`Election`].
    pub fn election(&self, name: impl Into<String>) -> Election {
        Election::new(self.context.clone(), name.into())
    }

    /// A group of members in this namespace: who is there, what they can do, who comes and goes. Nothing is sent
    /// until it is asked for or joined. See [`Members`].
    pub fn members(&self, group: impl Into<String>) -> Members {
        Members::new(self.context.clone(), group.into())
    }

    /// The port, to be held as `Arc<dyn DistributedCoordination>` by code that is tested with a mock.
    pub fn port(&self) -> Arc<dyn DistributedCoordination> {
        Arc::new(self.port.clone())
    }

    /// The layered driver: transactions, watches, streams.
    ///
    /// Its keys and channels are raw: what the port calls `name` is
    /// [`Area::USER.key("name")`](linchpin_core::Area::key) here.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use futures::StreamExt;
    /// use linchpin::{Area, Range, WatchEvent};
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let mut changes = coordinator.driver().watch(&Range::Key(Area::USER.key("config")?)).await?;
    /// coordinator.set("config", b"v2", None).await?;
    /// while let Some(event) = changes.next().await {
    ///     if let WatchEvent::Put(entry) = event? {
    ///         assert_eq!(entry.value, "v2");
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.context.driver
    }

    /// This node's id.
    pub fn node_id(&self) -> &NodeId {
        &self.context.node_id
    }

    /// What the calls of this coordinator came to so far.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.metrics.snapshot()
    }

    /// Releases every lock, leadership and membership of this coordinator, takes back what it said of this node
    /// through the port (that it is there, that it leads), and closes the backend. What another coordinator said of the
    /// same node stays. Later calls, on clones too, fail with `Closed`. A second call does nothing.
    ///
    /// # Errors
    /// The first error of releasing or resigning; the backend is closed all the same, and what could not
    /// be released passes with its TTL.
    ///
    /// # Cancel safety
    /// Dropping the future leaves some of it undone: what is left passes with its TTL.
    pub async fn shutdown(&self) -> Result<()> {
        let released = self.context.leases.shutdown().await;
        let left = match self.port.leave(self.context.node_id.as_str()).await {
            Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
            left => left.map_err(|error| error.with_operation("shutdown")),
        };
        self.context.driver.close().await?;
        released.and(left)
    }
}

impl Deref for Coordinator {
    type Target = dyn DistributedCoordination;

    fn deref(&self) -> &Self::Target {
        &self.port
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("node_id", &self.context.node_id)
            .field("backend", &self.context.driver.capabilities().backend)
            .finish_non_exhaustive()
    }
}

enum Source {
    Url(String),
    Driver(Arc<dyn Driver>),
}

/// Builds a [`Coordinator`]; every setting has a default that is right without reading.
#[must_use = "a builder does nothing until it connects"]
pub struct CoordinatorBuilder {
    source: Source,
    namespace: Option<String>,
    node_id: Option<String>,
    lock_ttl: Duration,
    timeout: Duration,
    layers: Layers,
    metrics: Metrics,
}

impl CoordinatorBuilder {
    fn new(source: Source) -> Self {
        let metrics = Metrics::default();
        let layers = Layers::default().metrics(metrics.clone());
        let (lock_ttl, timeout) = (Duration::from_secs(10), Layers::TIMEOUT);
        Self { source, namespace: None, node_id: None, lock_ttl, timeout, layers, metrics }
    }

    /// The namespace to live in, instead of the URL's; a part of the driver's own if it is built
    /// [over](Coordinator::over) one.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// This node's id; a random one unless told.
    pub fn node_id(mut self, node_id: impl Into<String>) -> Self {
        self.node_id = Some(node_id.into());
        self
    }

    /// The TTL of locks, leaderships and memberships that do not say their own; 10 seconds unless told, 300 ms at least.
    pub fn lock_ttl(mut self, ttl: Duration) -> Self {
        self.lock_ttl = ttl;
        self
    }

    /// How long one attempt of a call may take; 5 seconds unless told.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often and how long a call is tried.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.layers = self.layers.retry(policy);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`connect`]; `InvalidArgument` also for a namespace or node id that is not allowed.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Coordinator> {
        let namespace = self.namespace.map(Namespace::new).transpose()?;
        let node_id = self.node_id.map_or_else(|| Ok(NodeId::random()), NodeId::new)?;
        if self.lock_ttl < MIN_TTL {
            return Err(Error::invalid(
                "connect",
                format!("lock_ttl is {MIN_TTL:?} at least, not {:?}", self.lock_ttl),
            ));
        }
        if self.timeout.is_zero() {
            return Err(Error::invalid("connect", "timeout is greater than zero"));
        }
        let driver = match self.source {
            Source::Url(url) => open(&url, namespace).await?,
            Source::Driver(driver) => match namespace {
                Some(namespace) => Arc::new(NamespaceLayer::new(driver, &namespace)),
                None => driver,
            },
        };
        let driver = self.layers.timeout(self.timeout).wrap(driver);
        let port = Port::over(driver.clone());
        let context = Arc::new(Context::new(driver, node_id, self.lock_ttl));
        Ok(Coordinator { port, context, metrics: self.metrics })
    }
}

impl fmt::Debug for CoordinatorBuilder {
    /// Without the URL: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorBuilder")
            .field("namespace", &self.namespace)
            .field("node_id", &self.node_id)
            .field("lock_ttl", &self.lock_ttl)
            .finish_non_exhaustive()
    }
}
