//! The report as Markdown: a matrix grouped by area.

use super::{Report, Verdict};
use crate::case::Area;
use crate::need::Need;
use linchpin_core::Capabilities;
use std::fmt::Write as _;

impl Report {
    /// The report as Markdown: what is declared, a table of the areas, and one per area of its cases.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Conformance of {}\n\n{}\n\n", self.backend, cell(&self.description));
        if let Some(capabilities) = &self.capabilities {
            text.push_str(&declared(capabilities));
        }
        text.push_str(&self.overview());
        for area in Area::ALL {
            text.push_str(&self.matrix(area));
        }
        text
    }

    fn overview(&self) -> String {
        let shown: Vec<_> = Verdict::ALL.into_iter().filter(|verdict| self.count(None, *verdict) > 0).collect();
        let mut text = "| area |".to_owned();
        for verdict in &shown {
            text.extend([" ", verdict.as_str(), " |"]);
        }
        text.push_str("\n|---|");
        text.push_str(&"--:|".repeat(shown.len()));
        for area in Area::ALL.into_iter().map(Some).chain([None]) {
            text.extend(["\n| ", area.map_or("**all**", Area::as_str), " |"]);
            for verdict in &shown {
                // Writing to a String cannot fail.
                let _ = write!(text, " {} |", self.count(area, *verdict));
            }
        }
        text.push_str("\n\n");
        text
    }

    fn matrix(&self, area: Area) -> String {
        let mut text = format!("## {area}\n\n| case | what the contract says | outcome | ms |\n|---|---|---|--:|\n");
        for case in self.of_area(area) {
            let outcome = match (&case.message, case.outcome) {
                (Some(message), Verdict::Failed) => format!("**FAILED**: {}", cell(message)),
                (_, verdict) => verdict.as_str().to_owned(),
            };
            let _ =
                writeln!(text, "| `{}` | {} | {outcome} | {} |", case.id, cell(case.sentence), case.took.as_millis());
        }
        text.push('\n');
        text
    }
}

/// What the backend declares, and what not.
fn declared(capabilities: &Capabilities) -> String {
    let name = |need: &Need| format!("{need:?}");
    let (yes, no): (Vec<_>, Vec<_>) = Need::ALL.iter().partition(|need| need.is_declared(capabilities));
    let list = |needs: Vec<&Need>| match needs.as_slice() {
        [] => "nothing".to_owned(),
        some => some.iter().map(|need| name(need)).collect::<Vec<_>>().join(", "),
    };
    let (version, why) = (cell(&capabilities.version), cell(&capabilities.durability.why));
    format!("Version {version}. Declared: {}. Not declared: {}. Durability: {why}.\n\n", list(yes), list(no))
}

/// A text that stays within one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use crate::cases::cases;
    use crate::report::tests::sample;

    #[test]
    fn every_case_is_a_row_and_hostile_text_stays_in_its_cell() {
        let text = sample().markdown();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), cases().len());
        assert!(rows[1].contains("**FAILED**: a \\| b c |"), "{}", rows[1]);
        assert!(text.contains("| area | passed | refused as declared | FAILED | not run |"), "{text}");
        assert!(text.contains("Not declared: MultiKey, TransactionIds, PrefixGuards, Ttl"), "{text}");
    }
}
