//! Clients of a log that goes wrong: what each is told is what happened.

use futures::StreamExt;
use futures::future::join_all;
use linchpin_core::{Driver, ErrorKind, Key, MutationResult, Outcome, Range, Revision, Transaction, WatchEvent};
use linchpin_log::memory::{Faults, MemoryLog, MemoryLogConfig, MemoryLogCoordination};
use linchpin_log::{Log, LogReader};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

const CLIENTS: usize = 4;
const CALLS: usize = 12;
/// Every call has an outcome within this time.
const LONGEST: Duration = Duration::from_secs(20);

fn key(name: &str) -> Key {
    Key::new(name).expect("valid")
}

async fn connect(log: MemoryLog) -> Arc<dyn Driver> {
    let config = MemoryLogConfig::new(log).snapshot_after(2048);
    timeout(LONGEST * 30, async {
        loop {
            // The first look may fail as any other.
            if let Ok(opened) = MemoryLogCoordination::connect(config.clone()).await {
                return opened.driver();
            }
        }
    })
    .await
    .expect("in time")
}

fn faults(dice: &mut fastrand::Rng) -> Faults {
    if dice.u8(..5) == 0 {
        // Hardly anything comes, and that late.
        let lateness = Duration::from_secs(12);
        return Faults { lost: 0.6, late: 0.9, delay: Duration::from_millis(100), lateness, ..Faults::default() };
    }
    let mut chance = |most: f64| if dice.bool() { dice.f64() * most } else { 0.0 };
    Faults {
        lost: chance(0.3),
        unanswered: chance(0.3),
        late: chance(0.2),
        repeated: chance(0.3),
        cut: chance(0.05),
        torn: chance(0.7),
        delay: Duration::from_millis(20),
        lateness: Duration::from_secs(8),
    }
}

/// What a client was told of adding one to a counter, and of writing a key that nobody else writes.
#[derive(Debug)]
struct Call {
    key: Key,
    began: Instant,
    ended: Instant,
    /// What the counter came to; not known if the call failed.
    told: Result<i64, bool>,
}

async fn call(driver: &Arc<dyn Driver>, name: String) -> Call {
    let key = key(&name);
    let began = Instant::now();
    let both = Transaction::new().add(self::key("n"), 1, None).put(key.clone(), "written", None);
    let told = match timeout(LONGEST, driver.commit(&both)).await.expect("an outcome in time") {
        Ok(Outcome::Committed { results, .. }) => match results[0] {
            MutationResult::Added { value } => Ok(value),
            ref other => panic!("{other:?}"),
        },
        Ok(refused) => panic!("{refused:?}"),
        Err(error) => Err(error.maybe_applied()),
    };
    Call { key, began, ended: Instant::now(), told }
}

/// What the counter was when it was read, with the moments before and after.
async fn read(driver: &Arc<dyn Driver>) -> Option<(Instant, Instant, i64)> {
    let began = Instant::now();
    let found = timeout(LONGEST, driver.get(&[key("n")])).await.expect("an outcome in time").ok()?;
    let value = found.into_entry().map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse().expect("a counter"));
    Some((began, Instant::now(), value))
}

async fn client(log: MemoryLog, number: usize) -> (Vec<Call>, Vec<(Instant, Instant, i64)>) {
    let driver = connect(log).await;
    let (mut calls, mut reads) = (Vec::new(), Vec::new());
    for round in 0..CALLS {
        let calling = (0..=round % 3).map(|n| call(&driver, format!("k{number}-{round}-{n}")));
        calls.extend(join_all(calling).await);
        reads.extend(read(&driver).await);
    }
    (calls, reads)
}

async fn history(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let log = MemoryLog::new();
    let clients = (0..CLIENTS).map(|number| {
        let (faults, own) = (faults(&mut dice), dice.u64(..));
        client(log.with_faults(faults, own), number)
    });
    let clients: Vec<_> = clients.collect();
    let stepping = async {
        for _ in 0..4 {
            sleep(Duration::from_millis(dice.u64(..400))).await;
            log.step_clock(dice.i64(-3_600_000_000..2_000_000));
        }
    };
    let (told, ()) = tokio::join!(join_all(clients), stepping);
    let (calls, reads): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    let (calls, reads): (Vec<_>, Vec<_>) =
        (calls.into_iter().flatten().collect(), reads.into_iter().flatten().collect());
    // What is late has come.
    sleep(Duration::from_secs(30)).await;
    let last = connect(log.clone()).await;
    let (_, _, count) = read(&last).await.expect("nothing goes wrong any more");
    check(seed, &calls, &reads, count);
    let mut there = 0;
    for call in &calls {
        let found = last.get(std::slice::from_ref(&call.key)).await.expect("a read").into_entry().is_some();
        let allowed = call.told.map_or_else(|doubt| doubt || !found, |_| found);
        assert!(allowed, "seed {seed}: {call:?} and it is {found}");
        there += i64::from(found);
    }
    assert_eq!(there, count, "seed {seed}: all or nothing");
}

