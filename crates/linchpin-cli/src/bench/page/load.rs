//! Many at once: tasks, waiters, leases, subscribers.

use super::cells::{distribution, none, pairs, ratio, time, title};
use crate::bench::contender::{Contender, Port};
use crate::bench::report::{FanOut, HandOver, HandOvers, Leases, Throughput};
use crate::bench::sampling::float;
use crate::bench::targets::RATIOS;
use crate::bench::words::Words;
use crate::page::plot::Lines;
use crate::page::{Html, Table, count, paragraph, rate, short_duration};
use std::time::Duration;

pub(super) fn throughput(points: &[Throughput], words: &Words) -> Option<Html> {
    let about = format!(
        "Calls per second of many tasks that share one connection, each with a key of its own: the port against the same \
         work by hand and against {}, a slice of time each, in turns. A rate is the median of the slices.",
        words.plain
    );
    let mut operations: Vec<&str> = points.iter().map(|point| point.operation.as_str()).collect();
    operations.dedup();
    let one = |operation: &str| {
        let points: Vec<_> = points.iter().filter(|point| point.operation == operation).collect();
        title(operation).then(rates_drawn(operation, &points)).then(rates(operation, "tasks", &points))
    };
    let content: Html = operations.iter().map(|operation| one(operation)).collect();
    (!points.is_empty()).then(|| paragraph(about).then(content))
}

fn rates_drawn(operation: &str, points: &[&Throughput]) -> Html {
    let plot = Lines::rates(format!("Calls per second by the number of tasks: {operation}"), "tasks at once");
    let drawn = |plot: Lines, name: &String| {
        plot.series(name, points.iter().filter_map(|point| Some((float(point.tasks), point.rate(name)?))))
    };
    names(points).iter().fold(plot, drawn).html()
}

fn names(points: &[&Throughput]) -> Vec<String> {
    points.first().map(|point| point.rates.iter().map(|rate| rate.name.clone()).collect()).unwrap_or_default()
}

/// The rates of so many tasks or processes.
pub(super) fn rates(operation: &str, who: &str, points: &[&Throughput]) -> Table {
    let caption = format!("{operation}: rates, and how many times as many calls the port makes as each of the others");
    let table = Table::new(caption).compact().number(who);
    let table = names(points).iter().fold(table, Table::number);
    let table = RATIOS.iter().fold(table, |table, other| table.number(format!("port over {other}")));
    let table = table.number("slices of the port");
    points.iter().fold(table, |table, point| {
        let of = |name: &str| point.rate(name).unwrap_or(f64::NAN);
        let rates = point.rates.iter().map(|one| Html::text(rate(one.per_second)));
        let ratios = RATIOS.iter().map(|other| ratio(of(Port::NAME), of(other)));
        table.row([Html::text(point.tasks.to_string())].into_iter().chain(rates).chain(ratios).chain([slices(point)]))
    })
}

/// How far the port's slices lie apart.
fn slices(point: &Throughput) -> Html {
    let Some(port) = point.rates.iter().find(|rate| rate.name == Port::NAME) else { return none() };
    let slowest = port.slices.iter().copied().fold(f64::NAN, f64::min);
    let fastest = port.slices.iter().copied().fold(f64::NAN, f64::max);
    if slowest.is_finite() { Html::text(format!("{} to {}", count(slowest), rate(fastest))) } else { none() }
}

pub(super) fn handover(hand_over: &HandOver, words: &Words) -> Option<Html> {
    let about = format!(
        "A lock that many want, from just before one releases it until the next has it: linchpin's lock against {} and \
         guards against nothing. A round trip measures what any request takes here. {}",
        words.queue, words.request
    );
    let first = hand_over.points.first()?;
    let plot = Lines::times("Median time from a release until the next has it, by the number of waiters", "waiters");
    let drawn = |plot: Lines, one: &HandOvers| {
        let name = &one.times.name;
        let points = hand_over
            .points
            .iter()
            .filter_map(|point| Some((float(point.waiters), point.contender(name)?.times.median() / 1e9)));
        plot.series(name, points.collect::<Vec<_>>())
    };
    let plot = first.contenders.iter().fold(plot, drawn).html();
    let requests = counted(hand_over.uncontended_requests, 1);
    let round_trip = format!("a round trip: {}, p50", words.round_trip);
    let committed = format!("a committed round trip: {}, p50", words.commit);
    let commit = hand_over.commit.as_ref().map(|commit| (committed.as_str(), time(commit.median())));
    let least = pairs(
        "What there is to compare with",
        [(round_trip.as_str(), time(hand_over.round_trip.median()))]
            .into_iter()
            .chain(commit)
            .chain([("requests of an acquire and release that nobody else wants", requests)]),
    );
    Some(paragraph(about).then(least).then(plot).then(hand_overs(hand_over)))
}

