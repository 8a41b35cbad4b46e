//! What a case works with: handles to namespaces of its own.

use crate::failure::{Failure, here};
use crate::faults::Faults;
use crate::harness::Harness;
use linchpin_core::{Capabilities, DistributedCoordination, Driver, Namespace, Port, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What a case works with: a fresh namespace of its own, and handles to it. Everything that a case opens
/// is cleared and closed after it, also if it failed.
#[derive(Clone)]
pub struct Context {
    port: Port,
    home: Arc<Home>,
}

/// Where the cases' handles come from, and which ones one case has opened.
pub(crate) struct Home {
    backend: Backend,
    namespace: Namespace,
    opened: Mutex<Opened>,
}

/// What handles are opened to.
enum Backend {
    /// The server that all cases share.
    Shared(Arc<dyn Harness>),
    /// A server of the case's own.
    Own(Faults),
}

#[derive(Default)]
struct Opened {
    namespaces: Vec<Namespace>,
    handles: Vec<Arc<dyn Driver>>,
}

impl Home {
    pub(crate) fn new(harness: Arc<dyn Harness>) -> Result<Arc<Self>> {
        Self::at(Backend::Shared(harness))
    }

    pub(crate) fn with_faults(faults: Faults) -> Result<Arc<Self>> {
        Self::at(Backend::Own(faults))
    }

    fn at(backend: Backend) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { backend, namespace: fresh_namespace()?, opened: Mutex::default() }))
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        Ok(self.opened(self.open_to_drop(namespace).await?))
    }

    async fn open_to_drop(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        // Noted first: a handle that is cut off while it is being opened may have left something there.
        self.note(namespace);
        match &self.backend {
            Backend::Shared(harness) => harness.connect(namespace).await,
            Backend::Own(faults) => faults.connect(namespace).await,
        }
    }

    fn opened(&self, handle: Arc<dyn Driver>) -> Arc<dyn Driver> {
        self.opened.lock().handles.push(handle.clone());
        handle
    }

    fn note(&self, namespace: &Namespace) {
        let known = &mut self.opened.lock().namespaces;
        if !known.contains(namespace) {
            known.push(namespace.clone());
        }
    }

    /// Clears every namespace that was opened, through fresh handles (the case may have closed its own),
    /// and closes all handles. What lies on a server of the case's own ends with that. One that fails is no reason
    /// to leave the others; the first error is returned.
    pub(crate) async fn clean_up(&self) -> Result<()> {
        let Opened { namespaces, handles } = std::mem::take(&mut *self.opened.lock());
        let mut cleaned = Ok(());
        if let Backend::Shared(harness) = &self.backend {
            for namespace in namespaces {
                cleaned = cleaned.and(cleared(&**harness, &namespace).await);
            }
        }
        for handle in handles {
            cleaned = cleaned.and(handle.close().await);
        }
        cleaned
    }
}

async fn cleared(harness: &dyn Harness, namespace: &Namespace) -> Result<()> {
    let handle = harness.connect(namespace).await?;
    handle.clear("").await?;
    handle.close().await
}

/// A namespace nobody else has.
fn fresh_namespace() -> Result<Namespace> {
    Namespace::new(format!("conformance-{:016x}", fastrand::u64(..)))
}

impl Context {
    pub(crate) async fn open(home: Arc<Home>) -> Result<Self> {
        Ok(Self { port: Port::over(home.open(&home.namespace).await?), home })
    }

    /// The case's first handle.
    pub fn driver(&self) -> Arc<dyn Driver> {
        self.port.driver().clone()
    }

    /// The case's namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.home.namespace
    }

    /// What the backend declares.
    pub fn capabilities(&self) -> &Capabilities {
        self.port.driver().capabilities()
    }

    /// A second handle to the case's namespace.
    ///
    /// # Errors
    /// What opening it fails with.
    pub async fn another(&self) -> Result<Arc<dyn Driver>> {
        self.home.open(&self.home.namespace).await
    }

    /// As [`another`](Self::another), but nobody else holds it, and nobody closes it: it is gone once it is dropped.
    ///
    /// # Errors
    /// What opening it fails with.
    pub async fn another_to_drop(&self) -> Result<Arc<dyn Driver>> {
        self.home.open_to_drop(&self.home.namespace).await
    }

    /// What a fault case may do to its server.
    ///
    /// # Errors
    /// If this is no fault case.
    #[track_caller]
    pub fn faults(&self) -> Result<&Faults, Failure> {
        match &self.home.backend {
            Backend::Own(faults) => Ok(faults),
            Backend::Shared(_) => Err(Failure::new("only cases of the area faults may harm their server")),
        }
    }

    /// A handle to a fault case's namespace that is not cut off when the others are.
    ///
    /// # Errors
    /// What opening it fails with; if this is no fault case.
    #[track_caller]
    pub fn beside(&self) -> impl Future<Output = Result<Arc<dyn Driver>, Failure>> {
        here(async move {
            let handle = self.faults()?.connect_beside(&self.home.namespace).await?;
            Ok(self.home.opened(handle))
        })
    }

    /// A handle to another fresh namespace.
    ///
    /// # Errors
    /// What opening it fails with.
    pub async fn elsewhere(&self) -> Result<Arc<dyn Driver>> {
        self.home.open(&fresh_namespace()?).await
    }

    /// A handle to the fresh namespace that is called like the case's own with `suffix` behind it.
    ///
    /// # Errors
    /// What opening it fails with; `InvalidArgument` if that is no namespace's name.
    pub async fn next_door(&self, suffix: &str) -> Result<Arc<dyn Driver>> {
        self.home.open(&Namespace::new(format!("{}{suffix}", self.home.namespace))?).await
    }

    /// The case's first handle as the port that an application holds.
    pub fn port(&self) -> Arc<dyn DistributedCoordination> {
        Arc::new(self.port.clone())
    }

    /// A second handle to the case's namespace, as the port.
    ///
    /// # Errors
    /// What opening it fails with.
    pub async fn another_port(&self) -> Result<Arc<dyn DistributedCoordination>> {
        Ok(Arc::new(Port::over(self.another().await?)))
    }

    /// `wanted`, rounded up to a TTL that the backend grants as it is.
    pub fn ttl(&self, wanted: Duration) -> Duration {
        self.capabilities().ttl.map_or(wanted, |ttl| rounded_up(wanted.max(ttl.minimum), ttl.granularity))
    }

    /// How long after its TTL a key may still be seen.
    pub fn ttl_slack(&self) -> Duration {
        self.capabilities().ttl.map_or(Duration::ZERO, |ttl| ttl.slack)
    }

    /// How long after its time a record may still wait.
    pub fn stream_slack(&self) -> Duration {
        self.capabilities().streams.map_or(Duration::ZERO, |streams| streams.slack)
    }
}

/// The least multiple of `granularity` that is not shorter than `time`.
pub(crate) fn rounded_up(time: Duration, granularity: Duration) -> Duration {
    match u64::try_from(granularity.as_nanos()) {
        Ok(0) | Err(_) => time,
        Ok(step) => {
            let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            Duration::from_nanos(time.div_ceil(step).saturating_mul(step))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up_to_what_the_backend_counts_in() {
        let (second, ms) = (Duration::from_secs(1), Duration::from_millis(1));
        assert_eq!(rounded_up(ms, second), second);
        assert_eq!(rounded_up(second, second), second);
        assert_eq!(rounded_up(second + ms, second), second * 2);
        assert_eq!(rounded_up(ms, Duration::ZERO), ms);
        assert_eq!(rounded_up(linchpin_core::MAX_TTL, second), linchpin_core::MAX_TTL);
    }
}
