//! What became of a run: data, and its three forms.

mod markdown;
mod summary;

use crate::case::{Area, Case};
use crate::cases::cases;
use linchpin_core::Capabilities;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// What became of a run: every case of the suite, in its order, those that did not run as well. [`report`] makes it.
/// Serialized it is the JSON that [`run`](fn@crate::run) writes.
///
/// [`report`]: fn@crate::report
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    backend: String,
    /// What exactly was tested; or why nothing was.
    description: String,
    version: Option<String>,
    #[serde(rename = "started_unix_ms", serialize_with = "unix_milliseconds")]
    started: SystemTime,
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    took: Duration,
    capabilities: Option<Capabilities>,
    cases: Vec<CaseReport>,
}

/// A backend that was there.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) capabilities: Capabilities,
}

/// What became of a case.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case's id: `state.put_then_get`.
    pub id: &'static str,
    /// The part of the contract it belongs to.
    pub area: Area,
    /// The sentence of the contract that it proves.
    pub sentence: &'static str,
    /// How it ended.
    pub outcome: Verdict,
    /// How long it took, clearing up after it included; zero if it did not run.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub took: Duration,
    /// Why it failed, or what was refused as declared.
    pub message: Option<String>,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The backend does what the sentence says.
    Passed,
    /// The backend does not declare what the sentence needs, and refuses it as it must.
    RefusedAsDeclared,
    /// It does not.
    Failed,
    /// The case needs faults, and the harness offers none.
    NotOffered,
    /// The backend was left out by name.
    Skipped,
    /// The case was filtered out, or there was no backend to run it on.
    NotRun,
}

impl Verdict {
    /// Every verdict, in the order of the report.
    pub const ALL: [Self; 6] =
        [Self::Passed, Self::RefusedAsDeclared, Self::Failed, Self::NotOffered, Self::Skipped, Self::NotRun];

    /// The verdict in words; a failure shouts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::RefusedAsDeclared => "refused as declared",
            Self::Failed => "FAILED",
            Self::NotOffered => "no faults offered",
            Self::Skipped => "skipped by name",
            Self::NotRun => "not run",
        }
    }
}

/// What a message begins with if the sentence is not so.
pub(crate) fn says(sentence: &str) -> String {
    format!("the contract says: {sentence}\nbut ")
}

impl CaseReport {
    pub(crate) fn new(case: &Case, outcome: Verdict, took: Duration, message: Option<String>) -> Self {
        Self { id: case.id, area: case.area, sentence: case.sentence, outcome, took, message }
    }

    /// The message, without the sentence of the contract that it may begin with: for whoever has shown that already.
    pub fn reason(&self) -> Option<&str> {
        let message = self.message.as_deref()?;
        Some(message.strip_prefix(&says(self.sentence)).unwrap_or(message))
    }
}

impl Report {
    /// The report of a run in which these cases ran.
    pub(crate) fn of(backend: Backend, started: SystemTime, took: Duration, ran: Vec<CaseReport>) -> Self {
        let mut ran: HashMap<_, _> = ran.into_iter().map(|case| (case.id, case)).collect();
        Self {
            backend: backend.name,
            description: backend.description,
            version: Some(backend.capabilities.version.clone()),
            started,
            took,
            capabilities: Some(backend.capabilities),
            cases: all(|case| ran.remove(case.id).unwrap_or_else(|| untried(case, Verdict::NotRun))),
        }
    }

    /// The report of a backend that was not there.
    pub(crate) fn unavailable(name: &str, reason: &str) -> Self {
        Self::without_backend(name, format!("not available: {reason}"), Verdict::NotRun)
    }

    /// The report of a backend that was left out.
    pub(crate) fn skipped(name: &str, reason: &str) -> Self {
        Self::without_backend(name, format!("skipped: {reason}"), Verdict::Skipped)
    }

    fn without_backend(name: &str, description: String, verdict: Verdict) -> Self {
        let cases = all(|case| untried(case, verdict));
        Self {
            backend: name.to_owned(),
            description,
            version: None,
            started: SystemTime::now(),
            took: Duration::ZERO,
            capabilities: None,
            cases,
        }
    }

    /// The backend's name, as the harness gives it.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// What exactly was tested; or why nothing was.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What the backend declares; `None` if it was not there, or left out by name.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// When the run began.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// How long all of it took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Every case, in the order of the suite.
    pub fn cases(&self) -> &[CaseReport] {
        &self.cases
    }

