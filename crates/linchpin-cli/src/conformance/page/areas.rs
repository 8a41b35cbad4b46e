//! What was shown, area by area, sentence by sentence.

use super::{ends, look, parts};
use crate::page::plot::{bar, stacked};
use crate::page::{Html, Table, Tone, badge, duration, paragraph, short_duration};
use linchpin_conformance::{Area, CaseReport, Report, Verdict};

/// Areas of no more cases are open at once.
const SHORT: usize = 8;

pub(super) fn anchor(area: Area) -> String {
    format!("area-{area}")
}

pub(super) fn section(report: &Report) -> Html {
    let about = "Every sentence and the case that proves it. Bars of times are logarithmic: each line in them is ten times \
        the one before.";
    paragraph(about).then(Area::ALL.into_iter().map(|area| details(report, area)).collect::<Html>())
}

fn details(report: &Report, area: Area) -> Html {
    let cases: Vec<_> = report.of_area(area).collect();
    let parts = parts(report, Some(area));
    let counts: Vec<_> =
        parts.iter().filter(|part| part.count > 0).map(|part| format!("{} {}", part.count, part.word)).collect();
    let summary = Html::tag("h3", &[("id", &anchor(area))], Html::text(area.as_str()))
        .then(stacked(&parts))
        .then(Html::muted(format!(" {}", counts.join(", "))));
    let failed = cases.iter().any(|case| case.outcome == Verdict::Failed);
    Html::details(summary, table(report, area, cases), failed || report.of_area(area).count() <= SHORT)
}

/// The failed ones first.
fn table(report: &Report, area: Area, mut cases: Vec<&CaseReport>) -> Table {
    cases.sort_by_key(|case| case.outcome != Verdict::Failed);
    let axis = ends(report);
    let heading = format!("{} to {}", short_duration(axis.0), short_duration(axis.1));
    let table = Table::new(format!("Cases of the area {area}"));
    let table = table.text("what the contract says").narrow("outcome").number("time").narrow(heading);
    cases.into_iter().fold(table, |table, case| {
        let (tone, word) = look(case.outcome);
        let tried = tone != Tone::Quiet;
        let time = if tried { Html::text(duration(case.took)) } else { Html::default() };
        let bar = if tried { bar(case.took, axis) } else { Html::default() };
        table.row([case_cell(case), badge(tone, word), time, bar])
    })
}

/// The sentence, and the case's id below it.
pub(super) fn case_cell(case: &CaseReport) -> Html {
    sentence(case.sentence).then(Html::tag("code", &[("class", &"id")], Html::text(case.id)))
}

/// A sentence, in which what stands between backquotes is code.
fn sentence(text: &str) -> Html {
    let piece = |(index, piece)| if index % 2 == 1 { Html::code(piece) } else { Html::text(piece) };
    text.split('`').enumerate().map(piece).collect()
}

/// A failed case with all that is known of it.
pub(super) fn problem(case: &CaseReport) -> Html {
    let reason = case.reason().unwrap_or("no reason was given");
    let heading = Html::code(case.id).then(Html::muted(format!(" after {}", duration(case.took))));
    let content = Html::tag("h3", &[], heading).then(paragraph(sentence(case.sentence))).then(Html::lines(reason));
    Html::tag("article", &[("class", &"problem")], content)
}
