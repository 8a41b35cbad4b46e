//! Two workers of a shop. This program is here twice, for two backends: the line with the URL differs, and
//! `tests/swap.rs` counts that it is the only one.

use futures::StreamExt;
use linchpin::{Action, Claim, Coordinator, GroupName, MemberName, Record, Settlement, StreamName};
use std::error::Error;
use std::time::Duration;

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let url = "memory://shop".to_owned();
    let (ada, bob) = (linchpin::connect(&url).await?, linchpin::connect(&url).await?);
    leadership(&ada, &bob).await?;
    locks(&ada, &bob).await?;
    state(&ada, &bob).await?;
    messages(&ada, &bob).await?;
    streams(&ada, &bob).await?;
    ada.shutdown().await?;
    bob.shutdown().await?;
    Ok(())
}

async fn leadership(ada: &Coordinator, bob: &Coordinator) -> Done {
    let term = Duration::from_secs(30);
    println!("ada becomes leader: {}", ada.try_acquire_leadership("ada", term).await?);
    println!("bob becomes leader: {}", bob.try_acquire_leadership("bob", term).await?);
    println!("bob sees the leader: {:?}", bob.get_leader().await?);
    println!("ada steps down: {}", ada.release_leadership("ada").await?);
    Ok(())
}

async fn locks(ada: &Coordinator, bob: &Coordinator) -> Done {
    let guard = ada.lock("order:7").acquire().await?;
    println!("bob gets the lock meanwhile: {}", bob.lock("order:7").try_acquire().await?.is_some());
    guard.put("order:7:state", "paid").await?;
    let older = guard.token();
    guard.release().await?;
    let guard = bob.lock("order:7").wait(Duration::from_secs(10)).acquire().await?;
    println!("bob gets the lock then, with a greater token: {}", guard.token() > older);
    guard.release().await?;
    Ok(())
}

async fn state(ada: &Coordinator, bob: &Coordinator) -> Done {
    for (user, name) in [("user:1", "Grace"), ("user:2", "Edsger")] {
        ada.set(user, name.as_bytes(), Some(Duration::from_mins(1))).await?;
    }
    println!("bob finds {:?}", bob.keys("user:*").await?);
    println!("they count {} and {}", ada.incr("visits", 1, None).await?, bob.incr("visits", 1, None).await?);
    println!("bob deletes {}", bob.delete_pattern("user:*").await?);
    println!("ada finds {:?}", ada.keys("*").await?);
    Ok(())
}

async fn messages(ada: &Coordinator, bob: &Coordinator) -> Done {
    let mut news = bob.subscribe("news:*").await?;
    ada.publish("news:weather", b"sunny").await?;
    let message = news.next().await.ok_or("the subscription ended")??;
    println!("bob hears of {}: {}", message.channel, String::from_utf8_lossy(&message.payload));
    Ok(())
}

async fn streams(ada: &Coordinator, bob: &Coordinator) -> Done {
    let orders = StreamName::new("orders")?;
    ada.driver().append(&orders, &[Record::new("7 apples"), Record::new("8 pears")]).await?;
    let claim = Claim::new(orders, GroupName::new("packers")?, MemberName::new("bob")?);
    for delivery in bob.driver().claim(&claim.max(10).wait(Duration::from_secs(10))).await? {
        println!("bob packs {}", String::from_utf8_lossy(&delivery.payload));
        bob.driver().settle(&[Settlement { receipt: delivery.receipt, action: Action::Ack }]).await?;
    }
    Ok(())
}
