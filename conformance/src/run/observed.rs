//! Running the suite for a program that shows it in its own way.

use super::judge::Judge;
use super::{Options, bring_up, runtime, skipped_by_name, take_down};
use crate::case::Case;
use crate::cases::cases;
use crate::harness::Harness;
use crate::report::{CaseReport, Report};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::Runtime;

/// Who is told how a run goes. The methods are called while it goes, from several threads at a time; `()` is an observer
/// that does not care.
pub trait Observer: Sync {
    /// The backend is there, and these cases are going to run.
    fn started(&self, _cases: &[&'static Case]) {}

    /// One of them has ended.
    fn ended(&self, _case: &CaseReport) {}

    /// Asked before each case: whether to stop here. The cases that are under way end first and are cleared up after;
    /// the others are not run, and the report says so.
    fn stops(&self) -> bool {
        false
    }
}

impl Observer for () {}

/// Holds the harness's backend to the cases that the options [choose](Options::chooses), and returns what became of
/// them. Nothing is printed or written; a backend that is not there has a report without
/// [capabilities](Report::capabilities).
///
/// This blocks until all is over, and has a runtime of its own: within one, call it by `spawn_blocking`.
///
/// ```
/// use linchpin_conformance::{CaseReport, Observer, Options, Verdict, over, report};
/// use linchpin_memory::{MemoryConfig, MemoryCoordination};
///
/// struct Lines;
///
/// impl Observer for Lines {
///     fn ended(&self, case: &CaseReport) {
///         println!("{} {} in {:?}", case.id, case.outcome.as_str(), case.took);
///     }
/// }
///
/// let harness = over("mine", |namespace| async move {
///     let config = MemoryConfig::from_url("memory://mine")?.namespace(namespace);
///     MemoryCoordination::connect(config).await
/// });
/// let report = report(harness, &Options::default().filter("state.put"), &Lines);
/// assert!(report.count(None, Verdict::Passed) > 0);
/// assert_eq!(report.failed().count(), 0);
/// println!("{}", report.summary());
/// ```
pub fn report(harness: impl Harness, options: &Options, observer: &dyn Observer) -> Report {
    if options.skips(harness.name()) {
        return Report::skipped(harness.name(), &skipped_by_name(harness.name()));
    }
    match runtime(options) {
        Ok(runtime) => report_on(runtime, Arc::new(harness), options, observer),
        Err(reason) => Report::unavailable(harness.name(), &reason),
    }
}

fn report_on(runtime: Runtime, harness: Arc<dyn Harness>, options: &Options, observer: &dyn Observer) -> Report {
    let report = match bring_up(&runtime, &harness) {
        Ok(backend) => {
            let judge = Judge::new(runtime.handle().clone(), harness.clone(), options.case_limit);
            observe(&judge, options, observer);
            judge.report(backend)
        }
        Err(reason) => Report::unavailable(harness.name(), &reason),
    };
    take_down(runtime, harness);
    report
}

/// Runs the chosen cases, some at a time, in their order.
fn observe(judge: &Judge, options: &Options, observer: &dyn Observer) {
    let chosen: Vec<_> = cases().iter().filter(|case| options.chooses(case)).collect();
    observer.started(&chosen);
    let next = AtomicUsize::new(0);
    let work = || {
        while !observer.stops() {
            let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            observer.ended(&judge.case(case));
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.parallelism.clamp(1, chosen.len().max(1)) {
            scope.spawn(work);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::over;
    use crate::report::Verdict;
    use linchpin_core::{Driver, Error, Namespace, Page, Range, Result};
    use linchpin_memory::{MemoryConfig, MemoryCoordination};
    use parking_lot::Mutex;
    use std::collections::HashSet;
    use std::time::Duration;
    use tokio::runtime::Builder;

    #[derive(Default)]
    struct Seen {
        started: Mutex<Vec<&'static str>>,
        ended: Mutex<Vec<CaseReport>>,
        /// Stops the run once so many have ended.
        enough: Option<usize>,
    }

    impl Observer for Seen {
        fn started(&self, cases: &[&'static Case]) {
            self.started.lock().extend(cases.iter().map(|case| case.id));
        }

        fn ended(&self, case: &CaseReport) {
            self.ended.lock().push(case.clone());
        }

        fn stops(&self) -> bool {
            self.enough.is_some_and(|enough| self.ended.lock().len() >= enough)
        }
    }

    async fn memory(name: &str, namespace: Namespace) -> Result<Arc<dyn Driver>> {
        let config = MemoryConfig::from_url(&format!("memory://{name}"))?.namespace(namespace);
        Ok(MemoryCoordination::connect(config).await?.into())
    }

    #[test]
    fn the_observer_sees_each_chosen_case_and_the_report_has_them_all() {
        let seen = Seen::default();
        let harness = over("observed", |namespace| memory("observed", namespace));
        let report = report(harness, &Options::default().filter("state."), &seen);
        let started: HashSet<_> = seen.started.lock().iter().copied().collect();
        let ended: HashSet<_> = seen.ended.lock().iter().map(|case| case.id).collect();
        let of_state: HashSet<_> = report.of_area(crate::Area::State).map(|case| case.id).collect();
        assert!(started == ended && ended == of_state && seen.ended.lock().len() == of_state.len());
        assert_eq!(report.count(None, Verdict::Passed), of_state.len());
        assert_eq!(report.count(None, Verdict::NotRun), cases().len() - of_state.len());
        assert!(report.capabilities().is_some_and(|capabilities| capabilities.backend == "memory"));
        let longest = report.cases().iter().map(|case| case.took).max().expect("there are cases");
        assert!(report.took() >= longest && longest > Duration::ZERO);
    }

    #[test]
    fn an_observer_may_stop_the_run() {
        let seen = Seen { enough: Some(3), ..Seen::default() };
        let harness = over("stopped", |namespace| memory("stopped", namespace));
        let report = report(harness, &Options::default().filter("state.").parallelism(1), &seen);
        assert_eq!(report.count(None, Verdict::Passed), 3);
        assert_eq!(report.count(None, Verdict::NotRun), cases().len() - 3);
    }

    #[test]
    fn a_backend_that_is_not_there_runs_nothing() {
        let seen = Seen::default();
        let harness =
            over("absent", |_| async { Err::<MemoryCoordination, _>(Error::invalid("connect", "nobody answers")) });
        let report = report(harness, &Options::default(), &seen);
        assert!(report.capabilities().is_none() && report.description().contains("nobody answers"));
        assert!(seen.started.lock().is_empty());
        assert_eq!(report.count(None, Verdict::NotRun), cases().len());
    }

    #[test]
    fn what_the_cases_wrote_is_cleared() {
        // A second handle to each namespace keeps it, as a server would, when the case has closed its own.
        let kept: &'static Mutex<Vec<Arc<dyn Driver>>> = Box::leak(Box::default());
        let harness = over("left", move |namespace| async move {
            assert!(namespace.as_str().starts_with("conformance-"), "{namespace}");
            let second = memory("left", namespace.clone()).await?;
            kept.lock().push(second);
            memory("left", namespace).await
        });
        report(harness, &Options::default().filter("names."), &());
        let runtime = Builder::new_current_thread().enable_all().build().expect("starts");
        assert!(kept.lock().len() > 10);
        for driver in kept.lock().drain(..) {
            let left = runtime.block_on(driver.scan(&Range::all(), &Page::first_keys())).expect("is read").entries;
            assert_eq!(left, []);
        }
    }
}
