//! The server's clock, and keys that end.

use super::*;
use bytes::Buf;
use futures::StreamExt;
use linchpin::{Key, Mutation, Range, Transaction, WatchEvent, WatchStream};
use std::sync::Arc;
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
    let put = Transaction::new().put(key("k"), "v", Some(Duration::from_mins(1)));
    redis.commit(&put).await.expect("a commit");
    let version = read(&redis, "k").await.expect("read").expect("there").version;
    sleep(Duration::from_millis(400)).await;
    assert!(noted_lag(&mut raw).await > Duration::from_millis(350));
    let mut renewal = Transaction::new();
    renewal.mutations.push(Mutation::Extend { key: key("k"), version, ttl: Duration::from_mins(1) });
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

const MANY: usize = 30_000;

/// What is done to many keys, a thousand at a time.
async fn to_many(redis: &Arc<dyn Driver>, each: impl Fn(Transaction, Key) -> Transaction) {
    for batch in 0..MANY / 1000 {
        let batch = (0..1000).fold(Transaction::new(), |all, n| each(all, key(&format!("{batch}/{n}"))));
        redis.commit(&batch).await.expect("applied");
    }
}

/// Returns when a watcher was told of that many keys what is asked for.
async fn all_told(events: &mut WatchStream, awaited: fn(&WatchEvent) -> bool) {
    let mut told = 0;
    while told < MANY {
        let event = timeout(SOON * 2, events.next()).await.expect("in time").expect("open").expect("no end");
        told += usize::from(awaited(&event));
    }
}

/// Sweeping costs about as much as deleting, however many end at once and whatever else the machine has to do.
#[tokio::test]
async fn many_keys_that_end_at_once_are_told_at_once() {
    let (there, gone) =
        (|event: &_| matches!(event, WatchEvent::Put(_)), |event: &_| matches!(event, WatchEvent::Deleted { .. }));
    let server = local(&[]).await;
    let redis = connect(&server.url()).await;
    let mut events = redis.watch(&Range::all()).await.expect("a watch");
    tokio::join!(to_many(&redis, |all, key| all.put(key, "", None)), all_told(&mut events, there));
    let started = Instant::now();
    tokio::join!(to_many(&redis, Transaction::delete), all_told(&mut events, gone));
    let deleted = started.elapsed();
    let (started, ttl) = (Instant::now(), Duration::from_secs(10));
    let ending = to_many(&redis, |all, key| all.put(key, "", Some(ttl.saturating_sub(started.elapsed()))));
    tokio::join!(ending, all_told(&mut events, there));
    assert!(started.elapsed() < ttl, "too slow to tell anything");
    all_told(&mut events, gone).await;
    let late = started.elapsed().saturating_sub(ttl);
    let most = deleted * 2 + Duration::from_millis(250);
    assert!(late < most, "the last was told {late:?} after its end; deleting all took {deleted:?}");
}
