//! Redis as a local `redis-server` process.

use super::guard::{Guard, detach};
use super::{ATTEMPTS, POLL_EACH, Server, answers, free_port, in_time};
use async_trait::async_trait;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::sleep;

const MISSING: &str = "redis-server is not on PATH: `make setup` installs it where it can; by hand: \
                       apt install redis-server (Debian), brew install redis (macOS)";

/// A server of our own, its data in a folder of its own.
pub(super) struct Process {
    // Dropped in this order: the server ends before its folder goes.
    running: Mutex<Option<Running>>,
    folder: Folder,
    port: u16,
    args: Vec<String>,
}

impl Process {
    pub(super) async fn start(args: &[&str]) -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            let server = Self {
                running: Mutex::new(None),
                folder: Folder::create()?,
                port: free_port()?,
                args: args.iter().map(ToString::to_string).collect(),
            };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error) => failure = error,
            }
            // Only what ended by itself may have met a taken port.
            if server.running.lock().await.is_some() || failure == MISSING {
                break;
            }
        }
        Err(failure)
    }

    fn tls(&self) -> bool {
        self.args.iter().any(|arg| arg == "--tls-cert-file")
    }

    fn spawn(&self) -> Result<Running, String> {
        let folder = self.folder.path()?;
        let port = self.port.to_string();
        let log = File::create(self.folder.file("redis.log")).map_err(|error| format!("cannot log: {error}"))?;
        let errors = log.try_clone().map_err(|error| format!("cannot log: {error}"))?;

        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--dir", folder, "--unixsocket"]).arg(self.folder.file("redis.sock"));
        command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        if self.tls() {
            command.args(["--port", "0", "--tls-port", &port]);
        } else {
            command.args(["--port", &port]);
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(log).stderr(errors);
        detach(&mut command);
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MISSING.to_owned(),
            _ => format!("cannot run redis-server: {error}"),
        })?;

        let pid = child.id().to_string();
        let mut running = Running { child, guard: None };
        running.guard = Some(Guard::set(r#"kill -9 "$1"; rm -rf "$2""#, &[&pid, folder])?);
        Ok(running)
    }

    /// The server's own socket is asked: something else may listen on the port, and TLS needs no client.
    /// Redis opens it after the port.
    async fn ready(&self, running: &mut Option<Running>) -> Result<(), String> {
        let socket = self.folder.file("redis.sock");
        let ready = in_time(async {
            while !answers(UnixStream::connect(&socket)).await {
                let Some(Running { child, .. }) = running else { return Err("is not running".to_owned()) };
                match child.try_wait() {
                    Ok(None) => sleep(POLL_EACH).await,
                    Ok(Some(status)) => {
                        *running = None;
                        return Err(format!("ended: {status}"));
                    }
                    Err(error) => return Err(format!("cannot be waited for: {error}")),
                }
            }
            Ok(())
        });
        ready.await.map_err(|error| {
            let log = fs::read_to_string(self.folder.file("redis.log")).unwrap_or_default();
            format!("redis-server on port {} {error}\n{log}", self.port)
        })
    }

    async fn signal(&self, signal: &str) -> Result<(), String> {
        let running = self.running.lock().await;
        let pid = running.as_ref().ok_or("redis-server is not running")?.child.id();
        crate::signal(pid, signal).await
    }
}

#[async_trait]
impl Server for Process {
    fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls() { "rediss" } else { "redis" }, self.port)
    }

    fn origin(&self) -> &'static str {
        "process"
    }

    async fn pause(&self) -> Result<(), String> {
        self.signal("STOP").await
    }

    async fn resume(&self) -> Result<(), String> {
        self.signal("CONT").await
    }

    async fn kill(&self) -> Result<(), String> {
        self.running.lock().await.take().map(drop).ok_or_else(|| "redis-server is not running".to_owned())
    }

    async fn restart(&self) -> Result<(), String> {
        let mut running = self.running.lock().await;
        drop(running.take());
        *running = Some(self.spawn()?);
        self.ready(&mut running).await
    }
}

/// The process: killed, waited for, and only then left by its guard.
struct Running {
    child: Child,
    guard: Option<Guard>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.guard.take());
    }
}

/// A folder below the system's temporary one, removed with its content.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self, String> {
        let name = format!("linchpin-redis-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    fn path(&self) -> Result<&str, String> {
        self.0.to_str().ok_or_else(|| format!("the path of {} is not UTF-8", self.0.display()))
    }

    fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
