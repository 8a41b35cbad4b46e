//! The first program of the README.

use std::time::Duration;

#[tokio::main]
async fn main() -> linchpin::Result<()> {
    let url = std::env::var("LINCHPIN_URL").unwrap_or("memory://shop".to_owned());
    let coordinator = linchpin::connect(url).await?;

    // One holder at a time, first come first served, renewed while it is held.
    let guard = coordinator.lock("order:123").wait(Duration::from_secs(5)).acquire().await?;
    println!("order:123 is ours, fencing token {}", guard.token());
    guard.put("order:123:state", "paid").await?; // refused if the lock was lost meanwhile
    guard.release().await?;

    coordinator.publish("orders", b"123 is paid").await?;
    coordinator.shutdown().await
}
