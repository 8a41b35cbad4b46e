//! What an adapter brings to the suite.

use crate::faults::FaultServer;
use async_trait::async_trait;
use linchpin_core::{Driver, Namespace, Result};
use std::future::Future;
use std::sync::Arc;

/// A backend under test: how to bring its server up, and how to open handles to it.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The backend's name: what `LINCHPIN_TEST_SKIP` calls it, and the name of its report's files.
    fn name(&self) -> &str;

    /// What exactly is tested, for the report: `redis 7.0.15 in a container`. Asked once it has started.
    fn describe(&self) -> String;

    /// Brings the server up; called once per run, before any handle is opened.
    ///
    /// # Errors
    /// Why there is no server. The run fails with it: a missing backend is no reason to pass.
    async fn start(&self) -> Result<(), String>;

    /// Opens a new handle to a namespace, as another process would: its own connection, nothing shared
    /// with handles opened before.
    ///
    /// # Errors
    /// What opening fails with.
    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>>;

    /// Starts a server of a fault case's own, if this harness can: one that may be paused, killed, restarted and
    /// cut off. Unless it is overridden no faults are offered: the fault cases are not run, and the report says so.
    ///
    /// # Errors
    /// Why there is no server: that fails the case.
    async fn fault_server(&self) -> Result<Option<Arc<dyn FaultServer>>, String> {
        Ok(None)
    }
}

/// A harness for a backend that needs no starting: `connect` opens a new handle to a namespace, as
/// [`Harness::connect`] says. It offers no faults.
///
/// ```no_run
/// use linchpin_conformance::{over, run};
/// use linchpin_memory::{MemoryConfig, MemoryCoordination}; // or your own adapter
///
/// fn main() -> std::process::ExitCode {
///     run(over("mine", |namespace| async {
///         MemoryCoordination::connect(MemoryConfig::from_url("memory://mine")?.namespace(namespace)).await
///     }))
/// }
/// ```
pub fn over<F, C, D>(name: impl Into<String>, connect: F) -> impl Harness
where
    F: Fn(Namespace) -> C + Send + Sync + 'static,
    C: Future<Output = Result<D>> + Send + 'static,
    D: Into<Arc<dyn Driver>> + 'static,
{
    Over { name: name.into(), connect }
}

struct Over<F> {
    name: String,
    connect: F,
}

#[async_trait]
impl<F, C, D> Harness for Over<F>
where
    F: Fn(Namespace) -> C + Send + Sync + 'static,
    C: Future<Output = Result<D>> + Send + 'static,
    D: Into<Arc<dyn Driver>> + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        (self.connect)(namespace.clone()).await.map(Into::into)
    }
}
