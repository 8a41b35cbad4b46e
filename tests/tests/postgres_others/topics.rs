//! Who reads which changes: those of a topic that he watches at once, those of others once a second.

use super::{SOON, ask, calls, connect, key, put, server};
use futures::StreamExt;
use linchpin::{Driver, Range, Transaction, WatchEvent, WatchStream};
use linchpin_tests::servers::PostgresServer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Half of the time after which each looks anyhow.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How often somebody looked what was changed: each session says so to the server a second later.
async fn looks(server: &PostgresServer) -> u64 {
    let mut looks = 0;
    for _ in 0..10 {
        sleep(Duration::from_millis(2500)).await;
        let more = calls(server, "changes_after").await;
        if more == looks && more > 0 {
            return looks;
        }
        looks = more;
    }
    panic!("{looks} looks, and more and more though nothing happens");
}

/// Writes a value, or deletes the key.
async fn write(driver: &Arc<dyn Driver>, name: &str, value: Option<&'static str>) {
    let write = match value {
        Some(value) => Transaction::new().put(key(name), value, None),
        None => Transaction::new().delete(key(name)),
    };
    driver.commit(&write).await.expect("a commit");
}

/// Returns once it is told that this was written, or that the key is gone.
async fn told(events: &mut WatchStream, value: Option<&str>) {
    let told = async {
        loop {
            let event = events.next().await.expect("open").expect("no end");
            match (event, value) {
                (WatchEvent::Put(entry), Some(value)) if entry.value == value.as_bytes() => return,
                (WatchEvent::Deleted { .. }, None) => return,
                _ => {}
            }
        }
    };
    timeout(SOON, told).await.unwrap_or_else(|_| panic!("{value:?} was not told"));
}

/// How long it takes until a change is told, a value or its end: the least of some times. Each follows on one that was just
/// told, so that none is told soon because everybody looks then.
async fn delay(events: &mut WatchStream, change: impl AsyncFn(Option<&'static str>)) -> Duration {
    let mut least = [Duration::MAX; 2];
    change(Some("first")).await;
    told(events, Some("first")).await;
    for value in ["1", "2", "3"] {
        for (value, least) in [Some(value), None].into_iter().zip(&mut least) {
            let started = Instant::now();
            change(value).await;
            told(events, value).await;
            *least = (*least).min(started.elapsed());
        }
    }
    least[0].max(least[1])
}

/// However many write, and whoever tells of it first.
#[tokio::test]
async fn who_watches_something_reads_nothing_else_at_once() {
    const CHANGES: u64 = 300;
    let server = server().await;
    let (driver, other) = (connect(&server).await, connect(&server).await);
    let mut events = driver.watch(&Range::Key(key("q/a/config"))).await.expect("a watch");
    put(&other, "q/a/other", "before").await;
    let (before, started) = (looks(&server).await, Instant::now());
    let mut writers = JoinSet::new();
    for name in ["q/a/1", "q/a/2", "q/a/3"] {
        let writer = connect(&server).await;
        writers.spawn(async move {
            for _ in 0..CHANGES / 3 {
                put(&writer, name, "v").await;
                // So that each would be read for itself.
                sleep(Duration::from_millis(3)).await;
            }
        });
    }
    timeout(SOON, writers.join_all()).await.expect("in time");
    let seconds = started.elapsed().as_secs();
    let elsewhere = looks(&server).await - before;
    // Where time is short one tells late, and is looked after.
    assert!(
        elsewhere <= seconds + CHANGES / 10,
        "{elsewhere} looks in {seconds} s for {CHANGES} changes of other keys"
    );
    for _ in 0..CHANGES {
        put(&other, "q/a/config", "v").await;
        sleep(Duration::from_millis(3)).await;
    }
    put(&other, "q/a/config", "last").await;
    told(&mut events, Some("last")).await;
    let here = looks(&server).await - before - elsewhere;
    assert!(
        here > elsewhere * 2 && here > CHANGES / 10,
        "{here} looks for {CHANGES} changes of its key, {elsewhere} else"
    );
}

/// Whatever it is called, and whoever writes it.
#[tokio::test]
async fn what_somebody_watches_is_told_at_once() {
    let server = server().await;
    let other = connect(&server).await;
    let names = [
        "k",
        "/",
        "//",
        "///",
        "a//b",
        "a/b/",
        "//a/b",
        "lock/6:orders/0a7f",
        "[a]/*/x",
        "a\\/b/c",
        "%/%%/%s",
        "é/ü/ö\n/",
    ];
    for name in names {
        let in_rust = async |value| write(&other, name, value).await;
        let hex = name.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let quoted = format!("convert_from(decode('{hex}', 'hex'), 'UTF8')");
        let in_sql = async |value: Option<&'static str>| {
            let call =
                value.map_or(format!("delete('shop', {quoted})"), |value| format!("put('shop', {quoted}, '{value}')"));
            ask(&server, &format!("SELECT linchpin.{call}")).await;
        };
        for range in [Range::Key(key(name)), Range::prefix(name).expect("a prefix"), Range::all()] {
            // Each for itself: of two in one handle one hears for both.
            let mut events = connect(&server).await.watch(&range).await.expect("a watch");
            for delay in [delay(&mut events, in_rust).await, delay(&mut events, in_sql).await] {
                assert!(delay < AT_ONCE, "{name:?} was told to {range:?} after {delay:?}");
            }
        }
    }
}

/// In one handle some watch no more, and others go on.
#[tokio::test]
async fn who_goes_on_hears_at_once_though_others_left() {
    let server = server().await;
    let (driver, other) = (connect(&server).await, connect(&server).await);
    let watch = async || driver.watch(&Range::Key(key("a/b/c"))).await.expect("a watch");
    let (first, mut second) = (watch().await, watch().await);
    drop(first);
    let change = async |value: Option<&'static str>| match value {
        Some(_) => write(&other, "a/b/c", value).await,
        None => other.clear("a/b/").await.expect("cleared"),
    };
    assert!(delay(&mut second, change).await < AT_ONCE);
    drop(second);
    let mut third = watch().await;
    assert!(delay(&mut third, change).await < AT_ONCE);
}
