use crate::{append, claim, key, millis, private, put, read, stream, told};
use linchpin_core::{Action, Claim, Driver, MAX_TTL, Range, Record, Settlement, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

#[tokio::test(start_paused = true)]
async fn a_key_lives_exactly_as_long_as_its_ttl() {
    let memory = private();
    put(&memory, "a", "1", Some(1000)).await;
    advance(millis(999)).await;
    assert!(read(&memory, "a").await.is_some_and(|entry| entry.ttl == Some(millis(1))));
    advance(millis(1)).await;
    assert_eq!(read(&memory, "a").await, None);
}

#[tokio::test(start_paused = true)]
async fn watchers_hear_of_an_expiry_within_the_slack_though_nobody_looks() {
    let memory = private();
    let slack = memory.capabilities().ttl.expect("offered").slack;
    let mut watch = memory.watch(&Range::all()).await.expect("watches");
    assert_eq!(told(&mut watch).await, "synced");
    put(&memory, "late", "1", Some(3000)).await;
    put(&memory, "early", "1", Some(1000)).await;
    let started = Instant::now();
    for (event, at) in [("+late=1", 0), ("+early=1", 0), ("-early", 1000), ("-late", 3000)] {
        assert_eq!(told(&mut watch).await, event);
        let late = started.elapsed().checked_sub(millis(at)).expect("not before its time");
        assert!(late <= slack, "{event} came {late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_follows_deadlines_that_move() {
    let memory = private();
    let mut watch = memory.watch(&Range::Key(key("a"))).await.expect("watches");
    let version = put(&memory, "a", "1", Some(1000)).await.revision();
    let extend = |ttl| Transaction::new().extend(key("a"), version, ttl);
    memory.commit(&extend(MAX_TTL)).await.expect("extended");
    assert_eq!((told(&mut watch).await, told(&mut watch).await), ("synced".to_owned(), "+a=1".to_owned()));
    sleep(Duration::from_secs(100)).await;
    put(&memory, "a", "2", Some(500)).await;
    let started = Instant::now();
    assert_eq!(told(&mut watch).await, "+a=2");
    assert_eq!(told(&mut watch).await, "-a");
    assert!(started.elapsed() >= millis(500) && started.elapsed() <= millis(550), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_claim_is_woken_by_an_append() {
    let memory = private();
    let waiter = memory.clone();
    let waiting = tokio::spawn(async move { waiter.claim(&claim().wait(Duration::MAX)).await });
    sleep(Duration::from_secs(5)).await;
    let appended = Instant::now();
    append(&memory, Record::new("a")).await;
    let deliveries = waiting.await.expect("no panic").expect("claimed");
    assert_eq!((deliveries.len(), appended.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_claim_gives_up_in_time() {
    let memory = private();
    let started = Instant::now();
    assert_eq!(memory.claim(&claim().wait(millis(700))).await.expect("claimed"), []);
    assert!(started.elapsed() >= millis(700) && started.elapsed() <= millis(750), "{:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(memory.claim(&claim()).await.expect("claimed"), []);
    assert_eq!(started.elapsed(), Duration::ZERO, "without a wait it looks once");
}

/// Claims with a long wait; returns how often the record was delivered and how long that took.
async fn awaited(memory: &Arc<dyn Driver>, claim: Claim) -> (u32, Duration) {
    let started = Instant::now();
    let deliveries = memory.claim(&claim.wait(Duration::from_hours(1))).await.expect("claimed");
    (deliveries[0].receipt.delivery, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_waiting_claim_sleeps_until_the_next_record_is_due_and_no_longer() {
    let memory = private();
    append(&memory, Record::new("delayed").with_delay(millis(400))).await;
    assert_eq!(awaited(&memory, claim()).await, (1, millis(400)));
    assert_eq!(awaited(&memory, claim()).await, (2, millis(100)), "its visibility time passed");

    let held = memory.claim(&claim().wait(millis(200))).await.expect("claimed");
    let settle = |action| [Settlement { receipt: held[0].receipt.clone(), action }];
    memory.settle(&settle(Action::Retry { after: millis(250) })).await.expect("settled");
    assert_eq!(awaited(&memory, claim()).await, (4, millis(250)), "its retry was due");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_claim_hears_that_a_record_is_due_earlier() {
    let memory = private();
    append(&memory, Record::new("a")).await;
    let held = memory.claim(&claim().visibility(Duration::from_mins(1))).await.expect("claimed");
    let waiter = memory.clone();
    let waiting = tokio::spawn(async move { awaited(&waiter, claim()).await });
    sleep(millis(10)).await;
    let action = Action::Extend { visibility: millis(20) };
    memory.settle(&[Settlement { receipt: held[0].receipt.clone(), action }]).await.expect("settled");
    assert_eq!(waiting.await.expect("no panic"), (2, millis(30)));
}

#[tokio::test(start_paused = true)]
async fn the_undertaker_is_woken_by_a_dead_letter() {
    let memory = private();
    append(&memory, Record::new("a")).await;
    let held = memory.claim(&claim()).await.expect("claimed");
    let waiter = memory.clone();
    let dead = Claim { stream: stream().dead_letters(&claim().group), ..claim() };
    let waiting = tokio::spawn(async move { awaited(&waiter, dead).await });
    sleep(millis(10)).await;
    let action = Action::Reject { reason: "no".to_owned() };
    memory.settle(&[Settlement { receipt: held[0].receipt.clone(), action }]).await.expect("settled");
    assert_eq!(waiting.await.expect("no panic"), (1, millis(10)));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_claim_takes_nothing() {
    let memory = private();
    let waited = tokio::time::timeout(millis(10), memory.claim(&claim().wait(millis(100)))).await;
    assert!(waited.is_err(), "cancelled");
    append(&memory, Record::new("a")).await;
    assert_eq!(memory.claim(&claim()).await.expect("claimed")[0].receipt.delivery, 1);
}

#[test]
fn without_a_runtime_keys_expire_when_somebody_looks() {
    // Opened before there is a runtime, and used in one after another.
    let memory = linchpin_memory::MemoryCoordination::default().driver();
    let run = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("runs");
    futures::executor::block_on(put(&memory, "a", "1", Some(1)));
    std::thread::sleep(millis(2));
    assert_eq!(futures::executor::block_on(read(&memory, "a")), None);
    for _ in 0..2 {
        run().block_on(async {
            put(&memory, "b", "1", Some(1000)).await;
            let mut watch = memory.watch(&Range::Key(key("b"))).await.expect("watches");
            let events = [told(&mut watch).await, told(&mut watch).await, told(&mut watch).await];
            assert_eq!(events, ["+b=1", "synced", "-b"], "each runtime has its own sweeper");
        });
    }
}
