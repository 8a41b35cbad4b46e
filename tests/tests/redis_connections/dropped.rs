//! What a server that drops keys may take from a stream, piece by piece: its book, in which stands how far everybody is,
//! and its records.

use super::*;
use linchpin::{Action, Claim, Delivery, GroupName, MemberName, Position, Record, Retention, Settled, Settlement};
use std::sync::Arc;
use tokio::time::timeout;

const LONG: Duration = Duration::from_hours(1);

fn claim() -> Claim {
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    Claim::new(stream("s"), group, member).max(50).visibility(LONG)
}

async fn append(redis: &Arc<dyn Driver>, payloads: &[&'static str]) {
    let records: Vec<_> = payloads.iter().map(|payload| Record::new(*payload)).collect();
    redis.append(&stream("s"), &records).await.expect("appended");
}

async fn settle(redis: &Arc<dyn Driver>, delivery: &Delivery, action: Action) {
    let settlement = Settlement { receipt: delivery.receipt.clone(), action };
    assert_eq!(redis.settle(&[settlement]).await.expect("settled"), [Settled::Done]);
}

/// What is claimed without waiting.
async fn claimed(redis: &Arc<dyn Driver>) -> Vec<Delivery> {
    timeout(LIMIT * 2, redis.claim(&claim())).await.expect("a claim that does not wait ends").expect("claimed")
}

fn payloads(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.payload).into_owned()).collect()
}

#[tokio::test]
async fn without_its_book_what_is_held_is_held_and_what_is_new_is_given() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    append(&redis, &["1", "2", "3"]).await;
    redis.append(&stream("s"), &[Record::new("4").with_delay(LONG)]).await.expect("appended");
    let given = redis.claim(&claim().max(2)).await.expect("claimed");
    settle(&redis, &given[0], Action::Retry { after: Duration::ZERO }).await;
    let held = redis.claim(&claim().max(1)).await.expect("claimed");
    assert_eq!((payloads(&held), held[0].receipt.delivery), (vec!["1".to_owned()], 2));
    ask::<()>(&mut raw, &["DEL", "linchpin:{default}:sb:s"]).await;
    assert_eq!(payloads(&claimed(&redis).await), ["3"], "what is held or delayed is not given again");
    assert!(claimed(&redis).await.is_empty());
    append(&redis, &["5"]).await;
    assert_eq!(payloads(&claimed(&redis).await), ["5"]);
    settle(&redis, &held[0], Action::Ack).await;
    settle(&redis, &given[1], Action::Ack).await;
    let marks: Vec<String> = ask(&mut raw, &["ZRANGE", "linchpin:{default}:sc:s\0g", "0", "-1"]).await;
    assert_eq!(marks, ["3:1h", "4:0w", "5:1h"]);
}

#[tokio::test]
async fn without_its_book_and_its_records_that_were_trimmed_a_stream_goes_on() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    append(&redis, &["1", "2", "3"]).await;
    redis.trim(&stream("s"), Retention::Newest(0)).await.expect("trimmed");
    ask::<()>(&mut raw, &["DEL", "linchpin:{default}:sb:s"]).await;
    append(&redis, &["4"]).await;
    let given = claimed(&redis).await;
    assert_eq!((payloads(&given), given[0].receipt.position), (vec!["4".to_owned()], Position(4)));
}

#[tokio::test]
async fn what_is_noted_of_a_stream_that_is_gone_holds_nothing_up() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    append(&redis, &["old"]).await;
    assert_eq!(claimed(&redis).await.len(), 1);
    ask::<()>(&mut raw, &["DEL", "linchpin:{default}:sb:s", "linchpin:{default}:s:s"]).await;
    append(&redis, &["new"]).await;
    assert_eq!(payloads(&claimed(&redis).await), ["new"]);
}
