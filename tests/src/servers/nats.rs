//! NATS with JetStream: how it is started, and asked whether it is ready.

use super::clock::Time;
use super::server::{provided, setting};
use super::{Packaged, Place, Program, Software, TestServer, first_line};
use async_trait::async_trait;
use std::net::Ipv4Addr;
use tokio::net::TcpStream;

/// A NATS server for tests, with JetStream on files. A local one is what `LINCHPIN_TEST_NATS_SERVER` names,
/// else `nats-server` on `PATH`, else the one that `make setup` has put into `target/servers`; with a
/// `--tlscert` among its arguments it speaks TLS only, at `tls://`.
///
/// Unlike Redis here, it syncs its files every two minutes only: what it has acknowledged survives its own
/// end, and not the machine's.
pub type NatsServer = TestServer<Nats>;

/// The software of a [`NatsServer`].
#[derive(Debug)]
pub enum Nats {}

#[async_trait]
impl Software for Nats {
    const NAME: &'static str = "nats";

    fn program() -> Program {
        let named = setting("LINCHPIN_TEST_NATS_SERVER").map(|program| vec![program.into()]);
        Program {
            candidates: named.unwrap_or_else(|| vec!["nats-server".into(), provided("nats-2.15.1/nats-server")]),
            missing: "nats-server is not at LINCHPIN_TEST_NATS_SERVER or, without that, on PATH or in target/servers: \
                      `make setup` gets it where it can; by hand: github.com/nats-io/nats-server/releases, \
                      brew install nats-server (macOS)",
        }
    }

    fn arguments(place: &Place<'_>, further: &[String]) -> Vec<String> {
        let data = place.folder.map_or_else(|| "/data".to_owned(), |folder| folder.display().to_string());
        let mut arguments = ["--name", place.name, "--jetstream", "--store_dir", &data].map(String::from).to_vec();
        if place.folder.is_some() {
            let port = place.port.to_string();
            arguments.extend(["--addr", "127.0.0.1", "--port", &port].map(String::from));
        }
        arguments.extend_from_slice(further);
        arguments
    }

    fn url(port: u16, further: &[String]) -> String {
        let tls = further.iter().any(|arg| arg.trim_start_matches('-') == "tlscert");
        format!("{}://127.0.0.1:{port}", if tls { "tls" } else { "nats" })
    }

    /// The server introduces itself to whoever connects, before TLS and before any password. It does so
    /// once JetStream has recovered its streams, save in a cluster.
    async fn answers(place: &Place<'_>) -> bool {
        let info = first_line(TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)), "").await;
        let ours = format!(r#""server_name":"{}""#, place.name);
        info.is_some_and(|info| info.contains(&ours) && info.contains(r#""jetstream":true"#))
    }
}

impl Packaged for Nats {
    const IMAGE: &'static str = "nats:2.14";
    const PORT: u16 = 4222;
}

impl TestServer<Nats> {
    /// Starts a local server of the old version 2.9.10, whatever the environment says: it accepts and
    /// ignores what it does not know.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_old() -> Result<Self, String> {
        let old = Program {
            candidates: vec![provided("nats-2.9.10/nats-server")],
            missing: "nats-server 2.9.10 is not in target/servers: `make setup` gets it on Debian 12, as root; \
                      by hand: github.com/nats-io/nats-server/releases, to target/servers/nats-2.9.10/nats-server",
        };
        Self::start_program(old, &[], Time::Machines).await
    }
}
