//! How a backend is opened by a URL, whichever it is.

use crate::backend::{Backend, Config};
use crate::coordination::Coordination;
use futures::future::BoxFuture;
use linchpin_core::{Driver, Namespace, Result};
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

/// What a list of backends knows of one: its URL schemes, and how it is opened and erased.
///
/// ```
/// use linchpin_adapter::Opener;
/// use linchpin_core::Namespace;
/// use linchpin_memory::Memory;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let (known, url) = ([Opener::of::<Memory>()], "memory://example?namespace=orders");
/// let reads = |opener: &&Opener| opener.schemes().iter().any(|scheme| url.starts_with(&format!("{scheme}://")));
/// let opener = known.iter().find(reads).expect("one of them reads it");
/// assert!(opener.is_of::<Memory>());
/// assert_eq!(opener.name(), "MemoryCoordination");
///
/// let tests = Namespace::new("tests")?; // instead of `orders`
/// let driver = opener.open(url, Some(tests.clone())).await?;
/// assert_eq!(driver.capabilities().backend, "memory");
/// driver.close().await?;
/// opener.erase(url, &[tests]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Opener {
    backend: TypeId,
    name: &'static str,
    schemes: &'static [&'static str],
    open: fn(String, Option<Namespace>) -> Answer<Arc<dyn Driver>>,
    erase: fn(String, Vec<Namespace>) -> Answer<()>,
}

type Answer<T> = BoxFuture<'static, Result<T>>;

impl Opener {
    /// That of a backend.
    pub fn of<B: Backend>() -> Self {
        Self {
            backend: TypeId::of::<B>(),
            name: B::NAME,
            schemes: B::Config::SCHEMES,
            open: |url, namespace| Box::pin(open::<B>(url, namespace)),
            erase: |url, namespaces| Box::pin(async move { B::erase(B::Config::from_url(&url)?, &namespaces).await }),
        }
    }

    /// Whether it is that of a backend.
    pub fn is_of<B: Backend>(&self) -> bool {
        self.backend == TypeId::of::<B>()
    }

    /// What the backend is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The URL schemes that it reads.
    pub fn schemes(&self) -> &'static [&'static str] {
        self.schemes
    }

    /// Opens a driver without layers, in `namespace` instead of the URL's if one is given.
    ///
    /// # Errors
    /// As [`Coordination::connect`]; `InvalidArgument` also for a URL that cannot be read.
    ///
    /// # Cancel safety
    /// As [`Coordination::connect`].
    pub async fn open(&self, url: &str, namespace: Option<Namespace>) -> Result<Arc<dyn Driver>> {
        (self.open)(url.to_owned(), namespace).await
    }

    /// As [`Backend::erase`].
    ///
    /// # Errors
    /// As [`Backend::erase`]; `InvalidArgument` also for a URL that cannot be read.
    ///
    /// # Cancel safety
    /// As [`Backend::erase`].
    pub async fn erase(&self, url: &str, namespaces: &[Namespace]) -> Result<()> {
        (self.erase)(url.to_owned(), namespaces.to_vec()).await
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("name", &self.name).field("schemes", &self.schemes).finish_non_exhaustive()
    }
}

async fn open<B: Backend>(url: String, namespace: Option<Namespace>) -> Result<Arc<dyn Driver>> {
    let config = namespace.into_iter().fold(B::Config::from_url(&url)?, B::Config::with_namespace);
    Coordination::<B>::connect(config).await.map(Into::into)
}
