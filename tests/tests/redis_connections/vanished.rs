//! What vanishes behind linchpin's back: keys that somebody deletes or that the server evicts, and lost data.

use super::cost::scripts;
use super::*;
use futures::StreamExt;
use linchpin::{Range, Revision, Transaction, WatchEvent, WatchStream};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::timeout;

/// Within this it is told, though nobody writes.
const NOTICED: Duration = Duration::from_secs(5);

/// Waits until these keys are told as deleted; returns the least revision of that.
async fn deleted(events: &mut WatchStream, names: &[&str]) -> Revision {
    let mut left: BTreeSet<&str> = names.iter().copied().collect();
    let mut least = Revision(u64::MAX);
    while !left.is_empty() {
        let event = timeout(NOTICED, events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("{left:?} were not told as deleted"));
        if let WatchEvent::Deleted { key, version } = event.expect("open").expect("no end") {
            assert!(left.remove(key.as_str()), "{key} was not taken away");
            least = least.min(version);
        }
    }
    least
}

async fn synced(redis: &Arc<dyn Driver>) -> WatchStream {
    let mut events = redis.watch(&Range::all()).await.expect("a watch");
    while !matches!(events.next().await.expect("open").expect("no end"), WatchEvent::Synced { .. }) {}
    events
}

#[tokio::test]
async fn keys_that_vanish_are_told_though_nobody_writes() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let ttl = Some(Duration::from_mins(1));
    let put = Transaction::new().put(key("a"), "", None).put(key("b"), "", ttl).put(key("c"), "", None);
    redis.commit(&put).await.expect("written");
    let mut events = synced(&redis).await;
    for names in [&["a"][..], &["b"]] {
        let before = read(&redis, "c").await.expect("read").expect("there").version;
        for name in names {
            ask::<()>(&mut raw, &["DEL", &format!("linchpin:{{default}}:k:{name}")]).await;
        }
        assert!(deleted(&mut events, names).await > before);
    }
    let page = redis.scan(&Range::all(), &linchpin::Page::first()).await.expect("listed");
    assert_eq!(page.entries.len(), 1);
}

#[tokio::test]
async fn far_more_keys_than_one_look_takes_are_looked_at() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    for batch in 0..5 {
        let batch = (0..1000).fold(Transaction::new(), |all, n| all.put(key(&format!("{batch}/{n:03}")), "", None));
        redis.commit(&batch).await.expect("written");
    }
    let mut events = synced(&redis).await;
    for name in ["4/999", "0/000", "2/500"] {
        ask::<()>(&mut raw, &["DEL", &format!("linchpin:{{default}}:k:{name}")]).await;
        deleted(&mut events, &[name]).await;
    }
}

#[tokio::test]
async fn whoever_finds_a_key_listed_and_gone_tells_it() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    redis.commit(&Transaction::new().put(key("p/1"), "", None).put(key("q/1"), "", None)).await.expect("written");
    let mut events = synced(&redis).await;
    ask::<()>(&mut raw, &["DEL", "linchpin:{default}:k:p/1", "linchpin:{default}:k:q/1"]).await;
    let first = Transaction::new().prefix_absent(key("p/")).put(key("p/2"), "", None);
    assert!(redis.commit(&first).await.expect("committed").is_committed(), "a key that is gone stood in the way");
    let page = redis.scan(&Range::all(), &linchpin::Page::first()).await.expect("listed");
    assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["p/2"]);
    deleted(&mut events, &["p/1", "q/1"]).await;
}

#[tokio::test]
async fn a_lock_whose_key_vanished_passes_on() {
    let server = local(&[]).await;
    let mut raw = raw(&server).await;
    let (holder, next) = (coordinator(&server.url()).await, coordinator(&server.url()).await);
    let _held = holder.lock("l").ttl(Duration::from_mins(1)).acquire().await.expect("a lock");
    let held: Vec<String> = ask(&mut raw, &["KEYS", "linchpin:{default}:k:*"]).await;
    let waiting = tokio::spawn(async move { next.lock("l").acquire().await });
    while ask::<Vec<String>>(&mut raw, &["KEYS", "linchpin:{default}:k:*"]).await.len() == held.len() {}
    for name in &held {
        ask::<()>(&mut raw, &["DEL", name]).await;
    }
    drop(timeout(NOTICED, waiting).await.expect("the queue is dead").expect("no panic").expect("a lock"));
}

