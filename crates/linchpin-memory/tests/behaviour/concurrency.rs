use crate::{claim, key, open, read, stream};
use futures::StreamExt;
use linchpin_core::{Action, Range, Record, Settlement, Transaction, WatchEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const TASKS: u32 = 8;
const ROUNDS: u32 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_increment_is_lost_and_every_watcher_sees_versions_grow_to_the_last() {
    let first = open("memory://increments").await;
    let mut followers = Vec::new();
    for _ in 0..3 {
        let watch = first.watch(&Range::all()).await.expect("watches");
        followers.push(tokio::spawn(follow(watch)));
    }
    let writers: Vec<_> = (0..TASKS)
        .map(|task| {
            tokio::spawn(async move {
                let memory = open("memory://increments").await;
                for round in 0..ROUNDS {
                    let own = key(&format!("own/{task}"));
                    let add = Transaction::new().add(key("shared"), 1, None);
                    let add = if round % 7 == 3 { add.delete(own) } else { add.put(own, "x", None) };
                    memory.commit(&add).await.expect("committed");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let total = read(&first, "shared").await.expect("present");
    assert_eq!(total.value, (TASKS * ROUNDS).to_string());
    first.commit(&Transaction::new().put(key("end"), "", None)).await.expect("committed");
    for follower in followers {
        let last = follower.await.expect("no panic");
        assert_eq!(last.get("shared"), Some(&total.version.0), "the last version is never missed");
    }
}

/// Follows a watch until the key `end`; returns the last version told of each key.
async fn follow(mut watch: linchpin_core::WatchStream) -> HashMap<String, u64> {
    let mut last = HashMap::new();
    loop {
        let (key, version) = match watch.next().await.expect("open").expect("no error") {
            WatchEvent::Put(entry) => (entry.key, entry.version),
            WatchEvent::Deleted { key, version } => (key, version),
            _ => continue,
        };
        let before = last.insert(key.as_str().to_owned(), version.0);
        assert!(before.is_none_or(|before| before < version.0), "{key} went from {before:?} to {version}");
        if key.as_str() == "end" {
            return last;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiting_members_share_the_records_and_miss_none() {
    let memory = Arc::new(open("memory://members").await);
    let total = u64::from(TASKS * ROUNDS);
    let patient = claim().max(3).visibility(Duration::from_mins(1)).wait(Duration::from_millis(500));
    let members: Vec<_> = (0..TASKS)
        .map(|_| {
            let (memory, patient) = (memory.clone(), patient.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let deliveries = memory.claim(&patient).await.expect("claimed");
                    if deliveries.is_empty() {
                        return seen;
                    }
                    seen.extend(deliveries.iter().map(|delivery| delivery.receipt.position.0));
                    let done = |receipt| Settlement { receipt, action: Action::Ack };
                    let settlements: Vec<_> = deliveries.into_iter().map(|delivery| done(delivery.receipt)).collect();
                    memory.settle(&settlements).await.expect("settled");
                }
            })
        })
        .collect();
    for _ in 0..total {
        memory.append(&stream(), &[Record::new("r")]).await.expect("appended");
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    for member in members {
        seen.extend(member.await.expect("no panic"));
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=total), "each record once");
}
