//! The program under test, the server that it talks to, and what can be done to both.

use linchpin::election::CANDIDATES;
use linchpin::lock::LOCKS;
use linchpin::{Coordinator, Page, Range};
use linchpin_conformance::Proxy;
use linchpin_tests::servers::RedisServer;
use linchpin_tests::signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Longer than anything may take, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The program, built once, where the running cargo puts its own.
pub(crate) fn built() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| linchpin_tests::command().expect("built"));
    &BUILT
}

/// A program that starts another with the signals as they are by default: a shell that starts tests in the background
/// has them ignore SIGINT, and what they start too. Where there is no such program, tests are started in the foreground.
async fn reset() -> &'static [&'static str] {
    static RESET: OnceCell<&[&str]> = OnceCell::const_new();
    const ENV: &[&str] = &["env", "--default-signal"];
    let find = async || {
        let tried = Command::new(ENV[0]).args(&ENV[1..]).arg("true").stderr(Stdio::null()).status().await;
        if tried.is_ok_and(|status| status.success()) { ENV } else { &[] }
    };
    RESET.get_or_init(find).await
}

/// The program with nothing in its environment that says something to it.
pub(crate) async fn linchpin(arguments: &[&str]) -> Command {
    let program = built();
    let mut command = match reset().await.split_first() {
        Some((env, options)) => {
            let mut command = Command::new(env);
            command.args(options).arg(program);
            command
        }
        None => Command::new(program),
    };
    for variable in ["LINCHPIN_URL", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) errors: String,
}

impl Ran {
    pub(crate) async fn of(command: Command, input: Option<&[u8]>) -> Self {
        Self::within(SOON, command, input).await
    }

    pub(crate) async fn within(limit: Duration, mut command: Command, input: Option<&[u8]>) -> Self {
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut process = command.spawn().expect("it starts");
        if let (Some(mut stdin), Some(input)) = (process.stdin.take(), input) {
            // It may end before it has read everything.
            let _ = stdin.write_all(input).await;
        }
        let output = timeout(limit, process.wait_with_output()).await.expect("in time").expect("it ends");
        Self {
            code: output.status.code().expect("it was not killed"),
            out: output.stdout,
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// What it printed, having ended well.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        std::str::from_utf8(&self.out).expect("text")
    }

    /// The objects that it printed, a line each, having ended well.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("json")).collect()
    }

    pub(crate) fn failed(self, code: i32, saying: &str) -> Self {
        assert!(self.code == code && self.errors.contains(saying), "not {code} {saying:?}: {self:?}");
        self
    }
}

/// A server, and a namespace of its own for a test.
pub(crate) struct World {
    pub(crate) server: RedisServer,
    pub(crate) url: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::start().await.expect("a server");
        let url = format!("{}/?namespace=cli-{:x}", server.url(), fastrand::u64(..));
        Self { server, url }
    }

    pub(crate) async fn command(&self, arguments: &[&str]) -> Command {
        let mut command = linchpin(arguments).await;
        command.env("LINCHPIN_URL", &self.url);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).await, None).await
    }

    pub(crate) async fn run_with(&self, input: &[u8], arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).await, Some(input)).await
    }

    /// Starts it and leaves it running.
    pub(crate) async fn begin(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments).await)
    }

    /// A network of its own between a client and the server.
    pub(crate) async fn proxy(&self) -> Proxy {
        let server = self.server.url();
        let server = server.strip_prefix("redis://").expect("a server without TLS");
        let found = tokio::net::lookup_host(server).await.expect("it is known").next();
        Proxy::start(found.expect("an address")).await.expect("a proxy")
    }

    /// The same namespace of the same server, as seen through the proxy.
    pub(crate) fn url_through(&self, proxy: &Proxy) -> String {
        self.url.replace(&self.server.url(), &format!("redis://{}", proxy.address()))
    }

    pub(crate) async fn coordinator(&self) -> Coordinator {
        linchpin::connect(&self.url).await.expect("connected")
    }

    /// Waits until so many hold a lock or wait for it.
    pub(crate) async fn wants(&self, lock: &str, wanted: usize) {
        self.keys(&LOCKS.group(lock).expect("a name"), wanted).await;
    }

    /// Waits until so many stand for an election and do not lead.
    pub(crate) async fn stands(&self, election: &str, wanted: usize) {
        self.keys(&CANDIDATES.group(election).expect("a name"), wanted).await;
    }

    async fn keys(&self, prefix: &str, wanted: usize) {
        let coordinator = self.coordinator().await;
        let range = Range::prefix(prefix).expect("a prefix");
        let found = async || {
            let page = coordinator.driver().scan(&range, &Page::first_keys()).await.expect("scanned");
            page.entries.len() == wanted
        };
        until(&format!("{wanted} keys under {prefix}"), found).await;
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let seen = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, seen).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// The program while it runs.
pub(crate) struct Running {
    process: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { input: process.stdin.take(), process, lines }
    }

    /// The next line that it, or what it runs, prints.
    pub(crate) async fn says(&mut self) -> String {
        let line = timeout(SOON, self.lines.next_line()).await.expect("in time").expect("readable");
        if let Some(line) = line {
            return line;
        }
        let mut errors = String::new();
        let _ = self.process.stderr.take().expect("piped").read_to_string(&mut errors).await;
        panic!("it ended: {errors}")
    }

    pub(crate) async fn says_json(&mut self) -> Value {
        serde_json::from_str(&self.says().await).expect("json")
    }

    pub(crate) async fn signal(&self, name: &str) {
        signal(self.process.id().expect("it runs"), name).await.expect("sent");
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().expect("looked").is_none()
    }

    /// Ends its input, for a command that goes on until then.
    pub(crate) fn close(&mut self) {
        self.input = None;
    }

    /// Stops reading what it prints.
    pub(crate) fn deaf(self) -> Deaf {
        drop(self.lines);
        Deaf { process: self.process, _input: self.input }
    }

    /// Waits for its end: its exit code, `None` for a signal, and what it said on its standard error.
    pub(crate) async fn ends(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        let mut stderr = self.process.stderr.take().expect("piped");
        let end = async {
            stderr.read_to_string(&mut errors).await.expect("text");
            self.process.wait().await.expect("it ends").code()
        };
        let code = timeout(SOON, end).await.expect("in time");
        (code, errors)
    }
}

/// A program whose output nobody reads any more.
pub(crate) struct Deaf {
    process: Child,
    _input: Option<ChildStdin>,
}

impl Deaf {
    pub(crate) async fn ends(mut self) -> Option<i32> {
        timeout(SOON, self.process.wait()).await.expect("in time").expect("it ends").code()
    }
}

/// Whether a process runs; one that nobody has waited for yet does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    // The state follows the name, which is in parentheses and may hold anything.
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|status| !status.rsplit_once(") ").expect("a state").1.starts_with(['Z', 'X']))
}
