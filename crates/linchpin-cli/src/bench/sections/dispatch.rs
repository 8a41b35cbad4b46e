//! What a call costs above the driver: the handle of a backend that answers at once, as a driver, through the port as a trait
//! object, and with all default layers around it.

use crate::bench::at_once::at_once;
use crate::bench::problem::{Problem, Result};
use crate::bench::report::{Dispatch, Way};
use crate::bench::sampling::{Samples, float};
use crate::bench::{PAYLOAD, Pace};
use bytes::Bytes;
use futures::FutureExt;
use linchpin::{Area, Channel, DistributedCoordination, Driver, Key, Port, Transaction};
use linchpin_core::layers::Layers;
use std::sync::Arc;
use std::time::Instant;

const BATCHES: usize = 400;
const BATCH: usize = 1000;
const NAME: &str = "dispatch";

pub(crate) const DIRECT: &str = "driver";
pub(crate) const PORT: &str = "port";
pub(crate) const LAYERED: &str = "port, all layers";

/// The calls that are measured, as the driver names them.
#[derive(Clone, Copy)]
enum Call {
    Get,
    Commit,
    Publish,
}

pub(crate) async fn run(pace: Pace) -> Result<Vec<Dispatch>> {
    let direct = Direct::new()?;
    let port = Arc::new(at_once()) as Arc<dyn DistributedCoordination>;
    let layered = Arc::new(Port::over(Layers::default().wrap(at_once().driver()))) as Arc<dyn DistributedCoordination>;
    let batches = pace.rounds(BATCHES);
    let progress = pace.progress("dispatch", 3 * batches);
    let mut measured = Vec::new();
    for (call, name) in [(Call::Get, "get"), (Call::Commit, "set"), (Call::Publish, "publish")] {
        let mut samples = [(); 3].map(|()| Samples::default());
        // The batches that are counted warm up the others.
        let allocations = [
            allocations(direct.batch(call))?,
            allocations(through(&*port, call))?,
            allocations(through(&*layered, call))?,
        ];
        for round in 0..batches {
            for turn in round..round + 3 {
                let started = Instant::now();
                match turn % 3 {
                    0 => direct.batch(call).await?,
                    1 => through(&*port, call).await?,
                    _ => through(&*layered, call).await?,
                }
                samples[turn % 3].push_share(started.elapsed(), BATCH);
            }
            progress.step();
        }
        let ways = [DIRECT, PORT, LAYERED].into_iter().zip(samples).zip(allocations);
        let ways = ways.map(|((name, samples), allocations)| Way { times: samples.series(name), allocations });
        measured.push(Dispatch { operation: name.to_owned(), ways: ways.collect() });
    }
    Ok(measured)
}

/// The driver and what it is called with, made before.
struct Direct {
    driver: Arc<dyn Driver>,
    keys: [Key; 1],
    put: Transaction,
    channel: Channel,
}

impl Direct {
    fn new() -> Result<Self> {
        let key = Area::USER.key(NAME)?;
        let put = Transaction::new().put(key.clone(), PAYLOAD, None);
        Ok(Self { driver: at_once().driver(), keys: [key], put, channel: Area::USER.channel(NAME)? })
    }

    async fn batch(&self, call: Call) -> Result<()> {
        for _ in 0..BATCH {
            match call {
                Call::Get => drop(self.driver.get(&self.keys).await?),
                Call::Commit => drop(self.driver.commit(&self.put).await?),
                Call::Publish => {
                    self.driver.publish(&self.channel, Bytes::from_static(PAYLOAD)).await?;
                }
            }
        }
        Ok(())
    }
}

async fn through(port: &dyn DistributedCoordination, call: Call) -> Result<()> {
    for _ in 0..BATCH {
        match call {
            Call::Get => drop(port.get(NAME).await?),
            Call::Commit => port.set(NAME, PAYLOAD, None).await?,
            Call::Publish => port.publish(NAME, PAYLOAD).await?,
        }
    }
    Ok(())
}

/// The allocations of one call of a batch that never waits, counted on this thread; `None` in a build without.
///
/// Counting needs a global allocator of its own, and so unsafe code: that is the crate `allocation-counter`'s. Every
/// allocation of the process then passes it, so it is compiled in by the feature `count-allocations` only.
fn allocations(batch: impl Future<Output = Result<()>>) -> Result<Option<f64>> {
    let mut result = None;
    let count = counted(|| result = tokio::task::unconstrained(batch).now_or_never());
    result.ok_or_else(|| Problem::new("a call of a driver that answers at once had to wait"))??;
    Ok(count.map(|count| float(usize::try_from(count).unwrap_or(usize::MAX)) / float(BATCH)))
}

#[cfg(feature = "count-allocations")]
#[allow(clippy::unnecessary_wraps)] // The other build counts none.
fn counted(work: impl FnOnce()) -> Option<u64> {
    Some(allocation_counter::measure(work).count_total)
}

#[cfg(not(feature = "count-allocations"))]
fn counted(work: impl FnOnce()) -> Option<u64> {
    work();
    None
}