fn check(seed: u64, calls: &[Call], reads: &[(Instant, Instant, i64)], count: i64) {
    let mut known: Vec<_> = calls.iter().filter_map(|call| Some((call.told.ok()?, call))).collect();
    known.sort_by_key(|(value, _)| *value);
    for pair in known.windows(2) {
        let [(one, first), (other, second)] = pair else { continue };
        assert!(one < other, "seed {seed}: {first:?} and {second:?} are one");
    }
    for (value, call) in &known {
        for (other, before) in &known {
            assert!(
                before.ended >= call.began || other < value,
                "seed {seed}: {call:?} came before {before:?}, which had ended"
            );
        }
        for (began, ended, seen) in reads {
            assert!(call.ended >= *began || value <= seen, "seed {seed}: {call:?} was not seen: {seen}");
            assert!(call.began <= *ended || value > seen, "seed {seed}: {call:?} was seen before it was");
        }
    }
    let doubt = calls.iter().filter(|call| call.told == Err(true)).count();
    let sure = known.len();
    let count = usize::try_from(count).expect("positive");
    assert!((sure..=sure + doubt).contains(&count), "seed {seed}: {count} of {sure} and {doubt} in doubt");
}

/// Each has a runtime of its own, whose clock stands still but for those who wait.
fn histories(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(history(seed));
    }
}

