//! Another process that holds a lock and leads, and writes for as long as it believes that it may:
//! `hold_everything URL TTL_MS`. It tells what happens on its standard output, a line each.

use linchpin::{Coordinator, ErrorKind};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("no url")?;
    let ttl = Duration::from_millis(arguments.next().ok_or("no ttl")?.parse()?);
    let coordinator = Coordinator::builder(url).node_id("holder").connect().await?;

    let guard = coordinator.lock("l").ttl(ttl).acquire().await?;
    let leadership = coordinator.election("e").ttl(ttl).campaign().await?;
    let membership = coordinator.members("g").ttl(ttl).join().await?;
    println!("holds token {} in term {}", guard.token(), leadership.term());

    let mut written = 0_u64;
    while guard.is_held() && leadership.is_leader() {
        // What was looked at may be old by now, after a pause in between: the guarded write decides.
        match (guard.put("by-lock", "holder").await, leadership.put("by-leader", "holder").await) {
            (Ok(()), Ok(())) => written += 1,
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::Lost => break,
            (Err(error), _) | (_, Err(error)) => println!("failed {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::join!(guard.lost(), leadership.lost());
    println!("lost after {written} writes");
    for (what, refused) in
        [("lock", guard.put("by-lock", "late").await), ("leader", leadership.put("by-leader", "late").await)]
    {
        println!("{what} {}", refused.map_or_else(|error| error.kind().as_str().to_owned(), |()| "wrote".to_owned()));
    }
    // The member is there again by itself, until this process is ended.
    std::future::pending::<()>().await;
    drop(membership);
    Ok(())
}
