//! What watchers are told where nobody rings the doorbell: rows that vanish or come back behind linchpin's back, writers
//! that die, a feed that was forgotten.

use super::{ask, connect, key, put, server};
use futures::StreamExt;
use linchpin::{Coordinator, Driver, Page, Range, Transaction, WatchEvent, WatchStream};
use linchpin_tests::everything;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What the contract says, without any writer.
const NOTICED: Duration = Duration::from_secs(5);

/// A watch of everything that has told what is there.
async fn watch(driver: &Arc<dyn Driver>) -> WatchStream {
    let mut events = driver.watch(&Range::all()).await.expect("a watch");
    while !matches!(events.next().await.expect("open").expect("no end"), WatchEvent::Synced { .. }) {}
    events
}

/// The next events, as they are told in time.
async fn told(events: &mut WatchStream, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let event = timeout(NOTICED, events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("nothing in time after {told:?}"));
        told.push(match event.expect("open").expect("no end") {
            WatchEvent::Put(entry) => format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
            WatchEvent::Deleted { key, .. } => format!("-{key}"),
            WatchEvent::Synced { .. } => "synced".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    told.sort();
    told
}

#[tokio::test]
async fn what_vanishes_behind_its_back_is_told() {
    let server = server().await;
    let driver = connect(&server).await;
    for name in ["a", "b", "c", "d"] {
        put(&driver, name, "1").await;
    }
    let mut events = watch(&driver).await;
    ask(&server, "DELETE FROM linchpin.keys WHERE key = 'a'").await;
    assert_eq!(told(&mut events, 1).await, ["-a"]);
    ask(&server, "DELETE FROM linchpin.keys WHERE key = 'none'").await;
    put(&driver, "b", "2").await;
    assert_eq!(told(&mut events, 1).await, ["b=2"]);
    ask(&server, "TRUNCATE linchpin.keys").await;
    assert_eq!(told(&mut events, 3).await, ["-b", "-c", "-d"]);
    put(&driver, "a", "3").await;
    assert_eq!(told(&mut events, 1).await, ["a=3"]);
}

#[tokio::test]
async fn a_lock_whose_row_vanishes_is_passed_on_to_all_who_wait() {
    let server = server().await;
    let coordinator = |driver: Arc<dyn Driver>| Coordinator::over(driver.clone()).connect();
    let holder = coordinator(connect(&server).await).await.expect("connected");
    let _guard = holder.lock("l").ttl(Duration::from_mins(1)).acquire().await.expect("a lock");
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let other = coordinator(connect(&server).await).await.expect("connected");
        waiting.spawn(async move {
            let guard = other.lock("l").ttl(Duration::from_mins(1)).acquire().await.expect("passed on");
            guard.release().await.expect("released");
        });
    }
    // All stand in the queue.
    let queued = async { while ask(&server, "SELECT count(*) FROM linchpin.keys").await != "5" {} };
    timeout(NOTICED, queued).await.expect("in time");
    ask(&server, "DELETE FROM linchpin.keys WHERE created = (SELECT min(created) FROM linchpin.keys)").await;
    let passed = async { while waiting.join_next().await.is_some() {} };
    timeout(NOTICED, passed).await.expect("in time");
}

#[tokio::test]
async fn its_own_writes_are_no_intrusion() {
    let server = server().await;
    everything(connect(&server).await).await.expect("everything works");
    ask(&server, "SELECT linchpin.put('shop', 'k', 'v'), linchpin.add('shop', 'n', 1), linchpin.delete('shop', 'k')")
        .await;
    assert_eq!(ask(&server, "SELECT coalesce(sum(times), 0) FROM linchpin.intrusions").await, "0");
    ask(&server, "DELETE FROM linchpin.keys").await;
    assert_eq!(ask(&server, "SELECT times FROM linchpin.intrusions").await, "1");
}

#[tokio::test]
async fn data_that_come_back_older_are_told_as_they_are() {
    let server = server().await;
    let driver = connect(&server).await;
    put(&driver, "stays", "1").await;
    put(&driver, "goes", "1").await;
    let backup = "CREATE TABLE public.keys AS SELECT * FROM linchpin.keys; \
                  CREATE TABLE public.namespaces AS SELECT * FROM linchpin.namespaces; \
                  CREATE TABLE public.changes AS SELECT * FROM linchpin.changes";
    ask(&server, backup).await;
    let mut events = watch(&driver).await;
    driver.commit(&Transaction::new().delete(key("goes"))).await.expect("a commit");
    put(&driver, "new", "2").await;
    assert_eq!(told(&mut events, 2).await, ["-goes", "new=2"]);
    // In one transaction, and nobody writes after it.
    let restore = "BEGIN; TRUNCATE linchpin.keys, linchpin.changes; INSERT INTO linchpin.keys SELECT * FROM public.keys; \
                   INSERT INTO linchpin.changes SELECT * FROM public.changes; \
                   UPDATE linchpin.namespaces AS n SET changes = o.changes, revision = o.revision \
                   FROM public.namespaces AS o WHERE o.id = n.id; COMMIT";
    ask(&server, restore).await;
    assert_eq!(told(&mut events, 2).await, ["-new", "goes=1"]);
    // The same where somebody writes before it is noticed, so that the counts are the same again.
    put(&driver, "new", "3").await;
    assert_eq!(told(&mut events, 1).await, ["new=3"]);
    let without_triggers = restore.replace("BEGIN;", "BEGIN; ALTER TABLE linchpin.keys DISABLE TRIGGER ALL;");
    ask(
        &server,
        &without_triggers.replace("COMMIT", "ALTER TABLE linchpin.keys ENABLE ALWAYS TRIGGER intruded; COMMIT"),
    )
    .await;
    put(&driver, "other", "4").await;
    assert_eq!(told(&mut events, 2).await, ["-new", "other=4"]);
}

#[tokio::test]
async fn a_version_that_was_seen_and_lost_is_not_given_again() {
    let server = server().await;
    let driver = connect(&server).await;
    put(&driver, "k", "lost").await;
    let entry = async || driver.get(&[key("k")]).await.expect("a read").into_entry().expect("there");
    let lost = entry().await.version;
    // Another server takes over that did not hear of it, and its clock is behind.
    let behind = "UPDATE linchpin.namespaces SET ahead = ahead - 3600000000, acted = acted - 3600000000, \
                  revision = revision - 3600000000";
    ask(&server, behind).await;
    put(&driver, "k", "later").await;
    let later = entry().await.version;
    assert!(later > lost, "{later} after {lost}");
    // Nor to the end of a key.
    ask(&server, behind).await;
    driver.clear("").await.expect("cleared");
    let cleared = driver.get(&[key("k")]).await.expect("a read").revision;
    assert!(cleared > later, "{cleared} after {later}");
    put(&driver, "k", "short").await;
    let short = entry().await.version;
    ask(&server, &format!("{behind}; UPDATE linchpin.keys SET ends = 1")).await;
    let read = driver.get(&[key("k")]).await.expect("a read");
    let ended = read.revision;
    assert_eq!(read.into_entry(), None, "it has ended");
    assert!(ended > short, "{ended} after {short}");
}

#[tokio::test]
async fn a_writer_that_dies_before_it_rings_is_heard() {
    let server = server().await;
    let driver = connect(&server).await;
    put(&driver, "a", "1").await;
    let mut events = watch(&driver).await;
    let silently = |name: &str| {
        format!(
            "SELECT linchpin.commit('shop', ARRAY[NULL::bytea], ARRAY[0::bigint], ARRAY[1], ARRAY[10], ARRAY[1], \
             ARRAY[1::bigint], ARRAY[0::bigint], ARRAY['{name}'::bytea], ARRAY['2'::bytea], 0, 0) IS NULL"
        )
    };
    ask(&server, &silently("b")).await;
    assert_eq!(told(&mut events, 1).await, ["b=2"]);
    // Also where what it noted was forgotten meanwhile.
    ask(&server, &format!("BEGIN; {}; TRUNCATE linchpin.changes; COMMIT", silently("c"))).await;
    assert_eq!(told(&mut events, 1).await, ["c=2"]);
    put(&driver, "d", "3").await;
    assert_eq!(told(&mut events, 1).await, ["d=3"]);
}

#[tokio::test]
async fn what_was_changed_is_forgotten_in_the_end() {
    let server = server().await;
    let driver = connect(&server).await;
    for round in 0..20_u32 {
        let puts =
            (0..1000).fold(Transaction::new(), |puts, n| puts.put(key(&format!("k{n}")), format!("{round}"), None));
        driver.commit(&puts).await.expect("a commit");
    }
    let kept = ask(&server, "SELECT sum(cardinality(keys)) FROM linchpin.changes").await;
    let kept: u64 = kept.parse().expect("a number");
    assert!((8192..8192 + 1000 + 64).contains(&kept), "{kept}");
}

#[tokio::test]
async fn large_values_are_read_page_by_page() {
    const KEYS: usize = 40;
    let server = server().await;
    let driver = connect(&server).await;
    for n in 0..KEYS {
        let value = vec![b'x'; 256 * 1024];
        driver.commit(&Transaction::new().put(key(&format!("k{n:02}")), value, None)).await.expect("a commit");
    }
    let (mut page, mut read) = (Page::first(), Vec::new());
    loop {
        let found = driver.scan(&Range::all(), &page).await.expect("a page");
        assert!((1..=5).contains(&found.entries.len()), "{} of 256 KiB in a page", found.entries.len());
        read.extend(found.entries.iter().map(|entry| entry.key.to_string()));
        page.after = found.entries.last().map(|entry| entry.key.clone());
        if !found.more {
            break;
        }
    }
    assert_eq!(read, (0..KEYS).map(|n| format!("k{n:02}")).collect::<Vec<_>>());
    let names = driver.scan(&Range::all(), &Page::first_keys()).await.expect("a page");
    assert_eq!((names.entries.len(), names.more), (KEYS, false));
    let mut events = driver.watch(&Range::all()).await.expect("a watch");
    assert_eq!(told(&mut events, KEYS + 1).await.len(), KEYS + 1);
}
