//! Runs over drivers with faults: what the contract allows is accepted, what it does not is found.

use super::flaky::{Flaky, Trouble};
use super::runs::memory;
use crate::history::{Load, Summary, Violation, Workload};
use linchpin_core::Driver;
use std::sync::Arc;
use std::time::Duration;

async fn judged(trouble: Trouble, load: Load, seed: u64) -> Result<Summary, Violation> {
    let flaky = |(driver, seed)| Arc::new(Flaky::new(driver, trouble, seed)) as Arc<dyn Driver>;
    let handles: Vec<_> = memory().into_iter().zip(seed..).map(flaky).collect();
    Workload::new(seed, 3_000).load(load).visibility(Duration::from_millis(300)).run(&handles).await.check()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_overlap_are_accepted() {
    for (seed, load) in (20..).zip([Load::Everything, Load::Transactions, Load::Streams]) {
        judged(Trouble::Slow, load, seed).await.unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_not_declared_is_not_asked_for() {
    let summary = judged(Trouble::Modest, Load::Everything, 25).await.unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!((summary.failed, summary.unknown, summary.appended), (0, 0, 0), "{:?}", summary.first_error);
    assert!(summary.committed > 500, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_answers_are_accepted() {
    for (seed, load) in (30..).zip([Load::State, Load::Transactions, Load::State, Load::Transactions, Load::Streams]) {
        let summary = judged(Trouble::LostAnswers, load, seed).await.unwrap_or_else(|violation| panic!("{violation}"));
        println!("{summary}; {} undecided", summary.undecided);
        assert!(summary.unknown > 50 && summary.failed > 10, "{summary}");
        assert!(load == Load::Streams || summary.applied_after_all > 10, "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn broken_drivers_are_found() {
    let broken = [
        (Trouble::StaleReads, Load::State),
        (Trouble::LostWrites, Load::State),
        (Trouble::TornTransactions, Load::Transactions),
        (Trouble::IgnoredGuards, Load::State),
        (Trouble::AppliedTwice, Load::State),
        (Trouble::ForgottenIds, Load::State),
        (Trouble::LostRecords, Load::Streams),
        (Trouble::SharedDeliveries, Load::Streams),
        (Trouble::EarlyRetries, Load::Streams),
        (Trouble::ForgottenAcks, Load::Streams),
    ];
    for (seed, (trouble, load)) in (40..).zip(broken) {
        match judged(trouble, load, seed).await {
            Ok(summary) => panic!("{trouble:?} was accepted: {summary}"),
            Err(violation) => println!("{trouble:?}: {}", violation.text),
        }
    }
}
