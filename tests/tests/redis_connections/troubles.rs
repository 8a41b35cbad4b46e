//! A server that hangs, dies and comes back, and what a handle leaves behind.

use super::*;
use futures::StreamExt;
use linchpin::{ErrorKind, Range, Retry, RetryPolicy, SubscriptionEvent, Transaction, TransactionId, WatchEvent};
use tokio::time::timeout;

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_and_its_writes_are_unknown_but_never_twice() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let redis = RedisCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let add = Transaction::new().add(key("n"), 1, None).with_id(TransactionId::random());
    server.pause().await.expect("paused");
    let started = Instant::now();
    let error = redis.commit(&add).await.expect_err("nobody answers");
    assert!(started.elapsed() < LIMIT * 2, "{:?}", started.elapsed());
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Unknown), "{error}");
    assert!(error.maybe_applied() && error.to_string().contains("may have been applied"), "{error}");
    let read = redis.get(&[key("n")]).await.expect_err("nobody answers");
    assert!(!read.maybe_applied(), "{read}");
    server.resume().await.expect("resumed");
    // The first attempt may run now, as a ghost; with its id the repeat adds nothing to it.
    for _ in 0..3 {
        redis.commit(&add).await.expect("the server is back");
    }
    let snapshot = redis.get(&[key("n")]).await.expect("the server is back");
    assert_eq!(snapshot.entries[0].as_ref().expect("written").value, "1");
}

#[tokio::test]
async fn a_wait_for_a_lock_ends_in_time_though_the_server_hangs() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let coordinator = linchpin::connect(server.url()).await.expect("connected");
    server.pause().await.expect("paused");
    for wait in [Duration::ZERO, Duration::from_millis(1500)] {
        let started = Instant::now();
        let error = coordinator.lock("l").wait(wait).acquire().await.expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(started.elapsed() < Duration::from_millis(1900), "{wait:?} took {:?}", started.elapsed());
    }
    let started = Instant::now();
    let acked = coordinator.publish_with_ack("c", b"m", Duration::from_millis(300)).await;
    assert_eq!(acked.expect_err("nobody answers").kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    server.resume().await.expect("resumed");
    let guard = timeout(SOON, coordinator.lock("l").acquire()).await.expect("in time").expect("the server is back");
    guard.release().await.expect("released");
}

#[tokio::test]
async fn retries_hide_a_restart_and_apply_nothing_twice() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let policy = RetryPolicy { attempts: 50, total: SOON, ..RetryPolicy::default() };
    let driver = RedisCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let coordinator = Coordinator::over(driver).retry(policy).connect().await.expect("connected");
    let adding = coordinator.clone();
    let adding = tokio::spawn(async move {
        for _ in 0..2000 {
            adding.incr("n", 1, None).await?;
        }
        adding.get("n").await
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.kill().await.expect("killed");
        server.restart().await.expect("restarted");
    }
    let value = timeout(SOON * 2, adding).await.expect("in time").expect("no panic").expect("retried");
    assert_eq!(value.as_deref(), Some(&b"2000"[..]));
}

