//! Who is there, who leads, and what happens when the leader leaves:
//! `cargo run -p linchpin --example cluster`, with `LINCHPIN_URL` for another backend.

use futures::StreamExt;
use linchpin::{Coordinator, MemberEvent};
use std::time::Duration;

#[tokio::main]
async fn main() -> linchpin::Result<()> {
    let url = std::env::var("LINCHPIN_URL").unwrap_or("memory://cluster".to_owned());
    let observer = linchpin::connect(&url).await?;
    let mut changes = observer.members("workers").watch().await?;

    let nodes: Vec<_> = ["ada", "bob"].into_iter().map(|id| tokio::spawn(node(url.clone(), id))).collect();
    let mut left = 0;
    while left < nodes.len() {
        match changes.next().await.transpose()? {
            Some(MemberEvent::Joined(member)) => println!("{} joined, can {:?}", member.id, member.capabilities),
            Some(MemberEvent::Left(member)) => {
                println!("{} left", member.id);
                left += 1;
            }
            Some(_) => {}
            None => break,
        }
    }
    for node in nodes {
        node.await.map_err(|panic| linchpin::Error::new(linchpin::ErrorKind::Backend, "node", panic.to_string()))??;
    }
    observer.shutdown().await
}

/// A worker: it is there, leads when its turn comes, and leaves.
async fn node(url: String, id: &'static str) -> linchpin::Result<()> {
    let coordinator = Coordinator::builder(url).node_id(id).connect().await?;
    let membership = coordinator.members("workers").capabilities(["packing"]).metadata("10.0.0.7:80").join().await?;

    let election = coordinator.election("scheduler").ttl(Duration::from_secs(5));
    let led = election.run_while_leader(async |leadership| {
        println!("{id} leads in term {}", leadership.term());
        leadership.put("scheduler:state", id).await?; // refused if somebody else leads by now
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, linchpin::Error>(())
    });
    led.await??; // the body was dropped and this is `Lost` if the leadership was lost meanwhile

    membership.leave().await?;
    coordinator.shutdown().await
}
