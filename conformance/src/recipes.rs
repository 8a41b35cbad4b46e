//! What the cases about recipes share.

use crate::context::Context;
use crate::failure::{Failure, here};
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
    ctx.ttl(Duration::from_secs(2))
}

/// A coordinator of its own, as another process would have, and the driver that its fate hangs on.
#[track_caller]
pub(crate) fn node(ctx: &Context) -> impl Future<Output = Result<(Coordinator, Arc<dyn Driver>), Failure>> {
    here(async move {
        let driver = ctx.another().await?;
        let coordinator = Coordinator::over(driver.clone()).retry(RetryPolicy::NEVER).connect().await?;
        Ok((coordinator, driver))
    })
}

#[track_caller]
pub(crate) fn coordinator(ctx: &Context) -> impl Future<Output = Result<Coordinator, Failure>> {
    here(async move { Ok(node(ctx).await?.0) })
}

/// A coordinator with this node id.
#[track_caller]
pub(crate) fn called(ctx: &Context, node_id: &str) -> impl Future<Output = Result<Coordinator, Failure>> {
    here(async move {
        Ok(Coordinator::over(ctx.another().await?).retry(RetryPolicy::NEVER).node_id(node_id).connect().await?)
    })
}

/// How many keys an area has.
#[track_caller]
pub(crate) fn keys_in(driver: &Arc<dyn Driver>, area: Area) -> impl Future<Output = Result<usize, Failure>> {
    here(async move {
        let range = Range::prefix(area.prefix())?;
        Ok(driver.scan(&range, &Page::first_keys()).await?.entries.len())
    })
}

/// Removes every key of an area, as somebody with a shell would.
#[track_caller]
pub(crate) fn remove(driver: &Arc<dyn Driver>, area: Area) -> impl Future<Output = Result<(), Failure>> {
    here(async move { Ok(driver.clear(area.prefix()).await?) })
}