#[tokio::test]
async fn subscriptions_watches_and_waiting_claims_go_on_after_a_restart() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let redis = RedisCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let other = RedisCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let mut messages = redis.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    redis.commit(&Transaction::new().put(key("gone"), "v", None)).await.expect("a commit");
    let mut events = redis.watch(&Range::all()).await.expect("a watch");
    for _ in 0..2 {
        events.next().await.expect("open").expect("an event");
    }
    let stream = linchpin::StreamName::new("s").expect("valid");
    let claim = linchpin::Claim::new(
        stream.clone(),
        linchpin::GroupName::new("g").expect("valid"),
        linchpin::MemberName::new("m").expect("valid"),
    );
    let claiming = redis.clone();
    let claiming = tokio::spawn(async move { claiming.claim(&claim.wait(SOON * 2)).await });

    server.kill().await.expect("killed");
    server.restart().await.expect("restarted");

    let gap = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert_eq!(gap, SubscriptionEvent::Lagged(None));
    // Its connection broke too, which the first call finds out.
    let after = Channel::new("c").expect("valid");
    while other.publish(&after, "after".into()).await.is_err() {}
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(message, SubscriptionEvent::Message(message) if message.payload == "after"));

    let change = Transaction::new().put(key("new"), "v", None).delete(key("gone"));
    other.commit(&change).await.expect("the server is back");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end") {
            WatchEvent::Put(entry) => seen.push(format!("+{}", entry.key)),
            WatchEvent::Deleted { key, .. } => seen.push(format!("-{key}")),
            _ => {}
        }
    }
    seen.sort();
    assert_eq!(seen, ["+new", "-gone"]);

    other.append(&stream, &[linchpin::Record::new("r")]).await.expect("appended");
    // A claim that was waiting when the connection broke fails in time or goes on; it never hangs.
    match timeout(SOON, claiming).await.expect("in time").expect("no panic") {
        Ok(deliveries) => assert_eq!(deliveries.len(), 1),
        Err(error) => assert!(error.is_transient(), "{error}"),
    }
    assert!(redis.health().await.expect("healthy").is_healthy());
}

#[tokio::test]
async fn a_half_open_subscription_is_noticed_and_replaced() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let redis = RedisCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let mut messages = redis.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    server.pause().await.expect("paused");
    // No byte comes and nobody closes: only the heartbeat can tell, within the 3 seconds that it takes.
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.resume().await.expect("resumed");
    let gap = timeout(SOON, messages.next()).await.expect("the gap is marked").expect("open").expect("no end");
    assert_eq!(gap, SubscriptionEvent::Lagged(None));
}

#[tokio::test]
async fn nothing_is_left_behind_by_a_handle_that_is_dropped() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let mut counting = raw(&server).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 0..3 {
        let coordinator = linchpin::connect(server.url()).await.expect("connected");
        let messages = coordinator.subscribe("*").await.expect("a subscription");
        let events = coordinator.driver().watch(&Range::all()).await.expect("a watch");
        let guard = coordinator.lock("l").acquire().await.expect("a lock");
        match round {
            0 => drop((messages, events, guard, coordinator)),
            1 => {
                drop(coordinator);
                drop((guard, events, messages));
            }
            _ => coordinator.shutdown().await.expect("shut down"),
        }
    }
    let quiet = async {
        loop {
            let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut counting).await.expect("a list");
            if clients.lines().count() == 1 && tasks() <= before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, quiet).await.expect("connections or tasks are left");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*lock*").query_async(&mut counting).await.expect("keys");
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn what_is_erased_is_gone_and_nothing_else() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let at = |namespace: &str| format!("{}?namespace={namespace}", server.url());
    let names = ["gone", "gone-2", "gone.not"];
    for namespace in names {
        let coordinator = linchpin::connect(at(namespace)).await.expect("connects");
        coordinator.set("a", b"1", None).await.expect("is set");
        coordinator.driver().clear("").await.expect("is cleared");
        coordinator.set("}:b", b"2", None).await.expect("is set");
        coordinator.shutdown().await.expect("closes");
    }
    let mut plain = raw(&server).await;
    redis::cmd("SET").arg("linchpin:{gone").arg("a user's").exec_async(&mut plain).await.expect("is set");
    let gone = names[..2].iter().map(|name| linchpin::Namespace::new(*name).expect("a name"));
    linchpin::erase(&server.url(), &gone.collect::<Vec<_>>()).await.expect("erases");
    let mut left: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut plain).await.expect("answers");
    left.retain(|name| !name.starts_with("linchpin:{gone.not}:"));
    assert_eq!(left, ["linchpin:{gone"]);
    let kept = linchpin::connect(at("gone.not")).await.expect("connects");
    assert_eq!(kept.get("}:b").await.expect("answers").as_deref(), Some(&b"2"[..]));
}
