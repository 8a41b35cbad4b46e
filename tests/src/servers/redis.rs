//! Redis: how it is started, and asked whether it is ready.

use super::clock::Time;
use super::server::provided;
use super::{Packaged, Place, Program, Software, TestServer, first_line};
use async_trait::async_trait;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UnixStream};

/// A Redis server for tests, which syncs each write to the disk. A local one is `redis-server` on `PATH`;
/// with a `--tls-cert-file` among its arguments it speaks TLS only, at `rediss://`.
pub type RedisServer = TestServer<Redis>;

/// The software of a [`RedisServer`].
#[derive(Debug)]
pub enum Redis {}

#[async_trait]
impl Software for Redis {
    const NAME: &'static str = "redis";

    fn program() -> Program {
        Program {
            candidates: vec!["redis-server".into()],
            missing: "redis-server is not on PATH: `make setup` installs it where it can; by hand: \
                      apt install redis-server (Debian), brew install redis (macOS)",
        }
    }

    fn arguments(place: &Place<'_>, further: &[String]) -> Vec<String> {
        let mut arguments = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"].map(String::from).to_vec();
        if let Some(folder) = place.folder {
            let port = place.port.to_string();
            let ports: &[&str] = if tls(further) { &["--port", "0", "--tls-port", &port] } else { &["--port", &port] };
            let (data, socket) = (folder.display().to_string(), socket(folder).display().to_string());
            let local = ["--bind", "127.0.0.1", "--dir", &data, "--unixsocket", &socket];
            arguments.extend(local.iter().chain(ports).map(ToString::to_string));
        }
        arguments.extend_from_slice(further);
        arguments
    }

    fn url(port: u16, further: &[String]) -> String {
        format!("{}://127.0.0.1:{port}", if tls(further) { "rediss" } else { "redis" })
    }

    /// A local server's own socket is asked: something else may listen on the port, and TLS needs no client.
    /// Redis opens it after the port.
    ///
    /// Refusing PING for want of a password is an answer, that it is still loading its data is none.
    async fn answers(place: &Place<'_>) -> bool {
        let reply = match place.folder {
            Some(folder) => first_line(UnixStream::connect(socket(folder)), "PING\r\n").await,
            None => first_line(TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)), "PING\r\n").await,
        };
        reply.is_some_and(|reply| !reply.starts_with("-LOADING"))
    }
}

impl RedisServer {
    /// Starts a local server of another version than Debian's, which `make setup` gets.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_version(version: RedisVersion) -> Result<Self, String> {
        let program = match version {
            RedisVersion::Redis6 => "redis-6.2.5/redis-server",
            RedisVersion::Redis8 => "redis-8.2.3/redis-server",
            RedisVersion::Valkey9 => "valkey-9.1.2/valkey-server",
        };
        let other = Program {
            candidates: vec![provided(program)],
            missing: "other versions of Redis are not in target/servers: `make setup` gets them on Linux; by hand: put \
                      redis-6.2.5/redis-server, redis-8.2.3/redis-server and valkey-9.1.2/valkey-server there",
        };
        Self::start_program(other, &[], Time::Machines).await
    }
}

/// A version that is held to the contract besides the one that is at hand.
#[derive(Clone, Copy, Debug)]
pub enum RedisVersion {
    /// 6.2.5: the oldest that is supported.
    Redis6,
    /// 8.2.3.
    Redis8,
    /// Valkey 9.1.2.
    Valkey9,
}

impl Packaged for Redis {
    const IMAGE: &'static str = "redis:7.2";
    const PORT: u16 = 6379;
}

fn tls(further: &[String]) -> bool {
    further.iter().any(|arg| arg == "--tls-cert-file")
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}
