//! A report for a terminal.

use super::contender::{Contender, Port};
use super::report::{Comparison, Facts, HandOver, Report, Target};
use super::sections::memory::BROADCAST;
use super::targets::RATIOS;
use clap::builder::styling::{AnsiColor, Style};
use std::fmt::{self, Display, Write};

/// The whole report, without the last line's end; where titles have a style, what was met and missed is coloured too.
pub(crate) fn text(report: &Report, title: Style) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report, title);
    text.truncate(text.trim_end().len());
    text
}

fn write(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    facts(out, &report.facts)?;
    dispatch(out, report, title)?;
    for comparison in &report.memory {
        times(out, title, "memory", comparison, &[BROADCAST])?;
    }
    for comparison in &report.calls {
        times(out, title, "calls", comparison, &RATIOS)?;
    }
    if !report.specification.is_empty() {
        let series = report.specification.clone();
        times(out, title, "specification", &Comparison { operation: "the port".to_owned(), series }, &[])?;
    }
    throughput(out, report, title)?;
    if let Some(hand_over) = &report.handover {
        handover(out, hand_over, title)?;
    }
    leases(out, report, title)?;
    fanout(out, report, title)?;
    for left_out in &report.left_out {
        writeln!(out, "\nleft out: {}: {}", left_out.section, left_out.why)?;
    }
    targets(out, &report.targets, title)
}

fn facts(out: &mut String, facts: &Facts) -> fmt::Result {
    let Facts { linchpin, commit, date, cores, processor, payload_bytes, server, .. } = facts;
    let commit = commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
    let processor = processor.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    writeln!(out, "linchpin {linchpin}{commit}, {date}")?;
    writeln!(out, "{cores} cores{processor}, payloads of {payload_bytes} bytes")?;
    if let Some(server) = server {
        writeln!(out, "{}; {}", server.version, server.durability)?;
    }
    facts.notes().iter().try_for_each(|note| writeln!(out, "NOTE: {note}"))
}

fn dispatch(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    for dispatch in &report.dispatch {
        writeln!(out, "\n{title}dispatch: {}, a driver that answers at once{title:#}", dispatch.operation)?;
        for way in &dispatch.ways {
            let (p50, p99) = (Time(way.times.median()), Time(way.times.at(99.0)));
            let allocations = way.allocations.map_or("not counted".to_owned(), |count| format!("{count:.1}"));
            writeln!(out, "  {:<28} p50 {p50:>10}   p99 {p99:>10}   allocations {allocations}", way.times.name)?;
        }
    }
    Ok(())
}

