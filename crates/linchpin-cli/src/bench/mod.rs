//! `linchpin bench`: the port against the raw client doing the same work, interleaved in one run.
//!
//! The same server, the same runtime, one call after the other in an order that rotates: whatever drifts hits all
//! alike. What is compared is the ratio. `bench/raw` is the work by hand.

mod at_once;
mod contender;
mod facts;
mod page;
mod problem;
mod progress;
mod raw;
mod report;
mod sampling;
mod sections;
mod tables;
mod targets;
mod text;
mod turns;
mod words;

use crate::exit::Failure;
use crate::global::Global;
use crate::report_file;
use crate::signals::Signals;
use async_trait::async_trait;
use linchpin::Coordinator;
use problem::{Problem, Result};
use progress::Progress;
#[cfg(feature = "postgres")]
use raw::postgres;
use raw::{Raw, nats, redis};
use report::Report;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use url::form_urlencoded;

/// What is written and published.
const PAYLOAD: &[u8] = &[7; 100];
/// Long enough that nothing expires while it is measured.
const VALUE_TTL: Duration = Duration::from_mins(10);
const LOCK_TTL: Duration = Duration::from_secs(10);

/// Measure the port against the raw client doing the same work
///
/// Without a URL, here and in LINCHPIN_URL, what needs no server: what a call costs above the driver, and the backend
/// in memory. With the URL of a server - Redis, Valkey, NATS with JetStream, or Postgres - everything: single calls and
/// throughput against the same guarantees written by hand and against the raw client's plain calls, the hand-over of a
/// lock, what many processes cost, 10,000 leases, 1,000 subscribers; of Postgres also what its tables take. It works in a namespace of its own (on
/// Postgres in a schema linchpin_bench too) and removes it; the server should have nothing else to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  linchpin bench --only dispatch --only memory   # what needs no server
  linchpin bench redis://localhost:6379 --quick  # everything, in a tenth of the rounds
  linchpin bench nats://localhost:4222 --html bench.html
  linchpin bench postgres://localhost/shop --only soak
  linchpin bench nats://localhost:4222 --only calls --only throughput --json bench.json

`make bench` in linchpin's repository builds an optimised command and gives it servers of its own.")]
pub(crate) struct Args {
    /// The server to measure; the one of --url unless given
    #[arg(value_name = "URL")]
    backend: Option<String>,
    /// Run only this section; may be given several times
    #[arg(long, value_name = "SECTION", value_enum)]
    only: Vec<Section>,
    /// A tenth of the rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    json: Option<PathBuf>,
    /// Write a page with tables and plots to a file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// Take the allocations of calls from the --json of a build that counts them, which makes calls slower
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    allocations: Option<PathBuf>,
    /// Exit with 1 if a target is missed
    #[arg(long)]
    check: bool,
}

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// What a call costs above the driver, and its allocations
    Dispatch,
    /// The backend in memory
    Memory,
    /// Single calls against the raw client
    Calls,
    /// The times that the specification asks for
    Specification,
    /// Many tasks at once against the raw client
    Throughput,
    /// A lock that many want
    Handover,
    /// What one more process costs, and what several get done
    Processes,
    /// 10,000 leases held by one process
    Leases,
    /// 1,000 subscribers in one process
    Fanout,
    /// What tables take while very much goes through them; of Postgres
    Soak,
}

impl Section {
    const ALL: [Self; 10] = [
        Self::Dispatch,
        Self::Memory,
        Self::Calls,
        Self::Specification,
        Self::Throughput,
        Self::Handover,
        Self::Processes,
        Self::Leases,
        Self::Fanout,
        Self::Soak,
    ];

    const fn needs_server(self) -> bool {
        !matches!(self, Self::Dispatch | Self::Memory)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Memory => "memory",
            Self::Calls => "calls",
            Self::Specification => "specification",
            Self::Throughput => "throughput",
            Self::Handover => "handover",
            Self::Processes => "processes",
            Self::Leases => "leases",
            Self::Fanout => "fanout",
            Self::Soak => "soak",
        }
    }
}

