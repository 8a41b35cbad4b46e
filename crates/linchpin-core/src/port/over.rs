//! The port over a driver, and who has one.

use super::{PortState, cluster};
use crate::driver::Driver;
use crate::error::Result;
use std::fmt;
use std::sync::Arc;

/// The port over a driver. Clones are the same port.
///
/// ```
/// use linchpin_core::{DistributedCoordination, Driver, Port};
/// use std::sync::Arc;
///
/// fn port(driver: Arc<dyn Driver>) -> Arc<dyn DistributedCoordination> {
///     Arc::new(Port::over(driver))
/// }
/// ```
#[derive(Clone)]
pub struct Port {
    driver: Arc<dyn Driver>,
    state: Arc<PortState>,
}

impl Port {
    /// A port of its own: what it counts, and the nodes and leaders that it speaks for, are no other port's.
    pub fn over(driver: Arc<dyn Driver>) -> Self {
        Self { driver, state: Arc::default() }
    }

    /// The driver below.
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.driver
    }

    /// Takes back what this port said of a node, as far as it still stands: that it is there, and that it leads. What
    /// others said of it, or the recipes, stays.
    ///
    /// # Errors
    /// What the driver fails with.
    ///
    /// # Cancel safety
    /// Dropping the future leaves some of it undone: what is left ends with its TTL.
    pub async fn leave(&self, node_id: &str) -> Result<()> {
        if self.state.led.lock().remove(node_id) {
            cluster::resign(self, node_id).await?;
        }
        if self.state.registered.lock().remove(node_id).is_some() {
            cluster::delist(self, node_id).await?;
        }
        Ok(())
    }

    pub(super) fn state(&self) -> &PortState {
        &self.state
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("driver", &self.driver).finish_non_exhaustive()
    }
}

/// What has a port, and so is one: every adapter's handle.
pub trait HasPort: Send + Sync {
    /// The port.
    fn port(&self) -> &Port;
}

impl HasPort for Port {
    fn port(&self) -> &Port {
        self
    }
}
