//! `stream`.

use crate::cli::program::World;
use serde_json::json;

#[tokio::test]
async fn a_record_is_appended_claimed_and_acknowledged() {
    let world = World::start().await;
    assert_eq!(world.run(&["stream", "append", "s", "hello", "--id", "1", "--header", "a=b=c"]).await.text(), "1\n");
    let again = world.run(&["stream", "append", "s", "hello", "--id", "1", "--output", "json"]).await;
    assert_eq!(again.json(), [json!({"position": 1, "duplicate": true})]);
    assert_eq!(world.run_with(&[0xff], &["stream", "append", "s"]).await.text(), "2\n");

    let claimed = world.run(&["stream", "claim", "s", "--group", "g", "--max", "10"]).await.json();
    let [first, second] = &claimed[..] else { panic!("{claimed:?}") };
    assert_eq!((&first["payload"], &first["id"], &first["position"]), (&json!("hello"), &json!("1"), &json!(1)));
    assert_eq!((&first["headers"], &first["delivery"]), (&json!([["a", "b=c"]]), &json!(1)));
    assert_eq!(second["payload_base64"], "/w==");
    world.run(&["stream", "claim", "s", "--group", "g"]).await.failed(1, "");

    let inspected = &world.run(&["stream", "inspect", "s", "--output", "json"]).await.json()[0];
    let group = json!({"group": "g", "pending": 2, "lag": 0, "dead": 0});
    assert_eq!(inspected, &json!({"length": 2, "last": 2, "groups": [group]}));
    let text = world.run(&["stream", "inspect", "s"]).await;
    assert_eq!(text.text(), "length  2\nlast    2\nGROUP  PENDING  LAG  DEAD\ng      2        0    0\n");

    let [first, second] = [first, second].map(|record| record["receipt"].as_str().expect("a receipt"));
    assert_eq!(world.run(&["stream", "ack", first]).await.text(), "");
    world.run(&["stream", "ack", first]).await.failed(1, "position 1 of s is stale");
    let both = world.run(&["stream", "ack", first, second, "--output", "json"]).await.failed(1, "");
    let settled: Vec<serde_json::Value> = std::str::from_utf8(&both.out)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    assert_eq!(settled, [json!({"receipt": first, "settled": false}), json!({"receipt": second, "settled": true})]);
    assert_eq!(world.run(&["stream", "trim", "s", "--newest", "0"]).await.text(), "2\n");
    world.run(&["stream", "ack", "nonsense"]).await.failed(64, "is no receipt");
    world.run(&["stream", "trim", "s"]).await.failed(2, "--newest");
}

#[tokio::test]
async fn a_record_comes_again_or_goes_to_the_dead_letters() {
    let world = World::start().await;
    world.run(&["stream", "append", "s", "x"]).await.text();
    let claim = ["stream", "claim", "s", "--group", "g", "--wait", "10s"];
    let receipt = |record: &serde_json::Value| record["receipt"].as_str().expect("a receipt").to_owned();
    let first = world.run(&claim).await.json().remove(0);
    assert_eq!(world.run(&["stream", "extend", &receipt(&first), "--visibility", "1m"]).await.text(), "");
    assert_eq!(world.run(&["stream", "retry", &receipt(&first), "--after", "300ms"]).await.text(), "");
    let second = world.run(&claim).await.json().remove(0);
    assert_eq!((&second["payload"], &second["delivery"]), (&json!("x"), &json!(2)));
    world.run(&["stream", "ack", &receipt(&first)]).await.failed(1, "stale");
    world.run(&["stream", "reject", &receipt(&second), "--reason", "no such customer"]).await.text();

    let dead = ["stream", "claim", "s", "--dead-letters", "g", "--group", "undertakers"];
    let letter = world.run(&dead).await.json().remove(0);
    let headers = letter["headers"].as_array().expect("headers");
    assert!(headers.contains(&json!(["linchpin-dead-reason", "no such customer"])), "{headers:?}");
    world.run(&["stream", "ack", &receipt(&letter)]).await.text();
    let inspected = world.run(&["stream", "inspect", "s", "--dead-letters", "g", "--output", "json"]).await;
    assert_eq!(inspected.json()[0]["groups"][0]["pending"], 0);
}

#[tokio::test]
async fn a_group_that_is_removed_holds_nothing_back() {
    let world = World::start().await;
    for n in ["1", "2"] {
        world.run(&["stream", "append", "s", n]).await.text();
    }
    assert_eq!(world.run(&["stream", "trim", "s", "--settled"]).await.text(), "0\n");
    world.run(&["stream", "claim", "s", "--group", "gone"]).await.text();
    let claimed = world.run(&["stream", "claim", "s", "--group", "stays"]).await.json();
    world.run(&["stream", "ack", claimed[0]["receipt"].as_str().expect("a receipt")]).await.text();
    assert_eq!(world.run(&["stream", "trim", "s", "--settled"]).await.text(), "0\n");
    assert_eq!(world.run(&["stream", "remove-group", "s", "gone"]).await.text(), "");
    world.run(&["stream", "remove-group", "s", "gone"]).await.failed(1, "no group");
    assert_eq!(world.run(&["stream", "trim", "s", "--settled"]).await.text(), "1\n");
    let removed = world.run(&["stream", "remove-group", "s", "stays", "--output", "json"]).await;
    assert_eq!(removed.json(), [json!({"removed": true})]);
}

#[tokio::test]
async fn a_claim_waits_for_a_record_that_is_delayed() {
    let world = World::start().await;
    world.run(&["stream", "append", "s", "later", "--delay", "500ms"]).await.text();
    world.run(&["stream", "claim", "s", "--group", "g"]).await.failed(1, "");
    let claimed = world.run(&["stream", "claim", "s", "--group", "g", "--wait", "10s"]).await;
    assert_eq!(claimed.json()[0]["payload"], "later");
}
