//! What the figures should be.

use super::contender::{Contender, Operation, Port};
use super::raw::{PLAIN, SAME_WORK};
use super::report::{Backend, Bound, HandOverPoint, Report, SoakSample, Target};
use super::sampling;
use super::sections::{dispatch, handover, memory, specification};

/// The targets of the sections that were run.
pub(crate) fn of(report: &Report) -> Vec<Target> {
    let mut targets = Targets { limits: Limits::of(report.backend()), targets: Vec::new() };
    targets.calls(report);
    targets.throughput(report);
    targets.dispatch(report);
    targets.memory(report);
    targets.specification(report);
    targets.handover(report);
    targets.processes(report);
    targets.leases(report);
    targets.fanout(report);
    targets.soak(report);
    targets.targets
}

/// Where the kind of server decides.
struct Limits {
    /// Of a call's median, over the same work by hand: of one that is published, and of others.
    publish: f64,
    call: f64,
    /// Of the calls per second of 64 tasks, over the same work by hand: for each operation that has one.
    rates: &'static [(Operation, f64)],
    /// Of a hand-over's median with 100 waiters, in round trips, and over the token queue; and where each is in a process
    /// of its own, over all in one.
    round_trips: f64,
    over_queue: Option<f64>,
    over_one_process: Option<f64>,
    /// Requests of an acquire and release, of a hand-over, and of an interval of 10,000 leases.
    uncontended: Option<f64>,
    hand_over: Option<f64>,
    renewals: Option<f64>,
    /// Milliseconds until a new process has its first answer, and bytes of a change to each that it does not concern.
    first_answer: f64,
    change_bytes: Option<f64>,
}

impl Limits {
    const fn of(backend: Backend) -> Self {
        match backend {
            Backend::Redis => Self {
                publish: 1.02,
                call: 1.02,
                rates: &[(Operation::Set, 0.95), (Operation::Get, 0.95)],
                round_trips: 1.5,
                over_queue: Some(2.0),
                over_one_process: Some(1.5),
                uncontended: Some(2.0),
                hand_over: Some(4.0),
                renewals: Some(20.0),
                first_answer: 5.0,
                change_bytes: Some(1.0),
            },
            // By hand nothing is applied of what is read back, and each of many calls is a message of its own. A release is a
            // message that is stored and read back, and a hand-over is counted in those.
            Backend::Nats => Self {
                publish: 1.05,
                call: 1.5,
                rates: &[(Operation::Set, 0.95), (Operation::Get, 0.95)],
                round_trips: 2.0,
                over_queue: None,
                over_one_process: None,
                uncontended: Some(2.0),
                hand_over: Some(4.0),
                renewals: Some(20.0),
                first_answer: 5.0,
                change_bytes: None,
            },
            // By hand each write is a commit of its own; what many ask for at once is one commit of the adapter's. A release
            // is a commit, and a hand-over is counted in those.
            Backend::Postgres => Self {
                publish: 1.05,
                call: 1.05,
                rates: &[(Operation::Set, 10.0)],
                round_trips: 2.0,
                over_queue: None,
                over_one_process: None,
                uncontended: None,
                hand_over: None,
                renewals: Some(20.0),
                first_answer: 5.0,
                change_bytes: None,
            },
        }
    }
}

struct Targets {
    limits: Limits,
    targets: Vec<Target>,
}

impl Targets {
    fn add(&mut self, section: &str, what: impl Into<String>, measured: f64, bound: Bound, limit: f64, unit: &str) {
        let met = match bound {
            Bound::AtMost => measured <= limit,
            Bound::AtLeast => measured >= limit,
        };
        let (section, what, unit) = (section.to_owned(), what.into(), unit.to_owned());
        self.targets.push(Target { section, what, measured, bound, limit, unit, met });
    }

    fn at_most(&mut self, section: &str, what: impl Into<String>, measured: f64, limit: f64, unit: &str) {
        self.add(section, what, measured, Bound::AtMost, limit, unit);
    }

    fn calls(&mut self, report: &Report) {
        for comparison in &report.calls {
            let ratio = comparison.ratio(Port::NAME, SAME_WORK, 50.0).unwrap_or(f64::NAN);
            let what = format!("{}, p50, over the same work by hand", comparison.operation);
            let is_published = comparison.operation == Operation::Publish.name();
            let limit = if is_published { self.limits.publish } else { self.limits.call };
            self.at_most("calls", what, ratio, limit, "x");
        }
    }

    fn throughput(&mut self, report: &Report) {
        for point in report.throughput.iter().filter(|point| point.tasks == 64) {
            let limit = self.limits.rates.iter().find(|(operation, _)| operation.name() == point.operation);
            let Some((_, limit)) = limit else { continue };
            let ratio = point.ratio(Port::NAME, SAME_WORK).unwrap_or(f64::NAN);
            let what = format!("{} by 64 tasks, over the same work by hand", point.operation);
            self.add("throughput", what, ratio, Bound::AtLeast, *limit, "x");
        }
    }

