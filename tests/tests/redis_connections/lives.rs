//! Handles that are closed while somebody waits, and handles that outlive their runtime.

use super::*;
use futures::StreamExt;
use futures::future::join_all;
use linchpin::{Claim, ErrorKind, GroupName, MemberName, Range, Transaction, WatchEvent};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn waiting_claims_end_with_their_handle() {
    let server = local(&[]).await;
    for _ in 0..5 {
        let redis = connect(&server.url()).await;
        let claims: Vec<_> = (0..100)
            .map(|n| {
                let (redis, group) = (redis.clone(), GroupName::new(format!("g{n}")).expect("valid"));
                let claim = Claim::new(stream("s"), group, MemberName::new("m").expect("valid")).wait(SOON * 6);
                tokio::spawn(async move { redis.claim(&claim).await })
            })
            .collect();
        sleep(Duration::from_millis(fastrand::u64(0..60))).await;
        redis.close().await.expect("closed");
        for claim in timeout(Duration::from_secs(1), join_all(claims)).await.expect("in time") {
            let error = claim.expect("no panic").expect_err("there is nothing to claim");
            assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Closed, false), "{error}");
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_handle_that_outlives_its_runtime_says_so() {
    let servers = runtime();
    let server = servers.block_on(local(&[]));
    let first = runtime();
    let (redis, mut events, mut messages) = first.block_on(async {
        let redis = connect(&server.url()).await;
        let events = redis.watch(&Range::all()).await.expect("a watch");
        let messages = redis.subscribe(&pattern("*")).await.expect("a subscription");
        (redis, events, messages)
    });
    drop(first);
    runtime().block_on(async {
        let says_so = |error: linchpin::Error| {
            assert!(error.kind() == ErrorKind::Closed && error.to_string().contains("runtime"), "{error}");
        };
        says_so(read(&redis, "k").await.expect_err("its runtime is gone"));
        says_so(redis.commit(&Transaction::new().put(key("k"), "", None)).await.expect_err("its runtime is gone"));
        says_so(redis.watch(&Range::all()).await.map(drop).expect_err("its runtime is gone"));
        let end = async {
            while let Some(event) = events.next().await {
                if let Err(error) = event {
                    says_so(error);
                }
            }
            while let Some(event) = messages.next().await {
                if let Err(error) = event {
                    says_so(error);
                }
            }
        };
        timeout(SOON, end).await.expect("a watch or a subscription is silent");
    });
    servers.block_on(async { drop(server) });
}

#[test]
fn what_a_passing_runtime_began_goes_on_without_it() {
    let own = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (server, redis) = own.block_on(async {
        let server = local(&["--timeout", "1"]).await;
        let redis = connect(&server.url()).await;
        (server, redis)
    });
    // Its connection is gone meanwhile, so the passing runtime is the one that asks for a new one.
    own.block_on(async { sleep(Duration::from_millis(2600)).await });
    let passing = runtime();
    let mut events = passing.block_on(async { redis.watch(&Range::all()).await.expect("a watch") });
    drop(passing);
    runtime().block_on(async {
        assert!(matches!(events.next().await, Some(Ok(WatchEvent::Synced { .. }))));
        redis.commit(&Transaction::new().put(key("k"), "", None)).await.expect("written");
        let event = timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end");
        assert!(matches!(event, WatchEvent::Put(_)), "{event:?}");
    });
    drop(redis);
    own.block_on(async { drop(server) });
}
