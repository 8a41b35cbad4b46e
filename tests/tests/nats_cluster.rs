//! A cluster of three servers that loses the leader of a namespace's streams, while it is used.

use async_nats::ConnectOptions;
use futures::StreamExt;
use linchpin::{Coordinator, WatchEvent};
use linchpin_core::{Action, Claim, GroupName, Key, MemberName, Range, Record, Settled, Settlement, StreamName};
use linchpin_tests::servers::NatsCluster;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A follower becomes the leader within some seconds.
const SOON: Duration = Duration::from_secs(30);

struct Cluster {
    servers: NatsCluster,
    namespace: String,
}

impl Cluster {
    async fn start() -> Self {
        let servers = NatsCluster::start().await.expect("a cluster");
        Self { servers, namespace: format!("cluster-{:x}", fastrand::u64(..)) }
    }

    /// Patient enough for the time in which there is no leader.
    async fn connect(&self) -> Coordinator {
        let url = format!("{}?namespace={}&replicas=3", self.servers.url(), self.namespace);
        let patient = linchpin::RetryPolicy { attempts: 200, total: Duration::from_secs(25), ..Default::default() };
        let builder = Coordinator::builder(url).retry(patient).timeout(Duration::from_secs(2));
        builder.connect().await.expect("connected")
    }

    /// The server that leads a stream of the namespace.
    async fn leader_of(&self, stream: &str) -> usize {
        let urls = self.servers.url();
        let urls: Vec<&str> = urls.split(',').collect();
        let client = ConnectOptions::new().connect(urls).await.expect("connected");
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let answer = client.request(subject, "".into()).await.expect("answered");
        let info: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let leader = info["cluster"]["leader"].as_str().expect("a leader");
        self.servers.named(leader).expect("one of the three")
    }

    /// Kills the leader of a stream, and starts it again.
    async fn lose_leader_of(&self, stream: &str) {
        let leader = self.leader_of(stream).await;
        self.servers.kill(leader).await.expect("killed");
        self.servers.ready().await.expect("another leads");
        self.servers.restart(leader).await.expect("restarted");
        self.servers.ready().await.expect("whole again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_when_the_logs_leader_is_killed() {
    let cluster = Cluster::start().await;
    let (one, other) = (cluster.connect().await, cluster.connect().await);
    let (n, last) = (Key::new("user/n").expect("valid"), Key::new("last").expect("valid"));
    let mut events = other.driver().watch(&Range::Key(last.clone())).await.expect("watched");
    let guard = one.lock("held").ttl(Duration::from_secs(30)).acquire().await.expect("acquired");

    let done = Arc::new(AtomicBool::new(false));
    let count = |node: Coordinator| {
        let done = done.clone();
        tokio::spawn(async move {
            let (mut applied, mut unknown) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                match node.incr("n", 1, None).await {
                    Ok(_) => applied += 1,
                    Err(error) if error.maybe_applied() => unknown += 1,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
            }
            (applied, unknown)
        })
    };
    let counting = [count(one.clone()), count(other.clone())];
    cluster.lose_leader_of(&format!("linchpin_{}_LOG", cluster.namespace)).await;
    done.store(true, Ordering::Relaxed);
    let (mut applied, mut unknown) = (0, 0);
    for counting in counting {
        let (more, unsure) = timeout(SOON, counting).await.expect("in time").expect("no panic");
        (applied, unknown) = (applied + more, unknown + unsure);
    }
    let found = one.driver().get(std::slice::from_ref(&n)).await.expect("read").into_entry().expect("counted");
    let counter: i64 = String::from_utf8_lossy(&found.value).parse().expect("a number");
    assert!((applied..=applied + unknown).contains(&counter), "{applied} acknowledged, {unknown} unknown: {counter}");
    assert!(applied > 0, "nothing was written");

    assert!(guard.is_held(), "a lock of 30 s was lost");
    guard.put("by-lock", "still").await.expect("written under the lock");
    guard.release().await.expect("released");
    one.put_last(&last).await;
    let told = async {
        while let Some(event) = events.next().await {
            if let WatchEvent::Put(entry) = event.expect("it goes on")
                && entry.value == "last"
            {
                return;
            }
        }
        panic!("the watch ended");
    };
    timeout(SOON, told).await.expect("the watch tells of what came after");
}

/// Writes a key past the port.
trait PutLast {
    async fn put_last(&self, key: &Key);
}

impl PutLast for Coordinator {
    async fn put_last(&self, key: &Key) {
        let put = linchpin_core::Transaction::new().put(key.clone(), "last", None);
        self.driver().commit(&put).await.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_acknowledged_once_though_the_leader_of_their_contents_is_killed() {
    const RECORDS: usize = 60;
    let cluster = Cluster::start().await;
    let (one, other) = (cluster.connect().await, cluster.connect().await);
    let stream = StreamName::new("jobs").expect("valid");
    let record = |n: usize| Record::new(format!("job {n}")).with_id(format!("job-{n}")).expect("valid");
    one.driver().append(&stream, &[record(0)]).await.expect("appended");

    let appending = {
        let (node, stream) = (one.clone(), stream.clone());
        tokio::spawn(async move {
            for n in 1..RECORDS {
                // With an id it is appended once, however often that is tried.
                append(&node, &stream, record(n)).await;
                sleep(Duration::from_millis(20)).await;
            }
        })
    };
    let working = {
        let (node, stream) = (other.clone(), stream.clone());
        tokio::spawn(async move { work(&node, &stream, RECORDS).await })
    };
    cluster.lose_leader_of(&format!("linchpin_{}_DATA", cluster.namespace)).await;
    timeout(SOON, appending).await.expect("in time").expect("no panic");
    let work = timeout(SOON, working).await.expect("in time").expect("no panic");
    for n in 0..RECORDS {
        let payload = format!("job {n}");
        let (done, unknown) = work.get(&payload).copied().unwrap_or_default();
        assert!(done <= 1 && done + unknown >= 1, "{payload:?}: {done} acknowledgements, {unknown} of unknown outcome");
    }
    let info = one.driver().inspect(&stream).await.expect("inspected");
    assert_eq!((info.length, info.groups[0].lag), (RECORDS as u64, 0));
}

/// Acknowledges records until none of so many is left: how often each was, and how often that is not known.
async fn work(node: &Coordinator, stream: &StreamName, records: usize) -> HashMap<String, (u32, u32)> {
    let group = GroupName::new("workers").expect("valid");
    let member = MemberName::new("one").expect("valid");
    let claim = Claim::new(stream.clone(), group, member).max(4).visibility(Duration::from_secs(3));
    let claim = claim.wait(Duration::from_secs(1));
    let mut work: HashMap<String, (u32, u32)> = HashMap::new();
    while work.len() < records {
        // A claim that failed may have been done: what it got comes again after its visibility time.
        let given = node.driver().claim(&claim).await.unwrap_or_default();
        for delivery in given {
            let payload = String::from_utf8_lossy(&delivery.payload).into_owned();
            let (done, unknown) = work.entry(payload).or_default();
            match node.driver().settle(&[Settlement { receipt: delivery.receipt, action: Action::Ack }]).await {
                Ok(settled) => *done += u32::from(settled == [Settled::Done]),
                Err(error) => *unknown += u32::from(error.maybe_applied()),
            }
        }
    }
    work
}

async fn append(node: &Coordinator, stream: &StreamName, record: Record) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = node.driver().append(stream, std::slice::from_ref(&record)).await {
        assert!(error.is_transient() && Instant::now() < deadline, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
}
