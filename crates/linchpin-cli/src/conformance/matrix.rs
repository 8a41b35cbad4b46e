//! The report on a terminal: areas against outcomes, and what failed.

use crate::output::one_line;
use crate::page::duration;
use clap::builder::styling::Style;
use linchpin_conformance::{Area, CaseReport, Report, Verdict};
use std::fmt::Write as _;
use std::time::Duration;

/// The outcomes that have a column. None is skipped by name here.
pub(super) const COLUMNS: [(Verdict, &str); 5] = [
    (Verdict::Passed, "PASSED"),
    (Verdict::Failed, "FAILED"),
    (Verdict::RefusedAsDeclared, "REFUSED"),
    (Verdict::NotOffered, "NO FAULTS"),
    (Verdict::NotRun, "NOT RUN"),
];

/// How long the cases of an area took, one after the other.
pub(super) fn time(report: &Report, area: Option<Area>) -> Duration {
    report.cases().iter().filter(|case| area.is_none_or(|area| case.area == area)).map(|case| case.took).sum()
}

/// A time, or that there is none.
pub(super) fn shown(time: Duration) -> String {
    if time.is_zero() { "-".to_owned() } else { duration(time) }
}

/// The report as text.
pub(super) fn of(report: &Report, title: Style) -> String {
    let mut text = format!("{}, in {}\n\n", one_line(report.description()), duration(report.took()));
    let line = |area: &str, cells: [String; COLUMNS.len()], time: &str| {
        let cells = COLUMNS.iter().zip(cells).map(|((_, heading), cell)| format!("  {cell:>0$}", heading.len()));
        format!("{area:<12}{}  {time:>8}", cells.collect::<String>())
    };
    let heading = line("AREA", COLUMNS.map(|(_, heading)| heading.to_owned()), "TIME");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{title}{heading}{title:#}");
    for area in Area::ALL.into_iter().map(Some).chain([None]) {
        let count = |(verdict, _)| match report.count(area, verdict) {
            0 => "-".to_owned(),
            count => count.to_string(),
        };
        let row = line(area.map_or("all", Area::as_str), COLUMNS.map(count), &shown(time(report, area)));
        let _ = writeln!(text, "{row}");
    }
    text.extend(report.failed().map(|case| failed(case, title)));
    let _ = writeln!(text, "\n{}", verdict(report));
    text
}

fn failed(case: &CaseReport, title: Style) -> String {
    let mut text = format!("\n{title}FAILED {}{title:#}\n", case.id);
    for line in case.message.as_deref().unwrap_or_default().lines() {
        let _ = writeln!(text, "  {}", one_line(line));
    }
    text
}

/// What it comes to, in a sentence.
pub(super) fn verdict(report: &Report) -> String {
    let count = |verdict| report.count(None, verdict);
    let (failed, untried) = (count(Verdict::Failed), count(Verdict::NotRun));
    let ran = report.cases().len() - untried - count(Verdict::NotOffered) - count(Verdict::Skipped);
    let cases = |number: usize| if number == 1 { "1 case".to_owned() } else { format!("{number} cases") };
    match (ran, failed) {
        (0, _) => "No case ran.".to_owned(),
        (_, 0) if untried > 0 => format!("{} ran and none failed; {} did not run.", cases(ran), cases(untried)),
        (_, 0) => format!("The contract is kept: {} ran and none failed.", cases(ran)),
        _ => format!("The contract is not kept: {failed} of {} failed.", cases(ran)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_conformance::{Options, cases, over, report};

    fn of_memory(url: &'static str, filter: &str) -> Report {
        let harness = over("mem\x1b[31m", move |namespace| async { linchpin::open(url, Some(namespace)).await });
        report(harness, &Options::default().filter(filter), &())
    }

    #[test]
    fn every_area_is_a_row_and_the_columns_are_aligned() {
        let text = of(&of_memory("memory://matrix", "state.put"), Style::new());
        let rows: Vec<_> = text.lines().skip(2).take(Area::ALL.len() + 2).collect();
        assert!(rows[0].starts_with("AREA") && rows[2].starts_with("state") && rows[16].starts_with("all"), "{text}");
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
        assert!(text.ends_with("cases did not run.\n") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn what_failed_says_why() {
        // Each handle has a memory of its own: what one writes the other does not see.
        let report = of_memory("memory://", "state.a_write_is_read_through_another_handle");
        let text = of(&report, Style::new());
        assert!(
            text.contains("\nFAILED state.a_write_is_read_through_another_handle\n  the contract says: "),
            "{text}"
        );
        assert!(text.ends_with("The contract is not kept: 1 of 1 case failed.\n"), "{text}");
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        let report = of_memory("memory://", "no such case");
        assert_eq!(verdict(&report), "No case ran.");
        assert_eq!(report.count(None, Verdict::NotRun), cases().len());
    }
}
