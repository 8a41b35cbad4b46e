//! `pub` and `sub`.

use crate::cli::program::{Ran, Running, SOON, World, built, until};
use linchpin_conformance::Direction;
use serde_json::json;
use std::time::Duration;

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

/// Somebody is subscribed and takes nothing out of its stream.
#[tokio::test]
async fn nobody_acknowledges_in_time() {
    let world = World::start().await;
    let coordinator = world.coordinator().await;
    let _deaf = coordinator.subscribe("c").await.expect("subscribed");
    world.run(&["pub", "c", "x", "--ack", "--timeout", "300ms"]).await.failed(75, "0 of 1 acknowledgements");
}

/// Nobody can say that nobody acknowledged: the server went away once the program was connected, or while it connected.
#[tokio::test]
async fn a_server_that_does_not_answer_is_not_a_message_that_nobody_heard() {
    let world = World::start().await;
    let proxy = world.proxy().await;
    let url = world.url_through(&proxy);
    // It reads its message once it is connected.
    let mut publisher = world.begin(&["pub", "c", "--ack", "--timeout", "300ms", "--url", &url]).await;
    until("it connects", async || proxy.taken() > 0).await;
    world.server.pause().await.expect("paused");
    publisher.close();
    let (code, errors) = publisher.ends().await;
    assert!(code == Some(69) && !errors.is_empty(), "{code:?} {errors}");
    world.server.resume().await.expect("resumed");
    world.server.kill().await.expect("killed");
    world.run(&["pub", "c", "x", "--ack"]).await.failed(69, "refused");
}

/// Whoever published it was told that somebody took it. So it is printed, though the signal comes while the subscriber
/// still waits for the server's word on its acknowledgement.
#[tokio::test]
async fn what_was_acknowledged_is_printed_before_a_signal_ends_it() {
    let world = World::start().await;
    let (proxy, coordinator) = (world.proxy().await, world.coordinator().await);
    let mut subscriber = subscribe(&world, &["c:*", "--url", &world.url_through(&proxy)]).await;
    proxy.delay(Direction::Answers, Duration::from_secs(2));
    coordinator.publish_with_ack("c:1", b"heard", SOON).await.expect("acknowledged");
    subscriber.signal("TERM").await;
    assert_eq!(subscriber.says_json().await["payload"], "heard");
    assert_eq!(subscriber.ends().await, (Some(143), String::new()));
}

/// The same where its time is over.
#[tokio::test]
async fn what_was_acknowledged_is_printed_before_its_time_ends_it() {
    const ENOUGH: Duration = Duration::from_secs(3);
    let world = World::start().await;
    let (proxy, coordinator) = (world.proxy().await, world.coordinator().await);
    let mut subscriber = subscribe(&world, &["c:*", "--url", &world.url_through(&proxy), "--timeout", "8s"]).await;
    let mut heard = Vec::new();
    proxy.delay(Direction::Answers, Duration::from_millis(300));
    while coordinator.publish_with_ack("c:1", heard.len().to_string().as_bytes(), ENOUGH).await.is_ok() {
        heard.push(heard.len().to_string());
    }
    for number in &heard {
        assert_eq!(subscriber.says_json().await["payload"], number.as_str());
    }
    assert!(!heard.is_empty());
    assert_eq!(subscriber.ends().await.0, Some(0));
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
    // Nobody can say how many came where the server does not answer.
    let subscriber = subscribe(&world, &["c:*", "--count", "2", "--timeout", "4s"]).await;
    world.server.pause().await.expect("paused");
    let (code, errors) = subscriber.ends().await;
    assert_eq!(code, Some(69), "{errors}");
    assert!(errors.contains("1 of 2 came within 4s, and the backend does not answer"), "{errors}");
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
    pipe.args(["-c", r#""$0" sub 'c:*' | head -1"#]).arg(built());
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
