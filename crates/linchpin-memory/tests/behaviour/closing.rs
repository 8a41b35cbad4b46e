use crate::{claim, key, millis, open, open_port, put, stream, told};
use futures::StreamExt;
use linchpin_core::{
    Channel, DistributedCoordination, ErrorKind, Page, Pattern, Range, Result, Retention, SubscriptionEvent,
    Transaction,
};
use std::fmt::Debug;

fn assert_closed<T: Debug>(result: Result<T>, operation: &str) {
    let error = result.expect_err(operation);
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Closed, operation));
}

#[tokio::test]
async fn a_closed_handle_refuses_everything_and_other_handles_go_on() {
    let (closed, other) = (open("memory://closing").await, open("memory://closing").await);
    let clone = closed.clone();
    closed.close().await.expect("closes");
    closed.close().await.expect("closes again");
    let channel = Channel::new("c").expect("valid");
    for handle in [&closed, &clone] {
        assert_closed(handle.get(&[key("k")]).await, "get");
        assert_closed(handle.scan(&Range::all(), &Page::first()).await, "scan");
        assert_closed(handle.commit(&Transaction::new()).await, "commit");
        assert_closed(handle.watch(&Range::all()).await.map(|_| ()), "watch");
        assert_closed(handle.publish(&channel, "hello".into()).await, "publish");
        assert_closed(handle.subscribe(&Pattern::new("*").expect("valid")).await.map(|_| ()), "subscribe");
        assert_closed(handle.append(&stream(), &[]).await, "append");
        assert_closed(handle.claim(&claim()).await, "claim");
        assert_closed(handle.settle(&[]).await, "settle");
        assert_closed(handle.inspect(&stream()).await, "inspect");
        assert_closed(handle.trim(&stream(), Retention::Newest(0)).await, "trim");
        assert_closed(handle.remove_group(&stream(), &claim().group).await, "remove_group");
        assert_closed(handle.clear("").await, "clear");
        assert_closed(handle.health().await, "health");
    }
    assert!(put(&other, "k", "1", None).await.is_committed());
    assert!(other.health().await.expect("healthy").is_healthy());
}

#[tokio::test]
async fn closing_ends_the_streams_of_that_handle_and_no_others() {
    let (closing, other) = (open("memory://ending").await, open("memory://ending").await);
    let mut ended = closing.watch(&Range::all()).await.expect("watches");
    let mut going_on = other.watch(&Range::all()).await.expect("watches");
    let pattern = Pattern::new("*").expect("valid");
    let mut silenced = closing.subscribe(&pattern).await.expect("subscribed");
    let mut listening = other.subscribe(&pattern).await.expect("subscribed");
    let channel = Channel::new("c").expect("valid");
    other.publish(&channel, "before".into()).await.expect("published");
    closing.close().await.expect("closes");
    assert_eq!(other.publish(&channel, "after".into()).await.expect("published").at_most, Some(1));
    put(&other, "k", "1", None).await;

    assert_eq!((told(&mut ended).await, told(&mut ended).await), ("synced".to_owned(), "closed".to_owned()));
    assert_eq!(told(&mut ended).await, "end");
    assert_eq!((told(&mut going_on).await, told(&mut going_on).await), ("synced".to_owned(), "+k=1".to_owned()));
    let payload = |item: Option<Result<SubscriptionEvent>>| match item {
        Some(Ok(SubscriptionEvent::Message(message))) => String::from_utf8_lossy(&message.payload).into_owned(),
        Some(Err(error)) => error.kind().as_str().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!([payload(silenced.next().await), payload(silenced.next().await)], ["before", "closed"]);
    assert!(silenced.next().await.is_none());
    assert_eq!([payload(listening.next().await), payload(listening.next().await)], ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_claim_that_waits() {
    let closing = open("memory://waiting").await;
    let waiter = closing.clone();
    let waiting = tokio::spawn(async move { waiter.claim(&claim().wait(millis(60_000))).await });
    tokio::time::sleep(millis(5)).await;
    closing.close().await.expect("closes");
    assert_closed(waiting.await.expect("no panic"), "claim");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_publish_that_awaits_acknowledgements() {
    let (closing, other) = (open_port("memory://acks").await, open_port("memory://acks").await);
    // Somebody who is subscribed and takes nothing.
    let _deaf = other.subscribe("c").await.expect("subscribes");
    let publisher = closing.clone();
    let waiting = tokio::spawn(async move { publisher.publish_with_ack("c", b"hello", millis(60_000)).await });
    tokio::time::sleep(millis(5)).await;
    let closed_at = tokio::time::Instant::now();
    closing.close().await.expect("closes");
    let error = waiting.await.expect("no panic").expect_err("nobody acknowledged");
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Closed, "publish_with_ack"));
    assert!(error.maybe_applied(), "it was published");
    assert!(closed_at.elapsed() < millis(100), "{:?}", closed_at.elapsed());
}

#[test]
fn acknowledgements_come_in_every_runtime_that_uses_a_handle() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let handle = runtime().block_on(open_port("memory://acks-of-two"));
    for _ in 0..2 {
        runtime().block_on(async {
            let mut listening = handle.subscribe("c").await.expect("subscribes");
            let taking = tokio::spawn(async move { listening.next().await });
            let acked = handle.publish_with_ack("c", b"hello", millis(10_000)).await.expect("acknowledged");
            assert_eq!(acked, 1);
            taking.await.expect("no panic").expect("open").expect("a message");
        });
    }
}
