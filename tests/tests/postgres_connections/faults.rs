//! Connections that end, a server that dies and returns, and others who keep it busy.

use super::{END_ALL, SOON, ask, config, connect, coordinator, key, pool, server};
use futures::StreamExt;
use linchpin::{
    Channel, Claim, Coordinator, GroupName, MemberName, Pattern, Range, Record, Result, Retry, RetryPolicy, StreamName,
    SubscriptionEvent, Transaction, WatchEvent, WatchStream,
};
use linchpin_postgres::PostgresCoordination;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn patient() -> RetryPolicy {
    // Starting takes a server a while that others keep from working.
    RetryPolicy { attempts: 500, total: SOON * 3, ..RetryPolicy::default() }
}

#[tokio::test]
async fn retries_hide_a_restart_and_apply_nothing_twice() {
    let server = server().await;
    let driver = connect(&server.url()).await;
    let coordinator = Coordinator::over(driver).retry(patient()).connect().await.expect("connected");
    let adding = coordinator.clone();
    let adding = tokio::spawn(async move {
        for _ in 0..2000 {
            adding.incr("n", 1, None).await?;
        }
        adding.get("n").await
    });
    for _ in 0..3 {
        sleep(Duration::from_millis(50)).await;
        server.kill().await.expect("killed");
        server.restart().await.expect("restarted");
    }
    let value = timeout(SOON * 6, adding).await.expect("in time").expect("no panic").expect("retried");
    assert_eq!(value.as_deref(), Some(&b"2000"[..]));
}

#[tokio::test]
async fn connections_that_the_server_ends_apply_nothing_twice() {
    let server = server().await;
    let driver = connect(&server.url()).await;
    let coordinator = Coordinator::over(driver.clone()).retry(patient()).connect().await.expect("connected");
    let done = Arc::new(AtomicBool::new(false));
    let retried = || {
        let (coordinator, done) = (coordinator.clone(), done.clone());
        tokio::spawn(async move {
            let mut added = 0;
            while !done.load(Ordering::Relaxed) {
                coordinator.incr("retried", 1, None).await.expect("retried");
                added += 1;
            }
            added
        })
    };
    // Without an id nobody may send them again; whoever does not know is told so, and nobody else.
    let once = || {
        let (driver, done) = (driver.clone(), done.clone());
        tokio::spawn(async move {
            let (mut added, mut unknown) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                match driver.commit(&Transaction::new().add(key("once"), 1, None)).await {
                    Ok(_) => added += 1,
                    Err(error) if error.retry() == Retry::Unknown => unknown += 1,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
                tokio::task::yield_now().await;
            }
            (added, unknown)
        })
    };
    let retrying: Vec<_> = (0..8).map(|_| retried()).collect();
    let adding: Vec<_> = (0..8).map(|_| once()).collect();
    let mut ended = 0;
    for _ in 0..40 {
        sleep(Duration::from_millis(50)).await;
        ended += ask(&server, END_ALL).await.parse::<u32>().expect("a number");
    }
    done.store(true, Ordering::Relaxed);
    let mut sum = 0;
    for task in retrying {
        sum += timeout(SOON, task).await.expect("in time").expect("no panic");
    }
    let (mut least, mut most) = (0, 0);
    for task in adding {
        let (added, unknown) = timeout(SOON, task).await.expect("in time").expect("no panic");
        least += added;
        most += added + unknown;
    }
    let number = |value: &[u8]| std::str::from_utf8(value).expect("text").parse::<u64>().expect("a number");
    let retried = coordinator.get("retried").await.expect("a read").expect("written");
    let snapshot = at_last(async || driver.get(&[key("once")]).await).await;
    let once = number(&snapshot.entries[0].as_ref().expect("written").value);
    assert!(ended >= 20 && sum > 100 && least > 100, "ended {ended}, added {sum} and {least}");
    assert_eq!(number(&retried), sum);
    assert!((least..=most).contains(&once), "{once} is not from {least} to {most}");
}

