//! What the cases about recipes share.

use crate::context::Context;
use crate::failure::Failure;
use linchpin::{Coordinator, RetryPolicy};
use linchpin_core::{Area, Driver, Page, Range};
use std::sync::Arc;
use std::time::Duration;

/// The shortest TTL that a lease and the backend both take, with room for a slow machine.
pub(crate) fn short(ctx: &Context) -> Duration {
    ctx.ttl(Duration::from_millis(600))
}

/// The TTL of a lease that must not end while it is renewed, though the machine stands still for a moment.
pub(crate) fn kept(ctx: &Context) -> Duration {
    ctx.ttl(Duration::from_millis(1200))
}

/// A coordinator of its own, as another process would have, and the driver that its fate hangs on.
pub(crate) async fn node(ctx: &Context) -> Result<(Coordinator, Arc<dyn Driver>), Failure> {
    let driver = ctx.another().await?;
    let coordinator = Coordinator::over(driver.clone()).retry(RetryPolicy::NEVER).connect().await?;
    Ok((coordinator, driver))
}

pub(crate) async fn coordinator(ctx: &Context) -> Result<Coordinator, Failure> {
    Ok(node(ctx).await?.0)
}

/// A coordinator with this node id.
pub(crate) async fn called(ctx: &Context, node_id: &str) -> Result<Coordinator, Failure> {
    Ok(Coordinator::over(ctx.another().await?).retry(RetryPolicy::NEVER).node_id(node_id).connect().await?)
}

/// How many keys an area has.
pub(crate) async fn keys_in(driver: &Arc<dyn Driver>, area: Area) -> Result<usize, Failure> {
    let range = Range::prefix(area.prefix())?;
    Ok(driver.scan(&range, &Page::first_keys()).await?.entries.len())
}

/// Removes every key of an area, as somebody with a shell would.
pub(crate) async fn remove(driver: &Arc<dyn Driver>, area: Area) -> Result<(), Failure> {
    Ok(driver.clear(area.prefix()).await?)
}
