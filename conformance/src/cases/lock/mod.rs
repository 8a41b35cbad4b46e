//! The lock recipe over any driver.

mod holding;
mod losing;
mod queueing;

use crate::case::Case;
use crate::context::Context;
use crate::failure::Failure;
use linchpin::{Coordinator, RetryPolicy};
use linchpin_core::Driver;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[&[Case]] = &[holding::CASES, queueing::CASES, losing::CASES];

/// The shortest TTL that a lock and the backend both take, with room for a slow machine.
fn short(ctx: &Context) -> Duration {
    ctx.ttl(Duration::from_millis(600))
}

/// A coordinator of its own, as another process would have, and the driver that its fate hangs on.
async fn node(ctx: &Context) -> Result<(Coordinator, Arc<dyn Driver>), Failure> {
    let driver = ctx.another().await?;
    let coordinator = Coordinator::over(driver.clone()).retry(RetryPolicy::NEVER).connect().await?;
    Ok((coordinator, driver))
}

async fn coordinator(ctx: &Context) -> Result<Coordinator, Failure> {
    Ok(node(ctx).await?.0)
}