    fn dispatch(&mut self, report: &Report) {
        for dispatch in &report.dispatch {
            let median = |name| dispatch.way(name).map_or(f64::NAN, |way| way.times.median());
            let cost = median(dispatch::LAYERED) - median(dispatch::DIRECT);
            let what = format!("{}: the port and all layers, p50", dispatch.operation);
            self.at_most("dispatch", what, cost, 1000.0, "ns");
        }
    }

    /// Through the port without layers: what those cost is the dispatch's.
    fn memory(&mut self, report: &Report) {
        let of = |operation| report.memory.iter().find(|comparison| comparison.operation == operation);
        for (operation, limit) in [(memory::GET, 250.0), (memory::COMMIT, 500.0)] {
            if let Some(series) = of(operation).and_then(|comparison| comparison.series(memory::ADAPTER)) {
                self.at_most("memory", format!("{operation}, p50"), series.median(), limit, "ns");
            }
        }
        if let Some(published) = of(memory::PUBLISH) {
            let ratio = published.ratio(memory::ADAPTER, memory::BROADCAST, 50.0).unwrap_or(f64::NAN);
            self.at_most("memory", "publish to one subscriber, p50, over tokio's broadcast", ratio, 1.2, "x");
        }
    }

    fn specification(&mut self, report: &Report) {
        for series in &report.specification {
            let limit = match series.name.as_str() {
                specification::PUBLISH => 1.0,
                specification::SUBSCRIBE => 10.0,
                _ => 5.0,
            };
            self.at_most("specification", format!("{}, p99", series.name), series.at(99.0) / 1e6, limit, "ms");
        }
    }

    #[allow(clippy::cast_precision_loss)] // Turns: thousands.
    fn handover(&mut self, report: &Report) {
        const SECTION: &str = "handover";
        let Some(hand_over) = &report.handover else { return };
        let what = "requests of an acquire and release that nobody else wants";
        if let Some(limit) = self.limits.uncontended {
            let requests = hand_over.uncontended_requests.unwrap_or(f64::NAN);
            self.at_most(SECTION, what, requests, limit, "requests");
        }
        let ours = |point: &HandOverPoint| point.contender(handover::LOCK).cloned();
        if let Some(point) = hand_over.points.iter().find(|point| point.waiters == 100) {
            let median = |name| point.contender(name).map_or(f64::NAN, |one| one.times.median());
            let (lock, queue) = (median(handover::LOCK), median(handover::QUEUE));
            let round_trips = lock / hand_over.unit().median();
            let unit = if hand_over.commit.is_some() { "committed round trips" } else { "round trips" };
            self.at_most(SECTION, "hand-over with 100 waiters, p50", round_trips, self.limits.round_trips, unit);
            if let Some(limit) = self.limits.over_queue {
                let what = "hand-over with 100 waiters, p50, over the token queue";
                self.at_most(SECTION, what, lock / queue, limit, "x");
            }
            if let Some(limit) = self.limits.over_one_process {
                let what = "hand-over with 100 waiters, p50, a process each, over all in one";
                self.at_most(SECTION, what, median(handover::EACH) / lock, limit, "x");
            }
        }
        let requests = hand_over.points.iter().filter_map(ours).map(|one| one.requests.unwrap_or(f64::NAN));
        let most = requests.fold(f64::NAN, f64::max);
        if let Some(limit) = self.limits.hand_over {
            self.at_most(SECTION, "requests of a hand-over, however many wait", most, limit, "requests");
        }
        let shares = hand_over.points.iter().filter_map(ours);
        let shares = shares.map(|one| one.most_turns as f64 / one.fewest_turns as f64);
        let worst = shares.fold(f64::NAN, f64::max);
        self.at_most(SECTION, "turns of who had most, over who had fewest", worst, 2.0, "x");
    }

    /// What a change costs is a target where the server tells only those whom it concerns.
    fn processes(&mut self, report: &Report) {
        const SECTION: &str = "processes";
        let Some(processes) = &report.processes else { return };
        let first = processes.first_answer.median() / 1e6;
        self.at_most(SECTION, "connect and get, p50", first, self.limits.first_answer, "ms");
        let most = processes.points.iter().map(|point| point.sent_to_each.change).fold(f64::NAN, f64::max);
        if let Some(limit) = self.limits.change_bytes {
            self.at_most(SECTION, "bytes of a change to each process that it does not concern", most, limit, "bytes");
        }
    }