/// Does it as soon as the server lets us.
async fn at_last<T>(call: impl AsyncFn() -> Result<T>) -> T {
    let trying = async {
        loop {
            match call().await {
                Ok(done) => return done,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, trying).await.expect("in time")
}

/// Waits until the watch has told of a put of one key and of the end of another.
async fn told_of(events: &mut WatchStream, put: &str, deleted: &str) {
    let (mut came, mut went) = (false, false);
    let told = async {
        while !(came && went) {
            match events.next().await.expect("open").expect("no end") {
                WatchEvent::Put(entry) => came |= entry.key.as_str() == put,
                WatchEvent::Deleted { key, .. } => went |= key.as_str() == deleted,
                _ => {}
            }
        }
    };
    timeout(SOON, told).await.expect("in time");
}

/// What a handle has open goes on after something broke its connections.
async fn goes_on_after(server: &linchpin_tests::servers::PostgresServer, broken: impl AsyncFnOnce()) {
    let postgres = connect(&server.url()).await;
    let other = connect(&server.url()).await;
    let mut messages = postgres.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    postgres.commit(&Transaction::new().put(key("gone"), "v", None)).await.expect("a commit");
    let mut events = postgres.watch(&Range::all()).await.expect("a watch");
    for _ in 0..2 {
        events.next().await.expect("open").expect("an event");
    }
    let stream = StreamName::new("s").expect("valid");
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    let claim = Claim::new(stream.clone(), group, member).wait(SOON * 2);
    let claiming = postgres.clone();
    let claiming = tokio::spawn(async move { claiming.claim(&claim).await });
    // A record that is there already would be claimed before anything breaks.
    sleep(Duration::from_millis(100)).await;

    broken().await;

    let gap = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert_eq!(gap, SubscriptionEvent::Lagged(None));
    let after = Channel::new("c").expect("valid");
    at_last(async || other.publish(&after, "after".into()).await).await;
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(message, SubscriptionEvent::Message(message) if message.payload == "after"));

    let change = Transaction::new().put(key("new"), "v", None).delete(key("gone"));
    at_last(async || other.commit(&change).await).await;
    told_of(&mut events, "new", "gone").await;
    let record = Record::new("r").with_id("1").expect("valid");
    at_last(async || other.append(&stream, std::slice::from_ref(&record)).await).await;
    // A claim that was waiting when the connection broke fails in time or goes on; it never hangs.
    match timeout(SOON, claiming).await.expect("in time").expect("no panic") {
        Ok(deliveries) => assert_eq!(deliveries.len(), 1),
        Err(error) => assert!(error.is_transient(), "{error}"),
    }
    assert!(postgres.health().await.expect("healthy").is_healthy());
}

#[tokio::test]
async fn subscriptions_watches_and_waiting_claims_go_on_after_a_restart() {
    let server = server().await;
    goes_on_after(&server, async || {
        server.kill().await.expect("killed");
        server.restart().await.expect("restarted");
    })
    .await;
}

#[tokio::test]
async fn subscriptions_watches_and_waiting_claims_go_on_after_their_connections_end() {
    let server = server().await;
    goes_on_after(&server, async || {
        let ended = ask(&server, END_ALL).await.parse::<u32>().expect("a number");
        assert!(ended >= 2, "{ended}");
    })
    .await;
}

#[tokio::test]
async fn a_wait_for_a_lock_ends_in_time_though_the_server_hangs() {
    let server = server().await;
    let driver = PostgresCoordination::new(&server.url(), "n1".to_owned(), None).await.expect("connected").driver();
    let coordinator = Coordinator::over(driver.clone()).connect().await.expect("connected");
    server.pause().await.expect("paused");
    for wait in [Duration::ZERO, Duration::from_millis(1500)] {
        let started = std::time::Instant::now();
        let error = coordinator.lock("l").wait(wait).acquire().await.expect_err("nobody answers");
        assert_eq!(error.kind(), linchpin::ErrorKind::Timeout, "{error}");
        assert!(started.elapsed() < Duration::from_millis(1900), "{wait:?} took {:?}", started.elapsed());
    }
    server.resume().await.expect("resumed");
    let guard = timeout(SOON, coordinator.lock("l").acquire()).await.expect("in time").expect("the server is back");
    guard.release().await.expect("released");
}

/// Holds a lock for twice its time to live while something else is busy, and no longer.
async fn held_meanwhile(url: &str, busy: impl AsyncFnOnce()) {
    const TTL: Duration = Duration::from_secs(2);
    let (mine, theirs) = (coordinator(url).await, coordinator(url).await);
    let guard = mine.lock("l").ttl(TTL).acquire().await.expect("a lock");
    busy().await;
    tokio::select! {
        () = guard.lost() => panic!("it was lost"),
        () = sleep(TTL * 2) => {}
    }
    assert!(theirs.lock("l").try_acquire().await.expect("an answer").is_none(), "two hold it");
    guard.release().await.expect("released");
    assert!(theirs.lock("l").try_acquire().await.expect("an answer").is_some(), "it is free");
}

#[tokio::test]
async fn an_exhausted_pool_of_the_application_stalls_no_lock() {
    const PLACES: u32 = 8;
    let server = server().await;
    let pool = pool(&server.url(), PLACES).await;
    held_meanwhile(&server.url(), async || {
        for _ in 0..PLACES {
            let pool = pool.clone();
            tokio::spawn(async move { sqlx::raw_sql("SELECT pg_sleep(60)").execute(&pool).await });
        }
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
        let all = async { while ask(&server, asleep).await != PLACES.to_string() {} };
        timeout(SOON, all).await.expect("in time");
        pool.acquire().await.map(drop).expect_err("the pool is exhausted");
    })
    .await;
}

#[tokio::test]
async fn streams_that_hang_stall_no_lock() {
    let server = server().await;
    let postgres = PostgresCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let stream = StreamName::new("s").expect("valid");
    postgres.append(&stream, &[Record::new("r")]).await.expect("appended");
    // An application's transaction, which holds all tables of streams until it is ended.
    let tables = ask(
        &server,
        "SELECT string_agg('linchpin.' || relname, ', ') FROM pg_class JOIN pg_namespace n \
                               ON n.oid = relnamespace WHERE nspname = 'linchpin' AND relkind = 'r' AND relname NOT IN \
                               ('namespaces', 'holds', 'keys', 'changes', 'intrusions', 'outcomes', 'messages', 'version')",
    )
    .await;
    let pool = pool(&server.url(), 1).await;
    let mut holding = pool.begin().await.expect("a transaction");
    let lock = format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut *holding).await.expect("locked");
    let mut appending = tokio::task::JoinSet::<()>::new();
    held_meanwhile(&server.url(), async || {
        for _ in 0..64 {
            let (postgres, stream) = (postgres.clone(), stream.clone());
            appending.spawn(async move {
                loop {
                    let _ = postgres.append(&stream, &[Record::new("r")]).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        let stuck = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let some = async { while ask(&server, stuck).await != "t" {} };
        timeout(SOON, some).await.expect("in time");
    })
    .await;
    appending.shutdown().await;
    holding.rollback().await.expect("rolled back");
    at_last(async || postgres.append(&stream, &[Record::new("r")]).await).await;
}
