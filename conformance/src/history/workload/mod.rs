//! What the clients of a run do: seeded dice, a few keys and streams that they contend for, and values that
//! nobody writes twice.

mod state;
mod streams;

use super::History;
use super::client::Client;
use super::record::Recorder;
use crate::waiting::ENOUGH;
use fastrand::Rng;
use linchpin_core::{Capabilities, Driver, StreamSupport, TransactionScope};
use state::StateClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use streams::StreamClient;
use tokio::task::JoinSet;

/// How long a client waits after an error: a backend that is away for a moment answers fast.
const AFTER_ERROR: Duration = Duration::from_millis(5);

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Everything that the backend declares.
    Everything,
    /// Single keys first of all.
    State,
    /// Transactions over several keys first of all.
    Transactions,
    /// Streams and nothing else.
    Streams,
}

/// A run: how many clients do how much, of what, with which dice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    seed: u64,
    operations: usize,
    clients: u32,
    load: Load,
    visibility: Duration,
}

impl Workload {
    /// 16 clients doing so many operations of every kind, or as many as they can in [enough time](ENOUGH).
    pub(crate) fn new(seed: u64, operations: usize) -> Self {
        Self { seed, operations, clients: 16, load: Load::Everything, visibility: Duration::from_secs(3) }
    }

    /// As many clients as this.
    pub(crate) fn clients(mut self, clients: u32) -> Self {
        self.clients = clients;
        self
    }

    /// Operations of this kind.
    pub(crate) fn load(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// For how long a delivery is a member's alone: longer than it takes to settle it, unless something is
    /// wrong. What a claim got whose answer was lost comes again after this time only, so a run with faults
    /// ends sooner with less.
    pub(crate) fn visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility;
        self
    }

    /// Runs it on handles of one namespace with nothing in it. It ends with a look at everything: all keys
    /// are read once more, and every group is delivered what is left.
    pub(crate) async fn run(self, handles: &[Arc<dyn Driver>]) -> History {
        self.run_then(handles, || {}).await
    }

    /// As [`run`](Self::run), and calls `then` before the look at everything: to end what made calls fail.
    pub(crate) async fn run_then(self, handles: &[Arc<dyn Driver>], then: impl FnOnce()) -> History {
        let recorder = Arc::new(Recorder::new());
        let Some(first) = handles.first() else { return History::of(&recorder, self.seed) };
        let offer = Offer::new(first.capabilities(), self);
        let budget = Arc::new(AtomicUsize::new(self.operations));
        let mut clients = JoinSet::new();
        for (number, driver) in (0..self.clients).zip(handles.iter().cycle()) {
            let client = Client { number, driver: driver.clone(), recorder: recorder.clone() };
            let dice = Rng::with_seed(self.seed.wrapping_add(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            clients.spawn(work(client, offer, dice, budget.clone()));
        }
        all(clients).await;
        then();
        let last = Client { number: self.clients, driver: first.clone(), recorder: recorder.clone() };
        if offer.state() {
            state::look_at_everything(&last).await;
        }
        if offer.streams.is_some() {
            streams::drain_everything(&last, self.visibility).await;
        }
        History::of(&recorder, self.seed)
    }
}

/// Waits for all; one that panicked makes this one panic.
async fn all(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What a run does, of what the backend offers.
#[derive(Clone, Copy, Debug)]
struct Offer {
    load: Load,
    multi_key: bool,
    ids: bool,
    streams: Option<StreamSupport>,
    visibility: Duration,
}

impl Offer {
    fn new(capabilities: &Capabilities, Workload { load, visibility, .. }: Workload) -> Self {
        Self {
            load,
            multi_key: capabilities.transactions == TransactionScope::MultiKey,
            ids: capabilities.transaction_ids.is_some(),
            streams: capabilities.streams.filter(|_| matches!(load, Load::Everything | Load::Streams)),
            visibility,
        }
    }

    fn state(self) -> bool {
        self.load != Load::Streams
    }
}

/// One client, as long as there is something left to do.
async fn work(client: Client, offer: Offer, mut dice: Rng, budget: Arc<AtomicUsize>) {
    let mut state = StateClient::new(client.clone(), offer);
    let mut streams = StreamClient::new(client, offer);
    let one_less = |left: usize| left.checked_sub(1);
    let started = Instant::now();
    while started.elapsed() < ENOUGH && budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        let streams_now = offer.streams.is_some() && (!offer.state() || dice.u8(..4) == 0);
        let done = if streams_now { streams.step(&mut dice).await } else { state.step(&mut dice).await };
        if !done {
            tokio::time::sleep(AFTER_ERROR).await;
        }
        // A driver may answer without ever waiting: then the others get their turn here.
        tokio::task::yield_now().await;
    }
    if offer.streams.is_some() {
        streams.settle_the_rest().await;
    }
}

/// Throws dice between things of different weights.
fn weighted<T: Copy>(dice: &mut Rng, things: &[(u32, T)]) -> Option<T> {
    let mut thrown = dice.u32(..things.iter().map(|(weight, _)| weight).sum::<u32>().max(1));
    for &(weight, thing) in things {
        match thrown.checked_sub(weight) {
            Some(rest) => thrown = rest,
            None => return Some(thing),
        }
    }
    None
}