    #[allow(clippy::cast_precision_loss)] // At most ten thousand.
    fn leases(&mut self, report: &Report) {
        let Some(leases) = &report.leases else { return };
        let what = format!("requests that keep {} leases for an interval", leases.held);
        if let Some(limit) = self.limits.renewals {
            self.at_most("leases", what, leases.requests_per_interval(), limit, "requests");
        }
        let what = "processor time of the coordinator in an interval, without the driver's";
        self.at_most("leases", what, sampling::median(&leases.coordinator_ms), 10.0, "ms");
        self.at_most("leases", "leases lost meanwhile", leases.lost as f64, 0.0, "leases");
    }

    #[allow(clippy::cast_precision_loss)] // Hundreds of thousands.
    fn fanout(&mut self, report: &Report) {
        let Some(fanout) = &report.fanout else { return };
        let what = format!("copies of a message for a process with {} subscribers", fanout.subscribers);
        if let Some(copies) = fanout.copies {
            self.at_most("fanout", what, copies as f64, 1.0, "copies");
        }
        let wrong = (fanout.missing + fanout.surplus) as f64;
        self.at_most("fanout", "deliveries that did not come, or came twice", wrong, 0.0, "deliveries");
    }

    /// What only grows would be twice as much after twice the laps, and would keep a row of each thing that was written.
    #[allow(clippy::cast_precision_loss)] // Millions of rows, gigabytes.
    fn soak(&mut self, report: &Report) {
        const SECTION: &str = "soak";
        let Some(soak) = &report.soak else { return };
        let rows = |sample: Option<&SoakSample>| sample.map_or(f64::NAN, |sample| sample.total().rows as f64);
        let left = rows(soak.samples.last()) - rows(soak.samples.first());
        let share = 100.0 * left / soak.written() as f64;
        self.at_most(SECTION, "rows left in the end, of all that was written", share, 10.0, "%");
        let most = |laps: &[SoakSample]| laps.iter().map(|lap| lap.total().bytes as f64).fold(f64::NAN, f64::max);
        // In a first look the laps end before the first one's ids are forgotten.
        if !report.facts.quick {
            let (first, second) = soak.laps().split_at(soak.laps().len() / 2);
            let what = "size of all tables, the most in the second half over the most in the first";
            self.at_most(SECTION, what, most(second) / most(first), 1.5, "x");
        }
    }
}