fn hand_overs(hand_over: &HandOver) -> Table {
    let table = Table::new(
        "Hand-overs: their times, the requests of each to the server, and the turns of who had the fewest and the most",
    )
    .compact();
    let table = table.number("waiters").text("way").number("p50").number("p99");
    let unit = if hand_over.commit.is_some() { "p50 in committed round trips" } else { "p50 in round trips" };
    let table = table.number(unit).number("requests of each").number("fewest turns").number("most turns");
    let rows = hand_over.points.iter().flat_map(|point| point.contenders.iter().map(|one| (point.waiters, one)));
    rows.fold(table, |table, (waiters, one)| {
        let [p50, p99] = [50.0, 99.0].map(|percent| one.times.at(percent));
        let over = ratio(p50, hand_over.unit().median());
        let turns = [one.fewest_turns, one.most_turns].map(|turns| Html::from(turns.to_string()));
        let cells = [Html::text(waiters.to_string()), Html::text(&one.times.name), time(p50), time(p99), over];
        table.row(cells.into_iter().chain([counted(one.requests, 2)]).chain(turns))
    })
}

/// A number that not every server tells.
fn counted(number: Option<f64>, digits: usize) -> Html {
    number.map_or_else(|| Html::muted("not counted"), |number| Html::text(format!("{number:.digits$}")))
}

pub(super) fn leases(leases: &Leases, words: &Words) -> Html {
    let [ttl, interval] = [leases.ttl_seconds, leases.interval_seconds]
        .map(|seconds| short_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()));
    let about = format!(
        "What it costs to keep {} locks that one process holds, with a TTL of {ttl} each: the requests that reach the \
         server in an interval of {interval}, in which each lease is renewed once. A renewal for each is as \
         many requests as there are leases. {}",
        leases.held, words.request
    );
    let requests = leases.requests.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let commands = leases.commands.iter().map(|(command, count)| format!("{count} {command}")).collect::<Vec<_>>();
    let list = |all: &[f64]| all.iter().map(|used| format!("{used:.1} ms")).collect::<Vec<_>>().join(", ");
    let rows = [
        ("leases held", leases.held.to_string()),
        ("requests in each interval", if requests.is_empty() { "not counted".to_owned() } else { requests }),
        ("what they were, in all intervals", commands.join(", ")),
        ("processor time in each interval", list(&leases.processor_ms)),
        ("the same over a driver that answers at once", list(&leases.coordinator_ms)),
        ("leases lost meanwhile", leases.lost.to_string()),
    ];
    paragraph(about).then(pairs("Keeping the leases", rows.map(|(name, value)| (name, Html::text(value)))))
}

pub(super) fn fanout(fanout: &FanOut) -> Html {
    let about = format!(
        "One publisher and {} subscribers with a connection apart from the publisher's, on {} patterns that overlap. The copies that the \
         server sends are compared with the one that is needed, the deliveries with those that were due.",
        fanout.subscribers, fanout.patterns
    );
    let rows = [
        ("messages published", fanout.messages.to_string()),
        (
            "copies that the server sends of one",
            fanout.copies.map_or_else(|| "the server does not tell".to_owned(), |copies| copies.to_string()),
        ),
        ("deliveries due", fanout.due.to_string()),
        ("deliveries missing", fanout.missing.to_string()),
        ("deliveries too many", fanout.surplus.to_string()),
    ];
    let rows = rows.map(|(name, value)| (name, Html::text(value)));
    let times = [("until the last subscriber has one, p50", 50.0), ("until the last subscriber has one, p99", 99.0)];
    let times = times.map(|(name, percent)| (name, time(fanout.times.at(percent))));
    let plot = distribution("Share of the messages that the last subscriber had within a time", [&fanout.times]);
    let table = pairs("Copies, deliveries and times", rows.into_iter().chain(times));
    paragraph(about).then(table).then(plot)
}
