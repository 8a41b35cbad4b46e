//! What a user of one adapter holds.

use crate::backend::{Backend, Config};
use crate::handle::Handle;
use linchpin_core::life::Life;
use linchpin_core::{Driver, HasPort, Namespace, NodeId, Port, Result};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A handle to one namespace of a backend. It is the port
/// [`DistributedCoordination`](linchpin_core::DistributedCoordination), and [`driver`](Self::driver) is what lies below
/// it. Clones are the same handle; closing one closes all. The background tasks end with the last of the handle and its
/// watches and subscriptions.
///
/// An adapter gives it a name: `pub type RedisCoordination = Coordination<Redis>`.
///
/// ```
/// use linchpin_adapter::Coordination;
/// use linchpin_core::{Area, DistributedCoordination, ErrorKind, Namespace};
/// use linchpin_memory::{Memory, MemoryConfig};
///
/// type Shelf = Coordination<Memory>;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let config = MemoryConfig::from_url("memory://example?namespace=orders")?;
/// let (one, other) = (Shelf::connect(config.clone()).await?, Shelf::connect(config.clone()).await?);
/// one.set("order:7", b"paid", None).await?;
/// let found = other.driver().get(&[Area::USER.key("order:7")?]).await?.into_entry();
/// assert_eq!(found.expect("it was set").value, "paid");
///
/// one.close().await?;
/// assert_eq!(one.get("order:7").await.expect_err("it is closed").kind(), ErrorKind::Closed);
/// assert!(other.exists("order:7").await?, "another handle is not");
/// Shelf::erase(config, &[Namespace::new("orders")?]).await?;
/// # Ok(())
/// # }
/// ```
pub struct Coordination<B> {
    port: Port,
    backend: PhantomData<fn() -> B>,
}

impl<B: Backend> Coordination<B> {
    /// Connects to the backend that `url` names and lives in the namespace `key_prefix`, or the URL's without one.
    /// `node_id` names this handle where it is printed for debugging.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `InvalidArgument` also for a URL that cannot be read, a prefix that is no
    /// [`Namespace`] and an id that is no [`NodeId`].
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn new(url: &str, node_id: String, key_prefix: Option<String>) -> Result<Self> {
        let mut config = B::Config::from_url(url)?;
        if let Some(prefix) = key_prefix {
            config = config.with_namespace(Namespace::new(prefix)?);
        }
        Handle::<B>::connect(config, Some(NodeId::new(node_id)?)).await.map(Self::over)
    }

    /// Connects, asks the server what it is, and makes what the namespace needs if it is not there.
    ///
    /// The handle lives in the current tokio runtime: once that has ended every call fails with `Closed`.
    ///
    /// # Errors
    /// `InvalidArgument` if the configuration is wrong, `Unavailable` or `Timeout` if the server cannot be reached,
    /// `Unauthorized` if it does not accept the login or the user may not do what is needed, `ResourceExhausted` if it
    /// takes no more connections, `Unsupported` if it is too old or lacks what is needed.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened. What the namespace needs may be there or not.
    ///
    /// # Panics
    /// Outside of a tokio runtime, of a backend that needs one.
    pub async fn connect(config: B::Config) -> Result<Self> {
        Handle::<B>::connect(config, None).await.map(Self::over)
    }

    /// A handle to what is open already, for a backend that has nothing to wait for: it lives as `life` says.
    pub fn opened(backend: B, life: Life, config: &B::Config) -> Self {
        Self::over(Handle::of(backend, life, config))
    }

    fn over(handle: Handle<B>) -> Self {
        Self { port: Port::over(Arc::new(handle)), backend: PhantomData }
    }

    /// As [`Backend::erase`].
    ///
    /// # Errors
    /// As [`Backend::erase`].
    ///
    /// # Cancel safety
    /// As [`Backend::erase`].
    pub async fn erase(config: B::Config, namespaces: &[Namespace]) -> Result<()> {
        B::erase(config, namespaces).await
    }

    /// Ends background tasks, subscriptions and watches, and closes the connections. Later calls, on clones too, fail
    /// with `Closed`. A second call does nothing.
    ///
    /// # Errors
    /// As [`Driver::close`].
    ///
    /// # Cancel safety
    /// Closing goes on without the caller.
    pub async fn close(&self) -> Result<()> {
        self.port.driver().close().await
    }

    /// The driver: transactions, watches, streams. Its keys and channels are raw: what the port calls `name` is
    /// [`Area::USER.key("name")`](linchpin_core::Area::key) here.
    pub fn driver(&self) -> Arc<dyn Driver> {
        self.port.driver().clone()
    }
}

impl<B> Clone for Coordination<B> {
    fn clone(&self) -> Self {
        Self { port: self.port.clone(), backend: PhantomData }
    }
}

impl<B> fmt::Debug for Coordination<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.port.driver().fmt(f)
    }
}

impl<B> HasPort for Coordination<B> {
    fn port(&self) -> &Port {
        &self.port
    }
}

impl<B> From<Coordination<B>> for Arc<dyn Driver> {
    fn from(coordination: Coordination<B>) -> Self {
        coordination.port.driver().clone()
    }
}
