//! A `PgBouncer` between the adapter and the server.

use super::{SOON, config, connect, coordinator, key, pool, refused, server};
use futures::StreamExt;
use linchpin::{Channel, ErrorKind, Pattern, Range, Retry, SubscriptionEvent, Transaction, WatchEvent};
use linchpin_tests::everything;
use linchpin_tests::servers::{PgBouncer, sql};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn in_session_mode_everything_works() {
    let server = server().await;
    let bouncer = PgBouncer::start(&server, "session").await.expect("a PgBouncer");
    everything(connect(&bouncer.url()).await).await.expect("everything works");

    let (one, other) = (connect(&bouncer.url()).await, connect(&bouncer.url()).await);
    let mut messages = one.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    other.publish(&Channel::new("c").expect("valid"), "m".into()).await.expect("published");
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(message, SubscriptionEvent::Message(message) if message.payload == "m"));
    let mut events = one.watch(&Range::all()).await.expect("a watch");
    other.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");
    let told = async {
        loop {
            if let WatchEvent::Put(entry) = events.next().await.expect("open").expect("no end") {
                return entry;
            }
        }
    };
    assert_eq!(timeout(SOON, told).await.expect("in time").value, "v");

    let (mine, theirs) = (coordinator(&bouncer.url()).await, coordinator(&bouncer.url()).await);
    let guard = mine.lock("l").acquire().await.expect("a lock");
    let waiting = theirs.lock("l").wait(Duration::from_millis(100)).acquire().await;
    assert_eq!(waiting.expect_err("it is held").kind(), ErrorKind::Timeout);
    guard.release().await.expect("released");
    theirs.lock("l").acquire().await.expect("it is free").release().await.expect("released");
}

#[tokio::test]
async fn in_any_other_mode_it_is_refused_when_connecting() {
    let server = server().await;
    // Whether the schema is there already or not.
    for mode in ["transaction", "statement", "transaction"] {
        let bouncer = PgBouncer::start(&server, mode).await.expect("a PgBouncer");
        for _ in 0..5 {
            let error = refused(config(&bouncer.url())).await;
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unsupported, Retry::Never), "{mode}: {error}");
            assert!(error.to_string().contains("session"), "{error}");
        }
        connect(&server.url()).await.close().await.expect("closed");
    }
}

#[tokio::test]
async fn in_transaction_mode_it_is_refused_though_others_use_it() {
    let server = server().await;
    let bouncer = PgBouncer::start(&server, "transaction").await.expect("a PgBouncer");
    let pool = pool(&bouncer.url(), 8).await;
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    let _ = sqlx::raw_sql("SELECT pg_sleep(0.001)").execute(&pool).await;
                }
            })
        })
        .collect();
    for _ in 0..10 {
        let error = refused(config(&bouncer.url())).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    for task in &busy {
        task.abort();
    }
    // What it found out with is not left set for whoever gets the connection next.
    let set = "SELECT string_agg(name, ' ') FROM pg_settings WHERE source = 'session' AND name NOT IN \
               ('DateStyle', 'TimeZone', 'client_encoding', 'application_name', 'standard_conforming_strings')";
    for _ in 0..50 {
        assert_eq!(sql(&bouncer.url(), set).await.expect("an answer"), "");
    }
    // As a setting would be.
    sql(&bouncer.url(), "SET statement_timeout = 4321").await.expect("an answer");
    assert_eq!(sql(&bouncer.url(), set).await.expect("an answer"), "statement_timeout");
}
