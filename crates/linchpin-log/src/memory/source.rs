//! Handles to logs in memory.

use super::MemoryLog;
use crate::backend::{LogSource, OpenLog, Replicated, capabilities};
use linchpin_adapter::url::invalid;
use linchpin_adapter::{Config, Coordination};
use linchpin_core::life::Life;
use linchpin_core::{Durability, Namespace, Result};
use std::time::Duration;

/// Which log in memory to open, and how a client goes about it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLogConfig {
    log: MemoryLog,
    namespace: Namespace,
    snapshot_after: Option<usize>,
}

impl MemoryLogConfig {
    /// Of this log: it is one namespace's, whatever that is called.
    pub fn new(log: MemoryLog) -> Self {
        Self { log, ..Self::default() }
    }

    /// As [`OpenLog::snapshot_after`]; a MiB unless told.
    #[must_use]
    pub fn snapshot_after(mut self, bytes: usize) -> Self {
        self.snapshot_after = Some(bytes);
        self
    }
}

impl Config for MemoryLogConfig {
    const SCHEMES: &'static [&'static str] = &["memory-log"];

    /// `memory-log://`: a log of its own.
    fn from_url(url: &str) -> Result<Self> {
        if url == "memory-log://" { Ok(Self::default()) } else { Err(invalid("write memory-log://")) }
    }

    fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn address(&self) -> String {
        "memory-log://".to_owned()
    }
}

/// Logs in this process's memory.
#[derive(Debug)]
pub struct MemoryLogs;

/// A handle to a log in this process's memory.
///
/// ```
/// use linchpin_core::DistributedCoordination;
/// use linchpin_log::memory::{MemoryLog, MemoryLogConfig, MemoryLogCoordination};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let log = MemoryLog::new();
/// let one = MemoryLogCoordination::connect(MemoryLogConfig::new(log.clone())).await?;
/// let other = MemoryLogCoordination::connect(MemoryLogConfig::new(log)).await?;
/// one.set("order:7", b"paid", None).await?;
/// assert_eq!(other.get("order:7").await?.as_deref(), Some(&b"paid"[..]));
/// # Ok(())
/// # }
/// ```
pub type MemoryLogCoordination = Coordination<Replicated<MemoryLogs>>;

impl LogSource for MemoryLogs {
    type Config = MemoryLogConfig;
    type Log = MemoryLog;

    const NAME: &'static str = "MemoryLogCoordination";

    async fn open(config: MemoryLogConfig, _: &Life) -> Result<OpenLog<MemoryLog>> {
        const MIB: usize = 1024 * 1024;
        let mut capabilities = capabilities("memory-log", MIB);
        capabilities.version = concat!("memory-log ", env!("CARGO_PKG_VERSION")).into();
        capabilities.durability = Durability::new(false, false, "kept in this process's memory");
        Ok(OpenLog {
            log: config.log,
            messages: None,
            capabilities,
            // So that there are commands in parts.
            record: 64 * 1024,
            response_timeout: Duration::from_secs(5),
            snapshot_after: config.snapshot_after.unwrap_or(MIB),
        })
    }

    /// A log is gone with who has it.
    async fn erase(_: MemoryLogConfig, _: &[Namespace]) -> Result<()> {
        Ok(())
    }
}
