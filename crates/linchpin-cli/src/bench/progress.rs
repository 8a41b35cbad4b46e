//! How far a run is: a bar on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Nothing is shown if `quiet`.
    pub(crate) fn begin(section: &str, steps: usize, quiet: bool) -> Self {
        if quiet {
            return Self(None);
        }
        if !std::io::stderr().is_terminal() {
            eprintln!("bench: {section}");
            return Self(None);
        }
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{msg:14} {wide_bar} {percent:>3} %  {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(section.to_owned());
        Self(Some(bar))
    }

    pub(crate) fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
