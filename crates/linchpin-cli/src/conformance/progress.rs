//! How far a run is, on the standard error: a bar on a terminal, a line per area elsewhere.

use crate::output::one_line;
use crate::page::duration;
use indicatif::{ProgressBar, ProgressStyle};
use linchpin_conformance::{Area, Case, CaseReport, Observer, Verdict};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far a run is.
pub(super) struct Progress {
    bar: ProgressBar,
    /// What is still to be done of each area.
    areas: Mutex<BTreeMap<Area, Rest>>,
    stopped: AtomicBool,
}

/// What is left of an area, and what became of the others.
#[derive(Default)]
struct Rest {
    left: usize,
    ended: BTreeMap<&'static str, usize>,
    took: Duration,
}

impl Progress {
    pub(super) fn new() -> Self {
        // Hidden where the standard error is no terminal.
        let bar = ProgressBar::new(0);
        // The template is the program's own; a mistake in it would leave the default look.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, areas: Mutex::default(), stopped: AtomicBool::new(false) }
    }

    /// Lets no more cases begin.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.say("stopping: the cases that are under way end first and clear up");
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        // Nobody may be listening.
        let _ = self.bar.suspend(|| writeln!(io::stderr(), "{line}"));
    }

    /// Notes an ended case; a line about its area if it was the last one.
    fn note(&self, case: &CaseReport) -> Option<String> {
        let mut areas = self.areas.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = areas.get_mut(&case.area)?;
        rest.left = rest.left.saturating_sub(1);
        rest.took += case.took;
        *rest.ended.entry(case.outcome.as_str()).or_default() += 1;
        (rest.left == 0).then(|| {
            let counts: Vec<_> = rest.ended.iter().map(|(word, count)| format!("{count} {word}")).collect();
            format!("{:<14}{} ({})", case.area, counts.join(", "), duration(rest.took))
        })
    }
}

impl Observer for Progress {
    fn started(&self, cases: &[&'static Case]) {
        self.bar.set_length(cases.len() as u64);
        let mut areas = self.areas.lock().unwrap_or_else(PoisonError::into_inner);
        for case in cases {
            areas.entry(case.area).or_default().left += 1;
        }
    }

    fn ended(&self, case: &CaseReport) {
        self.bar.set_message(case.area.as_str());
        self.bar.inc(1);
        if case.outcome == Verdict::Failed {
            let reason = case.reason().and_then(|reason| reason.lines().next()).unwrap_or_default();
            self.say(&format!("FAILED {}: {}", case.id, one_line(reason)));
        }
        if let Some(line) = self.note(case).filter(|_| self.bar.is_hidden()) {
            self.say(&line);
        }
    }

    fn stops(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_conformance::{Options, Report, cases, over, report};
    use std::sync::Arc;

    fn some_cases() -> Report {
        let harness = over("some", |namespace| async { linchpin::open("memory://some", Some(namespace)).await });
        report(harness, &Options::default().filter("state.put"), &())
    }

    #[test]
    fn an_area_is_told_with_its_last_case() {
        let report = some_cases();
        let ran: Vec<_> = report.cases().iter().filter(|case| case.outcome == Verdict::Passed).collect();
        assert!(ran.len() > 1);
        let progress = Progress::new();
        let chosen: Vec<_> = cases().iter().filter(|case| case.id.starts_with("state.put")).collect();
        progress.started(&chosen);
        let lines: Vec<_> = ran.iter().map(|case| progress.note(case)).collect();
        let (last, others) = lines.split_last().expect("there are some");
        assert!(others.iter().all(Option::is_none));
        let expected = format!("state         {} passed (", ran.len());
        assert!(last.as_ref().is_some_and(|line| line.starts_with(&expected)), "{last:?}");
    }

    #[test]
    fn a_stopped_run_begins_nothing() {
        let progress = Arc::new(Progress::new());
        assert!(!progress.stops());
        progress.stop();
        let harness = over("none", |namespace| async { linchpin::open("memory://none", Some(namespace)).await });
        let report = report(harness, &Options::default(), &*progress);
        assert_eq!(report.count(None, Verdict::NotRun), cases().len());
    }
}