/// The ratios that are shown beside a comparison of calls: over the same work, and what the contract costs.
pub(crate) const RATIOS: [&str; 2] = [SAME_WORK, PLAIN];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{
        Comparison, Cost, HandOver, HandOvers, Leases, ProcessPoint, Processes, Rate, Series, ServerFacts, Soak,
        TableSize, Throughput,
    };
    use crate::bench::sampling::Samples;
    use std::time::Duration;

    fn series(name: &str, micros: u64) -> Series {
        let mut samples = Samples::default();
        samples.push(Duration::from_micros(micros));
        samples.series(name)
    }

    fn met(report: &Report) -> Vec<bool> {
        of(report).iter().map(|target| target.met).collect()
    }

    fn on(backend: Backend, mut report: Report) -> Report {
        report.facts.server = Some(ServerFacts { backend, ..ServerFacts::default() });
        report
    }

    fn of_nats(report: Report) -> Report {
        on(Backend::Nats, report)
    }

    #[test]
    fn nothing_was_run_nothing_is_judged() {
        assert_eq!(of(&Report::default()), []);
    }

    #[test]
    fn a_call_is_judged_by_the_same_work_and_not_by_the_plain_one() {
        let calls = |port| {
            let series = vec![series(Port::NAME, port), series(SAME_WORK, 100), series("plain", 10)];
            let operation = Operation::Get.name().to_owned();
            Report { calls: vec![Comparison { operation, series }], ..Report::default() }
        };
        assert_eq!(met(&calls(102)), [true]);
        assert_eq!(met(&calls(103)), [false]);
        assert_eq!((met(&of_nats(calls(150))), met(&of_nats(calls(151)))), (vec![true], vec![false]));
    }

    #[test]
    fn a_hand_over_is_judged_by_the_round_trip_the_queue_its_requests_and_its_fairness() {
        let of = |micros, requests, fewest_turns| {
            let requests = Some(requests);
            let mine = HandOvers { times: series(handover::LOCK, micros), requests, fewest_turns, most_turns: 40 };
            let queue = HandOvers { times: series(handover::QUEUE, 80), requests, fewest_turns: 1, most_turns: 9 };
            let each = HandOvers { times: series(handover::EACH, 225), ..queue.clone() };
            let point = HandOverPoint { waiters: 100, contenders: vec![mine, each, queue] };
            let round_trip = series("GET", 100);
            let uncontended_requests = Some(2.0);
            let handover = Some(HandOver { uncontended_requests, round_trip, commit: None, points: vec![point] });
            met(&Report { handover, ..Report::default() })
        };
        assert_eq!(of(150, 4.0, 20), [true; 6]);
        assert_eq!(of(149, 4.1, 19), [true, true, true, false, false, false]);
        assert_eq!(of(161, 4.0, 0), [true, false, false, true, true, false]);
    }

    #[test]
    fn what_could_not_be_measured_is_missed() {
        let nothing = Comparison { operation: "get".to_owned(), series: Vec::new() };
        assert_eq!(met(&Report { calls: vec![nothing], ..Report::default() }), [false]);
    }

    #[test]
    fn a_hand_over_that_is_durable_is_counted_in_what_is_durable() {
        let point = |requests| {
            let times = series(handover::LOCK, 600);
            let lock = HandOvers { times, requests, fewest_turns: 20, most_turns: 20 };
            HandOverPoint { waiters: 100, contenders: vec![lock] }
        };
        let (round_trip, commit) = (series("SELECT", 50), Some(series("UPDATE", 300)));
        let handover = HandOver { uncontended_requests: None, round_trip, commit, points: vec![point(None)] };
        let report = Report { handover: Some(handover), ..Report::default() };
        let targets = super::of(&on(Backend::Postgres, report.clone()));
        assert_eq!((targets[0].unit.as_str(), targets[0].met), ("committed round trips", true));
        assert!((targets[0].measured - 2.0).abs() < 1e-9, "{}", targets[0].measured);
        // What was not counted where it should be is missed.
        assert_eq!(met(&report), [false, false, false, false, false, true]);
    }

    #[test]
    fn many_tasks_are_to_share_commits_on_postgres_and_reading_is_only_told() {
        let point = |operation: Operation, port| {
            let rate = |name: &str, per_second| Rate { name: name.to_owned(), per_second, slices: vec![per_second] };
            let rates = vec![rate(Port::NAME, port), rate(SAME_WORK, 100.0)];
            Throughput { operation: operation.name().to_owned(), tasks: 64, rates }
        };
        let of = |set| {
            let throughput = vec![point(Operation::Set, set), point(Operation::Get, 1.0)];
            Report { throughput, ..Report::default() }
        };
        assert_eq!(met(&on(Backend::Postgres, of(1000.0))), [true]);
        assert_eq!(met(&on(Backend::Postgres, of(999.0))), [false]);
        assert_eq!(met(&of(95.0)), [true, false]);
    }

    #[test]
    fn tables_may_take_what_they_took_before_and_no_row_for_all_that_was_written() {
        let sample = |rows: u64, bytes| SoakSample {
            when: String::new(),
            tables: vec![TableSize { rows, bytes, ..TableSize::default() }, TableSize::default()],
        };
        let of = |second_half, left: u64| {
            let samples = vec![sample(5, 1), sample(90, 100), sample(90, second_half), sample(5 + left, 9000)];
            met(&Report { soak: Some(Soak { commits: 100, samples, ..Soak::default() }), ..Report::default() })
        };
        assert_eq!(of(150, 10), [true, true]);
        assert_eq!(of(151, 11), [false, false]);
        assert_eq!(met(&Report { soak: Some(Soak::default()), ..Report::default() }), [false, false]);
    }

    #[test]
    fn processes_are_judged_by_their_first_answer_and_by_what_does_not_concern_them() {
        let of = |micros, change| {
            let sent_to_each = Cost { idle_second: 9.0, change };
            let points = vec![ProcessPoint { processes: 1, changes: 9, sent_to_each, processor_us: None }];
            let processes = Processes { first_answer: series("connect", micros), points, writers: Vec::new() };
            Report { processes: Some(processes), ..Report::default() }
        };
        assert_eq!((met(&of(5000, 1.0)), met(&of(5001, 1.1))), (vec![true, true], vec![false, false]));
        // Everybody is told, and the page says what that costs.
        assert_eq!(met(&of_nats(of(5000, 500.0))), [true]);
        assert_eq!(met(&Report { processes: Some(Processes::default()), ..Report::default() }), [false, false]);
    }

    #[test]
    fn leases_are_judged_by_the_mean_interval() {
        let of = |requests, used, lost| {
            let (held, processor_ms, coordinator_ms) = (10_000, Vec::new(), vec![used]);
            let (ttl_seconds, interval_seconds, commands) = (9.0, 3.0, std::collections::BTreeMap::new());
            let leases =
                Leases { held, ttl_seconds, interval_seconds, requests, commands, processor_ms, coordinator_ms, lost };
            met(&Report { leases: Some(leases), ..Report::default() })
        };
        assert_eq!(of(vec![19, 21, 20], 10.0, 0), [true, true, true]);
        assert_eq!(of(vec![19, 22, 20], 10.1, 1), [false, false, false]);
        // Nobody counted them.
        assert_eq!(of(Vec::new(), 4.0, 0), [false, true, true]);
    }
}
