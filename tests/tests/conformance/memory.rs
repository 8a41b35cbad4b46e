//! The memory adapter.

use linchpin_conformance::{Harness, async_trait};
use linchpin_core::{Driver, Namespace, Result};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::process::ExitCode;
use std::sync::Arc;

struct Memory;

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn describe(&self) -> String {
        "memory, handles of one process that share a name".to_owned()
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = MemoryConfig::from_url("memory://conformance")?.namespace(namespace.clone());
        Ok(MemoryCoordination::connect(config).await?.into())
    }
}

pub(crate) fn run() -> ExitCode {
    linchpin_conformance::run(Memory)
}
