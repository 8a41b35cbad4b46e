//! Servers for tests: bound to 127.0.0.1, and gone with their data when dropped, when a test panics and even
//! when the test process is killed.

mod clock;
mod container;
mod family;
mod folder;
mod guard;
mod nats;
mod nats_cluster;
mod pgbouncer;
mod postgres;
mod process;
mod redis;
mod server;
mod sql;

pub use nats::{Nats, NatsServer};
pub use nats_cluster::NatsCluster;
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, PostgresServer};
pub use redis::{Redis, RedisServer, RedisVersion};
pub use server::{Packaged, Place, Program, Software, TestServer};
pub use sql::sql;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL_EACH: Duration = Duration::from_millis(20);

/// How often a server is started, each time on another port, before that counts as a failure.
const ATTEMPTS: u32 = 3;

/// A port that nothing listens on, though something may by the time it is used: then take another.
///
/// It is below the ports that systems pick for `:0` and for outgoing connections. So no client can take it
/// while its server is killed, not even the one that keeps connecting to it.
fn free_port() -> Result<u16, String> {
    // One that was given to a server stays its own, also while that is killed and the port looks free.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..100)
        .map(|_| fastrand::u16(15_000..30_000))
        .find(|port| is_free(port) && GIVEN.lock().is_ok_and(|mut given| given.insert(*port)))
        .ok_or_else(|| "found no free port from 15000 to 29999".to_owned())
}

/// Whether a server did not start because something listens on its port, by what it said or Docker did.
fn port_was_taken(failure: &str) -> bool {
    ["port is already allocated", "address already in use"].iter().any(|taken| failure.contains(taken))
}

/// A name for what belongs to one server, which no other has.
fn unique_name<S: Software>() -> String {
    format!("linchpin-{}-{}-{:08x}", S::NAME, std::process::id(), fastrand::u32(..))
}

/// Waits for a server to become ready, as long as one may take.
async fn in_time(ready: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(READY_WITHIN, ready)
        .await
        .unwrap_or_else(|_| Err(format!("did not become ready within {} s", READY_WITHIN.as_secs())))
}

/// The first line that a server sends once it was told this, if one comes within a second.
async fn first_line(
    connect: impl Future<Output = std::io::Result<impl AsyncRead + AsyncWrite + Unpin>>,
    tell: &str,
) -> Option<String> {
    let ask = async {
        let mut stream = BufReader::new(connect.await?);
        stream.write_all(tell.as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        std::io::Result::Ok(line)
    };
    timeout(Duration::from_secs(1), ask).await.ok()?.ok().filter(|line| line.ends_with('\n'))
}