    /// How many cases of an area, or of all, ended like this.
    pub fn count(&self, area: Option<Area>, verdict: Verdict) -> usize {
        let counts = |case: &&CaseReport| case.outcome == verdict && area.is_none_or(|area| case.area == area);
        self.cases.iter().filter(counts).count()
    }

    /// The cases of an area.
    pub fn of_area(&self, area: Area) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(move |case| case.area == area)
    }

    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| case.outcome == Verdict::Failed)
    }

    /// Writes `dir/<backend>.json` and `dir/<backend>.md`.
    pub(crate) fn write_to(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        fs::write(dir.join(format!("{}.json", self.backend)), json)?;
        fs::write(dir.join(format!("{}.md", self.backend)), self.markdown())
    }
}

/// In milliseconds, to the microsecond.
fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e3)
}

fn unix_milliseconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn all(report: impl FnMut(&Case) -> CaseReport) -> Vec<CaseReport> {
    cases().iter().map(report).collect()
}

fn untried(case: &Case, verdict: Verdict) -> CaseReport {
    CaseReport::new(case, verdict, Duration::ZERO, None)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run in which the first case passed, the second failed, and the third was refused as declared.
    pub(crate) fn sample() -> Report {
        let mut capabilities = Capabilities::minimum("fake");
        capabilities.version = "1.2.3".to_owned();
        capabilities.durability.why = "it is a fake".to_owned();
        let backend = Backend { name: "fake".to_owned(), description: "fake 1.2.3 in a box".to_owned(), capabilities };
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let ended = [(Verdict::Passed, None), (Verdict::Failed, Some("a | b\nc")), (Verdict::RefusedAsDeclared, None)];
        let ran = cases().iter().zip(ended).map(|(case, (verdict, message))| {
            CaseReport::new(case, verdict, Duration::from_micros(7250), message.map(str::to_owned))
        });
        Report::of(backend, started, Duration::from_secs(2), ran.collect())
    }

    #[test]
    fn the_json_has_every_case_and_the_capabilities() {
        let json = serde_json::to_value(sample()).expect("serializes");
        assert_eq!(json["backend"], "fake");
        assert_eq!(json["version"], "1.2.3");
        assert_eq!(json["capabilities"]["transactions"], "single_key");
        let reported = json["cases"].as_array().expect("a list");
        assert_eq!(reported.len(), cases().len());
        let outcomes: Vec<_> = reported.iter().take(4).map(|case| case["outcome"].as_str()).collect();
        assert_eq!(outcomes, [Some("passed"), Some("failed"), Some("refused_as_declared"), Some("not_run")]);
        assert_eq!(reported[0]["duration_ms"], 7.25);
        assert_eq!((&json["started_unix_ms"], &json["duration_ms"]), (&1_700_000_000_123_u64.into(), &2000.0.into()));
        assert_eq!(reported[1]["message"], "a | b\nc");
        assert!(reported.iter().all(|case| case["id"].is_string() && case["sentence"].is_string()));
    }

    #[test]
    fn a_reason_does_not_repeat_the_sentence() {
        let reason = |message: Option<String>| {
            let report = CaseReport::new(&cases()[0], Verdict::Failed, Duration::ZERO, message);
            report.reason().map(str::to_owned)
        };
        let message = format!("{}two are three", says(cases()[0].sentence));
        assert!(message.contains(cases()[0].sentence));
        assert_eq!(reason(Some(message)).as_deref(), Some("two are three"));
        assert_eq!((reason(Some("it hung".to_owned())).as_deref(), reason(None)), (Some("it hung"), None));
    }

    #[test]
    fn a_backend_that_was_not_tested_has_a_report_that_says_so() {
        let report = Report::unavailable("redis", "no docker");
        assert_eq!(report.count(None, Verdict::NotRun), cases().len());
        assert!(report.markdown().contains("not available: no docker"));
        assert_eq!(Report::skipped("redis", "by name").count(None, Verdict::Skipped), cases().len());
    }

    #[test]
    fn both_files_are_written() {
        let dir = std::env::temp_dir().join(format!("linchpin-report-{:x}", fastrand::u64(..)));
        sample().write_to(&dir.join("deeper")).expect("writes");
        let json = fs::read_to_string(dir.join("deeper/fake.json")).expect("is there");
        serde_json::from_str::<serde_json::Value>(&json).expect("is json");
        assert!(fs::read_to_string(dir.join("deeper/fake.md")).expect("is there").starts_with("# Conformance of fake"));
        fs::remove_dir_all(&dir).expect("goes");
    }
}
