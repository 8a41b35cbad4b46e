//! What a handle commits is told to its own watchers with the answer: as others are told it, in order, and nobody looks.

use super::{SOON, ask, calls, connect, key, put, server};
use futures::StreamExt;
use linchpin::{Driver, Entry, Page, Range, Transaction, WatchEvent, WatchStream};
use linchpin_tests::servers::PostgresServer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What is written last.
const LAST: &str = "last";

async fn watch(driver: &Arc<dyn Driver>) -> WatchStream {
    let mut watch = driver.watch(&Range::all()).await.expect("watches");
    loop {
        if let WatchEvent::Synced { .. } = next(&mut watch).await {
            return watch;
        }
    }
}

async fn next(watch: &mut WatchStream) -> WatchEvent {
    timeout(SOON, watch.next()).await.expect("in time").expect("goes on").expect("an event")
}

/// When a key came to be, its version and value.
fn shown(entry: &Entry) -> String {
    format!("{:?} {:?} {:?}", entry.created, entry.version, entry.value)
}

/// What a watch has told when it tells the last, key by key.
async fn told(mut watch: WatchStream) -> BTreeMap<String, String> {
    let (mut entries, mut versions) = (BTreeMap::new(), BTreeMap::new());
    loop {
        let (key, version) = match next(&mut watch).await {
            WatchEvent::Put(entry) => {
                entries.insert(entry.key.to_string(), shown(&entry));
                (entry.key, entry.version)
            }
            WatchEvent::Deleted { key, version } => {
                entries.remove(key.as_str());
                (key, version)
            }
            other => panic!("nothing was missed, and it told {other:?}"),
        };
        let before = versions.insert(key.clone(), version);
        assert!(before.is_none_or(|before| before < version), "{key} was told twice, or in another order");
        if key.as_str() == LAST {
            return entries;
        }
    }
}

/// Writes and deletes a few keys at random: mostly as a handle tells itself, and sometimes two at once, which it reads.
async fn change(driver: Arc<dyn Driver>, times: usize) {
    for _ in 0..times {
        let name = || key(&format!("k{}", fastrand::usize(..5)));
        let ttl = fastrand::bool().then_some(Duration::from_mins(1));
        let put = Transaction::new().put(name(), fastrand::u64(..).to_string(), ttl);
        let transaction = match fastrand::usize(..4) {
            0 => Transaction::new().delete(name()),
            1 => put.put(key("another"), "v", None),
            _ => put,
        };
        driver.commit(&transaction).await.expect("committed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_the_same_whoever_wrote() {
    let server = server().await;
    let (one, other) = (connect(&server).await, connect(&server).await);
    let watches = [watch(&one).await, watch(&other).await];
    let told = watches.map(|watch| tokio::spawn(told(watch)));
    let writers = [&one, &one, &other].map(|driver| tokio::spawn(change(driver.clone(), 300)));
    for writer in writers {
        writer.await.expect("no panic");
    }
    put(&one, LAST, "v").await;
    let page = one.scan(&Range::all(), &Page::first()).await.expect("listed");
    let there: BTreeMap<_, _> = page.entries.iter().map(|entry| (entry.key.to_string(), shown(entry))).collect();
    for told in told {
        assert_eq!(told.await.expect("no panic"), there);
    }
}

/// How many transactions the server has seen; those of a session count once it is gone.
async fn transactions(server: &PostgresServer) -> u64 {
    let question = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    ask(server, question).await.parse().expect("a number")
}

#[tokio::test]
async fn nobody_looks_at_what_it_wrote_itself() {
    let server = server().await;
    let before = transactions(&server).await;
    let driver = connect(&server).await;
    let mut watch = watch(&driver).await;
    for _ in 0..200 {
        put(&driver, "k", "v").await;
        assert!(matches!(next(&mut watch).await, WatchEvent::Put(_)));
    }
    drop((watch, driver));
    // What a session did is counted when it is gone.
    let gone = async {
        while ask(&server, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin'").await != "0" {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, gone).await.expect("the handle's sessions end");
    let looks = calls(&server, "changes_after").await;
    assert!(looks <= 10, "{looks} looks for 200 changes of its own");
    // Nor reads its range again, as who has missed something does. Three are for each change: others are rung for, and the
    // server takes handing that on for one.
    let asked = transactions(&server).await - before;
    assert!(asked <= 750, "{asked} transactions for 200 changes of its own");
}
