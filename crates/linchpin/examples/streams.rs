//! Messages, watches and durable streams, over whatever `LINCHPIN_URL` names:
//! `cargo run -p linchpin --example streams`

use futures::StreamExt;
use linchpin::{
    Action, Area, Claim, Coordinator, GroupName, MemberName, Range, Record, Result, Settlement, WatchEvent,
};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("LINCHPIN_URL").unwrap_or("memory://".to_owned());
    let coordinator = Coordinator::builder(url).namespace("streams-example").connect().await?;
    messages(&coordinator).await?;
    watching(&coordinator).await?;
    streams(&coordinator).await?;
    coordinator.flush_all().await?;
    coordinator.shutdown().await
}

/// Messages reach those who are subscribed when they are sent.
async fn messages(coordinator: &Coordinator) -> Result<()> {
    let mut news = coordinator.subscribe("news:*").await?;
    coordinator.publish("news:weather", b"sunny").await?;
    if let Some(message) = news.next().await.transpose()? {
        println!("{}: {}", message.channel, String::from_utf8_lossy(&message.payload));
    }
    // Waits until a subscriber has taken the message out of its stream.
    let acknowledged = coordinator.publish_with_ack("news:urgent", b"storm", Duration::from_secs(1));
    let (acknowledged, urgent) = tokio::join!(acknowledged, news.next());
    println!("{} acknowledged {:?}", acknowledged?, urgent.transpose()?);
    Ok(())
}

/// A watch tells what is there, then `Synced`, then what changes. Its keys are the driver's: what the port
/// calls `config` is `Area::USER.key("config")`.
async fn watching(coordinator: &Coordinator) -> Result<()> {
    coordinator.set("config", b"v1", None).await?;
    let mut changes = coordinator.driver().watch(&Range::Key(Area::USER.key("config")?)).await?;
    coordinator.set("config", b"v2", None).await?;
    while let Some(event) = changes.next().await.transpose()? {
        println!("{event:?}");
        if matches!(event, WatchEvent::Put(entry) if entry.value == "v2") {
            break;
        }
    }
    Ok(())
}

/// Records stay until every group has settled them. What a member cannot do comes again; what is rejected, or
/// was delivered too often, goes to the group's dead letters.
async fn streams(coordinator: &Coordinator) -> Result<()> {
    let driver = coordinator.driver();
    let (orders, billing) = (Area::USER.stream("orders")?, GroupName::new("billing")?);
    // The id makes it safe to append it again.
    let paid = Record::new("pay order 7").with_id("order-7")?;
    let broken = Record::new("?!");
    driver.append(&orders, &[paid, broken]).await?;

    let worker = MemberName::new("worker-1")?;
    let claim = Claim::new(orders.clone(), billing.clone(), worker.clone());
    let claim = claim.max(10).visibility(Duration::from_secs(30)).wait(Duration::from_secs(5)).max_deliveries(3);
    for delivery in driver.claim(&claim).await? {
        let action = if delivery.payload.starts_with(b"pay") {
            Action::Ack
        } else {
            Action::Reject { reason: "not understood".to_owned() }
        };
        println!("{:?}: {action:?}", delivery.receipt.position);
        driver.settle(&[Settlement { receipt: delivery.receipt, action }]).await?;
    }

    // Dead letters are a stream of their own.
    let dead = Claim::new(orders.dead_letters(&billing), GroupName::new("undertakers")?, worker);
    for letter in driver.claim(&dead).await? {
        println!("dead letter: {:?} {:?}", letter.payload, letter.headers);
        driver.settle(&[Settlement { receipt: letter.receipt, action: Action::Ack }]).await?;
    }
    Ok(())
}
