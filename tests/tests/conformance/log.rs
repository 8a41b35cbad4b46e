//! The machine over a log in memory: as it should be, and with what goes wrong on a bad day.

use linchpin_adapter::Config;
use linchpin_conformance::{Harness, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_log::memory::{Faults, MemoryLog, MemoryLogConfig, MemoryLogCoordination};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Logs {
    name: &'static str,
    faults: Faults,
    by_namespace: Mutex<HashMap<Namespace, MemoryLog>>,
    opened: AtomicU64,
}

#[async_trait]
impl Harness for Logs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> String {
        format!("{}, handles of one process to logs in its memory", self.name)
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let log = self.by_namespace.lock().entry(namespace.clone()).or_default().clone();
        let log = log.with_faults(self.faults.clone(), self.opened.fetch_add(1, Ordering::Relaxed));
        let config = MemoryLogConfig::new(log).snapshot_after(16 * 1024).with_namespace(namespace.clone());
        Ok(MemoryLogCoordination::connect(config).await?.into())
    }
}

fn run_with(name: &'static str, faults: Faults) -> ExitCode {
    linchpin_conformance::run(Logs { name, faults, by_namespace: Mutex::default(), opened: AtomicU64::new(0) })
}

pub(crate) fn run() -> ExitCode {
    run_with("log", Faults::default())
}

/// Whatever is asked for succeeds, a little later.
pub(crate) fn run_faulty() -> ExitCode {
    let faults = Faults {
        lost: 0.02,
        unanswered: 0.02,
        late: 0.01,
        repeated: 0.05,
        cut: 0.002,
        torn: 0.3,
        delay: Duration::from_millis(1),
        lateness: Duration::from_millis(100),
    };
    run_with("log-faulty", faults)
}
