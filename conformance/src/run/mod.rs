//! Running the suite against one backend.

mod judge;
mod observed;
mod options;
mod supervise;

pub use judge::{Judged, judge};
pub use observed::{Observer, report};
pub use options::Options;

use crate::case::Case;
use crate::cases::cases;
use crate::context::{Context, Home};
use crate::harness::Harness;
use crate::report::{Backend, Report};
use judge::Judge;
use libtest_mimic::{Arguments, Completion, FormatSetting, Trial};
use linchpin_core::Capabilities;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use supervise::supervised;
use tokio::runtime::{Builder, Runtime};

/// How long a server may take to come up: its image may have to be fetched first.
const START_LIMIT: Duration = Duration::from_mins(10);

/// How long background tasks may take to end when all is over.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Holds the harness's backend to every case, as the arguments of the process and its environment say.
/// To be returned from `main` of a test target with `harness = false`.
pub fn run(harness: impl Harness) -> ExitCode {
    run_with(harness, &Options::from_env())
}

/// Like [`run`], with options of the caller's.
pub fn run_with(harness: impl Harness, options: &Options) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Cases mostly wait, so more of them than cores can run at a time.
    arguments.test_threads.get_or_insert(options.parallelism);
    arguments.filter = arguments.filter.or_else(|| options.filter.clone());
    if options.skips(harness.name()) {
        return skip(harness.name(), &arguments, options);
    }
    if arguments.list {
        let trials = cases().iter().map(|case| Trial::test(case.id, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    match runtime(options) {
        Ok(runtime) => run_on(runtime, Arc::new(harness), arguments, options),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run_on(runtime: Runtime, harness: Arc<dyn Harness>, arguments: Arguments, options: &Options) -> ExitCode {
    let exit_code = match bring_up(&runtime, &harness) {
        Ok(backend) => run_cases(&runtime, &harness, backend, &arguments, options),
        Err(reason) => fail_for_want_of(harness.name(), &reason, arguments, options),
    };
    take_down(runtime, harness);
    exit_code
}

/// A thread per case: one that is busy is no reason for another to be late.
fn runtime(options: &Options) -> Result<Runtime, String> {
    let threads = options.parallelism.max(1);
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|error| format!("the suite could not start its runtime: {error}"))
}

/// The backend, once its server is up.
fn bring_up(runtime: &Runtime, harness: &Arc<dyn Harness>) -> Result<Backend, String> {
    let started = supervised(runtime.handle(), START_LIMIT, start(harness.clone()));
    let capabilities = started.unwrap_or_else(|stopped| Err(stopped.to_string()))?;
    Ok(Backend { name: harness.name().to_owned(), description: harness.describe(), capabilities })
}

fn take_down(runtime: Runtime, harness: Arc<dyn Harness>) {
    // Within the runtime: a harness may hold containers, which end asynchronously.
    runtime.block_on(async move { drop(harness) });
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
}

/// Brings the server up and asks it what it can do.
async fn start(harness: Arc<dyn Harness>) -> Result<Capabilities, String> {
    harness.start().await?;
    let home = Home::new(harness).map_err(|error| error.to_string())?;
    let ctx = Context::open(home.clone()).await.map_err(|error| error.to_string())?;
    let capabilities = ctx.capabilities().clone();
    home.clean_up().await.map_err(|error| error.to_string())?;
    Ok(capabilities)
}

fn run_cases(
    runtime: &Runtime,
    harness: &Arc<dyn Harness>,
    backend: Backend,
    arguments: &Arguments,
    options: &Options,
) -> ExitCode {
    let judge = Arc::new(Judge::new(runtime.handle().clone(), harness.clone(), options.case_limit));
    let trial = |case: &'static Case| {
        let judge = judge.clone();
        match options.why_left_out(case.id) {
            Some(reason) => Trial::ignorable_test(case.id, move || Ok(Completion::ignored_with(reason))),
            None => Trial::ignorable_test(case.id, move || judge.try_case(case)),
        }
    };
    if let Some((id, _)) = options.left_out.iter().find(|(id, _)| cases().iter().all(|case| case.id != *id)) {
        eprintln!("{id} is to be left out, but there is no such case");
        return ExitCode::FAILURE;
    }
    let trials = cases().iter().map(trial).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    let reported = finish(&judge.report(backend), arguments, options);
    if conclusion.has_failed() { conclusion.exit_code() } else { reported }
}

/// A backend that cannot be started was not tested, and that is a failure, whatever the filters.
fn fail_for_want_of(name: &str, reason: &str, mut arguments: Arguments, options: &Options) -> ExitCode {
    arguments.filter = None;
    arguments.skip.clear();
    arguments.ignored = false;
    let message = format!("{reason}\nto leave this backend out on purpose, set LINCHPIN_TEST_SKIP={name}");
    let trial = Trial::test(format!("backend {name} is available"), move || Err(message.into()));
    let conclusion = libtest_mimic::run(&arguments, vec![trial]);
    finish(&Report::unavailable(name, reason), &arguments, options);
    conclusion.exit_code()
}

/// A backend that was left out on purpose says so.
fn skip(name: &str, arguments: &Arguments, options: &Options) -> ExitCode {
    let why = skipped_by_name(name);
    if !is_json(arguments) {
        println!("\n*** SKIPPED: {why}; NOTHING is tested ***");
    }
    let ignored = || Completion::ignored_with("skipped by name");
    let trials = cases().iter().map(|case| Trial::ignorable_test(case.id, move || Ok(ignored()))).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    if arguments.list {
        return conclusion.exit_code();
    }
    finish(&Report::skipped(name, &why), arguments, options)
}

fn skipped_by_name(name: &str) -> String {
    format!("the backend {name} is named by LINCHPIN_TEST_SKIP")
}

/// Shows the report, and writes it where the options say.
fn finish(report: &Report, arguments: &Arguments, options: &Options) -> ExitCode {
    if !is_json(arguments) {
        print!("{}", report.summary());
    }
    let Some(dir) = &options.report_dir else { return ExitCode::SUCCESS };
    match report.write_to(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the report could not be written to {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

fn is_json(arguments: &Arguments) -> bool {
    matches!(arguments.format, Some(FormatSetting::Json))
}
