//! Single calls: the port, the same work by hand, and the raw client's own calls, one after the other.

use crate::bench::contender::{Contender, Operation, Port};
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::Raw;
use crate::bench::report::{Comparison, Series};
use crate::bench::sampling::Samples;
use crate::bench::{Pace, Site};
use futures::stream::{BoxStream, StreamExt};
use std::time::Duration;

const ROUNDS: usize = 10_000;
const OPERATIONS: [Operation; 4] = [Operation::Set, Operation::Get, Operation::Publish, Operation::Lock];
/// How long a message may take that was published.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<Vec<Comparison>> {
    let coordinator = site.coordinator().await?;
    let mut port = Lane::new(Port::of(&coordinator));
    let mut same_work = Lane::new(site.server.same_work().await?);
    let mut plain = Lane::new(site.server.plain().await?);
    // One subscriber for all: what is compared is publishing.
    let mut messages = site.server.listen().await?;
    let (rounds, warm_up) = (pace.rounds(ROUNDS), pace.rounds(ROUNDS) / 20);
    let progress = pace.progress("calls", OPERATIONS.len() * (rounds + warm_up) / 100);
    let mut comparisons = Vec::new();
    for operation in OPERATIONS {
        for round in 0..warm_up + rounds {
            if round == warm_up {
                (port.samples, same_work.samples, plain.samples) = Default::default();
            }
            // The order rotates, so that nobody always comes after the same one.
            for turn in round..round + 3 {
                match turn % 3 {
                    0 => port.call(operation, &mut messages).await?,
                    1 => same_work.call(operation, &mut messages).await?,
                    _ => plain.call(operation, &mut messages).await?,
                }
            }
            if round % 100 == 99 {
                progress.step();
            }
        }
        let series = vec![port.series(), same_work.series(), plain.series()];
        comparisons.push(Comparison { operation: operation.name().to_owned(), series });
    }
    coordinator.shutdown().await?;
    Ok(comparisons)
}

/// One contender with its times.
struct Lane<C> {
    contender: C,
    samples: Samples,
}

impl<C: Contender> Lane<C> {
    fn new(contender: C) -> Self {
        Self { contender, samples: Samples::default() }
    }

    async fn call(&mut self, operation: Operation, messages: &mut BoxStream<'static, ()>) -> Result<()> {
        self.samples.timed(self.contender.call(operation, "calls")).await?;
        if operation == Operation::Publish {
            // Taken out before the next contender's turn: it would be disturbed.
            let message = tokio::time::timeout(PATIENCE, messages.next()).await;
            message.ok().flatten().ok_or_else(|| Problem::new("a message that was published did not arrive"))?;
        }
        Ok(())
    }

    fn series(&mut self) -> Series {
        std::mem::take(&mut self.samples).series(C::NAME)
    }
}
