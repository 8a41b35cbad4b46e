//! Where a test's Redis comes from.

use super::Server;
use super::container::{self, Container};
use super::process::Process;
use async_trait::async_trait;

/// A script that leaves a namespace as a clock does that was ahead and was then put right: the adapter has acted upon
/// a time in the future. `KEYS[1]` is the namespace's `meta`, `ARGV[1]` the microseconds.
pub const CLOCK_STEPPED_BACK: &str = "
    local rev, count, acted, offset = struct.unpack('<dddd', redis.call('GET', KEYS[1]))
    redis.call('SET', KEYS[1], struct.pack('<dddd', rev + ARGV[1], count, acted + ARGV[1], offset))";

/// A Redis server for tests: the one at `LINCHPIN_TEST_REDIS_URL`, else a container if a Docker engine
/// answers, else a local `redis-server` process.
///
/// What was started here is reachable from this machine only, survives [`kill`](Self::kill) with all that
/// it has acknowledged, and is gone with its data once this is dropped.
pub struct RedisServer(Box<dyn Server>);

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// `LINCHPIN_TEST_SERVERS` chooses: `docker`, `local`, or `auto`, which is the default and takes Docker
    /// where an engine answers. `LINCHPIN_TEST_REDIS_IMAGE` names the image, `redis:7.2` by default.
    ///
    /// # Errors
    ///
    /// Says what is missing and how to get it, or what the server said instead of becoming ready.
    pub async fn start() -> Result<Self, String> {
        if let Some(url) = setting("LINCHPIN_TEST_REDIS_URL") {
            return Ok(Self(Box::new(Given(url))));
        }
        match setting("LINCHPIN_TEST_SERVERS").as_deref() {
            Some("docker") => Self::start_container().await,
            Some("local") => Self::start_local(&[]).await,
            None | Some("auto") => match container::engine().await {
                Ok(_) => Self::start_container().await,
                Err(no_engine) => Self::start_local(&[]).await.map_err(|no_server| format!("{no_engine}\n{no_server}")),
            },
            Some(other) => Err(format!("LINCHPIN_TEST_SERVERS is {other:?}, not auto, docker or local")),
        }
    }

    /// Starts a container, whatever `LINCHPIN_TEST_SERVERS` says.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_container() -> Result<Self, String> {
        let image = setting("LINCHPIN_TEST_REDIS_IMAGE").unwrap_or_else(|| "redis:7.2".to_owned());
        Ok(Self(Box::new(Container::start(container::engine().await?, &image).await?)))
    }

    /// Starts a local process, whatever `LINCHPIN_TEST_SERVERS` says, with these arguments after our own.
    ///
    /// With a `--tls-cert-file` among them its port speaks TLS only, and [`url`](Self::url) is `rediss://`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_local(args: &[&str]) -> Result<Self, String> {
        Ok(Self(Box::new(Process::start(args).await?)))
    }

    /// Where to connect, without credentials: `redis://127.0.0.1:PORT`, or what `LINCHPIN_TEST_REDIS_URL`
    /// says. It stays the same over [`restart`](Self::restart).
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// What this is: `url`, `container` or `process`.
    pub fn origin(&self) -> &str {
        self.0.origin()
    }

    /// Stops the server's clock: connections stay open and get no answers until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// If the server is not running, or "not offered" for one of origin `url`.
    pub async fn pause(&self) -> Result<(), String> {
        self.0.pause().await
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<(), String> {
        self.0.resume().await
    }

    /// Ends the server as a crash would, paused or not, and returns once it is gone.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn kill(&self) -> Result<(), String> {
        self.0.kill().await
    }

    /// Starts the server again on the same port and the same data, and waits until it answers. A server
    /// that still runs is killed first.
    ///
    /// # Errors
    ///
    /// If it does not become ready again, or "not offered" for one of origin `url`.
    pub async fn restart(&self) -> Result<(), String> {
        self.0.restart().await
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server that somebody else runs: nothing can be done to it.
struct Given(String);

#[async_trait]
impl Server for Given {
    fn url(&self) -> String {
        self.0.clone()
    }

    fn origin(&self) -> &'static str {
        "url"
    }
}
