//! Faults: a server of a case's own that may be paused, killed and restarted, behind a connection that may be cut.

mod proxy;

pub use proxy::{Direction, Proxy};

use crate::failure::{Failure, here};
use async_trait::async_trait;
use linchpin_core::{Driver, Namespace, Result};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How somebody sets a server's clock, or the network's time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockStep {
    /// To what it told before.
    Back(Duration),
    /// To what it would tell later.
    Forward(Duration),
}

impl ClockStep {
    /// How far it goes, in microseconds: less than none if it goes back.
    pub fn micros(self) -> i64 {
        let micros = |by: Duration| i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        match self {
            Self::Back(by) => -micros(by),
            Self::Forward(by) => micros(by),
        }
    }
}

/// A server that one case has for itself, to do harm to. Dropping it ends it. A harness gives it by
/// [`Harness::fault_server`](crate::Harness::fault_server).
///
/// # Examples
/// A process that keeps its data in a folder:
/// ```no_run
/// # use linchpin_memory::{MemoryConfig as MyConfig, MemoryCoordination as MyCoordination};
/// use linchpin_conformance::{FaultServer, async_trait};
/// use linchpin_core::{Driver, Namespace, Result};
/// use std::net::{SocketAddr, TcpStream};
/// use std::path::{Path, PathBuf};
/// use std::process::{Child, Command};
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// struct MyServer {
///     address: SocketAddr,
///     data: PathBuf,
///     process: Mutex<Child>,
/// }
///
/// /// Starts it, and returns once it answers.
/// async fn start(address: SocketAddr, data: &Path) -> Result<Child, String> {
///     let mut command = Command::new("my-server");
///     let started = command.arg("--listen").arg(address.to_string()).arg("--data").arg(data).spawn();
///     let mut process = started.map_err(|error| format!("cannot start my-server: {error}"))?;
///     for _ in 0..500 {
///         if TcpStream::connect(address).is_ok() {
///             return Ok(process);
///         }
///         if let Ok(Some(status)) = process.try_wait() {
///             return Err(format!("my-server ended: {status}"));
///         }
///         tokio::time::sleep(Duration::from_millis(20)).await;
///     }
///     let _ = process.kill().and_then(|()| process.wait());
///     Err("my-server does not answer".to_owned())
/// }
///
/// impl MyServer {
///     fn signal(&self, signal: &str) -> Result<(), String> {
///         let process = self.process.lock().map_err(|error| error.to_string())?.id();
///         let sent = Command::new("kill").args([signal, &process.to_string()]).status();
///         sent.map(drop).map_err(|error| format!("cannot send {signal}: {error}"))
///     }
/// }
///
/// #[async_trait]
/// impl FaultServer for MyServer {
///     fn address(&self) -> Option<SocketAddr> {
///         Some(self.address)
///     }
///     async fn connect(&self, through: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
///         let url = format!("my-scheme://{}", through.unwrap_or(self.address));
///         let config = MyConfig::from_url(&url)?.namespace(namespace.clone());
///         Ok(MyCoordination::connect(config).await?.driver())
///     }
///     async fn pause(&self) -> Result<(), String> {
///         self.signal("-STOP")
///     }
///     async fn resume(&self) -> Result<(), String> {
///         self.signal("-CONT")
///     }
///     async fn kill(&self) -> Result<(), String> {
///         let mut process = self.process.lock().map_err(|error| error.to_string())?;
///         process.kill().and_then(|()| process.wait()).map(drop).map_err(|error| error.to_string())
///     }
///     async fn restart(&self) -> Result<(), String> {
///         let process = start(self.address, &self.data).await?;
///         *self.process.lock().map_err(|error| error.to_string())? = process;
///         Ok(())
///     }
/// }
///
/// impl Drop for MyServer {
///     fn drop(&mut self) {
///         if let Ok(process) = self.process.get_mut() {
///             let _ = process.kill().and_then(|()| process.wait());
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait FaultServer: Send + Sync + 'static {
    /// Where it listens; the same after a restart. `None` if nothing is connected to it that could be cut: the cases
    /// that cut connections are reported as not offered then.
    fn address(&self) -> Option<SocketAddr>;

    /// Opens a new handle to a namespace as [`Harness::connect`](crate::Harness::connect) does, through a proxy that
    /// listens at `through`, or straight to the server.
    ///
    /// # Errors
    /// What opening fails with.
    async fn connect(&self, through: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>>;

    /// Stops its clock: connections stay open and get no answers until it is resumed.
    ///
    /// # Errors
    /// Why it could not be paused: that fails the case.
    async fn pause(&self) -> Result<(), String>;

    /// Lets it go on.
    ///
    /// # Errors
    /// Why it could not be resumed: that fails the case.
    async fn resume(&self) -> Result<(), String>;

    /// Ends it as a crash would.
    ///
    /// # Errors
    /// Why it could not be killed: that fails the case.
    async fn kill(&self) -> Result<(), String>;

    /// Starts it again after it was killed, with what it had stored, and returns once it answers.
    ///
    /// # Errors
    /// Why it could not be restarted: that fails the case.
    async fn restart(&self) -> Result<(), String>;

    /// Steps the clock that the server goes by, while it runs and serves, and returns once the server sees that. `false`
    /// if this harness cannot do that: then the case is reported as not offered.
    ///
    /// # Errors
    /// Why it failed: that fails the case.
    async fn step_clock(&self, _step: ClockStep) -> Result<bool, String> {
        Ok(false)
    }

    /// Loses everything that the server has stored, as a failover to an empty replica does. `false` if this harness
    /// cannot do that: then the case is reported as not offered.
    ///
    /// # Errors
    /// Why it failed: that fails the case.
    async fn lose_everything(&self) -> Result<bool, String> {
        Ok(false)
    }

    /// Keeps a copy of all that the server has stored, and returns once it answers, should it have to be restarted for
    /// that. `false` if this harness cannot do that: then the case is reported as not offered.
    ///
    /// # Errors
    /// Why it failed: that fails the case.
    async fn keep_copy(&self) -> Result<bool, String> {
        Ok(false)
    }

    /// Ends the server as a crash would, and starts it again with the copy that was kept and nothing else, as one is that
    /// is restored from a backup. Returns once it answers.
    ///
    /// # Errors
    /// Why it failed: that fails the case.
    async fn restart_with_copy(&self) -> Result<(), String> {
        Err("this harness keeps no copies".to_owned())
    }
}

