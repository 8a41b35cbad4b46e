//! What the usual calls cost the server.

use super::*;
use futures::StreamExt;
use linchpin::{Range, Transaction, WatchEvent, WatchStream};
use tokio::time::{sleep, timeout};

/// How many commands the server has run, those within scripts included.
async fn commands(raw: &mut MultiplexedConnection) -> u64 {
    let info: String = ask(raw, &["INFO", "commandstats"]).await;
    let calls = info.lines().filter_map(|line| line.split_once(":calls=")?.1.split(',').next()?.parse::<u64>().ok());
    calls.sum()
}

#[tokio::test]
async fn the_usual_calls_cost_few_commands() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let put = Transaction::new().put(key("k"), "v", None);
    redis.commit(&put).await.expect("written");
    read(&redis, "k").await.expect("read");
    // Now and then something comes on top: whether the server is the primary, how far time has come.
    let (calls, rest) = (200, 40);
    let before = commands(&mut raw).await;
    for _ in 0..calls {
        read(&redis, "k").await.expect("read");
    }
    let reads = commands(&mut raw).await - before;
    assert!(reads <= calls * 2 + rest, "{calls} reads took {reads} commands, not MGET and TIME each");
    let before = commands(&mut raw).await;
    for _ in 0..calls {
        redis.commit(&put).await.expect("written");
    }
    let writes = commands(&mut raw).await - before;
    assert!(
        writes <= calls * 5 + rest,
        "{calls} writes took {writes} commands: a script with MGET, TIME, MSET, PUBLISH"
    );
}

/// How many scripts the server has run.
pub(super) async fn scripts(raw: &mut MultiplexedConnection) -> u64 {
    let info: String = ask(raw, &["INFO", "commandstats"]).await;
    let calls = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok();
    info.lines().find_map(calls).unwrap_or(0)
}

/// However many processes watch, one of them looks after what ends.
#[tokio::test]
async fn many_that_watch_cost_as_few_scripts_as_one() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let mut watching = Vec::new();
    for _ in 0..20 {
        let other = connect(&server.url()).await;
        let events = other.watch(&Range::all()).await.expect("a watch");
        watching.push((other, events));
    }
    let before = scripts(&mut raw).await;
    sleep(Duration::from_secs(3)).await;
    let idle = scripts(&mut raw).await - before;
    assert!(idle <= 12, "{idle} scripts in 3 s in which nothing happened");
    let before = scripts(&mut raw).await;
    let started = Instant::now();
    for n in 0..20 {
        let ttl = Some(Duration::from_millis(500 + 100 * n));
        redis.commit(&Transaction::new().put(key(&format!("k{n}")), "v", ttl)).await.expect("written");
    }
    let ending = async {
        while ask::<u64>(&mut raw, &["ZCARD", "linchpin:{default}:ttl"]).await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, ending).await.expect("in time");
    let ended = started.elapsed();
    let ran = scripts(&mut raw).await - before - 20;
    // Where time is short some come late, and others look too: fewer than if each of them did.
    assert!(ran <= 200, "{ran} scripts for 20 keys that ended within {ended:?}, with {} that watch", watching.len());
}

#[tokio::test]
async fn who_watches_no_more_is_told_no_more() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    for round in ["1", "2"] {
        let mut events = redis.watch(&Range::all()).await.expect("a watch");
        redis.commit(&Transaction::new().put(key("k"), round, None)).await.expect("written");
        let told = async {
            loop {
                match events.next().await.expect("open").expect("no end") {
                    WatchEvent::Put(entry) if entry.value == round => return,
                    _ => {}
                }
            }
        };
        timeout(SOON, told).await.expect("it is told");
        drop(events);
        let alone = async {
            while ask::<(String, u64)>(&mut raw, &["PUBSUB", "NUMSUB", "linchpin:{default}:0:log"]).await.1 > 0 {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(SOON, alone).await.expect("it is told of every change for ever");
    }
}

/// The channels of changes that anybody listens to, and how many patterns.
async fn listened_to(raw: &mut MultiplexedConnection) -> (Vec<String>, u64) {
    const CHANNELS: &str = "linchpin:{default}:0:";
    let names: Vec<String> = ask(raw, &["PUBSUB", "CHANNELS", &format!("{CHANNELS}*:*")]).await;
    let mut topics: Vec<_> = names.iter().filter_map(|name| name.strip_prefix(CHANNELS)).map(str::to_owned).collect();
    topics.retain(|topic| topic != "log");
    topics.sort_unstable();
    (topics, ask(raw, &["PUBSUB", "NUMPAT"]).await)
}

/// What changes elsewhere in the namespace is sent to nobody who does not watch it.
#[tokio::test]
async fn who_watches_something_is_told_of_nothing_else() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let watch = async |range: Range| redis.watch(&range).await.expect("a watch");
    let prefix = |start: &str| Range::prefix(start).expect("a prefix");
    let lock = watch(prefix("lock/1:a/")).await;
    let again = watch(prefix("lock/1:a/")).await;
    let seat = watch(Range::Key(key("election/e"))).await;
    let own = watch(Range::Key(key("user/k"))).await;
    let place = watch(Range::Key(key("lock/1:a/2"))).await;
    let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let told = topics(&["key:lock/1:a/2", "log:election/e", "log:lock/1:a/", "log:user/k"]);
    assert_eq!(listened_to(&mut raw).await, (told, 0));
    let all_own = watch(prefix("user/")).await;
    let told = topics(&["key:lock/1:a/2", "log:election/e", "log:lock/1:a/"]);
    assert_eq!(listened_to(&mut raw).await, (told, 1));
    drop((lock, seat, all_own, place));
    let left = async {
        while listened_to(&mut raw).await != (topics(&["log:lock/1:a/", "log:user/k"]), 0) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, left).await.expect("what nobody watches any more is left, and nothing else");
    drop((again, own));
}