/// How much is done, and whether it is shown.
#[derive(Clone, Copy)]
struct Pace {
    quick: bool,
    quiet: bool,
}

impl Pace {
    fn rounds(self, full: usize) -> usize {
        if self.quick { (full / 10).max(2) } else { full }
    }

    fn progress(self, section: &str, steps: usize) -> Progress {
        Progress::begin(section, steps, self.quiet)
    }
}

/// Where it is done: a server, and a namespace that is ours alone.
struct Site<S> {
    url: String,
    namespace: String,
    server: S,
}

impl<S> Site<S> {
    /// What `linchpin::connect` gives, in our namespace.
    async fn coordinator(&self) -> Result<Coordinator> {
        Ok(Coordinator::builder(&self.url).namespace(&self.namespace).connect().await?)
    }

    /// The same as another process has it, one of so many, by way of this URL.
    async fn process(&self, url: &str, number: usize) -> Result<Coordinator> {
        Ok(Coordinator::builder(alone(url, number)).namespace(&self.namespace).connect().await?)
    }
}

/// A URL unlike those of other numbers: handles of one process that connect alike may share connections.
fn alone(url: &str, number: usize) -> String {
    const KEY: &str = "response_timeout_ms";
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut timeout, mut alone) = (5000, form_urlencoded::Serializer::new(String::new()));
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match value.parse::<usize>() {
            Ok(told) if key == KEY => timeout = told,
            _ => {
                alone.append_pair(&key, &value);
            }
        }
    }
    format!("{place}?{}", alone.append_pair(KEY, &(timeout + number).to_string()).finish())
}

/// A server of whatever kind.
#[async_trait]
trait Place: Send + Sync {
    async fn facts(&self) -> Result<report::ServerFacts>;
    /// Whether there are tables to look at.
    fn has_tables(&self) -> bool;
    /// Measures one of the sections that need a server.
    async fn measure(&self, section: Section, pace: Pace, report: &mut Report) -> Result<()>;
    /// Leaves nothing behind.
    async fn sweep(&self) -> Result<()>;
}

#[async_trait]
impl<S: Raw> Place for Site<S> {
    async fn facts(&self) -> Result<report::ServerFacts> {
        let coordinator = self.coordinator().await?;
        let facts = self.server.facts(coordinator.driver().capabilities(), 1).await;
        coordinator.shutdown().await?;
        facts
    }

    fn has_tables(&self) -> bool {
        S::HAS_TABLES
    }

    async fn measure(&self, section: Section, pace: Pace, report: &mut Report) -> Result<()> {
        match section {
            Section::Dispatch | Section::Memory => {}
            Section::Calls => report.calls = sections::calls::run(self, pace).await?,
            Section::Specification => report.specification = sections::specification::run(self, pace).await?,
            Section::Throughput => report.throughput = sections::throughput::run(self, pace).await?,
            Section::Handover => {
                let (handover, why) = sections::handover::run(self, pace).await?;
                report.handover = Some(handover);
                report.leave_out(section.name(), why);
            }
            Section::Processes => {
                let (processes, why) = sections::processes::run(self, pace).await?;
                report.processes = Some(processes);
                report.leave_out(section.name(), why);
            }
            Section::Leases => report.leases = Some(sections::leases::run(self, pace).await?),
            Section::Fanout => report.fanout = Some(sections::fanout::run(self, pace).await?),
            Section::Soak => report.soak = Some(sections::soak::run(self, pace).await?),
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<()> {
        self.server.sweep().await
    }
}

/// The server that a URL names; `None` where it names none.
fn place(url: Option<&str>) -> Result<Option<Arc<dyn Place>>> {
    let Some(url) = url else { return Ok(None) };
    let namespace = format!("bench-{:016x}", fastrand::u64(..));
    let owned = url.to_owned();
    Ok(Some(match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "rediss") => {
            Arc::new(Site { url: owned, server: redis::Server::new(url, &namespace)?, namespace })
        }
        Some("nats" | "tls") => Arc::new(Site { url: owned, server: nats::Server::new(url, &namespace)?, namespace }),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            Arc::new(Site { url: owned, server: postgres::Server::new(url, &namespace)?, namespace })
        }
        Some("memory") => return Ok(None),
        // Not repeated: a password may be in it.
        _ => {
            let postgres = if cfg!(feature = "postgres") { "postgres://, postgresql://, " } else { "" };
            let schemes = format!("redis://, rediss://, nats://, tls://, {postgres}or memory://");
            return Err(Problem::invalid(format!("the URL to measure starts with {schemes}")));
        }
    }))
}

