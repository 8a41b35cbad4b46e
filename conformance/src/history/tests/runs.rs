//! Real runs, over memory: the judge accepts them, fast.

use crate::history::{History, Load, Workload};
use linchpin_core::Driver;
use linchpin_memory::MemoryCoordination;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn memory() -> Vec<Arc<dyn Driver>> {
    let memory = MemoryCoordination::new();
    (0..4).map(|_| memory.driver()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_operations_are_run_and_judged_in_a_moment() {
    let started = Instant::now();
    let history = Workload::new(1, 10_000).run(&memory()).await;
    let ran = started.elapsed();
    let started = Instant::now();
    let summary = history.check().unwrap_or_else(|violation| panic!("{violation}"));
    let judged = started.elapsed();
    println!("ran in {ran:?}, judged in {judged:?}: {summary}");
    assert!(summary.operations >= 10_000 && ran < Duration::from_secs(5) && judged < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_over_memory_are_as_they_should_be() {
    for (seed, load) in (10..).zip([Load::Everything, Load::State, Load::Transactions, Load::Streams].repeat(2)) {
        let history = Workload::new(seed, 2_000).load(load).run(&memory()).await;
        let summary = history.check().unwrap_or_else(|violation| panic!("{violation}"));
        println!("{load:?}: {summary}");
        assert_eq!((summary.failed, summary.unknown, summary.undecided), (0, 0, 0), "{:?}", summary.first_error);
        if load != Load::Streams {
            assert!(summary.reads > 200 && summary.committed > 400 && summary.refused > 50, "{summary}");
        }
        if matches!(load, Load::Everything | Load::Streams) {
            assert!(summary.appended > 100 && summary.delivered > summary.appended && summary.settled > 200);
        }
    }
}

#[tokio::test]
async fn one_thread_and_few_clients_will_do() {
    let history = Workload::new(3, 500).clients(2).run(&memory()[..1]).await;
    history.check().unwrap_or_else(|violation| panic!("{violation}"));
}

#[tokio::test]
async fn a_history_is_read_as_it_was_written() {
    let history = Workload::new(u64::MAX, 1_000).run(&memory()).await;
    let path = std::env::temp_dir().join(format!("linchpin-history-{}.jsonl", std::process::id()));
    history.write_json_lines(&path).expect("written");
    let lines = std::fs::read_to_string(&path).expect("a file").lines().count();
    let read = History::read_json_lines(&path).expect("read");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(lines, history.operations.len() + 1);
    assert!(read == history);
}
