//! Futures that are polled once and kept: what they began, or hold, keeps nobody else waiting.

use super::*;
use futures::poll;
use linchpin::Range;
use linchpin_conformance::Proxy;
use tokio::time::timeout;

#[tokio::test]
async fn a_call_that_reconnects_and_that_nobody_polls_holds_nobody_up() {
    let server = local(&[]).await;
    let proxy = Proxy::start(server.url().replace("redis://", "").parse().expect("an address")).await.expect("a port");
    let redis = connect(&format!("redis://{}", proxy.address())).await;
    proxy.cut();
    read(&redis, "k").await.expect_err("nobody is there");
    proxy.mend();
    let mut kept = Box::pin(read(&redis, "k"));
    assert!(poll!(&mut kept).is_pending());
    timeout(LIMIT, read(&redis, "k")).await.expect("it waits for the one that is not polled").expect("read");
    kept.await.expect("read");
}

#[tokio::test]
async fn a_watch_and_a_subscription_that_begin_and_that_nobody_polls_hold_nobody_up() {
    let server = local(&[]).await;
    let (watching, subscribing) = (connect(&server.url()).await, connect(&server.url()).await);
    let (range, all) = (Range::all(), pattern("*"));
    let mut kept = Box::pin(watching.watch(&range));
    assert!(poll!(&mut kept).is_pending());
    let watch = timeout(LIMIT, watching.watch(&range)).await.expect("it waits for the one that is not polled");
    drop(watch.expect("a watch"));
    drop(kept.await.expect("a watch"));
    let mut kept = Box::pin(subscribing.subscribe(&all));
    assert!(poll!(&mut kept).is_pending());
    let other = timeout(LIMIT, subscribing.subscribe(&all)).await;
    drop(other.expect("it waits for the one that is not polled").expect("a subscription"));
    drop(kept.await.expect("a subscription"));
}

#[tokio::test]
async fn however_many_calls_nobody_polls_they_leave_room_for_others() {
    let server = local(&[]).await;
    let redis = connect(&server.url()).await;
    let mut kept: Vec<_> = (0..200).map(|_| Box::pin(read(&redis, "k"))).collect();
    for call in &mut kept {
        assert!(poll!(call).is_pending());
    }
    timeout(LIMIT, read(&redis, "k")).await.expect("there is no room").expect("read");
    for call in kept {
        call.await.expect("read");
    }
}