/// What was written and deleted again is looked for by nobody.
#[tokio::test]
async fn many_that_watch_different_keys_look_as_seldom_as_one() {
    let server = local(&[]).await;
    let (other, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let mut watches = Vec::new();
    for number in 0..20 {
        let name = format!("a/{number}/k");
        let put = Transaction::new().put(key(&name), "", Some(Duration::from_millis(3000 + 100 * number)));
        other.commit(&put).await.expect("written");
        let redis = connect(&server.url()).await;
        let mut events = redis.watch(&Range::Key(key(&name))).await.expect("a watch");
        timeout(SOON, told(&mut events, &name, Some(""))).await.expect("read");
        other.commit(&Transaction::new().delete(key(&name))).await.expect("written");
        timeout(SOON, told(&mut events, &name, None)).await.expect("told");
        watches.push(events);
    }
    // By then all have heard a beat: nothing else runs a script.
    let begun = scripts(&mut raw).await;
    let beaten = async {
        while scripts(&mut raw).await < begun + 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, beaten).await.expect("somebody beats");
    let before = scripts(&mut raw).await;
    sleep(Duration::from_secs(4)).await;
    let ran = scripts(&mut raw).await - before;
    assert!(ran <= 12, "{ran} scripts in 4 s in which nothing ended");
}

/// The scripts and the watches find the same topic in a name, whatever it is made of.
#[tokio::test]
async fn a_change_of_any_name_is_told_to_who_watches_it() {
    let server = local(&[]).await;
    let other = connect(&server.url()).await;
    let names = [
        "/",
        "//",
        "///",
        "a//b",
        "/a/b",
        "a/",
        "a/b/",
        "//a/b",
        "*",
        "?",
        "[a]/*/x",
        "a\\/b/c",
        "\\",
        "{x}/y/z",
        "a b/c d/e",
        "%/%%/%s",
        "log:x/y/z",
        "é/ü/ö",
        "^/$/.",
        "1/2/3",
    ];
    for name in names {
        let mut watches = Vec::new();
        let ranges =
            (1..=name.len()).filter_map(|end| name.get(..end)).map(|start| Range::prefix(start).expect("a prefix"));
        for range in ranges.chain([Range::Key(key(name))]) {
            // Each for itself: of two in one handle the wider one hears for both.
            watches.push(connect(&server.url()).await.watch(&range).await.expect("a watch"));
        }
        // Each by its own script: one key, several, and a key that ends.
        let put = |value: &'static str, ttl: Option<Duration>| Transaction::new().put(key(name), value, ttl);
        let writes = [
            (Some(put("alone", None)), Some("alone")),
            (Some(put("with another", None).put(key("other"), "", None)), Some("with another")),
            (Some(Transaction::new().delete(key(name))), None),
            // What came and went while nobody read is not told.
            (Some(put("ends", Some(Duration::from_millis(100)))), Some("ends")),
            (None, None),
        ];
        for (write, expected) in &writes {
            if let Some(write) = write {
                other.commit(write).await.expect("written");
            }
            for events in &mut watches {
                let told = timeout(SOON, told(events, name, *expected)).await;
                assert!(told.is_ok(), "{expected:?} at {name:?} was not told");
            }
        }
    }
}

/// Returns once this is told of a key: its value, or that it is gone.
async fn told(events: &mut WatchStream, name: &str, expected: Option<&str>) {
    loop {
        let value = match events.next().await.expect("open").expect("no end") {
            WatchEvent::Put(entry) if entry.key.as_str() == name => Some(entry.value),
            WatchEvent::Deleted { key, .. } if key.as_str() == name => None,
            _ => continue,
        };
        if value.as_deref() == expected.map(str::as_bytes) {
            return;
        }
    }
}
