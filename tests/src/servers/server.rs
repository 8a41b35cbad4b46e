//! Where a test's server comes from, whichever software it is.

use super::clock::Time;
use super::container::{self, Container};
use super::process::Process;
use async_trait::async_trait;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// What a test's server runs: where that comes from, how it is started, and how it shows that it is ready.
#[async_trait]
pub trait Software: Send + Sync + 'static {
    /// Its name, also that in `LINCHPIN_TEST_<NAME>_URL` and `LINCHPIN_TEST_<NAME>_IMAGE`.
    const NAME: &'static str;

    /// Whether it does not run as root: then `nobody` runs its local processes where we are root.
    const REFUSES_ROOT: bool = false;

    /// The program of its local processes.
    fn program() -> Program;

    /// The arguments for a server at this place, `further` ones after our own. The server keeps what it
    /// has acknowledged.
    fn arguments(place: &Place<'_>, further: &[String]) -> Vec<String>;

    /// Readies a local server's folder before each start of this program. Returns what to run, which is the
    /// program unless it has to be elsewhere.
    async fn prepare(_place: &Place<'_>, program: &Path, _further: &[String]) -> Result<PathBuf, String> {
        Ok(program.to_owned())
    }

    /// Sees to it that a local server, now that it is ready, leaves nothing outside of its folder when it is killed.
    async fn contain(_place: &Place<'_>) {}

    /// The URL of a server on this port of 127.0.0.1 that was started with these further arguments.
    fn url(port: u16, further: &[String]) -> String;

    /// Whether the server at this place is ready, and is the one that was started there.
    async fn answers(place: &Place<'_>) -> bool;
}

/// Software that there is an image of.
pub trait Packaged: Software {
    /// The image of its containers, unless `LINCHPIN_TEST_<NAME>_IMAGE` names another.
    const IMAGE: &'static str;

    /// The port that its containers listen on.
    const PORT: u16;

    /// The variables that its containers need.
    const ENVIRONMENT: &'static [(&'static str, &'static str)] = &[];
}

/// Where a server is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// A name that no other server has.
    pub name: &'a str,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The folder of its data: a container has its own.
    pub folder: Option<&'a Path>,
}

/// A program on this machine.
#[derive(Clone, Debug)]
pub struct Program {
    /// What to run: the first of these that exists. A bare name is looked up on `PATH`.
    pub candidates: Vec<PathBuf>,
    /// What to tell if none exists.
    pub missing: &'static str,
}

impl Program {
    pub(super) fn find(&self) -> Result<PathBuf, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let anywhere = |program: &PathBuf| match program.components().count() {
            1 => std::env::split_paths(&path).map(|folder| folder.join(program)).find(|program| program.is_file()),
            _ => std::path::absolute(program).ok().filter(|program| program.is_file()),
        };
        self.candidates.iter().find_map(anywhere).ok_or_else(|| self.missing.to_owned())
    }
}

/// What `make setup` puts at this path of `target/servers`.
pub(super) fn provided(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "target", "servers", path].iter().collect()
}

/// A running server, and what can be done to it.
#[async_trait]
pub(super) trait Server: Send + Sync {
    fn url(&self) -> String;

    fn origin(&self) -> &'static str;

    async fn pause(&self) -> Result<(), String> {
        Err(self.not_offered("pause"))
    }

    async fn resume(&self) -> Result<(), String> {
        Err(self.not_offered("resume"))
    }

    async fn step_clock(&self, _by: i64) -> Result<bool, String> {
        Ok(false)
    }

    async fn kill(&self) -> Result<(), String> {
        Err(self.not_offered("kill"))
    }

    async fn restart(&self) -> Result<(), String> {
        Err(self.not_offered("restart"))
    }

    async fn keep_copy(&self) -> Result<bool, String> {
        Ok(false)
    }

    async fn restart_with_copy(&self) -> Result<(), String> {
        Err(self.not_offered("a restart with a copy"))
    }

    fn not_offered(&self, what: &str) -> String {
        format!("{what} is not offered for a server of origin {:?}", self.origin())
    }
}

/// A server for tests: the one at `LINCHPIN_TEST_<NAME>_URL`, else a container if a Docker engine answers,
/// else a local process.
///
/// What was started here is reachable from this machine only, survives [`kill`](Self::kill) with all that
/// it has acknowledged, and is gone with its data once this is dropped.
pub struct TestServer<S> {
    server: Box<dyn Server>,
    software: PhantomData<S>,
}

