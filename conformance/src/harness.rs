//! What an adapter brings to the suite.

use crate::faults::FaultServer;
use async_trait::async_trait;
use linchpin_core::{Driver, Namespace, Result};
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
