//! What a run may be told.

use crate::case::Case;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// What a run may be told besides the arguments of `cargo test`.
///
/// ```
/// use linchpin_conformance::Options;
/// use std::time::Duration;
///
/// let options = Options::from_env().report_dir("target/conformance").case_limit(Duration::from_secs(90));
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) skip: Vec<String>,
    pub(super) report_dir: Option<PathBuf>,
    pub(super) filter: Option<String>,
    pub(super) case_limit: Duration,
    pub(super) parallelism: usize,
    pub(super) left_out: &'static [(&'static str, &'static str)],
}

impl Default for Options {
    /// Nothing is skipped, every case runs, no report is written, 60 seconds per case, 8 cases at a time.
    fn default() -> Self {
        let case_limit = Duration::from_mins(1);
        Self { skip: Vec::new(), report_dir: None, filter: None, case_limit, parallelism: 8, left_out: &[] }
    }
}

impl Options {
    /// The defaults, with `LINCHPIN_TEST_SKIP` and `LINCHPIN_REPORT_DIR` from the environment.
    pub fn from_env() -> Self {
        Self {
            skip: env::var("LINCHPIN_TEST_SKIP").as_deref().map(listed).unwrap_or_default(),
            report_dir: env::var_os("LINCHPIN_REPORT_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            ..Self::default()
        }
    }

    /// Writes the report into this directory, which is made if it does not exist.
    pub fn report_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.report_dir = Some(dir.into());
        self
    }

    /// Runs only the cases whose id contains this text, unless the arguments say which.
    ///
    /// ```
    /// use linchpin_conformance::{Options, cases};
    ///
    /// let options = Options::default().filter("lock.");
    /// assert!(cases().iter().filter(|case| options.chooses(case)).all(|case| case.area.as_str() == "lock"));
    /// ```
    pub fn filter(mut self, text: impl Into<String>) -> Self {
        self.filter = Some(text.into());
        self
    }

    /// Whether the case is one of those that are to run.
    pub fn chooses(&self, case: &Case) -> bool {
        self.filter.as_ref().is_none_or(|text| case.id.contains(text))
    }

    /// How long one case may take before it counts as hanging.
    pub fn case_limit(mut self, limit: Duration) -> Self {
        self.case_limit = limit;
        self
    }

    /// How many cases run at a time, unless `--test-threads` says it.
    pub fn parallelism(mut self, cases: usize) -> Self {
        self.parallelism = cases;
        self
    }

    /// Leaves out some cases, each by its id and with the reason: those that a backend is known not to pass yet. They are
    /// shown as ignored, and none of them is taken for one that passed.
    pub fn leave_out(mut self, cases: &'static [(&'static str, &'static str)]) -> Self {
        self.left_out = cases;
        self
    }

    /// Why a case is left out, if it is.
    pub(super) fn why_left_out(&self, id: &str) -> Option<&'static str> {
        self.left_out.iter().find(|(case, _)| *case == id).map(|(_, reason)| *reason)
    }

    pub(super) fn skips(&self, backend: &str) -> bool {
        self.skip.iter().any(|name| name == backend)
    }
}

fn listed(names: &str) -> Vec<String> {
    names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_skipped_by_its_whole_name_only() {
        let options = Options { skip: listed("redis, nats,,"), ..Options::default() };
        assert!(options.skips("redis") && options.skips("nats"));
        assert!(!options.skips("red") && !options.skips("redis2") && !options.skips(""));
        assert!(!Options::default().skips("redis"));
    }
}