impl<S: Packaged> TestServer<S> {
    /// Starts a server and waits until it answers.
    ///
    /// `LINCHPIN_TEST_SERVERS` chooses: `docker`, `local`, or `auto`, which is the default and takes Docker
    /// where an engine answers. `LINCHPIN_TEST_<NAME>_IMAGE` names the image, [`Packaged::IMAGE`] by default.
    ///
    /// # Errors
    ///
    /// Says what is missing and how to get it, or what the server said instead of becoming ready.
    pub async fn start() -> Result<Self, String> {
        Self::choose(Time::Machines).await
    }

    /// Starts a server as [`start`](Self::start) does, with a clock that [`step_clock`](Self::step_clock) steps, where
    /// that can be done: on Linux, and not to a server that somebody else runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with_own_clock() -> Result<Self, String> {
        Self::choose(Time::Own).await
    }

    async fn choose(time: Time) -> Result<Self, String> {
        if let Some(url) = Self::setting("URL") {
            return Ok(Self::of(Given(url)));
        }
        match setting("LINCHPIN_TEST_SERVERS").as_deref() {
            Some("docker") => Self::contained(time).await,
            Some("local") => Self::start_program(S::program(), &[], time).await,
            None | Some("auto") => match container::engine().await {
                Ok(_) => Self::contained(time).await,
                Err(no_engine) => Self::start_program(S::program(), &[], time)
                    .await
                    .map_err(|no_server| format!("{no_engine}\n{no_server}")),
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
        Self::contained(Time::Machines).await
    }

    async fn contained(time: Time) -> Result<Self, String> {
        let image = Self::setting("IMAGE").unwrap_or_else(|| S::IMAGE.to_owned());
        Ok(Self::of(Container::<S>::start(container::engine().await?, &image, time).await?))
    }

    /// Starts a local process, whatever `LINCHPIN_TEST_SERVERS` says, with these arguments after our own.
    ///
    /// With a certificate among them its port speaks TLS only, and [`url`](Self::url) says so.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_local(args: &[&str]) -> Result<Self, String> {
        Self::start_program(S::program(), args, Time::Machines).await
    }

    pub(super) async fn start_program(program: Program, args: &[&str], time: Time) -> Result<Self, String> {
        Ok(Self::of(Process::<S>::start(program, args, time).await?))
    }

    fn of(server: impl Server + 'static) -> Self {
        Self { server: Box::new(server), software: PhantomData }
    }

    fn setting(what: &str) -> Option<String> {
        setting(&format!("LINCHPIN_TEST_{}_{what}", S::NAME.to_uppercase()))
    }

    /// Where to connect, without a password: `redis://127.0.0.1:PORT` for one, or what `LINCHPIN_TEST_<NAME>_URL`
    /// says. It stays the same over [`restart`](Self::restart).
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What this is: `url`, `container` or `process`.
    pub fn origin(&self) -> &str {
        self.server.origin()
    }

    /// Stops the server's clock: connections stay open and get no answers until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// If the server is not running, or "not offered" for one of origin `url`.
    pub async fn pause(&self) -> Result<(), String> {
        self.server.pause().await
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<(), String> {
        self.server.resume().await
    }

    /// Steps the server's own clock by so many microseconds, back if they are less than none, while it runs. `false` if
    /// it goes by the machine's.
    ///
    /// # Errors
    ///
    /// If the clock cannot be stepped.
    pub async fn step_clock(&self, by: i64) -> Result<bool, String> {
        self.server.step_clock(by).await
    }

    /// Ends the server as a crash would, paused or not, and returns once it is gone.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn kill(&self) -> Result<(), String> {
        self.server.kill().await
    }

    /// Starts the server again on the same port and the same data, and waits until it answers. A server
    /// that still runs is killed first.
    ///
    /// # Errors
    ///
    /// If it does not become ready again, or "not offered" for one of origin `url`.
    pub async fn restart(&self) -> Result<(), String> {
        self.server.restart().await
    }

    /// Keeps a copy of all that the server has stored: it is killed and restarted for that. `false`, and nothing is done,
    /// for one that is no local process.
    ///
    /// # Errors
    ///
    /// If there is no room for it, or the server does not become ready again.
    pub async fn keep_copy(&self) -> Result<bool, String> {
        self.server.keep_copy().await
    }

    /// Kills the server, and starts it again with the copy that was kept instead of its data.
    ///
    /// # Errors
    ///
    /// If no copy was kept, or it does not become ready again.
    pub async fn restart_with_copy(&self) -> Result<(), String> {
        self.server.restart_with_copy().await
    }
}

/// A variable of the environment, if it says something.
pub(super) fn setting(name: &str) -> Option<String> {
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
