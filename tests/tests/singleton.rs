//! The loop that the book gives to every node for periodic work, through an outage: when the server is back, every node
//! still stands, and leads when its turn comes.

use linchpin::{Coordinator, ErrorKind, RetryPolicy};
use linchpin_tests::servers::RedisServer;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

const SOON: Duration = Duration::from_mins(1);

#[derive(Debug)]
enum Told {
    /// This node leads, and has written its first report.
    Works(usize),
    /// This node lost the leadership or could not reach the backend.
    StandsAgain(usize),
}

/// A node, as the book has it: its lines stand there, in this order. It works for ever, and tells what it does.
async fn node(coordinator: Coordinator, this: usize, tell: UnboundedSender<Told>) -> linchpin::Result<()> {
    let election = coordinator.election("reports").on_elected(|term| println!("we lead, term {term}"));
    loop {
        let led = election.run_while_leader(async |leadership| {
            for report in 1.. {
                leadership.put("reports:last", report.to_string()).await?; // refused if another leads by now
                if report == 1 {
                    tell.send(Told::Works(this)).expect("the test listens");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, linchpin::Error>(())
        });
        match led.await {
            Ok(Ok(())) => break,
            Ok(Err(error)) | Err(error) if error.kind() == ErrorKind::Lost || error.is_transient() => {
                println!("{error}; standing again");
                tell.send(Told::StandsAgain(this)).expect("the test listens");
                tokio::time::sleep(Duration::from_secs(1)).await; // not as fast as it can during an outage
            }
            Ok(Err(error)) | Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The test's own lines in [`node`].
const OURS: [&str; 5] = [
    "for report in 1.. {",
    "if report == 1 {",
    "tell.send(Told::Works(this)).expect(\"the test listens\");",
    "tell.send(Told::StandsAgain(this)).expect(\"the test listens\");",
    "}",
];

#[test]
fn the_loop_is_the_books() {
    let (_, node) = include_str!("singleton.rs").split_once("async fn node(").expect("it is above");
    let (_, node) = node.split_once("{\n").expect("a body");
    let (node, _) = node.split_once("    Ok(())\n}\n").expect("an end");
    let mut page = include_str!("../../docs/recipes.md").lines().map(str::trim);
    let mut found = 0;
    for line in node.lines().map(str::trim).filter(|line| !OURS.contains(line)) {
        assert!(page.any(|of_page| of_page == line), "the book has no {line:?} here");
        found += 1;
    }
    assert!(found > 10, "only {found} lines were compared");
}

/// The next node that works.
async fn works(told: &mut UnboundedReceiver<Told>) -> usize {
    next(told, |said| if let Told::Works(node) = said { Some(node) } else { None }).await
}

/// The next node that stands again.
async fn stands_again(told: &mut UnboundedReceiver<Told>) -> usize {
    next(told, |said| if let Told::StandsAgain(node) = said { Some(node) } else { None }).await
}

async fn next(told: &mut UnboundedReceiver<Told>, wanted: impl Fn(Told) -> Option<usize>) -> usize {
    let found = async {
        loop {
            if let Some(node) = wanted(told.recv().await.expect("a node is there")) {
                return node;
            }
        }
    };
    timeout(SOON, found).await.expect("in time")
}

#[tokio::test]
async fn every_node_stands_again_after_an_outage() {
    const NODES: usize = 3;
    let server = RedisServer::start().await.expect("a server");
    let (tell, mut told) = unbounded_channel();
    let mut nodes = Vec::new();
    for this in 0..NODES {
        // It gives up soon, so that the outage need not be long.
        let retry = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
        let builder = Coordinator::builder(server.url()).retry(retry).lock_ttl(Duration::from_secs(1));
        let coordinator = builder.connect().await.expect("connected");
        nodes.push(tokio::spawn(node(coordinator, this, tell.clone())));
    }
    works(&mut told).await;

    server.kill().await.expect("killed");
    // The leader cannot write, the others cannot stand.
    let mut troubled = HashSet::new();
    while troubled.len() < NODES {
        troubled.insert(stands_again(&mut told).await);
    }
    server.restart().await.expect("restarted");

    // Each that leads is taken away, and another of those that are left leads.
    let mut have_led = HashSet::new();
    while have_led.len() < NODES {
        let leads = works(&mut told).await;
        assert!(have_led.insert(leads), "{leads} was taken away, and leads");
        nodes[leads].abort();
    }
    for node in nodes {
        // It had not ended by itself.
        assert!(node.await.is_err_and(|error| error.is_cancelled()));
    }
}
