//! Judging one case at a time.

use super::supervise::supervised;
use crate::case::{Area, Case};
use crate::context::{Context, Home};
use crate::failure::Failure;
use crate::faults::Faults;
use crate::harness::Harness;
use crate::need::Need;
use crate::report::{Backend, CaseReport, Report, Verdict, says};
use libtest_mimic::{Completion, Failed};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;

/// How long clearing up after a case may take: it is no part of the contract, and the machine may have more to do.
const CLEAN_UP_LIMIT: Duration = Duration::from_mins(1);

const REFUSAL: &str =
    "What is not declared is refused with `Unsupported` before the backend is touched (a case for what it would need)";

/// What became of one case.
#[derive(Clone, Debug)]
pub struct Judged {
    /// How it ended.
    pub verdict: Verdict,
    /// Why it failed, or what was refused as declared.
    pub message: Option<String>,
    /// What the case itself found wrong. `None` if it found nothing, and also if it failed because it did not come to
    /// its end: no handle could be opened, it hung or panicked, or clearing up after it failed.
    pub failure: Option<Failure>,
}

impl Judged {
    fn good(verdict: Verdict, message: Option<String>) -> Self {
        Self { verdict, message, failure: None }
    }

    /// What the sentence says is not so.
    fn broken(sentence: &str, failure: Failure) -> Self {
        let message = format!("{}{failure}", says(sentence));
        Self { verdict: Verdict::Failed, message: Some(message), failure: Some(failure) }
    }

    fn failed(message: String) -> Self {
        Self { verdict: Verdict::Failed, message: Some(message), failure: None }
    }

    /// What the case wrote may still be there, which is a failure, and has to be known after another one too.
    fn not_cleaned(self, case: &Case, error: &str) -> Self {
        let uncleaned = format!("{}: clearing up after it failed: {error}", case.id);
        let before = self.message.filter(|_| self.verdict == Verdict::Failed);
        let message = before.map_or(uncleaned.clone(), |before| format!("{before}\n{uncleaned}"));
        Self { verdict: Verdict::Failed, message: Some(message), failure: self.failure }
    }
}

/// Runs one case, or the refusals that take its place, and cleans up after it. For whoever wants to know of one case,
/// as the tests of the suite itself do; [`run`](fn@crate::run) runs them all.
///
/// The harness must have been started. This blocks until the case has ended or `limit` has passed, so it is not to be
/// called on a thread of the runtime.
pub fn judge(harness: Arc<dyn Harness>, case: &'static Case, limit: Duration, runtime: &Handle) -> Judged {
    let home = match home(harness, case, limit, runtime) {
        Ok(Some(home)) => home,
        Ok(None) => return Judged::good(Verdict::NotOffered, None),
        Err(error) => return Judged::failed(error),
    };
    let ran = supervised(runtime, limit, attempt(case, home.clone()));
    let ran = ran.unwrap_or_else(|stopped| Judged::failed(format!("{}: {stopped}", case.id)));
    let cleaned = supervised(runtime, CLEAN_UP_LIMIT, async move { home.clean_up().await });
    let cleaned = match cleaned {
        Ok(cleaned) => cleaned.map_err(|error| error.to_string()),
        Err(stopped) => Err(stopped.to_string()),
    };
    match cleaned {
        Ok(()) => ran,
        Err(error) => ran.not_cleaned(case, &error),
    }
}

/// Where the case lives; `None` if it needs faults and the harness offers none.
fn home(
    harness: Arc<dyn Harness>,
    case: &Case,
    limit: Duration,
    runtime: &Handle,
) -> Result<Option<Arc<Home>>, String> {
    let text = |error: linchpin_core::Error| error.to_string();
    if case.area != Area::Faults {
        return Home::new(harness).map(Some).map_err(text);
    }
    let started = supervised(runtime, limit, faults(harness));
    match started.unwrap_or_else(|stopped| Err(format!("starting a server: {stopped}")))? {
        Some(faults) => Home::with_faults(faults).map(Some).map_err(text),
        None => Ok(None),
    }
}

/// Starts a server of a case's own, if the harness can.
async fn faults(harness: Arc<dyn Harness>) -> Result<Option<Faults>, String> {
    match harness.fault_server().await? {
        Some(server) => Faults::new(server).await.map(Some),
        None => Ok(None),
    }
}

/// Runs the case's body, or the refusals of what it needs and the backend does not declare.
async fn attempt(case: &'static Case, home: Arc<Home>) -> Judged {
    let ctx = match Context::open(home).await {
        Ok(ctx) => ctx,
        Err(error) => return Judged::failed(format!("the handle could not be opened: {error}")),
    };
    let undeclared = |need: &Need| !need.is_declared(ctx.capabilities());
    let missing: Vec<Need> = case.needs.iter().copied().filter(undeclared).collect();
    if missing.is_empty() {
        return match (case.body)(ctx).await {
            Ok(()) => Judged::good(Verdict::Passed, None),
            Err(failure) if failure.is_not_offered() => Judged::good(Verdict::NotOffered, None),
            Err(failure) => Judged::broken(case.sentence, failure),
        };
    }
    for need in &missing {
        if let Err(failure) = need.refusal()(ctx.clone()).await {
            return Judged::broken(REFUSAL, failure);
        }
    }
    Judged::good(Verdict::RefusedAsDeclared, Some(format!("refused as declared: {missing:?}")))
}

/// Runs cases and keeps what became of them.
pub(super) struct Judge {
    runtime: Handle,
    harness: Arc<dyn Harness>,
    limit: Duration,
    started: SystemTime,
    clock: Instant,
    verdicts: Mutex<Vec<CaseReport>>,
}

impl Judge {
    pub(super) fn new(runtime: Handle, harness: Arc<dyn Harness>, limit: Duration) -> Self {
        let (started, clock) = (SystemTime::now(), Instant::now());
        Self { runtime, harness, limit, started, clock, verdicts: Mutex::default() }
    }

    /// What became of the cases that ran, and that the others did not.
    pub(super) fn report(&self, backend: Backend) -> Report {
        Report::of(backend, self.started, self.clock.elapsed(), self.verdicts.lock().clone())
    }

    /// Runs a case, cleans up after it, and keeps the verdict.
    pub(super) fn case(&self, case: &'static Case) -> CaseReport {
        let started = Instant::now();
        let Judged { verdict, message, .. } = judge(self.harness.clone(), case, self.limit, &self.runtime);
        let report = CaseReport::new(case, verdict, started.elapsed(), message);
        self.verdicts.lock().push(report.clone());
        report
    }

    /// The same, in the words of libtest.
    pub(super) fn try_case(&self, case: &'static Case) -> Result<Completion, Failed> {
        let CaseReport { outcome, message, .. } = self.case(case);
        match outcome {
            Verdict::Failed => Err(message.unwrap_or_default().into()),
            Verdict::NotOffered => Ok(Completion::ignored_with("the harness offers no faults")),
            _ => Ok(Completion::Completed),
        }
    }
}
