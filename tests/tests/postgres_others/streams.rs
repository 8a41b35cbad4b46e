//! Streams of the Postgres adapter that stand in nobody's way: where an application holds one, where many wait, where much
//! has to be passed over.

use super::{SOON, ask, calls, connect, server};
use linchpin::{
    Action, Channel, Claim, Coordinator, Delivery, Driver, GroupName, MemberName, Page, Range, Record, Retention,
    Settled, Settlement, StreamName,
};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// For as long as this nobody waits for who has nothing to do with him.
const PROMPT: Duration = Duration::from_secs(1);

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a good name")
}

fn claim(name: &str, member: &str) -> Claim {
    Claim::new(stream(name), GroupName::new("g").expect("valid"), MemberName::new(member).expect("valid"))
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.payload).into_owned()).collect()
}

async fn append(driver: &Arc<dyn Driver>, name: &str, records: Vec<Record>) {
    for records in records.chunks(512) {
        driver.append(&stream(name), records).await.expect("appended");
    }
}

#[tokio::test]
async fn a_stream_that_an_application_holds_stalls_nobody_else() {
    const TTL: Duration = Duration::from_secs(1);
    let server = server().await;
    let (driver, other) = (connect(&server).await, connect(&server).await);
    append(&driver, "held", vec![Record::new("r")]).await;
    append(&driver, "free", vec![Record::new("r")]).await;
    driver.claim(&claim("held", "m")).await.expect("a claim");

    let mut application = PgConnection::connect(&server.url()).await.expect("connected");
    let mut holding = application.begin().await.expect("a transaction");
    let append_one = "SELECT linchpin.append('shop', 'held', 'mine'), linchpin.append('shop', 'new', 'mine')";
    sqlx::raw_sql(append_one).execute(&mut *holding).await.expect("appended");
    let mut busy = JoinSet::new();
    for n in 0..64 {
        let driver = driver.clone();
        busy.spawn(async move {
            loop {
                // The second stream is new, so that who claims of it waits as well.
                match n % 3 {
                    0 => drop(driver.append(&stream("held"), &[Record::new("r")]).await),
                    1 => drop(driver.trim(&stream("held"), Retention::Newest(1)).await),
                    _ => drop(driver.claim(&claim("new", "m")).await),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let stuck = async {
        while ask(&server, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").await != "t" {}
    };
    timeout(SOON, stuck).await.expect("in time");

    let started = Instant::now();
    for round in 0..10 {
        let all = async {
            driver.append(&stream("free"), &[Record::new("r")]).await.expect("another stream");
            let deliveries = driver.claim(&claim("free", "m")).await.expect("another stream");
            let settlements: Vec<_> =
                deliveries.into_iter().map(|d| Settlement { receipt: d.receipt, action: Action::Ack }).collect();
            driver.settle(&settlements).await.expect("another stream");
            driver.claim(&claim("held", "m")).await.expect("the group is there");
            driver.inspect(&stream("held")).await.expect("reads wait for nobody");
            driver.scan(&Range::all(), &Page::first()).await.expect("a scan");
            driver.health().await.expect("an answer");
            driver.publish(&Channel::new("c").expect("valid"), "m".into()).await.expect("published");
        };
        let started = Instant::now();
        all.await;
        assert!(started.elapsed() < PROMPT * 2, "round {round} took {:?}", started.elapsed());
    }
    eprintln!("ten rounds took {:?}", started.elapsed());

    // A lock whose holder is gone is passed on by the handle that is busy.
    let held = Coordinator::over(other.clone().clone()).connect().await.expect("connected");
    let guard = held.lock("l").ttl(TTL).acquire().await.expect("a lock");
    let waits = Coordinator::over(driver.clone()).connect().await.expect("connected");
    let waiting = tokio::spawn(async move { waits.lock("l").ttl(TTL).acquire().await });
    sleep(TTL / 2).await;
    std::mem::forget(guard);
    ask(
        &server,
        "UPDATE linchpin.keys SET ends = linchpin.clock() WHERE created = (SELECT min(created) FROM linchpin.keys)",
    )
    .await;
    drop(timeout(TTL * 2, waiting).await.expect("in time").expect("no panic").expect("passed on"));

    // Who waited for the stream goes on as soon as it is free.
    busy.shutdown().await;
    let appending = tokio::spawn({
        let driver = driver.clone();
        async move { driver.append(&stream("held"), &[Record::new("last")]).await }
    });
    sleep(Duration::from_millis(500)).await;
    assert!(!appending.is_finished(), "it is held");
    holding.commit().await.expect("committed");
    timeout(PROMPT, appending).await.expect("in time").expect("no panic").expect("appended");
    let names = texts(&driver.claim(&claim("new", "m").max(10)).await.expect("a claim"));
    assert_eq!(names, ["mine"]);
}

#[tokio::test]
async fn one_look_serves_all_who_wait() {
    const WAITING: usize = 64;
    let server = server().await;
    let (driver, other) = (connect(&server).await, connect(&server).await);
    let mut waiting = JoinSet::new();
    let wait = |waiting: &mut JoinSet<Vec<String>>, n: usize| {
        let driver = driver.clone();
        waiting.spawn(async move {
            let claim = claim("s", &format!("m{n}")).wait(Duration::from_secs(8));
            texts(&driver.claim(&claim).await.expect("an answer"))
        });
    };
    wait(&mut waiting, 0);
    sleep(Duration::from_millis(200)).await;
    (1..WAITING).for_each(|n| wait(&mut waiting, n));
    sleep(Duration::from_secs(2)).await;
    let before = calls(&server, "claim_records").await;
    sleep(Duration::from_secs(3)).await;
    let idle = calls(&server, "claim_records").await - before;
    assert!(idle <= 5, "{idle} looks in three seconds, though there is nothing");

    append(&other, "s", vec![Record::new("one")]).await;
    let first = timeout(SOON, waiting.join_next()).await.expect("in time").expect("some").expect("no panic");
    assert_eq!(first, ["one"]);
    sleep(Duration::from_millis(1500)).await;
    let looks = calls(&server, "claim_records").await - before - idle;
    assert!(looks <= 6, "{looks} looks for one record");

    // Each gets one of many.
    let records = (0..WAITING - 1).map(|n| Record::new(n.to_string())).collect();
    append(&other, "s", records).await;
    let mut got = Vec::new();
    while let Some(given) = timeout(SOON, waiting.join_next()).await.expect("in time") {
        got.extend(given.expect("no panic"));
    }
    got.sort_by_key(|text| text.parse::<usize>().expect("a number"));
    assert_eq!(got, (0..WAITING - 1).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_due_is_passed_over_at_once() {
    const DELAYED: usize = 20_000;
    let server = server().await;
    let driver = connect(&server).await;
    let delayed = (0..DELAYED).map(|_| Record::new("later").with_delay(Duration::from_hours(1))).collect();
    append(&driver, "s", delayed).await;
    append(&driver, "s", vec![Record::new("now")]).await;
    let started = Instant::now();
    assert_eq!(texts(&driver.claim(&claim("s", "m")).await.expect("a claim")), ["now"]);
    assert!(started.elapsed() < SOON / 2, "it took {:?}", started.elapsed());
    let started = Instant::now();
    append(&driver, "s", vec![Record::new("next")]).await;
    assert_eq!(texts(&driver.claim(&claim("s", "m")).await.expect("a claim")), ["next"]);
    assert!(started.elapsed() < PROMPT, "it took {:?}", started.elapsed());
}

#[tokio::test]
async fn what_was_delivered_often_enough_holds_up_nothing() {
    const EXHAUSTED: usize = 3_000;
    let server = server().await;
    let driver = connect(&server).await;
    append(&driver, "s", (0..EXHAUSTED).map(|n| Record::new(n.to_string())).collect()).await;
    let mut given = 0;
    while given < EXHAUSTED {
        let some = claim("s", "m").max(512).visibility(Duration::from_secs(3));
        given += driver.claim(&some).await.expect("a claim").len();
    }
    sleep(Duration::from_millis(3100)).await;
    append(&driver, "s", vec![Record::new("fresh")]).await;
    let started = Instant::now();
    let enough = claim("s", "m").max_deliveries(1);
    assert_eq!(texts(&driver.claim(&enough).await.expect("a claim")), ["fresh"]);
    assert!(started.elapsed() < PROMPT * 2, "it took {:?}", started.elapsed());
    assert_eq!(driver.claim(&enough).await.expect("a claim"), [], "only who found the end says that there is nothing");
    let info = driver.inspect(&stream("s")).await.expect("an answer");
    assert_eq!((info.groups[0].pending, info.groups[0].dead), (1, EXHAUSTED as u64));
    // In their order.
    let dead = Claim::new(
        stream("s").dead_letters(&GroupName::new("g").expect("valid")),
        GroupName::new("h").expect("valid"),
        MemberName::new("m").expect("valid"),
    );
    let first = texts(&driver.claim(&dead.max(100)).await.expect("a claim"));
    assert_eq!(first, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_rejects_and_who_buries_never_wait_for_each_other() {
    const RECORDS: usize = 400;
    let server = server().await;
    let (driver, other) = (connect(&server).await, connect(&server).await);
    for round in 0..5 {
        let name = format!("s{round}");
        append(&driver, &name, (0..RECORDS).map(|n| Record::new(n.to_string())).collect()).await;
        let visibility = Duration::from_millis(300);
        let given = driver.claim(&claim(&name, "m").max(RECORDS).visibility(visibility)).await.expect("a claim");
        // They become due while they are rejected, from the last to the first.
        sleep(visibility).await;
        let rejecting = given.rchunks(20).map(|some| {
            let (driver, some) = (driver.clone(), some.to_vec());
            let action = Action::Reject { reason: "no".to_owned() };
            let settlement = move |d: Delivery| Settlement { receipt: d.receipt, action: action.clone() };
            async move { driver.settle(&some.into_iter().map(settlement).collect::<Vec<_>>()).await }
        });
        let rejecting: Vec<_> = rejecting.map(tokio::spawn).collect();
        let burying: Vec<_> = (0..4)
            .map(|n| {
                let (other, claim) = (other.clone(), claim(&name, &format!("m{n}")).max_deliveries(1));
                tokio::spawn(async move { other.claim(&claim).await })
            })
            .collect();
        let mut rejected = 0;
        for task in rejecting {
            let settled = task.await.expect("no panic").expect("no deadlock");
            rejected += settled.iter().filter(|settled| **settled == Settled::Done).count();
        }
        for task in burying {
            assert_eq!(task.await.expect("no panic").expect("no deadlock"), []);
        }
        let info = driver.inspect(&stream(&name)).await.expect("an answer");
        assert_eq!((info.groups[0].pending, info.groups[0].dead), (0, RECORDS as u64), "{rejected} were rejected");
    }
    assert_eq!(ask(&server, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'").await, "0");
}

#[tokio::test]
async fn a_removed_group_leaves_nothing_behind() {
    let server = server().await;
    let driver = connect(&server).await;
    append(&driver, "s", (0..10).map(|n| Record::new(n.to_string())).collect()).await;
    let group = GroupName::new("g").expect("valid");
    assert!(!driver.remove_group(&stream("s"), &group).await.expect("an answer"));
    assert_eq!(driver.trim(&stream("s"), Retention::Unsettled).await.expect("an answer"), 0, "there is no group");
    let given = driver.claim(&claim("s", "m").max(6)).await.expect("a claim");
    let settle = |n: usize, action: Action| Settlement { receipt: given[n].receipt.clone(), action };
    let settlements =
        [settle(0, Action::Ack), settle(1, Action::Reject { reason: "no".to_owned() }), settle(3, Action::Ack)];
    driver.settle(&settlements).await.expect("settled");
    assert_eq!(driver.trim(&stream("s"), Retention::Unsettled).await.expect("an answer"), 2);
    let waiting = tokio::spawn({
        let driver = driver.clone();
        let claim = claim("s", "n").max(10).wait(SOON);
        async move {
            driver.claim(&claim).await.expect("the rest");
            texts(&driver.claim(&claim).await.expect("an answer"))
        }
    });
    sleep(PROMPT).await;
    assert!(!waiting.is_finished());
    assert!(driver.remove_group(&stream("s"), &group).await.expect("an answer"));
    // Who waits makes it anew, and sees all that is left.
    let all = timeout(Duration::from_millis(900), waiting).await.expect("woken").expect("no panic");
    assert_eq!(all, (2..10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(driver.remove_group(&stream("s"), &group).await.expect("an answer"));
    let left = "SELECT (SELECT count(*) FROM linchpin.groups), (SELECT count(*) FROM linchpin.pending), \
                (SELECT count(*) FROM linchpin.records), (SELECT count(*) FROM linchpin.rubbish)";
    assert_eq!(ask(&server, left).await, "0|0|8|0");
}
