//! A report as a page.

mod cells;
mod compared;
mod load;
mod processes;
mod soak;

use super::report::{Facts, Report, Target};
use super::text::Figure;
use super::words::Words;
use crate::page::{Html, Page, Table, Tone, anchor, badge, bytes, paragraph};
use cells::{heading_of, pairs};

/// The page: sections that were not run have no place in it.
pub(crate) fn of(report: &Report) -> String {
    let mut page = Page::new(title(&report.facts), subtitle(&report.facts));
    page.section("Where it was measured", facts(report));
    let words = Words::of(report.backend());
    let sections = [
        ("targets", targets(&report.targets)),
        ("calls", compared::calls(&report.calls, &words)),
        ("throughput", load::throughput(&report.throughput, &words)),
        ("handover", report.handover.as_ref().and_then(|handover| load::handover(handover, &words))),
        ("processes", report.processes.as_ref().map(|processes| processes::processes(processes, &words))),
        ("leases", report.leases.as_ref().map(|leases| load::leases(leases, &words))),
        ("fanout", report.fanout.as_ref().map(load::fanout)),
        ("soak", report.soak.as_ref().map(soak::soak)),
        ("specification", compared::specification(&report.specification)),
        ("dispatch", compared::dispatch(&report.dispatch)),
        ("memory", compared::memory(&report.memory)),
    ];
    for (name, content) in sections {
        if let Some(content) = content {
            page.section(heading_of(name), content);
        }
    }
    page.finish()
}

fn title(facts: &Facts) -> String {
    let server = facts.server.as_ref().map(|server| format!(" on {}", server.version)).unwrap_or_default();
    format!("Benchmark of linchpin {}{server}", facts.linchpin)
}

fn subtitle(facts: &Facts) -> String {
    let when = facts.date.replace('T', " ").replace('Z', " UTC");
    let commit = facts.commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
    format!("{when}{commit}.")
}

fn facts(report: &Report) -> Html {
    let facts = &report.facts;
    let about = "A time says something about this machine. What can be compared between machines are the ratios: what \
        is compared was done in one run, in turns that rotate.";
    let notes: Html =
        facts.notes().into_iter().map(|note| paragraph(badge(Tone::Note, "note").then(" ").then(note))).collect();
    let processor = facts.processor.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let mut rows = vec![
        ("linchpin", facts.linchpin.clone()),
        ("commit", facts.commit.clone().unwrap_or_else(|| "not in a checkout".to_owned())),
        ("begun", facts.date.replace('T', " ").replace('Z', " UTC")),
        ("build", if facts.release { "optimised" } else { "not optimised" }.to_owned()),
        ("machine", format!("{} cores{processor}", facts.cores)),
        ("payload", bytes(facts.payload_bytes)),
    ];
    match &facts.server {
        Some(server) => {
            let setting = |value: &Option<String>| value.clone().unwrap_or_else(|| "not told".to_owned());
            rows.push(("server", server.version.clone()));
            rows.push(("durability", server.durability.clone()));
            rows.extend(server.settings.iter().map(|(name, value)| (name.as_str(), setting(value))));
        }
        None => rows.push(("server", "none".to_owned())),
    }
    let left_out = report.left_out.iter().map(|one| format!("{}: {}", one.section, one.why));
    let left_out: Vec<_> = left_out.map(|one| ("left out", one)).collect();
    rows.extend(left_out);
    let rows = rows.into_iter().map(|(name, value)| (name, Html::text(value)));
    paragraph(about).then(notes).then(pairs("The program, the machine and the server", rows))
}

fn targets(targets: &[Target]) -> Option<Html> {
    if targets.is_empty() {
        return None;
    }
    let missed = targets.iter().filter(|target| !target.met).count();
    let (tone, word) = if missed == 0 { (Tone::Good, "met") } else { (Tone::Bad, "missed") };
    let count = if missed == 0 {
        format!("All {} targets are met.", targets.len())
    } else {
        format!("{missed} of {} targets are missed.", targets.len())
    };
    let lead = Html::tag("p", &[("class", &"lead")], badge(tone, word).then(" ").then(count));
    let about = "What was measured in this run against the limit that linchpin sets itself for it. What could not be \
        measured is missed.";
    let table = Table::new("Measured against limits").text("target").narrow("outcome").number("measured");
    let table = table.number("limit").narrow("section");
    let table = targets.iter().fold(table, |table, target| {
        let (tone, word) = if target.met { (Tone::Good, "met") } else { (Tone::Bad, "missed") };
        let heading = heading_of(&target.section);
        let limit = format!("{} {}", target.bound.words(), Figure(target.limit));
        let measured = match target.measured {
            number if number.is_finite() => Html::text(format!("{} {}", Figure(number), target.unit)),
            _ => Html::muted("none"),
        };
        let section = Html::link(&anchor(heading), heading);
        table.row([Html::text(&target.what), badge(tone, word), measured, Html::text(limit), section])
    });
    Some(lead.then(paragraph(about)).then(table))
}

#[cfg(test)]
mod tests;