#[test]
fn what_each_is_told_is_what_happened() {
    histories(0..300);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_lost_is_told_and_goes_on_from_there() {
    let log = MemoryLog::new();
    let (one, other) = (connect(log.clone()).await, connect(log.clone()).await);
    one.commit(&Transaction::new().put(key("stays"), "1", None)).await.expect("committed");
    let mut watch = other.watch(&Range::all()).await.expect("a watch");
    one.commit(&Transaction::new().put(key("goes"), "1", None)).await.expect("committed");
    let before = other.get(&[key("goes")]).await.expect("a read").revision;
    let mut told = Vec::new();
    let mut until = async |wanted: &str| {
        while told.last().is_none_or(|last| last != wanted) {
            let event = timeout(LONGEST, watch.next()).await.expect("in time").expect("open").expect("an event");
            told.push(match event {
                WatchEvent::Put(entry) => format!("+{}", entry.key),
                WatchEvent::Deleted { key, .. } => format!("-{key}"),
                _ => continue,
            });
        }
    };
    until("+goes").await;
    // As it may be after a fail-over.
    let kept = {
        let mut reader = log.read(0).await.expect("reads");
        let (mut kept, mut last) = (0, 0);
        while let Ok(Ok(record)) = timeout(Duration::from_millis(10), reader.next()).await {
            last = record.offset + 1;
            if record.body.windows(4).any(|window| window == b"goes") {
                kept = record.offset;
            }
        }
        usize::try_from(last - kept).expect("few")
    };
    log.lose(kept);
    until("-goes").await;
    assert_eq!(one.get(&[key("goes")]).await.expect("a read").into_entry(), None);
    assert!(one.get(&[key("stays")]).await.expect("a read").into_entry().is_some());
    let Outcome::Committed { revision, .. } =
        other.commit(&Transaction::new().put(key("new"), "1", None)).await.expect("committed")
    else {
        panic!("refused")
    };
    assert!(revision > before, "{revision} after {before}");
    log.lose_all();
    until("-new").await;
    assert_eq!(one.scan(&Range::all(), &linchpin_core::Page::first()).await.expect("a page").entries, []);
}

/// As where somebody removed the log by hand, and left the snapshots.
#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_log_counts_for_nothing() {
    let log = MemoryLog::new();
    let fill = async |driver: &Arc<dyn Driver>, name: &str| {
        for n in 0..40 {
            driver.commit(&Transaction::new().put(key(name), n.to_string(), None)).await.expect("committed");
            sleep(Duration::from_millis(100)).await;
        }
    };
    let one = connect(log.clone()).await;
    fill(&one, "before").await;
    let old = log.snapshots().await.expect("listed");
    log.lose_all();
    let other = connect(log.clone()).await;
    fill(&other, "after").await;
    assert!(!old.is_empty() && log.bounds().await.expect("bounds").next > old[old.len() - 1]);
    for driver in [one, other, connect(log).await] {
        let found = driver.get(&[key("before"), key("after")]).await.expect("a read").entries;
        assert!(found[0].is_none() && found[1].as_ref().is_some_and(|entry| entry.value == "39"), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn few_tell_the_log_that_something_has_ended() {
    let log = MemoryLog::new();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(connect(log.clone()).await);
    }
    let mut watch = clients[3].watch(&Range::all()).await.expect("a watch");
    let ttl = Duration::from_mins(1);
    clients[0].commit(&Transaction::new().put(key("k"), "v", Some(ttl))).await.expect("committed");
    let (began, before) = (Instant::now(), log.bounds().await.expect("bounds").next);
    loop {
        let event = timeout(LONGEST * 5, watch.next()).await.expect("in time").expect("open").expect("an event");
        if matches!(event, WatchEvent::Deleted { .. }) {
            break;
        }
    }
    let late = began.elapsed().saturating_sub(ttl);
    assert!(began.elapsed() >= ttl && late < Duration::from_millis(100), "{late:?} late");
    sleep(Duration::from_secs(5)).await;
    let appended = log.bounds().await.expect("bounds").next - before;
    assert!(appended <= 5, "{appended} records of 20 clients");
}

#[tokio::test(start_paused = true)]
async fn a_log_stays_as_long_as_what_lives() {
    let log = MemoryLog::new();
    let slow = Faults { delay: Duration::from_millis(1), ..Faults::default() };
    let torn = Faults { torn: 0.5, ..slow.clone() };
    let clients = [connect(log.with_faults(torn, 1)).await, connect(log.with_faults(slow, 2)).await];
    let mut last = Revision(0);
    for n in 0..3000_u32 {
        let put = Transaction::new().put(key(&format!("k{}", n % 10)), n.to_string(), None);
        let Outcome::Committed { revision, .. } = clients[n as usize % 2].commit(&put).await.expect("committed") else {
            panic!("refused")
        };
        assert!(revision > last);
        last = revision;
    }
    let bounds = log.bounds().await.expect("bounds");
    assert!(bounds.next - bounds.first < 600, "{bounds:?}");
    assert!(log.snapshots().await.expect("listed").len() <= 12, "snapshots that are not whole pile up");
    let new = connect(log).await;
    let found = new.get(&[key("k9")]).await.expect("a read").into_entry().expect("there");
    assert_eq!(found.value, "2999");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_told_and_nobody_guesses() {
    let log = MemoryLog::new();
    let driver = connect(log.clone()).await;
    let put = |name: &str| Transaction::new().put(key(name), "v", None);
    log.append("none of ours".into()).await.expect("appended");
    driver.commit(&put("a")).await.expect("it is passed over");
    // What a later build writes.
    log.append(b"linchpin\xff"[..].into()).await.expect("appended");
    sleep(Duration::from_secs(1)).await;
    let error = driver.commit(&put("b")).await.expect_err("it cannot be read");
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Unsupported, false), "{error}");
    let error = driver.get(&[key("a")]).await.expect_err("it cannot be read");
    assert!(error.kind() == ErrorKind::Unsupported && error.operation() == "get", "{error}");
    // Somebody dropped the beginning, and there is no snapshot.
    let log = MemoryLog::new();
    connect(log.clone()).await.commit(&put("a")).await.expect("committed");
    log.trim(1).await.expect("trimmed");
    let error = MemoryLogCoordination::connect(MemoryLogConfig::new(log)).await.expect_err("half a log");
    assert!(error.kind() == ErrorKind::Backend && error.to_string().contains("snapshot"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_came_to_something_else_harms_nobody() {
    let log = MemoryLog::new();
    let (one, other) = (connect(log.clone()).await, connect(log.clone()).await);
    one.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("committed");
    // A record whose author had read another history.
    let mut reader = log.read(0).await.expect("reads");
    let record = reader.next().await.expect("the first");
    let mut forged = record.body.to_vec();
    let (author, read) = ("linchpin".len() + 1, "linchpin".len() + 1 + 16 + 3 * 8);
    forged[author] ^= 1;
    forged[read..read + 8].copy_from_slice(&1_u64.to_be_bytes());
    forged[read + 8] ^= 1;
    for _ in 0..3 {
        log.append(forged.clone().into()).await.expect("appended");
        for (driver, name) in [(&one, "one"), (&other, "other")] {
            driver.commit(&Transaction::new().put(key(name), "v", None)).await.expect("committed");
            let found = driver.get(&[key("k"), key(name)]).await.expect("a read");
            assert!(found.entries.iter().all(Option::is_some), "{found:?}");
        }
    }
}
