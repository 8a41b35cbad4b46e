//! Three NATS servers that replicate to each other.

use super::clock::Time;
use super::process::Process;
use super::server::Server;
use super::{ATTEMPTS, Nats, POLL_EACH, Software, free_port, in_time, port_was_taken, unique_name};
use serde_json::Value;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What a server tells of all that it holds, each with the leader it follows.
const LEADERS: &str = "/jsz?accounts=true&streams=true&consumers=true";

/// A cluster of three local servers, for what only replicas show: another leader, a stale read, a minority.
///
/// Like a [`NatsServer`](super::NatsServer) each survives [`kill`](Self::kill) with its data, and is gone
/// with it once this is dropped. The servers count from 0.
pub struct NatsCluster(Vec<Node>);

struct Node {
    process: Process<Nats>,
    monitor: u16,
}

impl NatsCluster {
    /// Starts the servers and waits until they are [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// Says what is missing and how to get it, or what a server said instead of becoming ready.
    pub async fn start() -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::start_on([free_port()?, free_port()?, free_port()?]).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => failure = error,
            }
            if !port_was_taken(&failure) {
                break;
            }
        }
        Err(failure)
    }

    async fn start_on(routes: [u16; 3]) -> Result<Self, String> {
        let routes = routes.map(|port| format!("nats://127.0.0.1:{port}"));
        let all = routes.join(",");
        // Its own: a server whose port another cluster takes meanwhile must not join that.
        let name = unique_name::<Nats>();
        let mut nodes = Vec::new();
        for route in &routes {
            let monitor = free_port()?;
            let port = monitor.to_string();
            let cluster = ["--cluster_name", &name, "--cluster", route, "--routes", &all, "--http_port", &port];
            nodes.push(Node { process: Process::start(Nats::program(), &cluster, Time::Machines).await?, monitor });
        }
        let cluster = Self(nodes);
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Waits until every server that runs has caught up, and follows leaders that run: the cluster's own,
    /// and those of its streams and consumers. After a [`kill`](Self::kill) that takes some seconds, as no
    /// server is missed at once.
    ///
    /// # Errors
    ///
    /// If one does not, in time: fewer than two servers never do, nor does a paused one.
    pub async fn ready(&self) -> Result<(), String> {
        let mut running = Vec::new();
        for node in &self.0 {
            if node.process.runs().await? {
                running.push(node);
            }
        }
        let names: Vec<_> = running.iter().map(|node| node.process.name()).collect();
        for node in running {
            let ready = in_time(async {
                while !node.is_ready(&names).await {
                    if !node.process.runs().await? {
                        return Err("was killed".to_owned());
                    }
                    sleep(POLL_EACH).await;
                }
                Ok(())
            });
            ready.await.map_err(|error| node.process.failed(&error))?;
        }
        Ok(())
    }

    /// Where to connect: the URLs of all servers, in their order, with commas in between.
    pub fn url(&self) -> String {
        self.0.iter().map(|node| node.process.url()).collect::<Vec<_>>().join(",")
    }

    /// The URL of one server.
    ///
    /// # Panics
    ///
    /// Here and below, if there is no such server.
    pub fn url_of(&self, server: usize) -> String {
        self.0[server].process.url()
    }

    /// The server that has this name, which JetStream calls a leader or a replica by.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|node| node.process.name() == name)
    }

    /// Stops one server's clock: connections stay open and get no answers until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// If the server is not running.
    pub async fn pause(&self, server: usize) -> Result<(), String> {
        self.0[server].process.pause().await
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, server: usize) -> Result<(), String> {
        self.0[server].process.resume().await
    }

    /// Ends one server as a crash would, paused or not, and returns once it is gone.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn kill(&self, server: usize) -> Result<(), String> {
        self.0[server].process.kill().await
    }

    /// Starts one server again on the same ports and the same data, and waits until it takes connections.
    /// That it has caught up with the others tells [`ready`](Self::ready). A server that still runs is
    /// killed first.
    ///
    /// # Errors
    ///
    /// If it does not take connections again.
    pub async fn restart(&self, server: usize) -> Result<(), String> {
        self.0[server].process.restart().await
    }
}

impl Node {
    /// Health alone does not tell: a stream that has lost its leader counts as healthy.
    async fn is_ready(&self, running: &[&str]) -> bool {
        let healthy = self.get("/healthz").await.is_some_and(|health| health["status"] == "ok");
        healthy && self.get(LEADERS).await.is_some_and(|told| led_by(&told, running))
    }

    /// What the server's monitor tells, if it does within a second.
    async fn get(&self, path: &str) -> Option<Value> {
        let ask = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.monitor)).await?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await?;
            io::Result::Ok(reply)
        };
        let reply = timeout(Duration::from_secs(1), ask).await.ok()?.ok()?;
        serde_json::from_str(reply.split_once("\r\n\r\n")?.1).ok()
    }
}

/// Whether each cluster in there, at any depth, has one of these as its leader.
fn led_by(told: &Value, leaders: &[&str]) -> bool {
    match told {
        Value::Object(fields) => fields.iter().all(|(name, value)| match name.as_str() {
            "cluster" | "meta_cluster" => leaders.iter().any(|leader| value["leader"] == *leader),
            _ => led_by(value, leaders),
        }),
        Value::Array(items) => items.iter().all(|item| led_by(item, leaders)),
        _ => true,
    }
}
