//! Histories: what many clients did at the same time and were told, and whether the contract allows it.
//!
//! A [`Workload`] lets clients work on a few keys and streams at the same time and writes down every call
//! with the moments between which the server saw it. [`History::check`] judges what was written down: the
//! revisions say in which order things happened, so it only has to see whether that order explains every
//! answer and respects real time, which takes O(n log n). Calls whose outcome is unknown may have happened
//! once, later, or never.

mod check;
mod client;
mod record;
#[cfg(test)]
mod tests;
mod workload;

pub(crate) use check::{Summary, Violation};
pub(crate) use record::{Operation, Recorder};
pub(crate) use workload::{Load, Workload};

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// What the clients of one run did, in the order of their calls. The namespace was empty before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// What the workload's dice began with.
    pub(crate) seed: u64,
    pub(crate) operations: Vec<Operation>,
}

/// Judges a history that a case has kept as JSON lines: what it consists of, if it is as the contract says.
///
/// # Errors
/// What the contract does not allow, with the operations that show it; or why the file cannot be read.
///
/// # Examples
/// ```
/// let file = std::env::temp_dir().join(format!("doc-history-{}.jsonl", std::process::id()));
/// std::fs::write(&file, "{\"seed\":7}\n").expect("written");
/// let summary = linchpin_conformance::judge_history(&file).expect("nothing was done, so nothing is wrong");
/// assert!(summary.starts_with("0 operations"));
/// ```
pub fn judge_history(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    let history = History::read_json_lines(path).map_err(|error| format!("{}: {error}", path.display()))?;
    history.check().map(|summary| summary.to_string()).map_err(|violation| violation.to_string())
}

/// The first line of a file; the others are operations.
#[derive(Serialize, Deserialize)]
struct Header {
    seed: u64,
}

impl History {
    /// What a recorder has written down.
    pub(crate) fn of(recorder: &Recorder, seed: u64) -> Self {
        Self { seed, operations: recorder.operations() }
    }

    /// Judges the history.
    ///
    /// # Errors
    /// The first thing found that the contract does not allow.
    pub(crate) fn check(&self) -> Result<Summary, Violation> {
        check::check(&self.operations).map_err(|violation| violation.of_seed(self.seed))
    }

    /// Writes the history to a file: a line with the seed, then one line per operation.
    ///
    /// # Errors
    /// What writing fails with.
    pub(crate) fn write_json_lines(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "{}", serde_json::to_string(&Header { seed: self.seed })?)?;
        for operation in &self.operations {
            writeln!(file, "{}", serde_json::to_string(operation)?)?;
        }
        file.flush()
    }

    /// Reads a history from a file.
    ///
    /// # Errors
    /// What reading fails with; `InvalidData` for lines that are no operations.
    pub(crate) fn read_json_lines(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut lines = BufReader::new(File::open(path)?).lines();
        let first = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        let Header { seed } = serde_json::from_str(&first)?;
        let operations = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<io::Result<_>>()?;
        Ok(Self { seed, operations })
    }
}
