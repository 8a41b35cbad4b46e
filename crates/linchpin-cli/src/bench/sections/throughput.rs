//! Calls per second of many tasks over one connection: everybody in turn for a slice of time.

use crate::bench::contender::{Contender, Operation, Port};
use crate::bench::problem::{Problem, Result};
use crate::bench::progress::Progress;
use crate::bench::raw::{PLAIN, Raw, SAME_WORK};
use crate::bench::report::{Rate, Throughput};
use crate::bench::sampling::{float, median};
use crate::bench::{Pace, Site};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TASKS: [usize; 5] = [1, 4, 16, 64, 256];
const SLICE: Duration = Duration::from_millis(250);
const ROUNDS: usize = 10;

pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<Vec<Throughput>> {
    let coordinator = site.coordinator().await?;
    let port = Port::of(&coordinator);
    let same_work = site.server.same_work().await?;
    let plain = site.server.plain().await?;
    let rounds = pace.rounds(ROUNDS);
    let progress = pace.progress("throughput", 2 * TASKS.len() * rounds);
    let mut points = Vec::new();
    // Writing first: what is read is there.
    for operation in [Operation::Set, Operation::Get] {
        for tasks in TASKS {
            let ways = Ways::<S> {
                port: vec![port.clone(); tasks],
                same_work: vec![same_work.clone(); tasks],
                plain: vec![plain.clone(); tasks],
            };
            points.push(ways.measure(operation, rounds, &progress).await?);
        }
    }
    coordinator.shutdown().await?;
    Ok(points)
}

/// Each way has one of its own for each task; clones of one share its connection.
pub(super) struct Ways<S: Raw> {
    pub(super) port: Vec<Port>,
    pub(super) same_work: Vec<S::SameWork>,
    pub(super) plain: Vec<S::Plain>,
}

impl<S: Raw> Ways<S> {
    /// What each does in a slice of time, in turns that rotate.
    pub(super) async fn measure(&self, operation: Operation, rounds: usize, progress: &Progress) -> Result<Throughput> {
        let mut slices = [(); 3].map(|()| Vec::new());
        for round in 0..rounds {
            for turn in round..round + 3 {
                let rate = match turn % 3 {
                    0 => slice(&self.port, operation).await?,
                    1 => slice(&self.same_work, operation).await?,
                    _ => slice(&self.plain, operation).await?,
                };
                slices[turn % 3].push(rate);
            }
            progress.step();
        }
        let rates = [Port::NAME, SAME_WORK, PLAIN].into_iter().zip(slices);
        let rates = rates.map(|(name, slices)| Rate { name: name.to_owned(), per_second: median(&slices), slices });
        Ok(Throughput { operation: operation.name().to_owned(), tasks: self.port.len(), rates: rates.collect() })
    }
}

/// Calls per second of so many tasks at once, each with a key of its own.
async fn slice<C: Contender>(contenders: &[C], operation: Operation) -> Result<f64> {
    let started = Instant::now();
    let until = started + SLICE;
    let mut running = JoinSet::new();
    for (task, contender) in contenders.iter().enumerate() {
        let (contender, key) = (contender.clone(), format!("throughput-{task}"));
        running.spawn(async move {
            let mut calls = 0;
            while Instant::now() < until {
                contender.call(operation, &key).await?;
                calls += 1;
            }
            Ok::<_, Problem>(calls)
        });
    }
    let mut calls = 0;
    while let Some(made) = running.join_next().await {
        calls += made??;
    }
    Ok(float(calls) / started.elapsed().as_secs_f64())
}
