//! What was measured, as it is written to JSON and made into pages. Times are nanoseconds.

pub(crate) use super::tables::{Soak, SoakSample, TableSize};

use super::problem::{Problem, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A run of `linchpin bench`. A section that was not run is empty, and named in `left_out` with the reason.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of this format; grows when a field changes its meaning.
    pub(crate) version: u32,
    pub(crate) facts: Facts,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) dispatch: Vec<Dispatch>,
    pub(crate) memory: Vec<Comparison>,
    pub(crate) calls: Vec<Comparison>,
    pub(crate) specification: Vec<Series>,
    pub(crate) throughput: Vec<Throughput>,
    pub(crate) handover: Option<HandOver>,
    #[serde(default)]
    pub(crate) processes: Option<Processes>,
    pub(crate) leases: Option<Leases>,
    pub(crate) fanout: Option<FanOut>,
    pub(crate) soak: Option<Soak>,
    pub(crate) targets: Vec<Target>,
}

impl Report {
    pub(crate) const VERSION: u32 = 2;

    pub(crate) fn backend(&self) -> Backend {
        self.facts.server.as_ref().map(|server| server.backend).unwrap_or_default()
    }

    /// Reads a report that was written as JSON.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let json = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"));
        let report =
            json.and_then(|json| serde_json::from_slice(&json).map_err(|error| format!("is no report: {error}")));
        report.map_err(|problem| Problem::invalid(format!("{} {problem}", file.display())))
    }

    /// Notes why some of a section was left out, if it was.
    pub(crate) fn leave_out(&mut self, section: &str, why: Option<String>) {
        self.left_out.extend(why.map(|why| LeftOut { section: section.to_owned(), why }));
    }

    /// Takes the allocations of calls from a run of a build that counted them.
    pub(crate) fn take_allocations(&mut self, counted: &Self) {
        for dispatch in &mut self.dispatch {
            let same = counted.dispatch.iter().find(|other| other.operation == dispatch.operation);
            for way in &mut dispatch.ways {
                let counted = same.and_then(|same| same.way(&way.times.name));
                way.allocations = counted.map_or(way.allocations, |counted| counted.allocations);
            }
        }
    }
}

/// What was measured where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) linchpin: String,
    /// The checkout's commit, `+` behind it if there are changes; `None` outside of one.
    pub(crate) commit: Option<String>,
    /// When the run began, UTC.
    pub(crate) date: String,
    /// A tenth of the rounds: for a quick look.
    pub(crate) quick: bool,
    /// Whether the program was optimised.
    pub(crate) release: bool,
    /// Whether allocations were counted, which makes each a few nanoseconds slower.
    pub(crate) counts_allocations: bool,
    pub(crate) cores: usize,
    pub(crate) processor: Option<String>,
    pub(crate) payload_bytes: usize,
    /// Of the server that the URL names, if it names one.
    pub(crate) server: Option<ServerFacts>,
}

impl Facts {
    /// What must be known to read the figures.
    pub(crate) fn notes(&self) -> Vec<String> {
        let others = self.server.as_ref().and_then(|server| server.other_clients).unwrap_or_default();
        let notes = [
            (others > 0, format!("{others} other clients are connected; what they ask is counted with the requests")),
            (self.quick, "--quick, a tenth of the rounds: for a first look".to_owned()),
            (self.counts_allocations, "allocations are counted: each takes a few nanoseconds more".to_owned()),
            (!self.release, "not an optimised build: the figures mean little".to_owned()),
        ];
        notes.into_iter().filter_map(|(applies, note)| applies.then_some(note)).collect()
    }
}

/// What kind of server was measured: it decides what the targets are, and what was done by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Backend {
    #[default]
    Redis,
    Nats,
    Postgres,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServerFacts {
    pub(crate) backend: Backend,
    /// As it says itself: `redis 7.2.4`.
    pub(crate) version: String,
    /// What survives what, in the adapter's words.
    pub(crate) durability: String,
    /// What its durability depends on; `None` where the server does not tell.
    pub(crate) settings: BTreeMap<String, Option<String>>,
    /// Clients that were connected before: what they ask is counted with the requests. `None` where it is not.
    pub(crate) other_clients: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) section: String,
    pub(crate) why: String,
}

/// How the times of one thing are distributed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) samples: usize,
    pub(crate) percentiles: Vec<Percentile>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Percentile {
    pub(crate) percent: f64,
    pub(crate) nanoseconds: f64,
}

impl Series {
    /// The time that `percent` of the samples do not exceed; not a number if it is not one of those kept.
    pub(crate) fn at(&self, percent: f64) -> f64 {
        let found = self.percentiles.iter().find(|one| (one.percent - percent).abs() < 1e-9);
        found.map_or(f64::NAN, |one| one.nanoseconds)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(50.0)
    }
}

/// The same thing done in several ways, interleaved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) operation: String,
    pub(crate) series: Vec<Series>,
}

impl Comparison {
    pub(crate) fn series(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// How many times as long one takes at a percentile as another.
    pub(crate) fn ratio(&self, one: &str, other: &str, percent: f64) -> Option<f64> {
        Some(self.series(one)?.at(percent) / self.series(other)?.at(percent))
    }
}

/// Calls per second of so many tasks at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Throughput {
    pub(crate) operation: String,
    pub(crate) tasks: usize,
    pub(crate) rates: Vec<Rate>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) name: String,
    /// The median of the slices.
    pub(crate) per_second: f64,
    /// Each slice, in the order they ran.
    pub(crate) slices: Vec<f64>,
}

