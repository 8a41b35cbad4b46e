//! `linchpin conformance`: what a backend does of what the contract says.

mod backend;
mod file;
mod matrix;
mod page;
mod progress;

use crate::exit::{ABSENT, Failure, INVALID, SOFTWARE, UNAVAILABLE};
use crate::global::Global;
use crate::output;
use crate::signals::Signals;
use backend::Backend;
use clap::builder::NonEmptyStringValueParser;
use file::ReportFile;
use linchpin_conformance::{Options, Report, Verdict, cases, report};
use progress::Progress;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Hold a backend to the contract and show what it keeps
///
/// Runs the published suite: every sentence of the contract has a case that proves it. What the backend declares must
/// work, what it does not declare must be refused.
///
/// It may be run against a server that is in use. Every case works in fresh namespaces of its own, called
/// conformance-<16 hex digits>, which are cleared when it ends and erased after the last one; no other namespace is
/// touched. The suite does make the server work: some thousand writes, values of up to a few megabytes, thousands of messages, for about half a minute.
/// Cases that do harm to a server are not run, and shown as "no faults offered".
///
/// Ctrl-C lets the cases that are under way end and clear up, and shows what is known by then; the second one does not
/// wait.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The backend, instead of --url
    #[arg(value_name = "URL", value_hint = clap::ValueHint::Url)]
    backend: Option<String>,
    /// Write the report to this file too: .html is a page to read, .md and .json are for others to read
    #[arg(long, value_name = "FILE", value_parser = ReportFile::parse, value_hint = clap::ValueHint::FilePath)]
    report: Option<ReportFile>,
    /// Only the cases whose id contains this text
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    filter: Option<String>,
    /// How many cases run at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// How long one case may take before it counts as hanging
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// How long erasing what the suite's namespaces leave may take.
const ERASE_WITHIN: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  linchpin conformance redis://localhost:6379
  linchpin conformance nats://localhost:4222 --report nats.html
  linchpin conformance memory:// --filter lock. --output json

Exit codes: 0 if no case failed, 1 if one did, 69 if the backend cannot be reached. All of them: `linchpin --help`.";

impl Args {
    fn options(&self) -> Result<Options, Failure> {
        let options = Options::default().case_limit(self.timeout).parallelism(self.threads.into());
        let Some(text) = &self.filter else { return Ok(options) };
        let options = options.filter(text);
        if cases().iter().any(|case| options.chooses(case)) {
            return Ok(options);
        }
        Err(Failure::new(
            INVALID,
            format!("no case has {text:?} in its id; ids begin with their area, as lock. and state. do"),
        ))
    }
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let url = args.backend.as_deref().or(global.url()).ok_or_else(|| {
        Failure::invalid(
            "which backend? give its URL, as in `linchpin conformance redis://localhost:6379`, or set LINCHPIN_URL",
        )
    })?;
    let options = args.options()?;
    if let Some(file) = &args.report {
        file.check()?;
    }
    let backend = Backend::open(url).await?;
    let command = backend.command(args.filter.as_deref());
    let traces = backend.traces();
    let (report, signal) = observed(global, backend, options).await?;
    let erased = tokio::time::timeout(ERASE_WITHIN, traces.erase()).await;
    if !matches!(erased, Ok(Ok(()))) {
        global.voice().warn("what is kept of the suite's cleared namespaces could not be erased: it is at the backend under conformance-*");
    }
    if report.capabilities().is_none() {
        return Err(Failure::new(UNAVAILABLE, format!("the backend is gone: {}", report.description())));
    }
    if let Some(file) = &args.report {
        file.write(&report, &command)?;
    }
    let shown = if global.is_json() { json(&report)? } else { matrix::of(&report, global.title_style()) };
    output::write(shown.as_bytes()).await?;
    if let Some(signal) = signal {
        return Err(Failure::of_signal(signal));
    }
    let failed = report.count(None, Verdict::Failed) > 0;
    Ok(if failed { ExitCode::from(ABSENT) } else { ExitCode::SUCCESS })
}

fn json(report: &Report) -> Result<String, Failure> {
    let text = serde_json::to_string(report);
    text.map(|text| text + "\n").map_err(|error| Failure::new(SOFTWARE, format!("the report is no JSON: {error}")))
}

/// Runs the suite on threads of its own. The first signal stops it where it can be stopped, and comes back with what is
/// known by then; the second one ends all.
async fn observed(
    global: &Global,
    backend: Backend,
    options: Options,
) -> Result<(Report, Option<rustix::process::Signal>), Failure> {
    let _taken = global.take_signals();
    let mut signals =
        Signals::catch().map_err(|error| Failure::new(SOFTWARE, format!("cannot catch signals: {error}")))?;
    let progress = Arc::new(Progress::new());
    let observer = progress.clone();
    let mut suite = tokio::task::spawn_blocking(move || report(backend, &options, &*observer));
    let mut stopped = None;
    let ended = loop {
        tokio::select! {
            ended = &mut suite => break ended,
            signal = signals.next() => {
                progress.stop();
                if stopped.replace(signal).is_some() {
                    progress.finish();
                    return Err(Failure::of_signal(signal));
                }
            }
        }
    };
    progress.finish();
    let report = ended.map_err(|error| Failure::new(SOFTWARE, format!("the suite ended unexpectedly: {error}")))?;
    Ok((report, stopped))
}
