//! A lock that many want: how long it takes from one's release until the next has it, and what that costs.

use crate::bench::contender::{Contender, LockTaker, Port, Taker};
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{Counter, Idle, Raw};
use crate::bench::report::{HandOver, HandOverPoint, HandOvers};
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
/// How many processes those who wait are spread over: coordinators with connections of their own stand for them.
const PROCESSES: [usize; 2] = [1, 4];
const ROUND_TRIPS: usize = 300;
const UNCONTENDED: usize = 50;

/// All who wait are in one process, as the token queue's are.
pub(crate) const LOCK: &str = "linchpin's lock";
/// They are in four. Each process that waits is told who comes and who leaves.
pub(crate) const SPREAD: &str = "the same, 4 processes";
/// The shortest way that the backend has to hand something over.
pub(crate) const QUEUE: &str = "token queue";

pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<HandOver> {
    // While nobody else is there: every handle that watches hears of every change.
    let uncontended_requests = uncontended(site).await?;
    let mut idle = Alone { idle: site.server.idle().await?, round_trips: Samples::default() };
    let rounds = if pace.quick { 1 } else { ROUNDS };
    let progress = pace.progress("handover", PROCESSES.len() * WAITERS.len() * (rounds + 1));
    let mut lanes = WAITERS.map(|_| [Lane::new(LOCK), Lane::new(SPREAD), Lane::new(QUEUE)]);
    for (nth, processes) in PROCESSES.into_iter().enumerate() {
        let coordinators = try_join_all((0..processes).map(|_| site.coordinator())).await?;
        for (waiters, lanes) in WAITERS.into_iter().zip(&mut lanes) {
            let (takers, wanted) = (waiters + 1, wanted(waiters, pace));
            let [lock, queue] = lanes.get_disjoint_mut([nth, 2]).unwrap_or_else(|_| unreachable!("two of three"));
            let locks = |round: usize| {
                let name = format!("handover-{processes}-{waiters}-{round}");
                let coordinator = |at: usize| coordinators[at % processes].clone();
                let taker = |at: usize| LockTaker { coordinator: coordinator(at), name: name.clone() };
                (0..takers).map(taker).collect::<Vec<_>>()
            };
            let tokens = |round| format!("tokens-{processes}-{waiters}-{round}");
            for round in 0..rounds {
                idle.round_trips().await?;
                lock.measure(locks(round), wanted).await?;
                idle.round_trips().await?;
                queue.measure(site.server.takers(&tokens(round), takers).await?, wanted).await?;
                progress.step();
            }
            let mut counter = site.server.counter().await?;
            lock.count(locks(rounds), wanted, &mut counter).await?;
            queue.count(site.server.takers(&tokens(rounds), takers).await?, wanted, &mut counter).await?;
            progress.step();
        }
        try_join_all(coordinators.iter().map(Coordinator::shutdown)).await?;
    }
    let points = WAITERS.into_iter().zip(lanes);
    let points = points.map(|(waiters, lanes)| HandOverPoint { waiters, contenders: lanes.map(Lane::done).into() });
    let points = points.collect();
    Ok(HandOver { uncontended_requests, round_trip: idle.round_trips.series("read, idle"), points })
}

/// How many hand-overs are measured in a round.
fn wanted(waiters: usize, pace: Pace) -> u64 {
    let takers = u64::try_from(waiters + 1).unwrap_or(u64::MAX);
    if pace.quick { (QUICK_TURNS * takers).max(FEW / 10) } else { (TURNS * takers).max(FEW) }
}

/// The requests of an acquire and release that nobody else wants: of the cycle in the middle, as a handle does
/// other things now and then.
async fn uncontended<S: Raw>(site: &Site<S>) -> Result<f64> {
    let coordinator = site.coordinator().await?;
    let port = Port::of(&coordinator);
    port.acquire_and_release("uncontended").await?;
    let mut counter = site.server.counter().await?;
    let mut requests = Vec::new();
    counter.mark().await?;
    for _ in 0..UNCONTENDED {
        port.acquire_and_release("uncontended").await?;
        let sent = u32::try_from(counter.mark().await?.total()).unwrap_or(u32::MAX);
        requests.push(f64::from(sent));
    }
    coordinator.shutdown().await?;
    Ok(median(&requests))
}

/// A connection that nobody else uses, while nothing else runs.
struct Alone<I> {
    idle: I,
    round_trips: Samples,
}

impl<I: Idle> Alone<I> {
    async fn round_trips(&mut self) -> Result<()> {
        for _ in 0..ROUND_TRIPS {
            self.round_trips.timed(self.idle.round_trip()).await?;
        }
        Ok(())
    }
}

/// One contender with what was measured of it.
struct Lane {
    name: &'static str,
    samples: Samples,
    requests: f64,
    fewest: u64,
    most: u64,
}

impl Lane {
    fn new(name: &'static str) -> Self {
        Self { name, samples: Samples::default(), requests: f64::NAN, fewest: u64::MAX, most: 0 }
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
        self.requests = sent.total() as f64 / made as f64;
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
