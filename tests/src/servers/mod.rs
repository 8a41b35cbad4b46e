//! Servers for tests: bound to 127.0.0.1, and gone with their data when dropped, when a test panics and even
//! when the test process is killed.

mod container;
mod guard;
mod process;
mod redis;

pub use redis::{CLOCK_STEPPED_BACK, RedisServer};

use async_trait::async_trait;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL_EACH: Duration = Duration::from_millis(20);

/// How often a server is started, each time on another port, before that counts as a failure.
const ATTEMPTS: u32 = 3;

/// A running server, and what can be done to it.
#[async_trait]
trait Server: Send + Sync {
    fn url(&self) -> String;

    fn origin(&self) -> &'static str;

    async fn pause(&self) -> Result<(), String> {
        Err(self.not_offered("pause"))
    }

    async fn resume(&self) -> Result<(), String> {
        Err(self.not_offered("resume"))
    }

    async fn kill(&self) -> Result<(), String> {
        Err(self.not_offered("kill"))
    }

    async fn restart(&self) -> Result<(), String> {
        Err(self.not_offered("restart"))
    }

    fn not_offered(&self, what: &str) -> String {
        format!("{what} is not offered for a server of origin {:?}", self.origin())
    }
}

/// A port that nothing listens on, though something may by the time it is used: then take another.
///
/// It is below the ports that systems pick for `:0` and for outgoing connections. So no client can take it
/// while its server is killed, not even the one that keeps connecting to it.
fn free_port() -> Result<u16, String> {
    (0..100)
        .map(|_| fastrand::u16(15_000..30_000))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "found no free port from 15000 to 29999".to_owned())
}

/// Waits for a server to become ready, as long as one may take.
async fn in_time(ready: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(READY_WITHIN, ready)
        .await
        .unwrap_or_else(|_| Err(format!("did not answer PING within {} s", READY_WITHIN.as_secs())))
}

/// Whether a server answers PING on this connection: refusing it for want of a password is an answer,
/// that it is still loading its data is none.
async fn answers(connect: impl Future<Output = io::Result<impl AsyncRead + AsyncWrite + Unpin>>) -> bool {
    let ask = async {
        let mut stream = connect.await?;
        stream.write_all(b"PING\r\n").await?;
        let mut reply = [0; 64];
        let length = stream.read(&mut reply).await?;
        io::Result::Ok(length > 0 && !reply.starts_with(b"-LOADING"))
    };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}