impl Throughput {
    pub(crate) fn rate(&self, name: &str) -> Option<f64> {
        self.rates.iter().find(|rate| rate.name == name).map(|rate| rate.per_second)
    }

    pub(crate) fn ratio(&self, one: &str, other: &str) -> Option<f64> {
        Some(self.rate(one)? / self.rate(other)?)
    }
}

/// What one call costs on a driver that answers at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dispatch {
    pub(crate) operation: String,
    pub(crate) ways: Vec<Way>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) times: Series,
    /// `None` in a build that does not count them.
    pub(crate) allocations: Option<f64>,
}

impl Dispatch {
    pub(crate) fn way(&self, name: &str) -> Option<&Way> {
        self.ways.iter().find(|way| way.times.name == name)
    }
}

/// A lock that many want.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HandOver {
    /// Requests to the server for one acquire and release that nobody else wants; `None` where it does not count them.
    pub(crate) uncontended_requests: Option<f64>,
    /// A read of one small value on an idle connection.
    pub(crate) round_trip: Series,
    /// A change of one small value, made durable; `None` where a release is not.
    pub(crate) commit: Option<Series>,
    pub(crate) points: Vec<HandOverPoint>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HandOverPoint {
    /// How many wait while one holds.
    pub(crate) waiters: usize,
    pub(crate) contenders: Vec<HandOvers>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HandOvers {
    /// From just before the release until the next has it.
    pub(crate) times: Series,
    /// `None` where the server does not count them.
    pub(crate) requests: Option<f64>,
    /// The turns of who had the fewest and of who had the most.
    pub(crate) fewest_turns: u64,
    pub(crate) most_turns: u64,
}

impl HandOver {
    /// What a hand-over is counted in: the shortest that a release can take.
    pub(crate) fn unit(&self) -> &Series {
        self.commit.as_ref().unwrap_or(&self.round_trip)
    }
}

impl HandOverPoint {
    pub(crate) fn contender(&self, name: &str) -> Option<&HandOvers> {
        self.contenders.iter().find(|one| one.times.name == name)
    }
}

/// Many processes in one namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Processes {
    /// From nothing until a new process has read a key.
    pub(crate) first_answer: Series,
    pub(crate) points: Vec<ProcessPoint>,
    /// So many processes that write, each with one task; `tasks` is how many.
    pub(crate) writers: Vec<Throughput>,
}

/// So many processes that wait, each for something of its own, while another writes elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessPoint {
    pub(crate) processes: usize,
    pub(crate) changes: usize,
    /// Bytes that the server sends to each of them.
    pub(crate) sent_to_each: Cost,
    /// What the processors of this machine work, in microseconds; not told everywhere.
    pub(crate) processor_us: Option<Cost>,
}

/// What goes on in a second in which nothing is written, and what each change adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) idle_second: f64,
    pub(crate) change: f64,
}

/// Many leases held by one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Leases {
    pub(crate) held: usize,
    pub(crate) ttl_seconds: f64,
    /// A third of the TTL.
    pub(crate) interval_seconds: f64,
    /// Requests to the server, interval by interval; of NATS the messages. Empty where it does not count them.
    pub(crate) requests: Vec<u64>,
    /// What they were, in all intervals together.
    pub(crate) commands: BTreeMap<String, u64>,
    /// Processor time of this process in each interval, in milliseconds.
    #[serde(default)]
    pub(crate) processor_ms: Vec<f64>,
    /// The same over a driver that answers at once: what is the coordinator's of it.
    #[serde(default)]
    pub(crate) coordinator_ms: Vec<f64>,
    /// Those that were no longer held at the end.
    pub(crate) lost: usize,
}

impl Leases {
    #[allow(clippy::cast_precision_loss)] // A few hundred.
    pub(crate) fn requests_per_interval(&self) -> f64 {
        // Of no interval it is no number.
        self.requests.iter().sum::<u64>() as f64 / self.requests.len() as f64
    }
}

/// One publisher, many subscribers in one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FanOut {
    pub(crate) subscribers: usize,
    pub(crate) patterns: usize,
    pub(crate) messages: usize,
    /// The most copies of one message that the server sent to the process; `None` where it does not tell.
    pub(crate) copies: Option<u64>,
    /// Deliveries that were due, that did not come, and that came too often.
    pub(crate) due: u64,
    pub(crate) missing: u64,
    pub(crate) surplus: u64,
    /// From the publish until the last subscriber has it.
    pub(crate) times: Series,
}

/// A figure and its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) section: String,
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) bound: Bound,
    pub(crate) limit: f64,
    /// What `measured` and `limit` count: `x`, `us`, `requests`, ...
    pub(crate) unit: String,
    pub(crate) met: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost,
    AtLeast,
}

impl Bound {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::AtMost => "at most",
            Self::AtLeast => "at least",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(allocations: Option<f64>, nanoseconds: f64) -> Report {
        let percentiles = vec![Percentile { percent: 50.0, nanoseconds }];
        let times = Series { name: "port".to_owned(), samples: 1, percentiles };
        let dispatch = Dispatch { operation: "get".to_owned(), ways: vec![Way { times, allocations }] };
        Report { dispatch: vec![dispatch], ..Report::default() }
    }

    #[test]
    fn allocations_come_from_another_run_and_times_do_not() {
        let mut timed = report(None, 5.0);
        timed.take_allocations(&report(Some(9.0), 7.0));
        let way = &timed.dispatch[0].ways[0];
        assert_eq!((way.allocations, way.times.median()), (Some(9.0), 5.0));
        timed.take_allocations(&Report::default());
        assert_eq!(timed.dispatch[0].ways[0].allocations, Some(9.0));
    }
}
