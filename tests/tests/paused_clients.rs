//! Real processes that stand still for longer than their leases: what they held has passed on, and they know.

use linchpin::Coordinator;
use linchpin_tests::servers::RedisServer;
use linchpin_tests::signal;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(1);

struct Holder {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(url: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hold_everything"))
            .args([url, &TTL.as_millis().to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    async fn says(&mut self) -> String {
        let line = timeout(SOON, self.lines.next_line()).await.expect("in time");
        line.expect("readable").expect("it goes on")
    }

    async fn signal(&self, name: &str) {
        signal(self.process.id().expect("it runs"), name).await.expect("sent");
    }
}

#[tokio::test]
async fn a_process_that_stood_still_knows_that_it_lost_before_it_writes() {
    let server = RedisServer::start().await.expect("a server");
    let url = format!("{}/?namespace=paused-clients-{:x}", server.url(), fastrand::u64(..));
    let mut holder = Holder::start(&url);
    assert!(holder.says().await.starts_with("holds token "));
    let next = Coordinator::builder(&url).node_id("next").connect().await.expect("connected");
    let members = next.members("g");
    assert_eq!(members.list().await.expect("listed").len(), 1);

    holder.signal("STOP").await;
    let stopped = Instant::now();
    let guard = timeout(SOON, next.lock("l").acquire()).await.expect("in time").expect("acquired");
    let election = next.election("e");
    let leadership = timeout(SOON, election.campaign()).await.expect("in time").expect("elected");
    assert!(stopped.elapsed() > TTL / 2, "it passed on after {:?}, while its holder might live", stopped.elapsed());
    guard.put("by-lock", "next").await.expect("written");
    leadership.put("by-leader", "next").await.expect("written");
    let gone = async {
        while !members.list().await.expect("listed").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, gone).await.expect("a member that stands still is gone in time");

    holder.signal("CONT").await;
    let lost = holder.says().await;
    assert!(lost.starts_with("lost after "), "{lost}");
    assert_eq!([holder.says().await, holder.says().await], ["lock lost", "leader lost"]);
    for key in ["by-lock", "by-leader"] {
        assert_eq!(next.get(key).await.expect("got").as_deref(), Some(&b"next"[..]), "{key}");
    }
    assert!(guard.is_held() && leadership.is_leader(), "who woke up took something away from its successor");
    let back = async {
        while members.list().await.expect("listed").len() != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, back).await.expect("the member joins again by itself");
}

#[tokio::test]
async fn what_a_killed_process_held_passes_on_with_its_ttl() {
    let server = RedisServer::start().await.expect("a server");
    let url = format!("{}/?namespace=killed-clients-{:x}", server.url(), fastrand::u64(..));
    let mut holder = Holder::start(&url);
    assert!(holder.says().await.starts_with("holds token "));
    let next = linchpin::connect(&url).await.expect("connected");
    holder.process.kill().await.expect("killed");
    let killed = Instant::now();
    timeout(SOON, next.lock("l").acquire())
        .await
        .expect("in time")
        .expect("acquired")
        .release()
        .await
        .expect("released");
    assert!(killed.elapsed() < TTL + Duration::from_millis(750), "it passed on after {:?}", killed.elapsed());
    let election = next.election("e");
    timeout(SOON, election.campaign()).await.expect("in time").expect("elected").resign().await.expect("resigned");
}