#[tokio::test]
async fn lost_data_are_noticed_though_nobody_writes() {
    let server = local(&[]).await;
    let mut raw = raw(&server).await;
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL"] {
        let (redis, other) = (connect(&server.url()).await, connect(&server.url()).await);
        other.commit(&Transaction::new().put(key("a"), "", None).put(key("b"), "", None)).await.expect("written");
        // The first thing that happens to this watch.
        let mut events = synced(&redis).await;
        ask::<()>(&mut raw, &[flush]).await;
        deleted(&mut events, &["a", "b"]).await;
    }
}

#[tokio::test]
async fn a_revision_that_vanished_takes_nothing_with_it() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    redis.commit(&Transaction::new().put(key("a"), "", None).put(key("b"), "", None)).await.expect("written");
    let mut events = synced(&redis).await;
    for name in ["c", "d"] {
        ask::<()>(&mut raw, &["DEL", "linchpin:{default}:meta"]).await;
        let snapshot = redis.get(&[key("a")]).await.expect("read");
        assert!(snapshot.entries[0].as_ref().expect("there").version <= snapshot.revision);
        ask::<()>(&mut raw, &["DEL", "linchpin:{default}:meta"]).await;
        let told = timeout(Duration::from_millis(2500), events.next()).await;
        assert!(told.is_err(), "nothing changed, and {told:?} was told");
        let page = redis.scan(&Range::all(), &linchpin::Page::first()).await.expect("listed");
        assert!(page.entries.len() >= 2 && page.entries.iter().all(|entry| entry.version <= page.revision));
        redis.commit(&Transaction::new().put(key(name), "", None)).await.expect("written");
        let told = timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end");
        assert!(matches!(&told, WatchEvent::Put(entry) if entry.key.as_str() == name), "{told:?}");
    }
}

/// What the server holds under these names.
async fn dump(raw: &mut MultiplexedConnection, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut dumps = Vec::new();
    for name in names {
        let name = format!("linchpin:{{default}}:{name}");
        let dump = redis::cmd("DUMP").arg(&name).query_async(raw).await.expect("dumped");
        dumps.push((name, dump));
    }
    dumps
}

async fn told(events: &mut WatchStream, value: &str) -> Revision {
    loop {
        let event = timeout(NOTICED, events.next()).await.unwrap_or_else(|_| panic!("{value} was not told"));
        match event.expect("open").expect("no end") {
            WatchEvent::Put(entry) if entry.value == value => return entry.version,
            _ => {}
        }
    }
}

#[tokio::test]
async fn older_data_that_come_back_are_told_as_a_read_tells_them() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let put = |value: &'static str| Transaction::new().put(key("k"), value, None);
    redis.commit(&put("1")).await.expect("written");
    let mut events = synced(&redis).await;
    let older = dump(&mut raw, &["meta", "keys", "k:k"]).await;
    redis.commit(&put("2").put(key("new"), "", None)).await.expect("written");
    let version = told(&mut events, "2").await;
    told(&mut events, "").await;
    let mut restore = redis::pipe();
    restore.atomic();
    for (name, dump) in &older {
        restore.cmd("RESTORE").arg(name).arg(0).arg(dump).arg("REPLACE");
    }
    restore.query_async::<()>(&mut raw).await.expect("restored");
    assert!(told(&mut events, "1").await < version);
    assert_eq!(read(&redis, "k").await.expect("read").expect("there").value, "1");
    redis.commit(&put("3")).await.expect("written");
    assert!(told(&mut events, "3").await > version);
}

/// A script takes nothing back where it may not publish.
#[tokio::test]
async fn what_could_not_be_published_is_told_all_the_same() {
    let server = local(&[]).await;
    let muted = super::logins::user(&server, &["~linchpin:{default}:*", "&linchpin:{default}:*"]).await;
    let (muted, other, mut raw) = (connect(&muted).await, connect(&server.url()).await, raw(&server).await);
    // On no channel, and on that of a key's topic but not on its own.
    for (name, allowed) in [("k", None), ("a/b/k", Some("&linchpin:{default}:0:log:*"))] {
        let mut events = other.watch(&Range::Key(key(name))).await.expect("a watch");
        let rights: Vec<_> = ["ACL", "SETUSER", "app", "resetchannels"].into_iter().chain(allowed).collect();
        ask::<()>(&mut raw, &rights).await;
        let put = |value: &'static str| Transaction::new().put(key(name), value, None);
        // A script for one key, and another for more.
        for (value, write) in [("1", put("1")), ("2", put("2").put(key("new"), "", None)), ("3", put("3"))] {
            let error = muted.commit(&write).await.expect_err("it may not publish");
            assert!(error.maybe_applied(), "{error}");
            told(&mut events, value).await;
        }
    }
}

