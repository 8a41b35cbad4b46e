//! Another role of the same Postgres, which may do no more than connect: it hears nothing and forges nothing.

use super::{SOON, ask, connect, key, put, server};
use futures::StreamExt;
use linchpin::{
    Channel, Claim, Coordinator, Driver, GroupName, MemberName, Namespace, Pattern, Range, Record, StreamName,
    SubscriptionEvent, Transaction, WatchEvent,
};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::{PostgresServer, sql};
use sqlx::postgres::PgListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A server with a role that may connect and watch the server, and its URL for that role.
async fn with_a_stranger() -> (PostgresServer, String) {
    let server = server().await;
    ask(&server, "CREATE ROLE eve LOGIN; GRANT pg_monitor TO eve").await;
    let url = server.url().replace("postgres@", "eve@");
    (server, url)
}

/// What the channels are called, which only who may read the namespace's row knows: changes, messages, streams.
async fn channels(server: &PostgresServer) -> Vec<String> {
    let names =
        "SELECT linchpin.channel(n.secret, kind) FROM linchpin.namespaces AS n, unnest('{c,m,s}'::text[]) AS kind";
    ask(server, names).await.lines().map(str::to_owned).collect()
}

/// Traffic of each kind.
async fn traffic(driver: &Arc<dyn Driver>) {
    let stream = StreamName::new("s").expect("valid");
    put(driver, "k", "secret value").await;
    driver.commit(&Transaction::new().delete(key("k"))).await.expect("a commit");
    for length in [10, 10_000] {
        let payload = vec![b'x'; length];
        driver.publish(&Channel::new("c").expect("valid"), payload.into()).await.expect("published");
    }
    driver.append(&stream, &[Record::new("r")]).await.expect("appended");
}

#[tokio::test]
async fn a_stranger_finds_no_channel_and_may_look_into_nothing() {
    let (server, strangers) = with_a_stranger().await;
    let driver = connect(&server).await;
    let _messages = driver.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    let _watch = driver.watch(&Range::all()).await.expect("a watch");
    let known = channels(&server).await;

    // What follows from the namespace's name is no channel.
    let guesses = "SELECT 'linchpin_' || encode(substr(sha256('shop'), 1, 16), 'hex') || kind \
                   FROM unnest(ARRAY['', '_c', '_m', '_s']) AS kind";
    let guesses = sql(&strangers, guesses).await.expect("an answer");
    assert!(guesses.lines().all(|guess| known.iter().all(|known| known != guess)), "{guesses}");
    let mut listener = PgListener::connect(&strangers).await.expect("connected");
    listener.listen_all(guesses.lines()).await.expect("it may listen to whatever it likes");
    traffic(&driver).await;
    let heard = timeout(Duration::from_millis(500), listener.recv()).await;
    assert!(heard.is_err(), "{heard:?}");

    // Nor does the server show what they are called, though this role sees everybody's statements.
    traffic(&driver).await;
    let statements = sql(&strangers, "SELECT query FROM pg_stat_activity").await.expect("it may");
    assert!(statements.contains("linchpin."), "{statements}");
    assert!(known.iter().all(|known| !statements.contains(known)), "{statements}");

    for denied in [
        "SELECT secret FROM linchpin.namespaces",
        "SELECT payload FROM linchpin.messages",
        "SELECT linchpin.listen('shop', '{m}', '{}')",
        "SELECT linchpin.tell('shop', '{m}', '{x}')",
        "SELECT linchpin.publish('shop', 'c', 'x')",
    ] {
        let error = sql(&strangers, denied).await.expect_err("it may not");
        assert!(error.to_string().starts_with("42501"), "{denied}: {error}");
    }
}

