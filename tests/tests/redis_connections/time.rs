//! The server's clock, and keys that end.

use super::*;
use bytes::Buf;
use futures::StreamExt;
use linchpin::{Mutation, Range, Revision, Transaction, WatchEvent};
use tokio::time::{sleep, timeout};

/// How far the time that the adapter has noted at the server lags behind its clock.
async fn noted_lag(raw: &mut MultiplexedConnection) -> Duration {
    let meta: Vec<u8> = ask(raw, &["GET", "linchpin:{default}:meta"]).await;
    let (seconds, micros): (u64, u64) = ask(raw, &["TIME"]).await;
    let acted = Duration::from_secs_f64((&meta[16..24]).get_f64_le() / 1e6);
    (Duration::from_secs(seconds) + Duration::from_micros(micros)).saturating_sub(acted)
}

/// A clock that steps back gives to who lives no more time than has passed since it was noted.
#[tokio::test]
async fn renewals_and_reads_note_the_time() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let put = Transaction::new().put(key("k"), "v", Some(Duration::from_secs(60)));
    redis.commit(&put).await.expect("a commit");
    let version = read(&redis, "k").await.expect("read").expect("there").version;
    sleep(Duration::from_millis(400)).await;
    assert!(noted_lag(&mut raw).await > Duration::from_millis(350));
    let mut renewal = Transaction::new();
    renewal.mutations.push(Mutation::Extend { key: key("k"), version, ttl: Duration::from_secs(60) });
    redis.commit(&renewal).await.expect("renewed");
    assert!(noted_lag(&mut raw).await < Duration::from_millis(200), "a renewal notes no time");
    sleep(Duration::from_millis(400)).await;
    let noted = async {
        while noted_lag(&mut raw).await > Duration::from_millis(300) {
            read(&redis, "k").await.expect("read");
        }
    };
    timeout(Duration::from_millis(900), noted).await.expect("reads note no time");
    sleep(Duration::from_millis(400)).await;
    redis.scan(&Range::all(), &linchpin::Page::first()).await.expect("scanned");
    assert!(noted_lag(&mut raw).await < Duration::from_millis(200), "a scan notes no time");
}

#[tokio::test]
async fn many_keys_that_end_at_once_are_told_at_once() {
    let server = local(&[]).await;
    let redis = connect(&server.url()).await;
    let mut events = redis.watch(&Range::all()).await.expect("a watch");
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Synced { .. }))));
    let (many, ttl) = (30_000, Duration::from_secs(10));
    let started = Instant::now();
    for batch in 0..many / 1000 {
        let left = ttl.saturating_sub(started.elapsed());
        let batch = (0..1000).fold(Transaction::new(), |all, n| all.put(key(&format!("{batch}/{n}")), "", Some(left)));
        redis.commit(&batch).await.expect("written");
    }
    assert!(started.elapsed() < ttl, "too slow to tell anything");
    let (mut gone, mut last) = (0, Revision(0));
    while gone < many {
        match timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end") {
            WatchEvent::Deleted { version, .. } => (gone, last) = (gone + 1, last.max(version)),
            WatchEvent::Put(_) | WatchEvent::Synced { .. } => {}
        }
    }
    let late = started.elapsed().saturating_sub(ttl);
    assert!(late < Duration::from_millis(1500), "the last was told {late:?} after its end");
}
