//! The report as a page.

mod areas;
mod declared;

use super::matrix;
use crate::page::plot::{Distribution, Part, stacked};
use crate::page::{Html, Page, Table, Tone, badge, duration, paragraph};
use areas::{case_cell, problem};
use linchpin_conformance::{Area, CaseReport, Report, Verdict};
use std::time::{Duration, SystemTime};

/// How many of the slowest cases are listed.
const SLOWEST: usize = 10;

/// The report as a page; `command` is what makes it again.
pub(super) fn of(report: &Report, command: &str) -> String {
    let title = format!("Conformance of {}", report.backend());
    let mut page = Page::new(title, subtitle(report));
    page.section("Summary", summary(report));
    let problems: Html = report.failed().map(problem).collect();
    if problems != Html::default() {
        page.section("What failed", problems);
    }
    if let Some(capabilities) = report.capabilities() {
        page.section("What it declares", declared::section(capabilities));
    }
    page.section("What was shown", areas::section(report));
    page.section("How long it took", times(report));
    page.section("How to reproduce", reproduce(command));
    page.finish()
}

fn subtitle(report: &Report) -> String {
    let when = report.started().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(when.as_secs());
    let when = humantime::format_rfc3339_seconds(when).to_string().replace('T', " ").replace('Z', " UTC");
    let suite = env!("CARGO_PKG_VERSION");
    format!("{}. {when}, in {}, by linchpin {suite}.", report.description(), duration(report.took()))
}

/// How a verdict looks: its colour, and its word in a sentence.
fn look(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Passed => (Tone::Good, "passed"),
        Verdict::RefusedAsDeclared => (Tone::Note, "refused as declared"),
        Verdict::Failed => (Tone::Bad, "failed"),
        Verdict::NotOffered => (Tone::Quiet, "no faults offered"),
        Verdict::Skipped => (Tone::Quiet, "skipped by name"),
        Verdict::NotRun => (Tone::Quiet, "not run"),
    }
}

fn parts(report: &Report, area: Option<Area>) -> Vec<Part> {
    let part = |verdict| {
        let (tone, word) = look(verdict);
        Part { tone, word, count: report.count(area, verdict) }
    };
    Verdict::ALL.map(part).to_vec()
}

fn summary(report: &Report) -> Html {
    let failed = report.failed().count() > 0;
    let (tone, word) = if failed { (Tone::Bad, "not kept") } else { (Tone::Good, "kept") };
    let none_ran = report.cases().iter().all(|case| case.outcome == Verdict::NotRun);
    let (tone, word) = if none_ran { (Tone::Quiet, "not run") } else { (tone, word) };
    let lead = badge(tone, word).then(" ").then(Html::text(matrix::verdict(report)));
    Html::tag("p", &[("class", &"lead")], lead).then(paragraph(EXPLANATION)).then(matrix(report))
}

const EXPLANATION: &str = "Each case proves one sentence of linchpin's contract. What the backend declares must work; \
    what it does not declare must be refused, and that is tested too. Cases that do harm to a server run only where \
    the suite is offered a server of its own. A time is the sum of the cases', several of which run at once.";

fn matrix(report: &Report) -> Html {
    let columns = matrix::COLUMNS.map(|(verdict, _)| verdict);
    let table = Table::new("Cases by area and how they ended").text("area").narrow("share");
    let table = columns.iter().fold(table, |table, verdict| table.number(look(*verdict).1)).number("time");
    let row = |area: Option<Area>| {
        let name = area.map_or(Html::text("all"), |area| Html::link(&areas::anchor(area), area.as_str()));
        let counts = columns.map(|verdict| match report.count(area, verdict) {
            0 => Html::muted("0"),
            count if verdict == Verdict::Failed => badge(Tone::Bad, &count.to_string()),
            count => Html::text(count.to_string()),
        });
        let time = Html::text(matrix::shown(matrix::time(report, area)));
        [name, stacked(&parts(report, area))].into_iter().chain(counts).chain([time])
    };
    let table = Area::ALL.into_iter().fold(table, |table, area| table.row(row(Some(area))));
    table.total(row(None)).into()
}

/// The cases that were tried.
fn ran(report: &Report) -> Vec<&CaseReport> {
    report.cases().iter().filter(|case| !matches!(look(case.outcome).0, Tone::Quiet)).collect()
}

/// The ends of the axis that all bars share.
fn ends(report: &Report) -> (Duration, Duration) {
    let slowest = ran(report).iter().map(|case| case.took).max().unwrap_or_default();
    let shortest = Duration::from_micros(100);
    (shortest, slowest.max(shortest * 10))
}

fn times(report: &Report) -> Html {
    let mut ran = ran(report);
    ran.sort_by_key(|case| std::cmp::Reverse(case.took));
    let samples = ran.iter().map(|case| case.took).collect();
    let distribution = Distribution::new("Share of the cases that ended within a time").samples("cases", samples);
    let table = Table::new("The slowest cases").text("case").text("area").number("time");
    let row = |table: Table, case: &&CaseReport| {
        let area = Html::link(&areas::anchor(case.area), case.area.as_str());
        table.row([case_cell(case), area, Html::text(duration(case.took))])
    };
    let table = ran.iter().take(SLOWEST).fold(table, row);
    paragraph(WHAT_TAKES_TIME).then(distribution.html()).then(table)
}

const WHAT_TAKES_TIME: &str = "A time is that of the whole case: opening its handles, what it does, clearing up after \
    it. Cases about TTLs and timeouts wait for them, so a long time is not a slow backend, and several cases run at once.";

fn reproduce(command: &str) -> Html {
    let about = "Nothing but the suite's own namespaces (conformance-...) is written to, and they are erased. \
        Where the URL shows `...`, a password or a setting is left out here.";
    Html::lines(command).then(paragraph(about))
}

#[cfg(test)]
mod tests;