/// What a fault case may do to its server and to the connections of its handles.
#[derive(Clone)]
pub struct Faults {
    server: Arc<dyn FaultServer>,
    proxy: Option<Arc<Proxy>>,
}

impl Faults {
    pub(crate) async fn new(server: Arc<dyn FaultServer>) -> std::result::Result<Self, String> {
        let proxy = match server.address() {
            Some(address) => {
                let proxy = Proxy::start(address).await.map_err(|error| format!("cannot start a proxy: {error}"))?;
                Some(Arc::new(proxy))
            }
            None => None,
        };
        Ok(Self { server, proxy })
    }

    /// Opens a handle whose connections the proxy may cut.
    pub(crate) async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        let through = self.proxy.as_ref().map(|proxy| proxy.address());
        self.server.connect(through, namespace).await
    }

    /// Opens a handle that is not cut off with the others.
    pub(crate) async fn connect_beside(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        self.server.connect(None, namespace).await
    }

    /// The connections of the case's handles.
    ///
    /// # Errors
    /// If the harness offers none, or no handle has used the proxy: then cutting it would prove nothing.
    #[track_caller]
    pub fn proxy(&self) -> std::result::Result<&Proxy, Failure> {
        let Some(proxy) = self.proxy.as_ref() else { return Err(Failure::not_offered()) };
        if proxy.taken() == 0 {
            return Err(Failure::new("no connection of this case's handles goes through the proxy"));
        }
        Ok(proxy)
    }

    /// Stops the server's clock.
    ///
    /// # Errors
    /// If the server cannot be paused.
    #[track_caller]
    pub fn pause(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { self.server.pause().await.map_err(Failure::new) })
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// If the server cannot be resumed.
    #[track_caller]
    pub fn resume(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { self.server.resume().await.map_err(Failure::new) })
    }

    /// Ends the server as a crash would.
    ///
    /// # Errors
    /// If the server cannot be killed.
    #[track_caller]
    pub fn kill(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { self.server.kill().await.map_err(Failure::new) })
    }

    /// Starts the server again.
    ///
    /// # Errors
    /// If the server cannot be restarted.
    #[track_caller]
    pub fn restart(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { self.server.restart().await.map_err(Failure::new) })
    }

    /// Steps the clock that the server goes by.
    ///
    /// # Errors
    /// If it failed, or the harness cannot do that.
    #[track_caller]
    pub fn step_clock(&self, step: ClockStep) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { offered(self.server.step_clock(step).await) })
    }

    /// Loses everything that the server has stored.
    ///
    /// # Errors
    /// If it failed, or the harness cannot do that.
    #[track_caller]
    pub fn lose_everything(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { offered(self.server.lose_everything().await) })
    }

    /// Keeps a copy of all that the server has stored.
    ///
    /// # Errors
    /// If it failed, or the harness cannot do that.
    #[track_caller]
    pub fn keep_copy(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { offered(self.server.keep_copy().await) })
    }

    /// Restarts the server with the copy that was kept.
    ///
    /// # Errors
    /// If it failed.
    #[track_caller]
    pub fn restart_with_copy(&self) -> impl Future<Output = std::result::Result<(), Failure>> {
        here(async move { self.server.restart_with_copy().await.map_err(Failure::new) })
    }
}

fn offered(done: std::result::Result<bool, String>) -> std::result::Result<(), Failure> {
    if done.map_err(Failure::new)? { Ok(()) } else { Err(Failure::not_offered()) }
}