const NO_SERVER: &str = "needs a server: give redis://host, nats://host or postgres://host/database";
const NO_TABLES: &str = "needs tables that can be looked at: give postgres://host/database";

/// Runs the sections, prints the report.
pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let pace = Pace { quick: args.quick, quiet: false };
    let site = place(args.backend.as_deref().or(global.url()))?;
    [&args.json, &args.html].into_iter().flatten().try_for_each(|file| report_file::check(file))?;
    let counted = args.allocations.as_deref().map(Report::read).transpose()?;
    let mut report = measured(global, site, pace, args.only).await?;
    if let Some(counted) = &counted {
        report.take_allocations(counted);
    }
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Problem::new(error.to_string()))?;
        report_file::write(file, &(json + "\n"))?;
    }
    if let Some(file) = &args.html {
        report_file::write(file, &page::of(&report))?;
    }
    let object = || match serde_json::to_value(&report) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    global.print(|| text::text(&report, global.title_style()), object).await?;
    let missed = report.targets.iter().any(|target| !target.met);
    Ok(if args.check && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Measures, and leaves nothing behind on the server, also when a signal ends it.
async fn measured(
    global: &Global,
    site: Option<Arc<dyn Place>>,
    pace: Pace,
    only: Vec<Section>,
) -> Result<Report, Failure> {
    let _taken = global.take_signals();
    let mut signals = Signals::catch()?;
    // On a task of its own: what it awaits is woken as in an application, and not as on the main thread.
    let mut measuring = tokio::spawn(measure(site.clone(), pace, only));
    let report = tokio::select! {
        report = &mut measuring => report.unwrap_or_else(|error| Err(error.into())).map_err(Failure::from),
        signal = signals.next() => {
            measuring.abort();
            let _ = measuring.await;
            Err(Failure::of_signal(signal))
        }
    };
    let swept = match site {
        Some(site) => site.sweep().await,
        None => Ok(()),
    };
    // What failed first is told.
    let report = report?;
    swept?;
    Ok(report)
}

/// Measures what applies to the site.
async fn measure(site: Option<Arc<dyn Place>>, pace: Pace, only: Vec<Section>) -> Result<Report> {
    for section in &only {
        if let Some(why) = lacks(*section, site.as_deref()) {
            return Err(Problem::invalid(format!("{} {why}", section.name())));
        }
    }
    let mut report = Report { version: Report::VERSION, facts: facts::gather(pace.quick), ..Report::default() };
    if let Some(site) = &site {
        report.facts.server = Some(site.facts().await?);
    }
    for section in Section::ALL.into_iter().filter(|section| only.is_empty() || only.contains(section)) {
        if let Some(why) = lacks(section, site.as_deref()) {
            report.leave_out(section.name(), Some(format!("it {why}")));
            continue;
        }
        let measured = Box::pin(measure_section(section, site.as_deref(), pace, &mut report)).await;
        measured.map_err(|problem| problem.during(section.name()))?;
    }
    report.targets = targets::of(&report);
    Ok(report)
}

/// What a section needs and has not.
fn lacks(section: Section, site: Option<&dyn Place>) -> Option<&'static str> {
    match site {
        None if section.needs_server() => Some(NO_SERVER),
        Some(site) if section == Section::Soak && !site.has_tables() => Some(NO_TABLES),
        _ => None,
    }
}

