//! A lock that many want: how long it takes from one's release until the next has it, and what that costs.

use crate::bench::contender::{Contender, LockTaker, Port, Taker};
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{Counter, Idle, Raw};
use crate::bench::report::{HandOver, HandOverPoint, HandOvers, Series};
use crate::bench::sampling::{Samples, median};
use crate::bench::turns::Turns;
use crate::bench::{Pace, Site};
use futures::future::try_join_all;
use linchpin::Coordinator;

/// How many wait while one holds.
const WAITERS: [usize; 3] = [1, 10, 100];
const ROUNDS: usize = 3;
/// The turns of each in one round; as many in all when there are few.
const TURNS: u64 = 40;
const QUICK_TURNS: u64 = 20;
const FEW: u64 = 500;
/// How many processes those who wait are spread over, or each is in one: coordinators with connections of their own stand
/// for them.
const SPREADS: [(&str, Option<usize>); 3] = [(LOCK, Some(1)), (SPREAD, Some(4)), (EACH, None)];
const ROUND_TRIPS: usize = 300;
const UNCONTENDED: usize = 50;

/// All who wait are in one process, as the token queue's are.
pub(crate) const LOCK: &str = "linchpin's lock";
/// They are in four. Each process that waits is told who comes and who leaves.
pub(crate) const SPREAD: &str = "the same, 4 processes";
/// Each of them is in one of its own.
pub(crate) const EACH: &str = "the same, a process each";
/// The shortest way that the backend has to hand something over.
pub(crate) const QUEUE: &str = "token queue";

/// Measures it; and why some of it is left out, if it is: a server may not take a hundred processes.
pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<(HandOver, Option<String>)> {
    // While nobody else is there: every handle that watches hears of every change.
    let uncontended_requests = uncontended(site).await?;
    let mut idle = Alone::of(site.server.idle().await?);
    let rounds = if pace.quick { 1 } else { ROUNDS };
    let progress = pace.progress("handover", SPREADS.len() * WAITERS.len() * (rounds + 1));
    let (mut lanes, mut left_out) = (WAITERS.map(|_| (Vec::new(), Lane::new(QUEUE))), None);
    for (nth, (name, processes)) in SPREADS.into_iter().enumerate() {
        for (waiters, (locks, queue)) in WAITERS.into_iter().zip(&mut lanes) {
            // A hundred processes may hand over slowly.
            let (takers, wanted) = (waiters + 1, if processes.is_some() { wanted(waiters, pace) } else { FEW });
            let coordinators = match coordinators(site, processes.unwrap_or(takers)).await {
                Ok(coordinators) => coordinators,
                Err(problem) if processes.is_none() => {
                    left_out = Some(problem.during(&format!("{name}, with {waiters} waiters")).text());
                    break;
                }
                Err(problem) => return Err(problem),
            };
            let contenders = |round: usize| {
                let name = format!("handover-{nth}-{waiters}-{round}");
                let coordinator = |at: usize| coordinators[at % coordinators.len()].clone();
                let taker = |at: usize| LockTaker { coordinator: coordinator(at), name: name.clone() };
                (0..takers).map(taker).collect::<Vec<_>>()
            };
            let tokens = |round| format!("tokens-{nth}-{waiters}-{round}");
            let mut lock = Lane::new(name);
            for round in 0..rounds {
                idle.round_trips().await?;
                lock.measure(contenders(round), wanted).await?;
                idle.round_trips().await?;
                queue.measure(site.server.takers(&tokens(round), takers).await?, wanted).await?;
                progress.step();
            }
            let mut counter = site.server.counter().await?;
            if let Some(counter) = &mut counter {
                lock.count(contenders(rounds), wanted, counter).await?;
                queue.count(site.server.takers(&tokens(rounds), takers).await?, wanted, counter).await?;
            }
            progress.step();
            locks.push(lock);
            try_join_all(coordinators.iter().map(Coordinator::shutdown)).await?;
        }
    }
    let points = WAITERS.into_iter().zip(lanes);
    let points = points.map(|(waiters, (locks, queue))| HandOverPoint {
        waiters,
        contenders: locks.into_iter().chain([queue]).map(Lane::done).collect(),
    });
    let points = points.collect();
    let (round_trip, commit) = idle.done();
    Ok((HandOver { uncontended_requests, round_trip, commit, points }, left_out))
}

