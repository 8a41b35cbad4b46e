//! A server that drops keys to make room for others. Nobody should have locks there, and still nobody waits for ever.

use super::*;
use linchpin::{Action, Claim, GroupName, MemberName, Page, Range, Record, Settlement, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn lists_of_keys_that_vanished_come_back() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let _events = redis.watch(&Range::all()).await.expect("a watch");
    let ttl = |seconds| Some(Duration::from_secs(seconds));
    let put = Transaction::new().put(key("ends"), "", ttl(2)).put(key("stays"), "", ttl(60)).put(key("is"), "", None);
    redis.commit(&put).await.expect("written");
    ask::<()>(&mut raw, &["DEL", "linchpin:{default}:ttl"]).await;
    let listed = async |raw: &mut MultiplexedConnection, list: &str| {
        let names: Vec<String> = ask(raw, &["ZRANGE", &format!("linchpin:{{default}}:{list}"), "0", "-1"]).await;
        names
    };
    let ended = async {
        while listed(&mut raw, "keys").await != ["is", "stays"] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, ended).await.expect("what nobody listed as ending never ends");
    assert_eq!(listed(&mut raw, "ttl").await, ["stays"]);
    ask::<()>(&mut raw, &["DEL", "linchpin:{default}:keys"]).await;
    let found = async {
        while redis.scan(&Range::all(), &Page::first()).await.expect("listed").entries.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, found).await.expect("what ends is not listed any more");
}

/// Repeats something that may fail until it has begun and ended while the server drops nothing any more.
async fn until_calm(calm: Arc<AtomicBool>, turn: impl AsyncFn() -> linchpin::Result<()>) {
    loop {
        let was_calm = calm.load(Ordering::SeqCst);
        let done = turn().await;
        if was_calm && done.is_ok() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn contend(url: String, calm: Arc<AtomicBool>) {
    let own = coordinator(&url).await;
    let turn = async || own.lock("l").ttl(Duration::from_secs(1)).acquire().await?.release().await;
    until_calm(calm, turn).await;
}

async fn stand(url: String, calm: Arc<AtomicBool>) {
    let own = coordinator(&url).await;
    let election = own.election("e").ttl(Duration::from_secs(1));
    until_calm(calm, async || election.campaign().await?.resign().await).await;
}

async fn consume(url: String, name: String, calm: Arc<AtomicBool>) {
    let redis = connect(&url).await;
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    let claim = Claim::new(stream(&name), group, member).visibility(Duration::from_secs(1));
    let waiting = claim.clone().wait(SOON * 6);
    let turn = async || {
        timeout(LIMIT * 2, redis.claim(&claim)).await.expect("a claim that does not wait ends")?;
        let given = redis.claim(&waiting).await?;
        let settle = |receipt| Settlement { receipt, action: Action::Ack };
        // Of some it was lost how far they are: they come again.
        let some = given.into_iter().filter(|_| fastrand::bool());
        redis.settle(&some.map(|one| settle(one.receipt)).collect::<Vec<_>>()).await.map(drop)
    };
    until_calm(calm, turn).await;
}

async fn produce(url: String) {
    let redis = connect(&url).await;
    loop {
        let name = format!("s{}", fastrand::u8(..3));
        let _ = redis.append(&stream(&name), &[Record::new(vec![7; 1000])]).await;
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn whoever_waits_goes_on_while_the_server_drops_keys() {
    LocalSet::new().run_until(wait_while_keys_are_dropped()).await;
}

async fn wait_while_keys_are_dropped() {
    let drops = ["--appendonly", "no", "--maxmemory", "8mb", "--maxmemory-policy", "allkeys-random"];
    let server = local(&drops).await;
    let (url, mut raw, calm) = (server.url(), raw(&server).await, Arc::<AtomicBool>::default());
    let mut waiting = JoinSet::new();
    let producing = tokio::spawn(produce(url.clone()));
    for n in 0..3 {
        waiting.spawn_local(contend(url.clone(), calm.clone()));
        waiting.spawn_local(stand(url.clone(), calm.clone()));
        waiting.spawn_local(consume(url.clone(), format!("s{n}"), calm.clone()));
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let ballast = format!("ballast-{}", fastrand::u8(..));
        let _ = redis::cmd("SET").arg(ballast).arg(vec![7_u8; 100_000]).exec_async(&mut raw).await;
        sleep(Duration::from_millis(5)).await;
    }
    let info: String = ask(&mut raw, &["INFO", "stats"]).await;
    let dropped = info.lines().find_map(|line| line.strip_prefix("evicted_keys:")).expect("told");
    assert!(dropped.parse::<u32>().expect("a number") > 200, "{dropped} keys were dropped");
    ask::<()>(&mut raw, &["CONFIG", "SET", "maxmemory", "0"]).await;
    calm.store(true, Ordering::SeqCst);
    let ended = async {
        while let Some(one) = waiting.join_next().await {
            one.expect("no panic");
        }
    };
    let ended = timeout(SOON * 2, ended).await;
    producing.abort();
    ended.unwrap_or_else(|_| panic!("{} of 9 wait for ever", waiting.len()));
}
