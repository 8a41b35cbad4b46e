//! `get`, `set`, `del`, `keys`, `watch`.

use crate::cli::program::World;
use serde_json::json;

#[tokio::test]
async fn a_value_comes_back_byte_by_byte() {
    let world = World::start().await;
    assert_eq!(world.run(&["set", "k", "hello"]).await.text(), "");
    assert_eq!(world.run(&["get", "k"]).await.text(), "hello");
    for value in [&b""[..], b"line\n", &[0, 0xff, 0xfe, b'\n'], &vec![b'x'; 300_000]] {
        world.run_with(value, &["set", "k"]).await.text();
        let got = world.run(&["get", "k"]).await;
        assert!(got.code == 0 && got.out == value, "{} bytes in, {} out", value.len(), got.out.len());
    }
    world.run_with(b"from stdin", &["set", "k", "-"]).await.text();
    assert_eq!(world.run(&["get", "k"]).await.text(), "from stdin");
    world.run(&["set", "k", "--", "-5"]).await.text();
    assert_eq!(world.run(&["get", "k"]).await.text(), "-5");
    let absent = world.run(&["get", "none"]).await.failed(1, "");
    assert!(absent.out.is_empty() && absent.errors.is_empty(), "{absent:?}");
    world.run_with(&vec![b'x'; 2_000_000], &["set", "k"]).await.failed(64, "longer than");
}

#[tokio::test]
async fn an_entry_is_told_in_text_and_json() {
    let world = World::start().await;
    world.run(&["set", "k", "v1"]).await.text();
    world.run(&["set", "k", "v2", "--ttl", "1h"]).await.text();
    let entry = &world.run(&["get", "k", "--output", "json"]).await.json()[0];
    assert_eq!((&entry["key"], &entry["value"]), (&json!("k"), &json!("v2")));
    assert!(entry["version"].as_u64() > entry["created"].as_u64(), "{entry}");
    let left = entry["ttl_ms"].as_u64().expect("a ttl");
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let text = world.run(&["get", "k", "--entry"]).await;
    let version = format!("version {}\n", entry["version"]);
    assert!(text.text().starts_with(&version) && text.text().contains("\nttl     59m"), "{text:?}");
    world.run_with(&[0xff], &["set", "k"]).await.text();
    assert_eq!(world.run(&["--output", "json", "get", "k"]).await.json()[0]["value_base64"], "/w==");
}

#[tokio::test]
async fn keys_are_listed_and_deleted() {
    let world = World::start().await;
    for key in ["a:1", "a:2", "b", "new\nline"] {
        world.run(&["set", key, "x"]).await.text();
    }
    assert_eq!(world.run(&["keys"]).await.text(), "a:1\na:2\nb\nnew\\nline\n");
    assert_eq!(world.run(&["keys", "a:*"]).await.text(), "a:1\na:2\n");
    assert_eq!(world.run(&["keys", "new*", "--output", "json"]).await.json(), [json!({"key": "new\nline"})]);
    assert_eq!(world.run(&["del", "b", "none"]).await.text(), "1\n");
    assert_eq!(world.run(&["del", "b"]).await.failed(1, "").out, b"0\n");
    let deleted = world.run(&["del", "--pattern", "a:*", "--output", "json"]).await;
    assert_eq!(deleted.json(), [json!({"deleted": 2})]);
    assert_eq!(world.run(&["keys"]).await.text(), "new\\nline\n");
    world.run(&["keys", "[z-a]"]).await.failed(64, "runs backwards");
}

#[tokio::test]
async fn a_namespace_keeps_to_itself() {
    let world = World::start().await;
    world.run(&["set", "k", "here"]).await.text();
    let other = format!("other-{:x}", fastrand::u32(..));
    world.run(&["get", "k", "--namespace", &other]).await.failed(1, "");
    world.run(&["set", "k", "there", "--namespace", &other]).await.text();
    assert_eq!(world.run(&["get", "k"]).await.text(), "here");
    world.run(&["get", "k", "--namespace", "Not Allowed"]).await.failed(64, "namespace");
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_what_changes() {
    let world = World::start().await;
    world.run(&["set", "w:1", "v1"]).await.text();
    let mut text = world.begin(&["watch", "--prefix", "w:", "--count", "3"]).await;
    let mut json = world.begin(&["watch", "w:1", "--output", "json"]).await;
    assert_eq!([text.says().await, text.says().await], ["put w:1 v1", "synced"]);
    let first = json.says_json().await;
    assert_eq!((&first["event"], &first["key"], &first["value"]), (&json!("put"), &json!("w:1"), &json!("v1")));
    assert_eq!(json.says_json().await["event"], "synced");

    world.run_with(b"two\nlines", &["set", "w:2"]).await.text();
    assert_eq!(text.says().await, "put w:2 two\\nlines");
    world.run(&["del", "w:1"]).await.text();
    assert_eq!(text.says().await, "deleted w:1");
    let deleted = json.says_json().await;
    assert_eq!((&deleted["event"], &deleted["key"]), (&json!("deleted"), &json!("w:1")));
    assert!(deleted["version"].as_u64() > first["version"].as_u64(), "{first} {deleted}");
    assert_eq!(text.ends().await, (Some(0), String::new()));
    json.signal("INT").await;
    assert_eq!(json.ends().await, (Some(130), String::new()));
    world.run(&["watch", "w:9", "--count", "1", "--timeout", "200ms"]).await.failed(75, "0 of 1");
    assert_eq!(world.run(&["watch", "w:9", "--timeout", "200ms"]).await.text(), "synced\n");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let world = World::start().await;
    for key in 0..50 {
        world.coordinator().await.set(&format!("k{key}"), b"v", None).await.expect("set");
    }
    let mut watch = world.begin(&["watch", "--prefix", ""]).await;
    watch.says().await;
    // Nothing more happens that it could print, and it ends all the same.
    assert_eq!(watch.deaf().ends().await, Some(0));
    let mut keys = world.begin(&["keys"]).await;
    keys.says().await;
    assert_eq!(keys.ends().await.1, "");
}