/// So many, one after the other: a server may be slow to take a hundred at once.
async fn coordinators<S: Raw>(site: &Site<S>, count: usize) -> Result<Vec<Coordinator>> {
    let mut coordinators = Vec::with_capacity(count);
    for number in 0..count {
        coordinators.push(site.process(&site.url, number).await?);
    }
    Ok(coordinators)
}

/// How many hand-overs are measured in a round.
fn wanted(waiters: usize, pace: Pace) -> u64 {
    let takers = u64::try_from(waiters + 1).unwrap_or(u64::MAX);
    if pace.quick { (QUICK_TURNS * takers).max(FEW / 10) } else { (TURNS * takers).max(FEW) }
}

/// The requests of an acquire and release that nobody else wants: of the cycle in the middle, as a handle does
/// other things now and then.
async fn uncontended<S: Raw>(site: &Site<S>) -> Result<Option<f64>> {
    let coordinator = site.coordinator().await?;
    let port = Port::of(&coordinator);
    port.acquire_and_release("uncontended").await?;
    let Some(mut counter) = site.server.counter().await? else {
        coordinator.shutdown().await?;
        return Ok(None);
    };
    let mut requests = Vec::new();
    counter.mark().await?;
    for _ in 0..UNCONTENDED {
        port.acquire_and_release("uncontended").await?;
        let sent = u32::try_from(counter.mark().await?.total()).unwrap_or(u32::MAX);
        requests.push(f64::from(sent));
    }
    coordinator.shutdown().await?;
    Ok(Some(median(&requests)))
}

/// A connection that nobody else uses, while nothing else runs.
struct Alone<I> {
    idle: I,
    round_trips: Samples,
    commits: Samples,
}

impl<I: Idle> Alone<I> {
    fn of(idle: I) -> Self {
        Self { idle, round_trips: Samples::default(), commits: Samples::default() }
    }

    async fn round_trips(&mut self) -> Result<()> {
        for _ in 0..ROUND_TRIPS {
            self.round_trips.timed(self.idle.round_trip()).await?;
            if I::COMMITS {
                self.commits.timed(self.idle.commit()).await?;
            }
        }
        Ok(())
    }

    fn done(self) -> (Series, Option<Series>) {
        let commits = I::COMMITS.then(|| self.commits.series("change, durable, idle"));
        (self.round_trips.series("read, idle"), commits)
    }
}

/// One contender with what was measured of it.
struct Lane {
    name: &'static str,
    samples: Samples,
    requests: Option<f64>,
    fewest: u64,
    most: u64,
}

impl Lane {
    fn new(name: &'static str) -> Self {
        Self { name, samples: Samples::default(), requests: None, fewest: u64::MAX, most: 0 }
    }

    /// Takes the times of so many hand-overs.
    async fn measure<T: Taker>(&mut self, takers: Vec<T>, wanted: u64) -> Result<()> {
        let turns = Turns::begin(takers);
        turns.reach(wanted).await.map_err(|problem| self.named(problem))?;
        let taken = turns.end().await.map_err(|problem| self.named(problem))?;
        self.samples.append(taken.samples);
        self.fewest = self.fewest.min(taken.turns.iter().copied().min().unwrap_or_default());
        self.most = self.most.max(taken.turns.iter().copied().max().unwrap_or_default());
        Ok(())
    }

    /// Counts the requests of so many hand-overs.
    #[allow(clippy::cast_precision_loss)] // Thousands.
    async fn count<T: Taker>(&mut self, takers: Vec<T>, wanted: u64, counter: &mut impl Counter) -> Result<()> {
        let turns = Turns::begin(takers);
        turns.reach(1).await.map_err(|problem| self.named(problem))?;
        counter.mark().await?;
        let before = turns.count();
        turns.reach(before + wanted).await.map_err(|problem| self.named(problem))?;
        let sent = counter.mark().await?;
        let made = turns.count() - before;
        turns.end().await.map_err(|problem| self.named(problem))?;
        self.requests = Some(sent.total() as f64 / made as f64);
        Ok(())
    }

    fn named(&self, problem: Problem) -> Problem {
        problem.during(self.name)
    }

    fn done(self) -> HandOvers {
        let Self { name, samples, requests, fewest, most } = self;
        HandOvers { times: samples.series(name), requests, fewest_turns: fewest, most_turns: most }
    }
}
