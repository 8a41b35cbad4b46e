//! A server as a local process.

use super::clock::{Clock, Time};
use super::family::{self, family};
use super::folder::{Folder, command_in};
use super::guard::{Guard, detach};
use super::server::Server;
use super::{ATTEMPTS, POLL_EACH, Place, Program, Software, free_port, in_time, unique_name};
use async_trait::async_trait;
use std::fs::{self, File};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use tokio::sync::Mutex;
use tokio::time::sleep;

/// A server of our own, its data in a folder of its own.
pub(super) struct Process<S> {
    // Dropped in this order: the server ends before its folder goes.
    running: Mutex<Option<Running>>,
    folder: Folder,
    /// What was kept of it.
    copy: Mutex<Option<Folder>>,
    name: String,
    port: u16,
    program: PathBuf,
    args: Vec<String>,
    clock: Option<Clock>,
    software: PhantomData<S>,
}

impl<S: Software> Process<S> {
    pub(super) async fn start(program: Program, args: &[&str], time: Time) -> Result<Self, String> {
        let program = program.find()?;
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            let name = unique_name::<S>();
            let server = Self {
                running: Mutex::new(None),
                folder: Folder::create::<S>(&name)?,
                copy: Mutex::new(None),
                name,
                port: free_port()?,
                program: program.clone(),
                args: args.iter().map(ToString::to_string).collect(),
                clock: Clock::make::<S>(time).await?,
                software: PhantomData,
            };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error) => failure = error,
            }
            // Only what ended by itself may have met a taken port.
            if server.running.lock().await.is_some() {
                break;
            }
        }
        Err(failure)
    }

    /// The name that no other server has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs; not once it was killed.
    ///
    /// # Errors
    ///
    /// If it has ended by itself.
    pub(super) async fn runs(&self) -> Result<bool, String> {
        let mut running = self.running.lock().await;
        if running.is_some() { still_runs(&mut running).map(|()| true) } else { Ok(false) }
    }

    /// An error of this server's, along with what the server said.
    pub(super) fn failed(&self, error: &str) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        format!("{}-server on port {} {error}\n{log}", S::NAME, self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join(format!("{}.log", S::NAME))
    }

    fn not_running() -> String {
        format!("{}-server is not running", S::NAME)
    }

    fn place(&self) -> Place<'_> {
        Place { name: &self.name, port: self.port, folder: Some(self.folder.path()) }
    }

    async fn spawn(&self) -> Result<Running, String> {
        let program = S::prepare(&self.place(), &self.program, &self.args).await?;
        let log = File::create(self.log()).map_err(|error| format!("cannot log: {error}"))?;
        let errors = log.try_clone().map_err(|error| format!("cannot log: {error}"))?;
        let mut command = command_in(self.folder.path(), &program);
        command.args(S::arguments(&self.place(), &self.args)).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.envs(self.clock.iter().flat_map(|clock| Clock::environment(clock.folder())));
        detach(&mut command);
        let child = command.spawn().map_err(|error| format!("cannot run {}: {error}", program.display()))?;

        let (pid, ours) = (child.id().to_string(), std::process::id().to_string());
        let folder = self.folder.path().display().to_string();
        let mut running = Running { child, guard: None };
        let end = family::script(r#"orphaned "$1" "$3"; end "$1"; rm -rf "$2""#);
        running.guard = Some(Guard::set(&end, &[&pid, &folder, &ours])?);
        Ok(running)
    }

    async fn ready(&self, running: &mut Option<Running>) -> Result<(), String> {
        let ready = in_time(async {
            while !S::answers(&self.place()).await {
                still_runs(running)?;
                sleep(POLL_EACH).await;
            }
            Ok(())
        });
        ready.await.map_err(|error| self.failed(&error))?;
        S::contain(&self.place()).await;
        Ok(())
    }

    async fn signal(&self, signal: &str) -> Result<(), String> {
        let running = self.running.lock().await;
        let pid = running.as_ref().ok_or_else(Self::not_running)?.child.id();
        for pid in family(pid).await? {
            crate::signal(pid, signal).await?;
        }
        Ok(())
    }
}

/// That the process has not ended by itself: then it is there no more.
fn still_runs(running: &mut Option<Running>) -> Result<(), String> {
    let Some(Running { child, .. }) = running else { return Err("is not running".to_owned()) };
    match child.try_wait() {
        Ok(None) => Ok(()),
        Ok(Some(status)) => {
            *running = None;
            Err(format!("ended: {status}"))
        }
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

#[async_trait]
impl<S: Software> Server for Process<S> {
    fn url(&self) -> String {
        S::url(self.port, &self.args)
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

    async fn step_clock(&self, by: i64) -> Result<bool, String> {
        self.clock.as_ref().map_or(Ok(false), |clock| clock.step(by).map(|()| true))
    }

    async fn kill(&self) -> Result<(), String> {
        self.running.lock().await.take().map(drop).ok_or_else(Self::not_running)
    }

    async fn restart(&self) -> Result<(), String> {
        let mut running = self.running.lock().await;
        drop(running.take());
        *running = Some(self.spawn().await?);
        self.ready(&mut running).await
    }

    async fn keep_copy(&self) -> Result<bool, String> {
        drop(self.running.lock().await.take());
        let copy = Folder::create::<S>(&format!("{}-copy", self.name))?;
        copy.take_over(&self.folder)?;
        *self.copy.lock().await = Some(copy);
        self.restart().await.map(|()| true)
    }

    async fn restart_with_copy(&self) -> Result<(), String> {
        drop(self.running.lock().await.take());
        self.folder.take_over(self.copy.lock().await.as_ref().ok_or("no copy was kept")?)?;
        self.restart().await
    }
}

/// The process: killed with its children, waited for, and only then left by its guard.
struct Running {
    child: Child,
    guard: Option<Guard>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whose end was noticed may have left its number to another.
        if let Ok(None) = self.child.try_wait() {
            family::end(self.child.id());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.guard.take());
    }
}
