//! Judging one case at a time.

use super::supervise::supervised;
use crate::case::{Area, Case};
use crate::context::{Context, Home};
use crate::failure::Failure;
use crate::faults::Faults;
use crate::harness::Harness;
use crate::need::Need;
use crate::report::{CaseReport, Verdict};
use libtest_mimic::{Completion, Failed};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long clearing up after a case may take.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(15);

const REFUSAL: &str =
    "What is not declared is refused with `Unsupported` before the backend is touched (a case for what it would need)";

/// Runs cases and keeps what became of them.
pub(super) struct Judge {
    runtime: Handle,
    harness: Arc<dyn Harness>,
    limit: Duration,
    verdicts: Mutex<Vec<CaseReport>>,
}

impl Judge {
    pub(super) fn new(runtime: Handle, harness: Arc<dyn Harness>, limit: Duration) -> Self {
        Self { runtime, harness, limit, verdicts: Mutex::default() }
    }

    /// What became of the cases that ran.
    pub(super) fn verdicts(&self) -> Vec<CaseReport> {
        self.verdicts.lock().clone()
    }

    /// Runs a case, cleans up after it, and keeps the verdict.
    pub(super) fn try_case(&self, case: &'static Case) -> Result<Completion, Failed> {
        let started = Instant::now();
        let (verdict, message) = self.judge(case);
        let report = CaseReport::new(case, verdict, started.elapsed(), message.clone());
        self.verdicts.lock().push(report);
        match (verdict, message) {
            (Verdict::Failed, message) => Err(message.unwrap_or_default().into()),
            (Verdict::NotOffered, _) => Ok(Completion::ignored_with("the harness offers no faults")),
            _ => Ok(Completion::Completed),
        }
    }

    /// Where the case lives; `None` if it needs faults and the harness offers none.
    fn home(&self, case: &Case) -> Result<Option<Arc<Home>>, String> {
        let text = |error: linchpin_core::Error| error.to_string();
        if case.area != Area::Faults {
            return Home::new(self.harness.clone()).map(Some).map_err(text);
        }
        let started = supervised(&self.runtime, self.limit, faults(self.harness.clone()));
        match started.unwrap_or_else(|stopped| Err(format!("starting a server: {stopped}")))? {
            Some(faults) => Home::with_faults(faults).map(Some).map_err(text),
            None => Ok(None),
        }
    }

    fn judge(&self, case: &'static Case) -> (Verdict, Option<String>) {
        let home = match self.home(case) {
            Ok(Some(home)) => home,
            Ok(None) => return (Verdict::NotOffered, None),
            Err(error) => return (Verdict::Failed, Some(error)),
        };
        let ran = supervised(&self.runtime, self.limit, attempt(case, home.clone()));
        let ran = ran.unwrap_or_else(|stopped| Err(format!("{}: {stopped}", case.id)));
        let cleaned = supervised(&self.runtime, CLEAN_UP_LIMIT, async move { home.clean_up().await });
        let cleaned = match cleaned {
            Ok(cleaned) => cleaned.map_err(|error| error.to_string()),
            Err(stopped) => Err(stopped.to_string()),
        };
        match (ran, cleaned) {
            (Err(message), _) => (Verdict::Failed, Some(message)),
            (Ok(_), Err(error)) => {
                (Verdict::Failed, Some(format!("{}: clearing up after it failed: {error}", case.id)))
            }
            (Ok((verdict, message)), Ok(())) => (verdict, message),
        }
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
async fn attempt(case: &'static Case, home: Arc<Home>) -> Result<(Verdict, Option<String>), String> {
    let ctx = Context::open(home).await.map_err(|error| format!("the handle could not be opened: {error}"))?;
    let undeclared = |need: &Need| !need.is_declared(ctx.capabilities());
    let missing: Vec<Need> = case.needs.iter().copied().filter(undeclared).collect();
    let said = |sentence: &str, failure: &Failure| format!("the contract says: {sentence}\nbut {failure}");
    if missing.is_empty() {
        (case.body)(ctx).await.map_err(|failure| said(case.sentence, &failure))?;
        return Ok((Verdict::Passed, None));
    }
    for need in &missing {
        need.refusal()(ctx.clone()).await.map_err(|failure| said(REFUSAL, &failure))?;
    }
    Ok((Verdict::RefusedAsDeclared, Some(format!("refused as declared: {missing:?}"))))
}
