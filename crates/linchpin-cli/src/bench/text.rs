//! A report for a terminal.

use super::contender::{Contender, Port};
use super::report::{Comparison, Cost, Facts, HandOver, Report, Soak, TableSize, Target, Throughput};
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
    processes(out, report, title)?;
    leases(out, report, title)?;
    fanout(out, report, title)?;
    soak(out, report, title)?;
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
    rates(out, &report.throughput, "tasks")
}

/// Calls per second of so many tasks or processes.
fn rates(out: &mut String, points: &[Throughput], who: &str) -> fmt::Result {
    for point in points {
        write!(out, "  {:<4} {:>4} {who}", point.operation, point.tasks)?;
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
    let commit = hand_over.commit.as_ref().map(|commit| format!(", a committed one {}", Time(commit.median())));
    let commit = commit.unwrap_or_default();
    writeln!(
        out,
        "\n{title}handover: from a release until the next holds; a round trip is {round_trip}{commit}{title:#}"
    )?;
    let requests = counted(hand_over.uncontended_requests, 1);
    writeln!(out, "  requests of an acquire and release that nobody else wants: {requests}")?;
    for point in &hand_over.points {
        for one in &point.contenders {
            let (p50, p99) = (Time(one.times.median()), Time(one.times.at(99.0)));
            write!(out, "  {:>3} waiting   {:<18} p50 {p50:>10}   p99 {p99:>10}", point.waiters, one.times.name)?;
            let (requests, fewest, most) = (counted(one.requests, 2), one.fewest_turns, one.most_turns);
            writeln!(out, "   requests {requests:>6}   turns of each {fewest} to {most}")?;
        }
    }
    Ok(())
}

/// A number that not every server tells.
fn counted(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "not counted".to_owned(), |number| format!("{number:.digits$}"))
}

fn processes(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    let Some(processes) = &report.processes else { return Ok(()) };
    writeln!(out, "\n{title}processes: so many wait, each for its own, while another writes elsewhere{title:#}")?;
    let first = &processes.first_answer;
    let (p50, p99) = (Time(first.median()), Time(first.at(99.0)));
    writeln!(out, "  {:<28} p50 {p50:>10}   p99 {p99:>10}", first.name)?;
    for point in &processes.points {
        let Cost { idle_second, change } = point.sent_to_each;
        write!(
            out,
            "  {:>3} waiting   to each {change:>6.1} bytes a change, {idle_second:>6.0} an idle second",
            point.processes
        )?;
        if let Some(Cost { idle_second, change }) = point.processor_us {
            write!(out, "   processors {change:>6.0} us a change, {:>5.1} ms an idle second", idle_second / 1e3)?;
        }
        writeln!(out)?;
    }
    rates(out, &processes.writers, "processes")
}

fn leases(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    let Some(leases) = &report.leases else { return Ok(()) };
    let (held, ttl, interval) = (leases.held, leases.ttl_seconds, leases.interval_seconds);
    writeln!(out, "\n{title}leases: {held} held with a TTL of {ttl} s; an interval is {interval} s{title:#}")?;
    let list = |all: &[f64]| all.iter().map(|used| format!("{used:.1}")).collect::<Vec<_>>().join(", ");
    writeln!(out, "  processor time in each interval: {} ms", list(&leases.processor_ms))?;
    writeln!(out, "  over a driver that answers at once: {} ms", list(&leases.coordinator_ms))?;
    if leases.requests.is_empty() {
        return writeln!(out, "  requests in each interval: not counted");
    }
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

fn soak(out: &mut String, report: &Report, title: Style) -> fmt::Result {
    let Some(soak) = &report.soak else { return Ok(()) };
    let Soak { records, commits, messages, large, seconds, .. } = soak;
    writeln!(
        out,
        "\n{title}soak: {records} records of streams, {commits} transactions and {messages} messages ({large} large) in \
         {seconds:.0} s{title:#}"
    )?;
    for sample in &soak.samples {
        let TableSize { rows, dead, bytes, index_bytes, .. } = sample.total();
        let (bytes, indexes) = (Size(bytes), Size(index_bytes));
        writeln!(out, "  {:<28} {bytes:>10}   indexes {indexes:>10}   rows {rows:>9}   dead {dead:>9}", sample.when)?;
    }
    for table in soak.tables() {
        let (Some(first), Some(last)) = (table.first(), table.last()) else { continue };
        let most = |of: fn(&TableSize) -> u64| table.iter().map(of).max().unwrap_or_default();
        let (bytes, rows, dead) = (most(|one| one.bytes), most(|one| one.rows), most(|one| one.dead));
        let sizes = format!("{} -> {} -> {}", Size(first.bytes), Size(bytes), Size(last.bytes));
        let rows = format!("{} -> {rows} -> {}", first.rows, last.rows);
        let (name, vacuums) = (&last.name, last.autovacuums.saturating_sub(first.autovacuums));
        writeln!(out, "  {name:<28} {sizes:<34} rows {rows:<24} dead {dead:>8}   autovacuums {vacuums}")?;
    }
    Ok(())
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

/// A size in the unit that suits it.
pub(crate) struct Size(pub(crate) u64);

impl Display for Size {
    #[allow(clippy::cast_precision_loss)] // One digit is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.0 {
            bytes if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
            bytes => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        })
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
        for (bytes, expected) in [(8192, "8 KiB"), (1 << 20, "1.0 MiB"), (3 << 29, "1536.0 MiB")] {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }
}
