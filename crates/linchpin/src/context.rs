//! What every recipe works with.

use crate::ahead::LongQueues;
use crate::leases::Leases;
use crate::lines::Lines;
use linchpin_core::life::Home;
use linchpin_core::{Driver, NodeId};
use std::sync::Arc;
use std::time::Duration;

/// A coordinator's, shared by everything that is made by it.
pub(crate) struct Context {
    /// With every layer.
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) lines: Lines,
    pub(crate) long_queues: LongQueues,
    /// Who takes part where nobody says who.
    pub(crate) node_id: NodeId,
    /// The TTL of what does not say its own.
    pub(crate) ttl: Duration,
}

impl Context {
    /// Its background tasks run in the runtime that calls this.
    pub(crate) fn new(driver: Arc<dyn Driver>, node_id: NodeId, ttl: Duration) -> Self {
        let home = Home::here();
        let leases = Arc::new(Leases::new(driver.clone(), home.clone()));
        let lines = Lines::new(driver.clone(), home);
        Self { driver, leases, lines, long_queues: LongQueues::default(), node_id, ttl }
    }
}
