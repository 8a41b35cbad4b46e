//! Everything that an adapter does, once: for users who may do no more than they must.

use futures::StreamExt;
use linchpin::{
    Action, Claim, Coordinator, Driver, ErrorKind, GroupName, MemberName, Record, Result, Retention, Settlement,
    StreamName,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

/// Uses every kind of thing that an adapter does, and clears the namespace.
///
/// # Errors
///
/// What the driver refuses or fails with.
///
/// # Panics
///
/// If a message does not come, or a lock that is held is given to another.
pub async fn everything(driver: Arc<dyn Driver>) -> Result<()> {
    let coordinator = Coordinator::over(driver).connect().await?;
    let mut messages = coordinator.subscribe("news:*").await?;
    coordinator.publish_with_ack("news:x", b"m", SOON).await.map(drop).or_else(|error| match error.kind() {
        ErrorKind::Timeout => Ok(()),
        _ => Err(error),
    })?;
    timeout(SOON, messages.next()).await.expect("in time").expect("open")?;
    coordinator.set("k", b"v", Some(SOON)).await?;
    coordinator.incr("n", i64::MAX, None).await?;
    coordinator.register_node("n1", None).await?;
    coordinator.heartbeat("n1", SOON).await?;
    coordinator.try_acquire_leadership("n1", SOON).await?;
    let guard = coordinator.lock("l").acquire().await?;
    let waiting = coordinator.lock("l").wait(Duration::from_millis(200)).acquire().await;
    assert_eq!(waiting.expect_err("held").kind(), ErrorKind::Timeout);
    guard.release().await?;
    let stream = StreamName::new("s")?;
    let group = GroupName::new("g")?;
    let claim = Claim::new(stream.clone(), group, MemberName::new("m")?);
    let driver = coordinator.driver();
    driver.append(&stream, &[Record::new("r").with_id("1")?]).await?;
    let delivery = driver.claim(&claim).await?.remove(0);
    let reject = Action::Reject { reason: "bad".to_owned() };
    driver.settle(&[Settlement { receipt: delivery.receipt, action: reject }]).await?;
    driver.claim(&claim.wait(Duration::from_millis(100))).await?;
    driver.inspect(&stream).await?;
    driver.trim(&stream, Retention::Newest(0)).await?;
    coordinator.stats().await?;
    coordinator.flush_all().await
}