async fn measure_section(section: Section, site: Option<&dyn Place>, pace: Pace, report: &mut Report) -> Result<()> {
    match (section, site) {
        (Section::Dispatch, _) => report.dispatch = sections::dispatch::run(pace).await?,
        (Section::Memory, _) => report.memory = sections::memory::run(pace).await?,
        (section, Some(site)) => site.measure(section, pace, report).await?,
        (_, None) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_a_server_the_rest_is_left_out_by_name() {
        let pace = Pace { quick: true, quiet: true };
        let report = measure(None, pace, Vec::new()).await.expect("measured");
        let left_out: Vec<&str> = report.left_out.iter().map(|one| one.section.as_str()).collect();
        assert_eq!(
            left_out,
            ["calls", "specification", "throughput", "handover", "processes", "leases", "fanout", "soak"]
        );
        // An optimised build is no part of a test: only that every figure is there.
        assert_eq!(report.targets.len(), 6);
        assert!(report.targets.iter().all(|target| target.measured.is_finite()), "{:?}", report.targets);
        let json = serde_json::to_string(&report).expect("JSON");
        let read: Report = serde_json::from_str(&json).expect("read back");
        let plain = clap::builder::styling::Style::new();
        assert_eq!(text::text(&read, plain), text::text(&report, plain));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_what_is_asked_for_is_run() {
        let pace = Pace { quick: true, quiet: true };
        let report = measure(None, pace, vec![Section::Dispatch]).await.expect("measured");
        assert!(!report.dispatch.is_empty() && report.memory.is_empty() && report.left_out.is_empty());
    }

    #[tokio::test]
    async fn a_section_that_cannot_be_run_is_not_passed_over_when_asked_for() {
        let pace = Pace { quick: true, quiet: true };
        let problem = measure(None, pace, vec![Section::Calls]).await.expect_err("there is no server");
        assert!(Failure::from(problem).message.starts_with("calls needs a server"));
    }

    #[test]
    fn a_process_connects_like_no_other() {
        for (url, own) in [
            ("redis://h:1", "redis://h:1?response_timeout_ms=5003"),
            ("nats://a,b?name=x%20y", "nats://a,b?name=x+y&response_timeout_ms=5003"),
            (
                "postgres://u@h/d?response_timeout_ms=70&sslmode=disable",
                "postgres://u@h/d?sslmode=disable&response_timeout_ms=73",
            ),
        ] {
            assert_eq!(alone(url, 3), own);
        }
    }

    #[test]
    fn only_a_server_with_tables_is_soaked() {
        let redis = place(Some("redis://localhost")).expect("a server");
        assert_eq!(lacks(Section::Soak, redis.as_deref()), Some(NO_TABLES));
        assert_eq!((lacks(Section::Calls, redis.as_deref()), lacks(Section::Memory, None)), (None, None));
        #[cfg(feature = "postgres")]
        assert_eq!(lacks(Section::Soak, place(Some("postgres://localhost")).expect("a server").as_deref()), None);
    }

    #[test]
    fn a_url_names_a_server_or_none_or_is_refused_without_being_repeated() {
        assert!(place(None).expect("none").is_none());
        assert!(place(Some("memory://shop")).expect("none").is_none());
        for url in
            ["redis://me:canary@localhost:7000/3?namespace=a", "nats://me:canary@localhost,other:7000?replicas=3"]
        {
            assert!(place(Some(url)).expect("a server").is_some(), "{url}");
        }
        let refused = [
            "me:canary@localhost",
            "http://me:canary@localhost",
            "redis://me:canary@localhost:x",
            "nats://me:canary@localhost:x",
            "postgres://me:canary@localhost:x",
        ];
        for url in refused {
            let failure = Failure::from(place(Some(url)).map(drop).expect_err(url));
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
    }
}
