//! Times of one thing done in several ways.

use super::cells::{distribution, ratio, time, title};
use crate::bench::report::{Comparison, Dispatch, Series};
use crate::bench::sections::dispatch::DIRECT;
use crate::bench::words::Words;
use crate::page::{Html, Table, count, paragraph};

pub(super) fn calls(calls: &[Comparison], words: &Words) -> Option<Html> {
    let Words { same_work, plain, .. } = words;
    let about = format!(
        "One call after the other, each over a connection that nobody else uses. The port, as an application holds it, \
         against the same work by hand ({same_work}) and against {plain}, which guarantee less: the distance to them is \
         what the contract costs."
    );
    comparisons(&about, calls)
}

const MEMORY: &str = "The backend in memory, which needs no server: the port with all its layers against the same \
    adapter without them, and for messages against tokio's broadcast channel.";

pub(super) fn memory(memory: &[Comparison]) -> Option<Html> {
    comparisons(MEMORY, memory)
}

fn comparisons(about: &str, all: &[Comparison]) -> Option<Html> {
    let one = |comparison: &Comparison| {
        let plot = distribution(
            format!("Share of the calls that ended within a time: {}", comparison.operation),
            &comparison.series,
        );
        title(&comparison.operation).then(times(comparison)).then(plot)
    };
    (!all.is_empty()).then(|| paragraph(about).then(all.iter().map(one).collect::<Html>()))
}

/// The series of a comparison, and how the first compares with the others.
fn times(Comparison { operation, series }: &Comparison) -> Table {
    let first = series.first().cloned().unwrap_or_default();
    let caption =
        format!("{operation}: times, and how many times as long \"{}\" takes as each of the others", first.name);
    let over_it = |percentile| format!("{} over it, {percentile}", first.name);
    let table = Table::new(caption)
        .compact()
        .text("way")
        .number("p50")
        .number("p99")
        .number(over_it("p50"))
        .number(over_it("p99"));
    let table = table.number("calls measured");
    series.iter().enumerate().fold(table, |table, (index, series)| {
        let over = |percent| if index == 0 { Html::default() } else { ratio(first.at(percent), series.at(percent)) };
        let [p50, p99] = [50.0, 99.0].map(|percent| time(series.at(percent)));
        let samples = Html::text(series.samples.to_string());
        table.row([Html::text(&series.name), p50, p99, over(50.0), over(99.0), samples])
    })
}

const SPECIFICATION: &str = "The operations of the port that the specification gives a time to, one after the other. \
    They are compared with those times alone: the limits are among the targets.";

pub(super) fn specification(series: &[Series]) -> Option<Html> {
    if series.is_empty() {
        return None;
    }
    let table = Table::new("Times of the port")
        .compact()
        .text("operation")
        .number("p50")
        .number("p99")
        .number("calls measured");
    let table = series.iter().fold(table, |table, series| {
        let [p50, p99] = [50.0, 99.0].map(|percent| time(series.at(percent)));
        table.row([Html::text(&series.name), p50, p99, Html::text(series.samples.to_string())])
    });
    let plot = distribution("Share of the calls that ended within a time", series);
    Some(paragraph(SPECIFICATION).then(table).then(plot))
}

const DISPATCH: &str = "What a call costs before it leaves the process, on a driver that answers at once: the driver \
    called directly, against the port over it, and against the port with all its layers. Times are of one call out of a \
    batch of calls.";

pub(super) fn dispatch(all: &[Dispatch]) -> Option<Html> {
    let one = |dispatch: &Dispatch| {
        let plot = distribution(
            format!("Share of the batches in which a call took no longer: {}", dispatch.operation),
            dispatch.ways.iter().map(|way| &way.times),
        );
        title(&dispatch.operation).then(costs(dispatch)).then(plot)
    };
    (!all.is_empty()).then(|| paragraph(DISPATCH).then(all.iter().map(one).collect::<Html>()))
}

fn costs(dispatch: &Dispatch) -> Table {
    let direct = dispatch.way(DIRECT).map_or(f64::NAN, |way| way.times.median());
    let table = Table::new(format!("{}: times and allocations of one call", dispatch.operation)).compact();
    let table = table.text("way").number("p50").number("p99").number("above the driver, p50").number("allocations");
    dispatch.ways.iter().fold(table, |table, way| {
        let above = if way.times.name == DIRECT { Html::default() } else { time(way.times.median() - direct) };
        let allocations =
            way.allocations.map_or_else(|| Html::muted("not counted"), |number| Html::text(count(number)));
        let [p50, p99] = [50.0, 99.0].map(|percent| time(way.times.at(percent)));
        table.row([Html::text(&way.times.name), p50, p99, above, allocations])
    })
}
