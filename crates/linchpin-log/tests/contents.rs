//! What records carry lies beside the log: as long as it is needed, and no longer.

use futures::future::join_all;
use linchpin_core::{
    Action, Claim, Delivery, Driver, ErrorKind, GroupName, Key, MemberName, Record, Retention, Settlement, StreamName,
    Transaction,
};
use linchpin_log::memory::{Faults, MemoryLog, MemoryLogConfig, MemoryLogCoordination};
use linchpin_log::{Log, LogReader};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

async fn connect(log: &MemoryLog) -> Arc<dyn Driver> {
    let config = MemoryLogConfig::new(log.clone()).snapshot_after(4096);
    MemoryLogCoordination::connect(config).await.expect("connects").driver()
}

fn orders() -> StreamName {
    StreamName::new("orders").expect("valid")
}

fn billing() -> GroupName {
    GroupName::new("billing").expect("valid")
}

async fn claim(driver: &Arc<dyn Driver>, stream: StreamName, max: usize) -> Vec<Delivery> {
    let mut claim = Claim::new(stream, billing(), MemberName::new("m").expect("valid"));
    claim.max = max;
    driver.claim(&claim).await.expect("claimed")
}

async fn settle(driver: &Arc<dyn Driver>, deliveries: Vec<Delivery>, action: Action) {
    let settlement = |delivery: Delivery| Settlement { receipt: delivery.receipt, action: action.clone() };
    let all: Vec<_> = deliveries.into_iter().map(settlement).collect();
    driver.settle(&all).await.expect("settled");
}

#[tokio::test(start_paused = true)]
async fn contents_stay_out_of_the_log_and_go_when_nobody_needs_them() {
    let log = MemoryLog::new();
    let driver = connect(&log).await;
    let record = |n: usize| Record::new(format!("the payload of {n}")).with_header("n", n.to_string());
    let records: Vec<_> = (0..10).map(record).collect();
    driver.append(&orders(), &records).await.expect("appended");
    let mut reader = log.read(0).await.expect("reads");
    while let Ok(Ok(read)) = timeout(Duration::from_millis(10), reader.next()).await {
        assert!(!read.body.windows(11).any(|window| window == b"the payload"), "it is sent to who does not claim it");
    }
    let mut claimed = claim(&driver, orders(), 10).await;
    assert_eq!(claimed.iter().map(|delivery| &delivery.payload[..]).collect::<Vec<_>>().len(), 10);
    let rejected = claimed.remove(3);
    assert_eq!(rejected.payload, "the payload of 3");
    settle(&driver, vec![rejected], Action::Reject { reason: "no such order".into() }).await;
    settle(&driver, claimed, Action::Ack).await;
    assert_eq!(driver.trim(&orders(), Retention::Unsettled).await.expect("trimmed"), 10);
    assert_eq!(log.contents_of(&orders()), 7, "those from the dead letter's on are there");
    let dead = claim(&driver, orders().dead_letters(&billing()), 10).await;
    assert_eq!(dead[0].payload, "the payload of 3");
    assert_eq!(dead[0].headers[0], ("n".to_owned(), "3".to_owned()));
    assert!(dead[0].headers.iter().any(|(_, value)| value == "no such order"));
    settle(&driver, dead, Action::Ack).await;
    driver.trim(&orders().dead_letters(&billing()), Retention::Unsettled).await.expect("trimmed");
    assert_eq!(log.contents_of(&orders()), 0);
    driver.append(&orders(), &records).await.expect("appended");
    driver.clear("ord").await.expect("cleared");
    assert_eq!(log.contents_of(&orders()), 0);
}

#[tokio::test(start_paused = true)]
async fn contents_that_could_not_be_dropped_go_with_the_next_snapshot() {
    let log = MemoryLog::new();
    let (driver, other) = (connect(&log).await, connect(&log).await);
    driver.append(&orders(), &[Record::new("a"), Record::new("b")]).await.expect("appended");
    let claimed = claim(&driver, orders(), 2).await;
    settle(&driver, claimed, Action::Ack).await;
    let losing = connect(&log.with_faults(Faults { lost: 0.5, ..Faults::default() }, 4)).await;
    losing.trim(&orders(), Retention::Unsettled).await.expect("trimmed");
    drop(losing);
    let key = Key::new("k").expect("valid");
    for n in 0..200 {
        other.commit(&Transaction::new().put(key.clone(), n.to_string(), None)).await.expect("committed");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(log.contents_of(&orders()), 0);
}

#[tokio::test(start_paused = true)]
async fn lost_contents_are_told_and_hold_nobody_up() {
    let log = MemoryLog::new();
    let driver = connect(&log).await;
    driver.append(&orders(), &[Record::new("a"), Record::new("b")]).await.expect("appended");
    log.lose_contents();
    let mut wanted = Claim::new(orders(), billing(), MemberName::new("m").expect("valid"));
    wanted.max = 2;
    let error = driver.claim(&wanted).await.expect_err("they are lost");
    assert!(error.kind() == ErrorKind::Backend && error.to_string().contains("position 1"), "{error}");
    driver.append(&orders(), &[Record::new("c")]).await.expect("appended");
    assert_eq!(claim(&driver, orders(), 2).await[0].payload, "c");
    assert_eq!(driver.inspect(&orders()).await.expect("a look").groups[0].pending, 1);
}

/// Who is slow between placing a content and appending its record finds it gone, and places it again.
#[tokio::test(start_paused = true)]
async fn no_record_loses_its_content_to_those_who_trim() {
    for seed in 0..40 {
        let log = MemoryLog::new();
        let slow = Faults { delay: Duration::from_millis(40), lost: 0.05, unanswered: 0.05, ..Faults::default() };
        let (reader, mut writers) = (connect(&log).await, Vec::new());
        for n in 0..4 {
            writers.push(connect(&log.with_faults(slow.clone(), seed * 4 + n)).await);
        }
        let writing = join_all(writers.iter().map(async |writer| {
            for n in 0..10 {
                writer.append(&orders(), &[Record::new(n.to_string())]).await.expect("appended");
            }
        }));
        let reading = async {
            let mut read = 0;
            while read < 40 {
                let claimed = claim(&reader, orders(), 10).await;
                read += claimed.len();
                settle(&reader, claimed, Action::Ack).await;
                reader.trim(&orders(), Retention::Unsettled).await.expect("trimmed");
                // Time stands still for as long as somebody has something to do.
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_mins(10), async { tokio::join!(writing, reading) }).await.expect("all of them come");
    }
}
