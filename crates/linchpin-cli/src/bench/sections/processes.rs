//! How soon a process has its first answer, what one more costs that waits for something else than what is written, and what
//! several that write get done.

use super::throughput::Ways;
use crate::bench::contender::{Operation, Port};
use crate::bench::problem::{Problem, Result};
use crate::bench::progress::Progress;
use crate::bench::raw::Raw;
use crate::bench::report::{Cost, ProcessPoint, Processes, Series, Throughput};
use crate::bench::sampling::{Samples, float};
use crate::bench::{LOCK_TTL, PAYLOAD, Pace, Site};
use futures::future::try_join_all;
use linchpin::{Coordinator, LockGuard};
use linchpin_conformance::{Direction, Proxy};
use std::time::{Duration, Instant};
use tokio::net::lookup_host;
use tokio::task::JoinHandle;
use url::Url;

/// How many wait while one writes.
const WAITING: [usize; 3] = [1, 10, 100];
const CHANGES: usize = 2000;
/// How many keys are written, none of which anybody waits for.
const KEYS: usize = 100;
/// For how long nothing is written: what goes on then is no change's.
const IDLE: Duration = Duration::from_secs(2);
/// Whoever says nothing for so long has said all.
const SILENCE: Duration = Duration::from_millis(200);
/// How many processes write.
const WRITING: [usize; 3] = [1, 8, 16];
const ROUNDS: usize = 10;
/// How many begin, one after the other.
const STARTS: usize = 100;
pub(crate) const FIRST_ANSWER: &str = "connect and get";

/// Measures it; and why some of it is left out, if it is.
pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<(Processes, Option<String>)> {
    let rounds = pace.rounds(ROUNDS);
    let progress = pace.progress("processes", WAITING.len() + WRITING.len() * rounds);
    let first_answer = first_answer(site, pace.rounds(STARTS)).await?;
    let (mut processes, mut left_out) = (Processes { first_answer, ..Processes::default() }, None);
    for waiting in WAITING {
        match point(site, waiting, pace.rounds(CHANGES)).await {
            Ok(point) => processes.points.push(point),
            // A server may not take a hundred.
            Err(problem) => {
                left_out = Some(problem.during(&format!("with {waiting} processes that wait")).text());
                break;
            }
        }
        progress.step();
    }
    for writing in WRITING {
        processes.writers.push(writers(site, writing, rounds, &progress).await?);
    }
    Ok((processes, left_out))
}

/// How soon a process has read a key that connects anew.
async fn first_answer<S>(site: &Site<S>, starts: usize) -> Result<Series> {
    let mut times = Samples::default();
    for _ in 0..starts {
        let started = Instant::now();
        let coordinator = site.coordinator().await?;
        coordinator.get("processes").await?;
        times.push(started.elapsed());
        coordinator.shutdown().await?;
    }
    Ok(times.series(FIRST_ANSWER))
}

/// What is sent is counted by a proxy, which costs more than what goes through it: the processor is looked at without.
async fn point<S: Raw>(site: &Site<S>, processes: usize, changes: usize) -> Result<ProcessPoint> {
    let (url, proxy) = counted(&site.url).await?;
    #[allow(clippy::cast_precision_loss)] // Some megabytes.
    let sent = cost(site, &url, processes, changes, || proxy.carried(Direction::Answers) as f64).await?;
    let each = float(processes);
    let sent_to_each = Cost { idle_second: sent.idle_second / each, change: sent.change / each };
    let processor_us = match busy() {
        Some(_) => Some(cost(site, &site.url, processes, changes, || busy().unwrap_or(f64::NAN)).await?),
        None => None,
    };
    Ok(ProcessPoint { processes, changes, sent_to_each, processor_us })
}

/// What a gauge grows by while so many processes wait, each for a lock of its own, and one writes elsewhere in their namespace.
async fn cost<S>(site: &Site<S>, url: &str, processes: usize, changes: usize, gauge: impl Fn() -> f64) -> Result<Cost> {
    let writer = site.coordinator().await?;
    let mut waiting = Vec::with_capacity(processes);
    for number in 0..processes {
        let process = site.process(url, number + 1).await?;
        waiting.push(Waiting::begin(&writer, process, format!("processes-{number}")).await?);
    }
    until_silent(&gauge).await;
    let (started, before) = (Instant::now(), gauge());
    tokio::time::sleep(IDLE).await;
    let idle_second = (gauge() - before) / started.elapsed().as_secs_f64();
    let (started, before) = (Instant::now(), gauge());
    for change in 0..changes {
        writer.set(&format!("processes-{}", change % KEYS), PAYLOAD, None).await?;
    }
    until_silent(&gauge).await;
    let grown = gauge() - before - idle_second * started.elapsed().as_secs_f64();
    try_join_all(waiting.into_iter().map(Waiting::end)).await?;
    writer.shutdown().await?;
    Ok(Cost { idle_second, change: grown / float(changes) })
}

