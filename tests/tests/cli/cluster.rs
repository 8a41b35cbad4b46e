//! `nodes`, `stats`, `health`, `demo`.

use crate::cli::program::{Ran, World, linchpin};
use serde_json::json;

#[tokio::test]
async fn nodes_are_those_of_the_library() {
    let world = World::start().await;
    assert_eq!(world.run(&["nodes"]).await.text(), "");
    let coordinator = world.coordinator().await;
    coordinator.register_node("n1", Some(b"{}")).await.expect("registered");
    let members = coordinator.members("workers").id("w1").capabilities(["gpu", "cpu"]).metadata([0xff]);
    let _membership = members.join().await.expect("joined");
    let text = world.run(&["nodes"]).await;
    let lines: Vec<_> = text.text().lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["NODE", "JOINED", "CAPABILITIES", "METADATA"]);
    assert!(lines[1][0] == "n1" && lines[1][2] == "{}", "{lines:?}");
    let nodes = world.run(&["nodes", "--group", "workers", "--output", "json"]).await.json();
    assert_eq!((&nodes[0]["node"], &nodes[0]["capabilities"]), (&json!("w1"), &json!(["cpu", "gpu"])));
    assert_eq!(nodes[0]["metadata_base64"], "/w==");
}

#[tokio::test]
async fn stats_say_what_the_backend_promises() {
    let world = World::start().await;
    let stats = &world.run(&["stats", "--output", "json"]).await.json()[0];
    assert_eq!((&stats["backend"], &stats["nodes"], &stats["leader"]), (&json!("redis"), &json!(0), &json!(null)));
    assert!(stats["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{stats}");
    assert_eq!(stats["capabilities"]["transactions"], "multi_key");
    assert!(world.run(&["stats"]).await.text().contains("leader    nobody\n"));
    let memory = Ran::of(linchpin(&["stats", "--url", "memory://", "--output", "json"]).await, None).await;
    assert_eq!(memory.json()[0]["backend"], "memory");
    // Every backend's version says whose it is.
    let (redis, memory) = (world.run(&["stats"]).await, linchpin(&["stats", "--url", "memory://"]).await);
    assert!(redis.text().starts_with("backend   redis ") || redis.text().starts_with("backend   valkey "), "{redis:?}");
    let (memory, ours) = (Ran::of(memory, None).await, concat!("backend   memory ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(memory.text().starts_with(ours), "{memory:?}");
}

#[tokio::test]
async fn health_is_an_exit_code() {
    let world = World::start().await;
    assert!(world.run(&["health"]).await.text().starts_with("healthy"));
    assert_eq!(world.run(&["health", "--output", "json"]).await.json()[0]["healthy"], true);
    world.server.kill().await.expect("killed");
    let dead = world.run(&["health", "--output", "json"]).await.failed(1, "");
    let said: serde_json::Value = serde_json::from_slice(&dead.out).expect("json");
    assert!(said["healthy"] == false && said["error"].as_str().expect("why").contains("refused"), "{said}");
    world.run(&["health", "--url", "nonsense"]).await.failed(64, "scheme");
    assert!(Ran::of(linchpin(&["health", "--url", "memory://"]).await, None).await.text().starts_with("healthy"));
}

#[tokio::test]
async fn the_demo_shows_what_it_promises() {
    let ran = Ran::of(linchpin(&["demo"]).await, None).await;
    for what in ["is elected leader of", "sets all prices", "under the lock", "crashes", "sold in all"] {
        assert!(ran.text().contains(what), "nothing {what:?} in\n{}", ran.text());
    }
}
