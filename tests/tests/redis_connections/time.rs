//! The server's clock, and keys that end.

use super::*;
use bytes::Buf;
use futures::StreamExt;
use linchpin::{Claim, GroupName, MemberName, Mutation, Range, Record, Revision, Transaction, WatchEvent};
use linchpin_tests::servers::CLOCK_STEPPED_BACK;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn time_runs_on_after_the_servers_clock_stepped_back() {
    let server = local(&[]).await;
    let redis = RedisCoordination::connect(config(&server.url())).await.expect("connected");
    let put = |name: &str| Transaction::new().put(key(name), "v", Some(Duration::from_millis(300)));
    redis.commit(&put("before")).await.expect("a commit");
    // As a clock that was an hour ahead, and was then put right, leaves it.
    let mut raw = redis::Client::open(server.url())
        .expect("a client")
        .get_multiplexed_async_connection()
        .await
        .expect("connected");
    let hour = 3_600_000_000_i64;
    let mut step = redis::cmd("EVAL");
    step.arg(CLOCK_STEPPED_BACK).arg(1).arg("linchpin:{default}:meta").arg(hour);
    step.query_async::<()>(&mut raw).await.expect("the clock stepped back");
    let snapshot = Driver::get(&redis, &[key("before")]).await.expect("a read");
    assert_eq!(snapshot.entries, [None], "what ended in the hour that was came back to life");
    redis.commit(&put("after")).await.expect("a commit");
    let started = Instant::now();
    while Driver::get(&redis, &[key("after")]).await.expect("a read").entries[0].is_some() {
        assert!(started.elapsed() < Duration::from_secs(2), "time stands still");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() > Duration::from_millis(280), "it ended after {:?}", started.elapsed());
}

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

/// Where there are streams and no keys, too.
#[tokio::test]
async fn what_is_held_comes_again_in_time_though_the_clock_stepped_back() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    redis.append(&stream("s"), &[Record::new("r")]).await.expect("appended");
    let claim = Claim::new(stream("s"), GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    let claim = claim.visibility(Duration::from_millis(300));
    assert_eq!(redis.claim(&claim).await.expect("claimed").len(), 1);
    assert!(noted_lag(&mut raw).await < SOON, "streams note no time");
    // As a clock that was an hour ahead, and was then put right, leaves it.
    let (meta, hour) = ("linchpin:{default}:meta", "3600000000");
    let pending =
        "for i, at in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do redis.call('ZINCRBY', KEYS[2], ARGV[1], at) end";
    let step = format!("{CLOCK_STEPPED_BACK} {pending}");
    ask::<()>(&mut raw, &["EVAL", &step, "2", meta, "linchpin:{default}:sp:s\0g", hour]).await;
    let again = redis.claim(&claim.wait(SOON)).await.expect("claimed");
    assert_eq!(again[0].receipt.delivery, 2);
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
