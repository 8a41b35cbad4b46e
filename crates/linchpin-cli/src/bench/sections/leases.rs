//! Ten thousand locks held by one process: what it costs to keep them.

use crate::bench::at_once::at_once;
use crate::bench::problem::Result;
use crate::bench::progress::Progress;
use crate::bench::raw::{Counter, Raw};
use crate::bench::report::Leases;
use crate::bench::{Pace, Site};
use futures::stream::{self, StreamExt, TryStreamExt};
use linchpin::{Coordinator, ErrorKind, LockGuard};
use std::collections::BTreeMap;
use std::time::Duration;

const HELD: usize = 10_000;
const TTL: Duration = Duration::from_secs(9);
/// Leases are renewed at a third of their TTL.
const INTERVAL: Duration = Duration::from_secs(3);
const INTERVALS: usize = 3;
/// How many are asked for, and released, at once.
const AT_ONCE: usize = 64;

pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<Leases> {
    let coordinator = site.coordinator().await?;
    let intervals = if pace.quick { 1 } else { INTERVALS };
    let progress = pace.progress("leases", 2 * intervals + 3);
    let guards = hold(&coordinator).await?;
    progress.step();
    let mut counter = site.server.counter().await?;
    if let Some(counter) = &mut counter {
        counter.mark().await?;
    }
    let (mut requests, mut commands, mut processor_ms) = (Vec::new(), BTreeMap::new(), Vec::new());
    for _ in 0..intervals {
        processor_ms.push(of_an_interval().await);
        progress.step();
        let Some(counter) = &mut counter else { continue };
        let sent = counter.mark().await?;
        requests.push(sent.total());
        for (command, count) in sent.0 {
            *commands.entry(command).or_default() += count;
        }
    }
    let released = stream::iter(guards).map(is_lost).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let lost = released.into_iter().filter(|is_lost| *is_lost).count();
    coordinator.shutdown().await?;
    progress.step();
    let coordinator_ms = of_the_coordinator(intervals, &progress).await?;
    let (ttl_seconds, interval_seconds) = (TTL.as_secs_f64(), INTERVAL.as_secs_f64());
    Ok(Leases { held: HELD, ttl_seconds, interval_seconds, requests, commands, processor_ms, coordinator_ms, lost })
}

/// What as many leases cost in each interval where the driver costs nothing.
async fn of_the_coordinator(intervals: usize, progress: &Progress) -> Result<Vec<f64>> {
    let coordinator = Coordinator::over(at_once().driver()).connect().await?;
    let guards = hold(&coordinator).await?;
    let mut used = Vec::new();
    for _ in 0..intervals {
        used.push(of_an_interval().await);
        progress.step();
    }
    drop(guards);
    coordinator.shutdown().await?;
    Ok(used)
}

/// The processor time that this process uses in one interval, in milliseconds.
async fn of_an_interval() -> f64 {
    let before = processor_time();
    tokio::time::sleep(INTERVAL).await;
    processor_time().saturating_sub(before).as_secs_f64() * 1e3
}

/// What this process has used of the processors so far.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Releases a lease; whether it was lost before.
async fn is_lost(guard: LockGuard) -> Result<bool> {
    match guard.release().await {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Lost => Ok(true),
        Err(error) => Err(error.into()),
    }
}

async fn hold(coordinator: &Coordinator) -> Result<Vec<LockGuard>> {
    let acquire = async |number: usize| coordinator.lock(format!("lease-{number}")).ttl(TTL).acquire().await;
    Ok(stream::iter(0..HELD).map(acquire).buffer_unordered(AT_ONCE).try_collect().await?)
}
