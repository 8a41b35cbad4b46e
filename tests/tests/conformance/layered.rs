//! A driver in all its layers, living in a part of a namespace that others live in too: a layer changes what things
//! cost, never what they mean.

use linchpin_conformance::{Harness, async_trait};
use linchpin_core::layers::Layers;
use linchpin_core::{Driver, Namespace, Result};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::process::ExitCode;
use std::sync::Arc;

struct Layered;

#[async_trait]
impl Harness for Layered {
    fn name(&self) -> &'static str {
        "layered-memory"
    }

    fn describe(&self) -> String {
        "memory with every layer, all namespaces nested in one".to_owned()
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let config = MemoryConfig::from_url("memory://layered")?;
        let driver = MemoryCoordination::connect(config).await?.into();
        Ok(Layers::default().namespace(namespace.clone()).wrap(driver))
    }
}

pub(crate) fn run() -> ExitCode {
    linchpin_conformance::run(Layered)
}
