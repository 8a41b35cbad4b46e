//! The file that a report is written to.

use super::page;
use crate::exit::Failure;
use crate::report_file::{self, unwritten};
use linchpin_conformance::Report;
use std::path::PathBuf;

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

    /// Whether it can be written, as far as can be known before.
    pub(super) fn check(&self) -> Result<(), Failure> {
        report_file::check(&self.path)
    }

    /// Writes it; `command` is what makes it again.
    pub(super) fn write(&self, report: &Report, command: &str) -> Result<(), Failure> {
        let text = match self.form {
            Form::Html => page::of(report, command),
            Form::Markdown => report.markdown(),
            Form::Json => {
                let json = serde_json::to_string_pretty(report);
                json.map_err(|error| unwritten(&self.path, &error.to_string()))? + "\n"
            }
        };
        report_file::write(&self.path, &text)
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
}