/// The epoch of the namespace.
async fn epoch(raw: &mut MultiplexedConnection) -> Vec<u8> {
    ask(raw, &["GETRANGE", "linchpin:{default}:meta", "8", "15"]).await
}

/// Who may not publish any more tells nobody of his beats, and leaves no trace of them: the others read nothing again.
#[tokio::test]
async fn a_beat_that_could_not_be_published_did_not_happen() {
    let server = local(&[]).await;
    let muted = super::logins::user(&server, &["~linchpin:{default}:*", "&linchpin:{default}:*"]).await;
    let (muted, mut raw) = (connect(&muted).await, raw(&server).await);
    let watching = muted.watch(&Range::Key(key("k"))).await.expect("a watch");
    ask::<()>(&mut raw, &["ACL", "SETUSER", "app", "resetchannels", "&linchpin:{default}:0:log:*"]).await;
    let before = epoch(&mut raw).await;
    let fails = |stats: &str| {
        stats.lines().any(|line| line.starts_with("cmdstat_publish") && !line.contains("rejected_calls=0"))
    };
    let failed = async {
        while !fails(&ask::<String>(&mut raw, &["INFO", "commandstats"]).await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, failed).await.expect("it beats, and may not say so");
    assert_eq!(epoch(&mut raw).await, before, "those who watch take it for a gap");
    drop(watching);
}

/// A server that has lost everything, and takes no write.
#[tokio::test]
async fn whoever_watches_where_nothing_can_be_noted_reads_on_in_peace() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let ttl = Some(Duration::from_secs(1));
    redis.commit(&Transaction::new().put(key("k"), "1", ttl)).await.expect("written");
    let mut events = synced(&redis).await;
    ask::<()>(&mut raw, &["FLUSHALL"]).await;
    ask::<()>(&mut raw, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    deleted(&mut events, &["k"]).await;
    let before = scripts(&mut raw).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ran = scripts(&mut raw).await - before;
    assert!(ran <= 20, "{ran} scripts in 2 s in which nothing happened");
}

#[tokio::test]
async fn what_ends_soon_is_told_to_who_came_after_it_was_written() {
    let server = local(&[]).await;
    let (redis, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let slack = redis.capabilities().ttl.expect("offered").slack;
    // It looks for what ends, and hears nothing of what comes.
    let elsewhere = redis.watch(&Range::prefix("a/x/").expect("a prefix")).await.expect("a watch");
    for round in 0..3 {
        let (name, ttl) = (format!("b/x/{round}"), Duration::from_millis(300));
        other.commit(&Transaction::new().put(key(&name), "", Some(ttl))).await.expect("written");
        let mut events = redis.watch(&Range::prefix("b/x/").expect("a prefix")).await.expect("a watch");
        timeout(ttl + slack, deleted(&mut events, &[&name])).await.expect("in time");
    }
    drop(elsewhere);
}

/// What somebody else puts where a key lies is nothing, and no script fails at it after it has changed something.
#[tokio::test]
async fn what_is_none_of_ours_hides_no_change() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let mut events = synced(&redis).await;
    for foreign in [["SET", "linchpin:{default}:k:text", "x"], ["LPUSH", "linchpin:{default}:k:list", "x"]] {
        ask::<()>(&mut raw, &foreign).await;
        let (name, ttl) = (foreign[0], Duration::from_millis(100));
        redis.commit(&Transaction::new().put(key(name), foreign[0], Some(ttl))).await.expect("written");
        told(&mut events, foreign[0]).await;
        tokio::time::sleep(ttl).await;
        // It finds that the first one has ended, then looks at the others.
        let all = Transaction::new().delete(key(name)).delete(key("text")).delete(key("list"));
        redis.commit(&all).await.expect("written");
        deleted(&mut events, &[name]).await;
    }
}
