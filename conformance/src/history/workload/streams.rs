//! What a client does with streams.

use super::{AFTER_ERROR, Offer};
use crate::history::client::{Client, Queue};
use crate::history::record::{Delivered, Event, Interval, Receipted, Reply, Verdict, nanos};
use fastrand::Rng;
use linchpin_core::{Claim, GroupName, MemberName, StreamName};
use std::time::Duration;
use tokio::time::Instant;

const STREAMS: [&str; 2] = ["jobs-0", "jobs-1"];
const GROUPS: [&str; 2] = ["billing", "mailing"];

/// For how long a delivery is visible of which a member forgets to settle some.
const SHORT: Duration = Duration::from_millis(40);

/// How much longer than the visibility a group is given to be delivered what is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one claim waits while a group is drained.
const WAIT: Duration = Duration::from_millis(100);

/// Every group of every stream.
fn queues() -> Vec<Queue> {
    let pairs = STREAMS.iter().flat_map(|stream| GROUPS.iter().map(move |group| (stream, group)));
    let queue =
        |(stream, group)| Some(Queue { stream: StreamName::new(stream).ok()?, group: GroupName::new(group).ok()? });
    pairs.filter_map(queue).collect()
}

/// A client that appends to every stream and is a member of every group.
pub(super) struct StreamClient {
    client: Client,
    offer: Offer,
    queues: Vec<Queue>,
    /// What it holds of each queue.
    held: Vec<Vec<Delivered>>,
    written: u64,
}

impl StreamClient {
    pub(super) fn new(client: Client, offer: Offer) -> Self {
        let queues = queues();
        Self { client, offer, held: vec![Vec::new(); queues.len()], queues, written: 0 }
    }

    /// Does one thing; whether it was answered.
    pub(super) async fn step(&mut self, dice: &mut Rng) -> bool {
        let index = dice.usize(..self.queues.len());
        let holds = self.held.iter().position(|held| !held.is_empty());
        match (dice.u8(..100), holds) {
            (..25, _) => self.append(dice, index).await,
            (25..80, Some(index)) => self.settle(dice, index).await,
            _ => self.claim(dice, index).await,
        }
    }

    async fn append(&mut self, dice: &mut Rng, index: usize) -> bool {
        let mut payloads = Vec::new();
        for _ in 0..dice.usize(1..=3) {
            self.written += 1;
            payloads.push(format!("{}-{}", self.client.number, self.written));
        }
        self.client.append(&self.queues[index].stream, payloads).await
    }

    async fn claim(&mut self, dice: &mut Rng, index: usize) -> bool {
        let Some(claim) = claim(&self.client, &self.queues[index]) else { return false };
        let forgetful = dice.u8(..12) == 0;
        let claim = claim.max(dice.usize(1..=5)).visibility(if forgetful { SHORT } else { self.offer.visibility });
        let Reply::Answered(mut delivered) = self.client.claim(&claim).await else { return false };
        if forgetful {
            delivered.truncate(1);
        }
        self.held[index].extend(delivered);
        true
    }

    /// Settles some of what it holds: most is done, some has to come again, at once or a little later.
    async fn settle(&mut self, dice: &mut Rng, index: usize) -> bool {
        let held = &mut self.held[index];
        let some = held.split_off(held.len() - dice.usize(1..=held.len()));
        let mut settlements = Vec::new();
        for delivered in some {
            let verdict = match dice.u8(..6) {
                0 if dice.bool() && self.offer.streams.is_some_and(|streams| streams.delays) => {
                    Verdict::Retry { after: nanos(Duration::from_millis(dice.u64(1..30))) }
                }
                0 => Verdict::Retry { after: 0 },
                _ => Verdict::Ack,
            };
            settlements.push(receipted(&delivered, verdict));
        }
        self.client.settle(&self.queues[index], settlements).await.answer().is_some()
    }

    /// Acknowledges whatever it still holds.
    pub(super) async fn settle_the_rest(&mut self) {
        for (queue, held) in self.queues.iter().zip(&mut self.held) {
            acknowledge(&self.client, queue, &std::mem::take(held)).await;
        }
    }
}

fn claim(client: &Client, queue: &Queue) -> Option<Claim> {
    let member = MemberName::new(format!("member-{}", client.number)).ok()?;
    Some(Claim::new(queue.stream.clone(), queue.group.clone(), member))
}

fn receipted(delivered: &Delivered, verdict: Verdict) -> Receipted {
    Receipted { position: delivered.position, delivery: delivered.delivery, verdict }
}

async fn acknowledge(client: &Client, queue: &Queue, delivered: &[Delivered]) {
    if !delivered.is_empty() {
        let acks = delivered.iter().map(|delivered| receipted(delivered, Verdict::Ack)).collect();
        client.settle(queue, acks).await;
    }
}

/// Takes out of every group what is left.
pub(super) async fn drain_everything(client: &Client, visibility: Duration) {
    futures::future::join_all(queues().iter().map(|queue| drain(client, queue, visibility))).await;
}

/// Claims and acknowledges until the group has nothing left, or had the time to be delivered everything.
async fn drain(client: &Client, queue: &Queue, visibility: Duration) {
    let Some(claim) = claim(client, queue) else { return };
    let claim = claim.max(32).visibility(visibility).wait(WAIT);
    let (called, started) = (client.recorder.now(), Instant::now());
    let slack = client.driver.capabilities().streams.map_or(Duration::ZERO, |streams| streams.slack);
    while started.elapsed() < visibility + PATIENCE + slack * 2 {
        match client.claim(&claim).await {
            Reply::Answered(delivered) if !delivered.is_empty() => acknowledge(client, queue, &delivered).await,
            Reply::Answered(_) if has_nothing_left(client, queue).await => break,
            Reply::Answered(_) => {}
            Reply::Failed(_) | Reply::Unknown(_) => tokio::time::sleep(AFTER_ERROR).await,
        }
    }
    let (stream, group) = (queue.stream.as_str().to_owned(), queue.group.as_str().to_owned());
    let interval = Interval { called, returned: client.recorder.now() };
    client.recorder.add(client.number, interval, Event::Drained { stream, group });
}

/// Whether the backend says so.
async fn has_nothing_left(client: &Client, queue: &Queue) -> bool {
    let Ok(info) = client.driver.inspect(&queue.stream).await else { return false };
    let own = info.groups.iter().find(|group| group.name == queue.group);
    own.is_some_and(|group| group.pending == 0 && group.lag == 0)
}
