//! `pub` and `sub`.

use crate::program::{Ran, Running, World, built, until};
use serde_json::json;

/// Starts a subscriber and returns once it is there: messages before that nobody gets.
async fn subscribe(world: &World, arguments: &[&str]) -> Running {
    let mut subscriber = world.begin(&[&["sub"], arguments].concat()).await;
    until("somebody is subscribed", async || world.run(&["pub", "c:hello", "hello", "--ack"]).await.code == 0).await;
    while subscriber.says_json().await["channel"] != "c:hello" {}
    subscriber
}

#[tokio::test]
async fn a_message_arrives_as_it_was() {
    let world = World::start().await;
    let mut subscriber = subscribe(&world, &["c:*"]).await;
    world.run(&["pub", "c:1", "two\nlines"]).await.text();
    world.run_with(&[0xff, 0], &["pub", "c:2"]).await.text();
    world.run(&["pub", "other", "not for us"]).await.text();
    let acknowledged = world.run(&["pub", "c:3", "-", "--ack", "--output", "json"]).await;
    assert_eq!(acknowledged.json(), [json!({"acknowledged": 1})]);
    let first = subscriber.says_json().await;
    assert_eq!(
        (&first["event"], &first["channel"], &first["payload"]),
        (&json!("message"), &json!("c:1"), &json!("two\nlines"))
    );
    let published = first["published"].as_str().expect("a time");
    assert!(published.starts_with("20") && published.ends_with('Z'), "{published}");
    assert_eq!(subscriber.says_json().await["payload_base64"], "/wA=");
    assert_eq!(subscriber.says_json().await["payload"], "");
    subscriber.signal("TERM").await;
    assert_eq!(subscriber.ends().await, (Some(143), String::new()));
}

#[tokio::test]
async fn nobody_acknowledges_where_nobody_is() {
    let world = World::start().await;
    world.run(&["pub", "c", "x", "--ack"]).await.failed(75, "nobody is subscribed");
    world.run(&["pub", "c", "x"]).await.text();
    world.run(&["pub", "c", "x", "--timeout", "1s"]).await.failed(2, "--ack");
}

#[tokio::test]
async fn it_stops_after_a_count_or_a_time() {
    let world = World::start().await;
    // The first was the hello.
    let mut subscriber = subscribe(&world, &["c:*", "--count", "2"]).await;
    world.run(&["pub", "c:1", "a"]).await.text();
    assert_eq!(subscriber.says_json().await["payload"], "a");
    assert_eq!(subscriber.ends().await.0, Some(0));
    world.run(&["sub", "c:*", "--count", "1", "--timeout", "200ms"]).await.failed(75, "0 of 1 came within 200ms");
    assert_eq!(world.run(&["sub", "c:*", "--timeout", "200ms"]).await.text(), "");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_without_another_message() {
    let world = World::start().await;
    let subscriber = subscribe(&world, &["c:*"]).await;
    assert_eq!(subscriber.deaf().ends().await, Some(0));
}

#[tokio::test]
async fn a_pipe_to_head_ends_quietly() {
    let world = World::start().await;
    let mut pipe = tokio::process::Command::new("sh");
    pipe.args(["-c", r#""$0" sub 'c:*' | head -1"#]).arg(built().await);
    pipe.env("LINCHPIN_URL", &world.url).kill_on_drop(true);
    pipe.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let (ran, ()) = tokio::join!(
        Ran::of(pipe, None),
        until("head has its line", async || world.run(&["pub", "c:1", "a", "--ack"]).await.code == 0)
    );
    assert_eq!((ran.text().lines().count(), ran.errors.as_str()), (1, ""));
}

#[tokio::test]
async fn what_was_missed_is_told() {
    let world = World::start().await;
    let mut subscriber = subscribe(&world, &["c:*"]).await;
    // A connection that is rebuilt may have missed something; nobody can know what.
    world.server.kill().await.expect("killed");
    world.server.restart().await.expect("restarted");
    assert_eq!(subscriber.says_json().await, json!({"event": "lagged", "missed": null}));
}
