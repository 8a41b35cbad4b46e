//! What several sections show alike.

use crate::bench::report::Series;
use crate::bench::sampling::float;
use crate::page::plot::Distribution;
use crate::page::{Html, Table, duration};
use std::time::Duration;

/// What a section is called on the page.
pub(super) fn heading_of(section: &str) -> &str {
    match section {
        "targets" => "Targets",
        "calls" => "Calls",
        "throughput" => "Throughput",
        "handover" => "Hand-over",
        "processes" => "Processes",
        "leases" => "Leases",
        "fanout" => "Fan-out",
        "soak" => "Soak",
        "specification" => "Specification",
        "dispatch" => "Dispatch",
        "memory" => "Memory",
        other => other,
    }
}

/// A heading below that of a section.
pub(super) fn title(text: &str) -> Html {
    Html::tag("h3", &[], Html::text(text))
}

/// A time of a report; `None` if there was nothing to measure.
fn measured(nanoseconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(nanoseconds / 1e9).ok()
}

pub(super) fn time(nanoseconds: f64) -> Html {
    measured(nanoseconds).map_or_else(none, |time| Html::text(duration(time)))
}

/// How many times as much one is as the other.
pub(super) fn ratio(one: f64, other: f64) -> Html {
    match one / other {
        ratio if ratio.is_finite() => Html::text(format!("{ratio:.2} x")),
        _ => none(),
    }
}

/// In place of what was not measured.
pub(super) fn none() -> Html {
    Html::muted("none")
}

/// A table of names and what they stand for.
pub(super) fn pairs<'a>(caption: &str, rows: impl IntoIterator<Item = (&'a str, Html)>) -> Table {
    let table = Table::new(caption).compact().text("what").text("it is");
    rows.into_iter().fold(table, |table, (name, value)| table.row([Html::text(name), value]))
}

/// How the times of some series are distributed.
pub(super) fn distribution<'a>(caption: impl Into<String>, series: impl IntoIterator<Item = &'a Series>) -> Html {
    let drawn = |plot: Distribution, series: &Series| {
        // Further out than one sample each is nothing but the same fastest and slowest one.
        let is_told = |percent: f64| float(series.samples) * percent.min(100.0 - percent) >= 100.0 - 1e-6;
        let told = series.percentiles.iter().filter(|one| is_told(one.percent));
        let points = told.filter_map(|one| Some((one.percent, measured(one.nanoseconds)?)));
        plot.series(&series.name, points.collect::<Vec<_>>())
    };
    series.into_iter().fold(Distribution::new(caption), drawn).html()
}
