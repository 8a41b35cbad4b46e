//! A primary, a standby of it, and a handle that the way leads to now the one and now the other.

use super::{SOON, address, ask, config, connect, key, refused, server};
use linchpin::{ErrorKind, Outcome, Retry, Transaction};
use linchpin_tests::servers::{PostgresServer, sql};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What a name or a proxy does: each connection goes to where it leads at the time.
struct Way {
    to: Arc<Mutex<SocketAddr>>,
    address: SocketAddr,
}

impl Way {
    async fn to(server: &PostgresServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address");
        let to = Arc::new(Mutex::new(address(server)));
        let leads = to.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = *leads.lock();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { to, address: own }
    }

    fn leads_to(&self, server: &PostgresServer) {
        *self.to.lock() = address(server);
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }
}

async fn data(server: &PostgresServer) -> PathBuf {
    ask(server, "SHOW data_directory").await.into()
}

/// The copy is whose the data is.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-Rp").args([from, to]).status().expect("it runs");
    assert!(done.success(), "{} {}", from.display(), to.display());
}

/// Makes a server a standby when it starts next.
fn stand_by(data: &Path) {
    std::fs::write(data.join("standby.signal"), "").expect("written");
}

/// A primary and its standby, which has what the primary had a moment ago.
async fn pair() -> (PostgresServer, PostgresServer) {
    let primary = server().await;
    connect(&primary.url()).await.close().await.expect("closed");
    let address = address(&primary);
    let follow = format!("primary_conninfo=host={} port={} user=postgres", address.ip(), address.port());
    let standby = PostgresServer::start_local(&["-c", &follow]).await.expect("a server");
    let (from, to) = (data(&primary).await, data(&standby).await);
    primary.kill().await.expect("killed");
    standby.kill().await.expect("killed");
    std::fs::remove_dir_all(&to).expect("removed");
    copy(&from, &to);
    stand_by(&to);
    primary.restart().await.expect("restarted");
    standby.restart().await.expect("restarted");
    assert_eq!(ask(&standby, "SELECT pg_is_in_recovery()").await, "t");
    (primary, standby)
}

/// Waits until the standby has a value.
async fn has(standby: &PostgresServer, value: &str) {
    let has = format!("SELECT linchpin.get('default', 'k') = '{value}'");
    let arrived = async {
        while sql(&standby.url(), &has).await.unwrap_or_default() != "t" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, arrived).await.expect("it follows");
}

fn put(value: &'static str) -> Transaction {
    Transaction::new().put(key("k"), value, None)
}

#[tokio::test]
async fn a_standby_answers_nothing() {
    let (primary, standby) = pair().await;
    let way = Way::to(&standby).await;
    let error = refused(config(&way.url())).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    assert!(error.to_string().contains("standby"), "{error}");

    way.leads_to(&primary);
    let postgres = connect(&way.url()).await;
    postgres.commit(&put("1")).await.expect("a commit");
    has(&standby, "1").await;
    // The next connection leads astray, and what it is asked is not answered: the last one is closed by then.
    way.leads_to(&standby);
    sleep(Duration::from_secs(12)).await;
    for _ in 0..3 {
        let error = postgres.get(&[key("k")]).await.expect_err("it may be old");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
        let error = postgres.commit(&put("2")).await.expect_err("it is read-only");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    }
    let health = postgres.health().await.expect("an answer");
    assert!(health.degraded.iter().any(|reason| reason.contains("standby")), "{health:?}");
    // And is left as soon as it leads to the primary again.
    way.leads_to(&primary);
    assert!(matches!(postgres.commit(&put("2")).await, Ok(Outcome::Committed { .. })));
    let snapshot = postgres.get(&[key("k")]).await.expect("a read");
    assert_eq!(snapshot.entries[0].as_ref().expect("written").value, "2");
    assert!(postgres.health().await.expect("an answer").degraded.is_empty());
}

#[tokio::test]
async fn nothing_old_is_read_from_a_primary_that_was_demoted() {
    let (old, new) = pair().await;
    let way = Way::to(&old).await;
    let postgres = connect(&way.url()).await;
    let reading = {
        let postgres = postgres.clone();
        postgres.commit(&put("1")).await.expect("a commit");
        has(&new, "1").await;
        tokio::spawn(async move {
            loop {
                let read = postgres.get(&[key("k")]).await;
                if read.is_ok_and(|read| read.entries[0].as_ref().is_some_and(|entry| entry.value == "2")) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
    };
    let folder = data(&old).await;
    old.kill().await.expect("killed");
    ask(&new, "SELECT pg_promote()").await;
    connect(&new.url()).await.commit(&put("2")).await.expect("it takes writes");
    // The old one comes back as a standby, with what it had, and the way leads to it for a while yet.
    stand_by(&folder);
    old.restart().await.expect("restarted");
    assert_eq!(ask(&old, "SELECT pg_is_in_recovery()").await, "t");
    assert_eq!(ask(&old, "SELECT convert_from(linchpin.get('default', 'k'), 'UTF8')").await, "1");
    for _ in 0..20 {
        if let Ok(snapshot) = postgres.get(&[key("k")]).await {
            panic!("an old answer: {snapshot:?}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    let health = postgres.health().await.expect("an answer");
    assert!(health.degraded.iter().any(|reason| reason.contains("standby")), "{health:?}");
    way.leads_to(&new);
    timeout(SOON, reading).await.expect("in time").expect("no panic");
}
