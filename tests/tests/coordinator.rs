//! What a coordinator adds to its driver, and that an adapter alone is a port already.

use futures::StreamExt;
use linchpin::{Coordinator, DistributedCoordination, MemoryCoordination, RedisCoordination, RetryPolicy};
use linchpin_tests::servers::RedisServer;
use std::sync::Arc;
use std::time::Duration;

/// An application against the port.
async fn application(port: &dyn DistributedCoordination) -> linchpin::Result<Vec<String>> {
    let mut updates = port.subscribe("cache:*").await?;
    port.set("cache:user:7", b"Ada", Some(Duration::from_mins(1))).await?;
    port.set("cache:user:8", b"Bob", None).await?;
    port.publish("cache:invalidate", b"cache:user:*").await?;
    let update = updates.next().await.expect("open")?;
    let pattern = String::from_utf8_lossy(&update.payload).into_owned();
    let found = port.keys(&pattern).await?;
    assert_eq!(port.delete_pattern(&pattern).await?, found.len());
    assert!(port.try_acquire_leadership("n1", Duration::from_secs(5)).await?);
    assert!(!port.try_acquire_leadership("n2", Duration::from_secs(5)).await?);
    Ok(found)
}

#[tokio::test]
async fn adapters_are_ports_as_the_specification_writes_it() {
    let server = RedisServer::start().await.expect("a server");
    let redis = RedisCoordination::new(&server.url(), "node-1".to_string(), Some("riptide".to_string())).await;
    let redis = Arc::new(redis.expect("connected")) as Arc<dyn DistributedCoordination>;
    let memory = Arc::new(MemoryCoordination::new()) as Arc<dyn DistributedCoordination>;
    for port in [redis, memory] {
        assert_eq!(application(port.as_ref()).await.expect("it works"), ["cache:user:7", "cache:user:8"]);
    }
}

#[tokio::test]
async fn namespaces_keep_coordinators_apart() {
    let server = RedisServer::start().await.expect("a server");
    for url in ["memory://apart".to_owned(), server.url()] {
        let open =
            async |namespace: &str| Coordinator::builder(&url).namespace(namespace).connect().await.expect("connected");
        let (one, other) = (open("one").await, open("other").await);
        one.set("k", b"1", None).await.expect("set");
        assert_eq!(other.get("k").await.expect("got"), None);
        other.flush_all().await.expect("flushed");
        assert_eq!(open("one").await.get("k").await.expect("got"), Some(b"1".to_vec()));
        assert!(Coordinator::builder(&url).namespace("Not One").connect().await.is_err());
    }
}

#[tokio::test]
async fn metrics_count_what_was_called_and_what_failed() {
    let coordinator = Coordinator::builder("memory://").retry(RetryPolicy::NEVER).connect().await.expect("connected");
    coordinator.set("k", b"text", None).await.expect("set");
    coordinator.incr("k", 1, None).await.expect_err("no counter");
    let commits = coordinator.metrics().operations["commit"];
    assert_eq!((commits.calls, commits.errors), (2, 1));
    assert!(commits.longest <= commits.total);
}

#[tokio::test]
async fn a_guard_and_with_lock_work_in_spawned_tasks() {
    let coordinator = linchpin::connect("memory://").await.expect("connected");
    let locking = coordinator.clone();
    let task = tokio::spawn(async move {
        let guard = locking.lock("a").acquire().await?;
        guard.put("k", "1").await?;
        guard.release().await?;
        locking.lock("b").with_lock(async |guard| guard.token().0).await
    });
    assert!(task.await.expect("no panic").expect("it works") > 0);
}

/// A runtime on a thread of its own.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

#[test]
fn what_is_held_outlives_a_runtime_that_only_passes_by() {
    let (own, passing) = (runtime(), runtime());
    let ttl = Duration::from_millis(1_500);
    let coordinator = own.block_on(linchpin::connect("memory://passing-by")).expect("connected");
    passing.block_on(async {
        // The first to need them starts the tasks that keep leases and watch queues.
        let first = coordinator.lock("kept").acquire().await.expect("a lock");
        assert!(coordinator.lock("kept").wait(ttl).acquire().await.is_err());
        first.release().await.expect("released");
    });
    let (guard, member) = own.block_on(async {
        let guard = coordinator.lock("kept").ttl(ttl).acquire().await.expect("a lock");
        (guard, coordinator.members("kept").ttl(ttl))
    });
    let member = passing.block_on(member.join()).expect("joined");
    let waiting = own.spawn({
        let waits = coordinator.lock("kept");
        async move { waits.acquire().await }
    });
    let acked = coordinator.clone();
    let heard = passing.block_on(async { acked.subscribe("c").await }).expect("subscribed");
    own.spawn(heard.for_each(|_| async {}));
    passing.block_on(coordinator.publish_with_ack("c", b"m", ttl * 10)).expect("acknowledged");
    drop(passing);
    own.block_on(async {
        // As long as it takes to lose what nobody renews.
        tokio::time::sleep(ttl * 4).await;
        assert!(guard.is_held() && !waiting.is_finished());
        let listed = coordinator.members("kept").list().await.expect("listed");
        assert_eq!(listed.len(), 1, "the member is there still");
        coordinator.publish_with_ack("c", b"m", ttl * 10).await.expect("acknowledged");
        guard.release().await.expect("released");
        waiting.await.expect("no panic").expect("the next holder").release().await.expect("released");
        drop(member);
    });
}
