//! The report as the end of a run's output.

use super::{Report, Verdict};
use crate::case::Area;
use std::fmt::Write as _;

impl Report {
    /// A line per area, and the sentences that the backend breaks, each with what was found.
    pub fn summary(&self) -> String {
        let description = self.description.lines().next().unwrap_or_default();
        let mut text = format!("conformance of {} ({description})\n", self.backend);
        for area in Area::ALL {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {area:<14}{}", self.counts(Some(area)));
        }
        let _ = writeln!(text, "  {:<14}{}", "all", self.counts(None));
        for case in self.failed() {
            let _ = writeln!(text, "  FAILED {}: {}", case.id, case.sentence);
            // The end is all that some logs keep.
            for line in case.reason().unwrap_or_default().lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text.push('\n');
        text
    }

    fn counts(&self, area: Option<Area>) -> String {
        let counted = Verdict::ALL.into_iter().map(|verdict| (self.count(area, verdict), verdict));
        let shown =
            counted.filter(|(count, _)| *count > 0).map(|(count, verdict)| format!("{count} {}", verdict.as_str()));
        shown.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use crate::cases::cases;
    use crate::report::tests::sample;

    #[test]
    fn the_summary_counts_and_names_what_failed() {
        let text = sample().summary();
        assert!(text.starts_with("conformance of fake (fake 1.2.3 in a box)\n"), "{text}");
        let rest = cases().len() - 3;
        assert!(text.contains(&format!("1 passed, 1 refused as declared, 1 FAILED, {rest} not run")), "{text}");
        let failed = format!("FAILED {}: {}\n    a | b\n    c\n", cases()[1].id, cases()[1].sentence);
        assert!(text.contains(&failed), "{text}");
    }
}
