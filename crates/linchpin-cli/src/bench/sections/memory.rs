//! The backend in memory: calls through the port, and messages against tokio's broadcast channel.

use crate::bench::problem::{Problem, Result};
use crate::bench::report::{Comparison, Series};
use crate::bench::sampling::Samples;
use crate::bench::{PAYLOAD, Pace};
use bytes::Bytes;
use futures::StreamExt;
use linchpin::{DistributedCoordination, MemoryCoordination, MessageStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

const BATCHES: usize = 400;
const BATCH: usize = 1000;
/// Messages of a batch: fewer than a subscriber may lag.
const MESSAGES: usize = 500;
const CAPACITY: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const ADAPTER: &str = "port, no layers";
pub(crate) const PORT: &str = "port, all layers";
pub(crate) const BROADCAST: &str = "tokio broadcast";
pub(crate) const GET: &str = "get";
pub(crate) const COMMIT: &str = "set: a one-key commit";
pub(crate) const PUBLISH: &str = "publish, a subscriber in another task";

pub(crate) async fn run(pace: Pace) -> Result<Vec<Comparison>> {
    let coordinator = linchpin::connect("memory://").await?;
    let adapter = Arc::new(MemoryCoordination::new()) as Arc<dyn DistributedCoordination>;
    let port = coordinator.port();
    let rounds = pace.rounds(BATCHES);
    let progress = pace.progress("memory", 2 * rounds);
    let mut calls = [(); 4].map(|()| Samples::default());
    for round in 0..rounds {
        for turn in round..round + 2 {
            let (port, calls) = if turn % 2 == 0 { (&adapter, &mut calls[..2]) } else { (&port, &mut calls[2..]) };
            let [set, get] = calls else { unreachable!("two of four") };
            let started = Instant::now();
            for _ in 0..BATCH {
                port.set("memory", PAYLOAD, None).await?;
            }
            set.push_share(started.elapsed(), BATCH);
            let started = Instant::now();
            for _ in 0..BATCH {
                port.get("memory").await?;
            }
            get.push_share(started.elapsed(), BATCH);
        }
        progress.step();
    }
    let [adapter_set, adapter_get, port_set, port_get] = calls;
    let pair = |operation: &str, adapter: Samples, port: Samples| Comparison {
        operation: operation.to_owned(),
        series: vec![port.series(PORT), adapter.series(ADAPTER)],
    };
    let published = Comparison {
        operation: PUBLISH.to_owned(),
        series: publish(&*port, &*adapter, rounds, || progress.step()).await?,
    };
    coordinator.shutdown().await?;
    Ok(vec![pair(GET, adapter_get, port_get), pair(COMMIT, adapter_set, port_set), published])
}

/// Batches of messages from this task to another, each until the last has arrived.
async fn publish(
    port: &dyn DistributedCoordination,
    adapter: &dyn DistributedCoordination,
    rounds: usize,
    step: impl Fn(),
) -> Result<Vec<Series>> {
    let mut through_port = Receiver::of(port.subscribe("memory").await?);
    let mut through_adapter = Receiver::of(adapter.subscribe("memory").await?);
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let mut through_broadcast = Receiver::of(receiver);
    let [mut port_times, mut adapter_times, mut broadcast_times] = [(); 3].map(|()| Samples::default());
    for round in 0..rounds {
        for turn in round..round + 3 {
            let started = Instant::now();
            match turn % 3 {
                0 => {
                    for _ in 0..MESSAGES {
                        port.publish("memory", PAYLOAD).await?;
                    }
                    through_port.all().await?;
                    port_times.push_share(started.elapsed(), MESSAGES);
                }
                1 => {
                    for _ in 0..MESSAGES {
                        adapter.publish("memory", PAYLOAD).await?;
                    }
                    through_adapter.all().await?;
                    adapter_times.push_share(started.elapsed(), MESSAGES);
                }
                _ => {
                    for _ in 0..MESSAGES {
                        // A publisher has a slice: it is copied once, here as there.
                        let gone = |_| Problem::new("the broadcast's receiver is gone");
                        sender.send(Bytes::copy_from_slice(PAYLOAD)).map_err(gone)?;
                    }
                    through_broadcast.all().await?;
                    broadcast_times.push_share(started.elapsed(), MESSAGES);
                }
            }
        }
        step();
    }
    Ok(vec![port_times.series(PORT), adapter_times.series(ADAPTER), broadcast_times.series(BROADCAST)])
}

/// A task that takes messages and says when a batch is complete.
struct Receiver {
    complete: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

impl Receiver {
    fn of<S: Source>(mut source: S) -> Self {
        let (told, complete) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                for _ in 0..MESSAGES {
                    if !source.next().await {
                        return;
                    }
                }
                if told.send(()).await.is_err() {
                    return;
                }
            }
        });
        Self { complete, task }
    }

    async fn all(&mut self) -> Result<()> {
        let complete = tokio::time::timeout(PATIENCE, self.complete.recv()).await;
        complete.ok().flatten().ok_or_else(|| Problem::new("messages in memory did not arrive"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where messages come from; `false` is the end, or a gap.
trait Source: Send + 'static {
    fn next(&mut self) -> impl Future<Output = bool> + Send;
}

impl Source for MessageStream {
    async fn next(&mut self) -> bool {
        matches!(StreamExt::next(self).await, Some(Ok(_)))
    }
}

impl Source for broadcast::Receiver<Bytes> {
    async fn next(&mut self) -> bool {
        self.recv().await.is_ok()
    }
}
