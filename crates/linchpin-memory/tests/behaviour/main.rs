//! What the adapter adds to the machine: time that passes by itself, waiting, sharing and closing.

mod closing;
mod concurrency;
mod sharing;
mod time;

use futures::StreamExt;
use linchpin_core::{
    Claim, Driver, Entry, GroupName, Key, MemberName, Outcome, Record, StreamName, Transaction, WatchEvent, WatchStream,
};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::sync::Arc;
use std::time::Duration;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("valid")
}

fn stream() -> StreamName {
    StreamName::new("s").expect("valid")
}

/// A claim of one record, visible for 100 ms.
fn claim() -> Claim {
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    Claim::new(stream(), group, member).visibility(millis(100))
}

async fn open_port(url: &str) -> MemoryCoordination {
    MemoryCoordination::connect(MemoryConfig::from_url(url).expect(url)).await.expect("opens")
}

async fn open(url: &str) -> Arc<dyn Driver> {
    open_port(url).await.driver()
}

fn private() -> Arc<dyn Driver> {
    MemoryCoordination::new().driver()
}

async fn put(driver: &Arc<dyn Driver>, name: &str, value: &'static str, ttl: Option<u64>) -> Outcome {
    let put = Transaction::new().put(key(name), value, ttl.map(millis));
    driver.commit(&put).await.expect("committed")
}

async fn read(driver: &Arc<dyn Driver>, name: &str) -> Option<Entry> {
    driver.get(&[key(name)]).await.expect("read").entries.remove(0)
}

async fn append(driver: &Arc<dyn Driver>, record: Record) {
    driver.append(&stream(), &[record]).await.expect("appended");
}

/// The next event in short: `+key=value`, `-key`, `synced`, an error's kind or `end`.
async fn told(watch: &mut WatchStream) -> String {
    match watch.next().await {
        Some(Ok(WatchEvent::Put(entry))) => format!("+{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
        Some(Ok(WatchEvent::Deleted { key, .. })) => format!("-{key}"),
        Some(Ok(WatchEvent::Synced { .. })) => "synced".to_owned(),
        Some(Ok(other)) => format!("{other:?}"),
        Some(Err(error)) => error.kind().as_str().to_owned(),
        None => "end".to_owned(),
    }
}