/// The series of a comparison; of the first, how many times as long it takes as some of the others.
fn times(out: &mut String, title: Style, section: &str, comparison: &Comparison, over: &[&str]) -> fmt::Result {
    writeln!(out, "\n{title}{section}: {}{title:#}", comparison.operation)?;
    for (index, series) in comparison.series.iter().enumerate() {
        let (p50, p99) = (Time(series.median()), Time(series.at(99.0)));
        write!(out, "  {:<28} p50 {p50:>10}   p99 {p99:>10}", series.name)?;
        for other in over.iter().filter(|_| index == 0) {
            if let Some(ratio) = comparison.ratio(&series.name, other, 50.0) {
                write!(out, "   {ratio:.2}x {other}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn throughput(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    if report.throughput.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}throughput: calls per second{title:#}")?;
    for point in &report.throughput {
        write!(out, "  {:<4} {:>4} tasks", point.operation, point.tasks)?;
        for rate in &point.rates {
            write!(out, "   {} {:>8.0}", rate.name, rate.per_second)?;
        }
        for other in RATIOS {
            if let Some(ratio) = point.ratio(Port::NAME, other) {
                write!(out, "   {ratio:.2}x {other}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn handover(out: &mut String, hand_over: &HandOver, title: Style) -> fmt::Result {
    let round_trip = Time(hand_over.round_trip.median());
    writeln!(out, "\n{title}handover: from a release until the next holds; a round trip is {round_trip}{title:#}")?;
    writeln!(
        out,
        "  requests of an acquire and release that nobody else wants: {:.1}",
        hand_over.uncontended_requests
    )?;
    for point in &hand_over.points {
        for one in &point.contenders {
            let (p50, p99) = (Time(one.times.median()), Time(one.times.at(99.0)));
            write!(out, "  {:>3} waiting   {:<18} p50 {p50:>10}   p99 {p99:>10}", point.waiters, one.times.name)?;
            let (requests, fewest, most) = (one.requests, one.fewest_turns, one.most_turns);
            writeln!(out, "   requests {requests:>6.2}   turns of each {fewest} to {most}")?;
        }
    }
    Ok(())
}

fn leases(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    let Some(leases) = &report.leases else { return Ok(()) };
    let (held, ttl, interval) = (leases.held, leases.ttl_seconds, leases.interval_seconds);
    writeln!(out, "\n{title}leases: {held} held with a TTL of {ttl} s; an interval is {interval} s{title:#}")?;
    let requests = leases.requests.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let commands = leases.commands.iter().map(|(command, count)| format!("{count} {command}")).collect::<Vec<_>>();
    writeln!(out, "  requests in each interval: {requests} ({})", commands.join(", "))
}

fn fanout(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    let Some(fanout) = &report.fanout else { return Ok(()) };
    let (subscribers, patterns) = (fanout.subscribers, fanout.patterns);
    writeln!(
        out,
        "\n{title}fanout: {subscribers} subscribers in one process, on {patterns} patterns that overlap{title:#}"
    )?;
    let copies = fanout.copies.map_or_else(|| "not counted".to_owned(), |copies| copies.to_string());
    writeln!(out, "  copies that the server sends of one message: {copies}")?;
    let (due, missing, surplus) = (fanout.due, fanout.missing, fanout.surplus);
    writeln!(out, "  deliveries of {} messages: {due} due, {missing} missing, {surplus} surplus", fanout.messages)?;
    let (p50, p99) = (Time(fanout.times.median()), Time(fanout.times.at(99.0)));
    writeln!(out, "  {:<28} p50 {p50:>10}   p99 {p99:>10}", fanout.times.name)
}

fn targets(out: &mut String, targets: &[Target], title: Style) -> fmt::Result {
    writeln!(out, "\n{title}targets{title:#}")?;
    for target in targets {
        let (mark, colour) = if target.met { ("met   ", AnsiColor::Green) } else { ("missed", AnsiColor::Red) };
        let style = if title == Style::new() { title } else { colour.on_default() };
        let bound = target.bound.words();
        let (measured, limit, unit) = (Figure(target.measured), Figure(target.limit), &target.unit);
        let what = format!("{}: {}", target.section, target.what);
        writeln!(out, "  {style}{mark}{style:#}  {what:<76} {measured:>8} {unit}, {bound} {limit}")?;
    }
    let missed = targets.iter().filter(|target| !target.met).count();
    writeln!(out, "{missed} of {} targets missed", targets.len())
}

/// A figure with as many digits as say something.
pub(crate) struct Figure(pub(crate) f64);

impl Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            large if large >= 100.0 => format!("{large:.0}"),
            small => {
                let text = format!("{small:.3}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        };
        f.pad(&text)
    }
}

/// A time in the unit that suits it.
struct Time(f64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.0 {
            nanos if nanos < 1e3 => format!("{nanos:.0} ns"),
            nanos if nanos < 1e6 => format!("{:.1} us", nanos / 1e3),
            nanos => format!("{:.2} ms", nanos / 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (figure, expected) in [(1.0, "1"), (1.0234, "1.023"), (0.95, "0.95"), (1000.4, "1000"), (f64::NAN, "NaN")] {
            assert_eq!(Figure(figure).to_string(), expected);
        }
        for (time, expected) in [(250.0, "250 ns"), (61_240.0, "61.2 us"), (1_500_000.0, "1.50 ms")] {
            assert_eq!(Time(time).to_string(), expected);
        }
    }
}