#[tokio::test]
async fn who_knows_the_channels_forges_nothing() {
    let (server, strangers) = with_a_stranger().await;
    let driver = connect(&server).await;
    let mine = Coordinator::over(driver.clone()).connect().await.expect("connected");
    let theirs = Coordinator::over(connect(&server).await).connect().await.expect("connected");
    let guard = mine.lock("l").ttl(Duration::from_secs(5)).acquire().await.expect("a lock");
    let waiting = tokio::spawn(async move { theirs.lock("l").ttl(Duration::from_secs(5)).acquire().await });
    put(&driver, "k", "v").await;
    let mut messages = driver.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    let mut events = driver.watch(&Range::Key(key("k"))).await.expect("a watch");
    for _ in 0..2 {
        events.next().await.expect("open").expect("present, then synced");
    }
    let stream = StreamName::new("s").expect("valid");
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    let claim = Claim::new(stream.clone(), group, member).wait(Duration::from_secs(2));
    let claiming = tokio::spawn({
        let driver = driver.clone();
        async move { driver.claim(&claim).await }
    });

    // Somebody told the stranger what the channels are called.
    let channels = channels(&server).await;
    let held = ask(&server, "SELECT encode(key, 'base64') FROM linchpin.keys").await.replace('\n', "");
    let changes: u64 = ask(&server, "SELECT changes FROM linchpin.namespaces").await.parse().expect("a number");
    let (before, after) = (changes, changes + 1);
    for round in 0..20 {
        for forged in [
            format!("NOTIFY {}, '{before} {after} d {held} {after}'", channels[0]),
            format!("NOTIFY {}, '{} 1 *'", channels[0], after + round),
            format!("NOTIFY {}, '18446744073709551615 18446744073709551615 *'", channels[0]),
            format!("NOTIFY {}, '18446744073709551615 1 0000'", channels[0]),
            format!("NOTIFY {}, '1.{round} Yw== Zm9yZ2Vk'", channels[1]),
            format!("NOTIFY {}, 'AAAAAAAAAAAAAAAAAAAAAA== 1.{round} Yw== Zm9yZ2Vk'", channels[1]),
            format!("NOTIFY {}, 'cw=='", channels[2]),
            format!("NOTIFY {}, '!'", channels[2]),
        ] {
            sql(&strangers, &forged).await.expect("anybody may");
        }
        sleep(Duration::from_millis(20)).await;
    }

    assert!(!waiting.is_finished(), "two hold the lock");
    assert_eq!(claiming.await.expect("no panic").expect("an answer"), []);
    // What really happens is told, and nothing else.
    put(&driver, "k", "w").await;
    let event = timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(event, WatchEvent::Put(entry) if entry.value == "w"));
    driver.publish(&Channel::new("c").expect("valid"), "real".into()).await.expect("published");
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(message, SubscriptionEvent::Message(message) if message.payload == "real"));
    guard.release().await.expect("it was held all the time");
    drop(timeout(SOON, waiting).await.expect("in time").expect("no panic").expect("the lock is passed on"));
}

#[tokio::test]
async fn a_namespace_that_is_made_anew_has_another_secret() {
    let (server, _) = with_a_stranger().await;
    let driver = connect(&server).await;
    let old = channels(&server).await;
    let mut messages = driver.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    let mut events = driver.watch(&Range::Key(key("k"))).await.expect("a watch");
    events.next().await.expect("open").expect("synced");
    let namespace = Namespace::new("shop").expect("a good name");
    PostgresCoordination::erase(PostgresConfig::from_url(&server.url()).expect("a good URL"), &[namespace])
        .await
        .expect("erased");
    put(&driver, "k", "v").await;
    assert_ne!(channels(&server).await, old);
    // Who listens follows.
    let event = timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(event, WatchEvent::Put(entry) if entry.value == "v"));
    let gap = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert_eq!(gap, SubscriptionEvent::Lagged(None));
    driver.publish(&Channel::new("c").expect("valid"), "m".into()).await.expect("published");
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(message, SubscriptionEvent::Message(message) if message.payload == "m"));
}
