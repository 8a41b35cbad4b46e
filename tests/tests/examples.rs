//! The examples run on both backends; the demo shows the main job, and ends by itself.

use linchpin_tests::servers::RedisServer;
use std::time::{Duration, Instant};
use tokio::process::Command;

async fn run(example: &str, url: Option<String>) -> String {
    let mut command = Command::new(linchpin_tests::example(example).expect("built"));
    command.env_remove("LINCHPIN_URL").envs(url.map(|url| ("LINCHPIN_URL", url)));
    let started = Instant::now();
    let output = command.kill_on_drop(true).output().await.expect("it runs");
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Everything the demo promises happens, and every sale is counted once.
fn check(text: &str) {
    for what in ["is elected leader of", "sets all prices", "under the lock", "drops", "crashes"] {
        assert!(text.contains(what), "nothing {what:?} in\n{text}");
    }
    assert!(text.matches("is elected leader").count() >= 2, "nobody followed the crashed leader:\n{text}");
    let sold = text.matches("sells apple no.").count();
    assert!(text.contains(&format!("sold in all: {sold} ")), "{sold} sales in\n{text}");
}

#[tokio::test]
async fn the_demo_in_memory() {
    check(&run("demo", None).await);
}

#[tokio::test]
async fn the_demo_over_redis() {
    let server = RedisServer::start().await.expect("a server");
    check(&run("demo", Some(format!("{}?namespace=demo", server.url()))).await);
}

#[tokio::test]
async fn the_demo_from_two_terminals_at_once() {
    let server = RedisServer::start().await.expect("a server");
    let (one, other) = tokio::join!(run("demo", Some(server.url())), run("demo", Some(server.url())));
    let both = format!("{one}{other}");
    let mut sales: Vec<u32> = both
        .lines()
        .filter_map(|line| line.split_once("sells apple no. "))
        .filter_map(|(_, rest)| rest.split_once(' '))
        .filter_map(|(number, _)| number.parse().ok())
        .collect();
    sales.sort_unstable();
    let expected: Vec<u32> = (1..).take(sales.len()).collect();
    assert_eq!(sales, expected, "a sale was lost or counted twice:\n{both}");
}

#[tokio::test]
async fn the_others_over_both() {
    let server = RedisServer::start().await.expect("a server");
    for url in [None, Some(server.url())] {
        assert!(run("first", url.clone()).await.contains("fencing token"));
        let text = run("cluster", url.clone()).await;
        for what in ["ada joined", "bob leads in term", "ada left", "bob left"] {
            assert!(text.contains(what), "nothing {what:?} in\n{text}");
        }
        let text = run("streams", url).await;
        for what in ["1 acknowledged", "Synced", "dead letter", "not understood"] {
            assert!(text.contains(what), "nothing {what:?} in\n{text}");
        }
    }
}
