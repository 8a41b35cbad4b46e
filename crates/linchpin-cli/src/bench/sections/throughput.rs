//! Calls per second of many tasks over one connection: everybody in turn for a slice of time.

use crate::bench::contender::{Contender, Operation, Port};
use crate::bench::problem::{Problem, Result};
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
            let mut slices = [(); 3].map(|()| Vec::new());
            for round in 0..rounds {
                for turn in round..round + 3 {
                    let rate = match turn % 3 {
                        0 => slice(&port, operation, tasks).await?,
                        1 => slice(&same_work, operation, tasks).await?,
                        _ => slice(&plain, operation, tasks).await?,
                    };
                    slices[turn % 3].push(rate);
                }
                progress.step();
            }
            let rates = [Port::NAME, SAME_WORK, PLAIN].into_iter().zip(slices);
            let rates = rates.map(|(name, slices)| Rate { name: name.to_owned(), per_second: median(&slices), slices });
            points.push(Throughput { operation: operation.name().to_owned(), tasks, rates: rates.collect() });
        }
    }
    coordinator.shutdown().await?;
    Ok(points)
}

/// Calls per second of so many tasks, each with a key of its own.
async fn slice<C: Contender>(contender: &C, operation: Operation, tasks: usize) -> Result<f64> {
    let started = Instant::now();
    let until = started + SLICE;
    let mut running = JoinSet::new();
    for task in 0..tasks {
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
