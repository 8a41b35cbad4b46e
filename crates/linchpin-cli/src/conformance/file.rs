//! The file that a report is written to.

use super::page;
use crate::exit::{Failure, IO};
use linchpin_conformance::Report;
use std::fs;
use std::path::{Path, PathBuf};

/// A file for a report, which its name says the form of.
#[derive(Clone, Debug)]
pub(super) struct ReportFile {
    path: PathBuf,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Markdown,
    Json,
}

impl ReportFile {
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let form = match extension.to_ascii_lowercase().as_str() {
            "html" | "htm" => Form::Html,
            "md" => Form::Markdown,
            "json" => Form::Json,
            _ => return Err("the name of a report ends with .html, .md or .json".to_owned()),
        };
        Ok(Self { path, form })
    }

    /// Whether it can be written, as far as can be known before: that it cannot should not be told after the run.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let problem = match fs::metadata(dir) {
            Ok(dir) if !dir.is_dir() => "its directory is none".to_owned(),
            Ok(_) if self.path.is_dir() => "it is a directory".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => format!("its directory: {error}"),
        };
        Err(self.failure(&problem))
    }

    /// Writes it; `command` is what makes it again.
    pub(super) fn write(&self, report: &Report, command: &str) -> Result<(), Failure> {
        let text = match self.form {
            Form::Html => page::of(report, command),
            Form::Markdown => report.markdown(),
            Form::Json => {
                serde_json::to_string_pretty(report).map_err(|error| self.failure(&error.to_string()))? + "\n"
            }
        };
        fs::write(&self.path, text).map_err(|error| self.failure(&error.to_string()))
    }

    fn failure(&self, problem: &str) -> Failure {
        Failure::new(IO, format!("the report cannot be written to {}: {problem}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_form() {
        let form = |path| ReportFile::parse(path).map(|file| file.form).ok();
        assert_eq!(form("a/b.html"), Some(Form::Html));
        assert_eq!((form("b.MD"), form("b.json")), (Some(Form::Markdown), Some(Form::Json)));
        assert_eq!((form("html"), form("b.txt"), form("")), (None, None, None));
    }

    #[test]
    fn what_cannot_be_written_is_told_before() {
        let check = |path: &Path| ReportFile::parse(path.to_str().expect("text")).expect("a form").check();
        let dir = tempfile::tempdir().expect("a directory");
        assert!(check(&dir.path().join("r.html")).is_ok() && check(Path::new("r.html")).is_ok());
        let failure = check(&dir.path().join("no/r.html")).expect_err("there is no such directory");
        assert!(failure.code == IO && failure.message.contains("r.html"), "{failure:?}");
        fs::create_dir(dir.path().join("d.html")).expect("is made");
        assert!(check(&dir.path().join("d.html")).is_err());
    }
}