/// Returns when the gauge stands still, or after a while: something always goes on where many are.
async fn until_silent(gauge: &impl Fn() -> f64) {
    const LOOKS: usize = 10;
    let mut last = gauge();
    for _ in 0..LOOKS {
        tokio::time::sleep(SILENCE).await;
        let now = gauge();
        if now <= last {
            return;
        }
        last = now;
    }
}

/// A process that waits for a lock.
struct Waiting {
    process: Coordinator,
    held: LockGuard,
    waiter: JoinHandle<linchpin::Result<LockGuard>>,
}

impl Waiting {
    /// The lock is held, and will be until the end.
    async fn begin(holder: &Coordinator, process: Coordinator, name: String) -> Result<Self> {
        let held = holder.lock(&name).ttl(LOCK_TTL).acquire().await?;
        let lock = process.lock(&name).ttl(LOCK_TTL);
        Ok(Self { process, held, waiter: tokio::spawn(async move { lock.acquire().await }) })
    }

    /// It still waits, and gets what it waited for.
    async fn end(self) -> Result<()> {
        if self.waiter.is_finished() {
            return Err(Problem::new("a lock was handed over that is held"));
        }
        self.held.release().await?;
        self.waiter.await??.release().await?;
        Ok(self.process.shutdown().await?)
    }
}

/// A URL that leads to the same server by way of a proxy.
async fn counted(url: &str) -> Result<(String, Proxy)> {
    let unfit = || Problem::new("what is sent is counted on a connection to one address without TLS");
    let mut through = Url::parse(url).map_err(|_| unfit())?;
    let port = match through.scheme() {
        "redis" => 6379,
        "nats" => 4222,
        "postgres" | "postgresql" => 5432,
        _ => return Err(unfit()),
    };
    let host = through.host_str().ok_or_else(unfit)?.trim_matches(['[', ']']).to_owned();
    let target = lookup_host((host, through.port().unwrap_or(port))).await.ok().and_then(|mut found| found.next());
    let proxy = Proxy::start(target.ok_or_else(unfit)?).await.map_err(|error| Problem::new(error.to_string()))?;
    let address = proxy.address();
    through.set_ip_host(address.ip()).and_then(|()| through.set_port(Some(address.port()))).map_err(|()| unfit())?;
    Ok((through.into(), proxy))
}

/// For how long the machine's processors have worked so far, in microseconds: of a server here, its work too. `None` where
/// the machine does not tell.
fn busy() -> Option<f64> {
    // Linux counts in hundredths of a second there, whatever its clock ticks in.
    const TICK_US: f64 = 10_000.0;
    let told = std::fs::read_to_string("/proc/stat").ok()?;
    let counts = told.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let counts = counts.map(|count| count.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
    // user, nice, system, idle, iowait, irq, softirq.
    let [user, nice, system, _, _, irq, softirq, ..] = counts[..] else { return None };
    Some((user + nice + system + irq + softirq) * TICK_US)
}

/// Commits per second of so many processes in one namespace, each with a key of its own.
async fn writers<S: Raw>(site: &Site<S>, processes: usize, rounds: usize, progress: &Progress) -> Result<Throughput> {
    let mut coordinators = Vec::with_capacity(processes);
    let mut ways = Ways::<S> { port: Vec::new(), same_work: Vec::new(), plain: Vec::new() };
    for number in 0..processes {
        let coordinator = site.process(&site.url, number).await?;
        ways.port.push(Port::of(&coordinator));
        coordinators.push(coordinator);
        ways.same_work.push(site.server.same_work().await?);
        ways.plain.push(site.server.plain().await?);
    }
    let rates = ways.measure(Operation::Set, rounds, progress).await?;
    drop(ways);
    try_join_all(coordinators.iter().map(Coordinator::shutdown)).await?;
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_leads_through_the_proxy_and_keeps_all_else() {
        let (through, proxy) = counted("postgres://me:canary@127.0.0.1:7/shop?namespace=a").await.expect("a proxy");
        assert_eq!(through, format!("postgres://me:canary@{}/shop?namespace=a", proxy.address()));
        let (through, proxy) = counted("redis://127.0.0.1").await.expect("a proxy");
        assert_eq!(through, format!("redis://{}", proxy.address()));
        for refused in ["rediss://127.0.0.1", "nats://a,b", "nats://", "postgres:///shop?host=/run"] {
            let problem = counted(refused).await.err().expect(refused);
            assert!(problem.text().contains("one address without TLS"));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_processors_work() {
        let before = busy().expect("told");
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {}
        assert!(busy().expect("told") > before);
    }
}
