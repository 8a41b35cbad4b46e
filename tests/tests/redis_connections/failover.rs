//! A primary that is demoted, and a line that is half open.

use super::*;
use futures::StreamExt;
use linchpin::{ErrorKind, Retry, Transaction, WatchEvent};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn a_handle_that_only_reads_leaves_a_demoted_primary() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    redis.commit(&Transaction::new().put(key("k"), "old", None)).await.expect("written");
    let _messages = redis.subscribe(&pattern("*")).await.expect("a subscription");
    // Its new primary is not there: it goes on with what it has.
    ask::<()>(&mut raw, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let demoted = Instant::now();
    let mut last = Duration::ZERO;
    while demoted.elapsed() < Duration::from_secs(4) {
        let page = redis.scan(&linchpin::Range::all(), &linchpin::Page::first()).await;
        for answer in [read(&redis, "k").await.map(drop), page.map(drop)] {
            match answer {
                Ok(()) => last = demoted.elapsed(),
                Err(error) => assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe)),
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(last < Duration::from_secs(2), "it was read {last:?} after the demotion");
    let health = redis.health().await.expect("it answers");
    assert!(health.degraded.iter().any(|why| why.contains("being rebuilt")), "{health:?}");
    ask::<()>(&mut raw, &["REPLICAOF", "NO", "ONE"]).await;
    assert!(read(&redis, "k").await.expect("it is the primary again").is_some());
    drop(redis.subscribe(&pattern("a")).await.expect("subscribes again"));
}

#[tokio::test]
async fn a_handle_that_only_publishes_leaves_a_demoted_primary() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let publish = async || redis.publish(&channel("c"), "m".into()).await;
    publish().await.expect("published");
    ask::<()>(&mut raw, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let demoted = Instant::now();
    let mut last = Duration::ZERO;
    while demoted.elapsed() < Duration::from_secs(3) {
        match publish().await {
            Ok(_) => last = demoted.elapsed(),
            Err(error) => assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Unavailable, true)),
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(last < Duration::from_secs(2), "it was published where nobody listens, {last:?} after the demotion");
    ask::<()>(&mut raw, &["REPLICAOF", "NO", "ONE"]).await;
    publish().await.expect("it is the primary again");
}

/// The connections to the server, but this one.
async fn clients(raw: &mut MultiplexedConnection) -> BTreeSet<u64> {
    let own: u64 = ask(raw, &["CLIENT", "ID"]).await;
    let all: String = ask(raw, &["CLIENT", "LIST", "TYPE", "normal"]).await;
    let listening: String = ask(raw, &["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
    all.lines().chain(listening.lines()).filter_map(id).filter(|id| *id != own).collect()
}

/// Its beats would be heard by nobody who listens to the new primary.
#[tokio::test]
async fn a_handle_that_only_watches_leaves_a_demoted_primary() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let mut events = redis.watch(&linchpin::Range::all()).await.expect("a watch");
    let before = clients(&mut raw).await;
    ask::<()>(&mut raw, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let left = async {
        while !before.is_disjoint(&clients(&mut raw).await) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, left).await.expect("it stays with a server that is a replica now");
    ask::<()>(&mut raw, &["REPLICAOF", "NO", "ONE"]).await;
    redis.commit(&Transaction::new().put(key("k"), "", None)).await.expect("it is the primary again");
    let told = async { while !matches!(events.next().await, Some(Ok(WatchEvent::Put(_)))) {} };
    timeout(SOON, told).await.expect("the watch goes on");
}

/// Connections that can be made to hang: those that are open, and not those that come after.
struct Hanging {
    address: SocketAddr,
    hangs: Arc<AtomicU64>,
}

impl Hanging {
    async fn before(server: &RedisServer) -> Self {
        let target = server.url().replace("redis://", "");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, hangs) = (listener.local_addr().expect("an address"), Arc::<AtomicU64>::default());
        let seen = hangs.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (target, hangs, opened) = (target.clone(), seen.clone(), seen.load(Ordering::SeqCst));
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(&target).await.expect("connects");
                    let hung = async {
                        while hangs.load(Ordering::SeqCst) == opened {
                            sleep(Duration::from_millis(5)).await;
                        }
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                        () = hung => {}
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { address, hangs }
    }

    fn hang(&self) {
        self.hangs.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_short_lock_survives_a_line_that_is_half_open() {
    let server = local(&[]).await;
    let hanging = Hanging::before(&server).await;
    let coordinator = coordinator(&format!("redis://{}", hanging.address)).await;
    for (round, ttl) in [1000, 1500, 2000, 3000].into_iter().enumerate() {
        let guard = coordinator.lock("l").ttl(Duration::from_millis(ttl)).acquire().await.expect("a lock");
        sleep(Duration::from_millis(fastrand::u64(0..500))).await;
        hanging.hang();
        sleep(Duration::from_millis(ttl * 2)).await;
        assert!(guard.is_held(), "round {round}: a lock of {ttl} ms was lost");
        guard.release().await.expect("released");
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_line_that_is_half_open() {
    let server = local(&[]).await;
    let hanging = Hanging::before(&server).await;
    let redis = RedisConfig::from_url(&format!("redis://{}", hanging.address)).expect("a good URL");
    let redis = RedisCoordination::connect(redis).await.expect("connects").driver();
    hanging.hang();
    let started = Instant::now();
    let add = Transaction::new().add(key("n"), 1, None);
    let error = redis.commit(&add).await.expect_err("nobody answers");
    assert!(error.is_transient() && error.maybe_applied(), "{error}");
    redis.commit(&add).await.expect("on another line");
    assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
}

/// A line over which requests go at 1 MiB in a second.
async fn slow(server: &RedisServer) -> SocketAddr {
    let target = server.url().replace("redis://", "");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.expect("connects");
            let ((mut requests, mut answers), (mut back, mut on)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut answers).await });
            tokio::spawn(async move {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = requests.read(&mut piece).await {
                    sleep(Duration::from_secs_f64(f64::from(u32::try_from(length).expect("small")) / 1_048_576.0))
                        .await;
                    if on.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_large_transaction_over_a_slow_line_is_no_silence() {
    let server = local(&[]).await;
    let redis = RedisConfig::from_url(&format!("redis://{}", slow(&server).await)).expect("a good URL");
    let redis = RedisCoordination::connect(redis).await.expect("connects").driver();
    // The server knows the script then: else all of it goes twice.
    redis.commit(&Transaction::new().add(key("n"), 1, None).add(key("m"), 1, None)).await.expect("added");
    let large = (0..3).fold(Transaction::new(), |all, n| all.put(key(&format!("k{n}")), vec![0; 1024 * 1024], None));
    let started = Instant::now();
    redis.commit(&large).await.expect("it only takes its time");
    assert!(started.elapsed() > Duration::from_secs(2), "the line was not slow");
}
