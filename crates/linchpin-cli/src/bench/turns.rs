//! Tasks that take turns, and what is noted of it.

use super::contender::Taker;
use super::problem::{Problem, Result};
use super::sampling::Samples;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How long nothing may happen before the turns count as stuck.
const PATIENCE: Duration = Duration::from_mins(2);

/// Tasks that loop: wait for a turn, end it. Noted is what happens once each has had one.
pub(crate) struct Turns {
    shared: Arc<Shared>,
    tasks: JoinSet<Result<()>>,
}

struct Shared {
    taken: Mutex<TurnTimes>,
    reached: Notify,
    stop: AtomicBool,
}

/// What was noted.
#[derive(Default)]
pub(crate) struct TurnTimes {
    pub(crate) samples: Samples,
    /// Of each task.
    pub(crate) turns: Vec<u64>,
    warm: bool,
    count: u64,
    goal: u64,
    released: Option<Instant>,
    failed: bool,
}

impl Turns {
    pub(crate) fn begin<T: Taker>(takers: Vec<T>) -> Self {
        let taken = TurnTimes { turns: vec![0; takers.len()], goal: u64::MAX, ..TurnTimes::default() };
        let shared = Shared { taken: Mutex::new(taken), reached: Notify::new(), stop: AtomicBool::new(false) };
        let (shared, mut tasks) = (Arc::new(shared), JoinSet::new());
        for (number, taker) in takers.into_iter().enumerate() {
            let shared = shared.clone();
            tasks.spawn(async move {
                let result = shared.work(number, taker).await;
                if result.is_err() {
                    shared.taken.lock().failed = true;
                    shared.reached.notify_one();
                }
                result
            });
        }
        Self { shared, tasks }
    }

    /// How many hand-overs were noted.
    pub(crate) fn count(&self) -> u64 {
        self.shared.taken.lock().count
    }

    /// Waits until so many were; it goes on after that.
    pub(crate) async fn reach(&self, goal: u64) -> Result<()> {
        self.shared.taken.lock().goal = goal;
        let reached = async {
            loop {
                {
                    let taken = self.shared.taken.lock();
                    if taken.count >= goal || taken.failed {
                        return;
                    }
                }
                self.shared.reached.notified().await;
            }
        };
        let late = |_| Problem::new(format!("{} of {goal} hand-overs in {PATIENCE:?}", self.count()));
        tokio::time::timeout(PATIENCE, reached).await.map_err(late)
    }

    /// Lets each end its turn and go.
    pub(crate) async fn end(mut self) -> Result<TurnTimes> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ending = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            Ok::<_, Problem>(())
        };
        let late = |_| Problem::new(format!("the last turns did not end within {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, ending).await.map_err(late)??;
        Ok(std::mem::take(&mut self.shared.taken.lock()))
    }
}

impl Shared {
    async fn work<T: Taker>(&self, number: usize, mut taker: T) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let held = taker.take().await?;
            self.note(number, Instant::now());
            // Last before the release: nothing of ours is counted.
            self.taken.lock().released = Some(Instant::now());
            taker.give(held).await?;
        }
        Ok(())
    }

    fn note(&self, number: usize, now: Instant) {
        let mut taken = self.taken.lock();
        let released = taken.released.take();
        taken.turns[number] += 1;
        if !taken.warm {
            taken.warm = taken.turns.iter().all(|turns| *turns > 0);
            if taken.warm {
                taken.turns.fill(0);
            }
            return;
        }
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        taken.count += 1;
        if let Some(released) = released {
            taken.samples.push(now.duration_since(released));
        }
        if taken.count >= taken.goal {
            self.reached.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::{OwnedSemaphorePermit, Semaphore};

    /// Tokio's semaphore is fair.
    struct Fair(Arc<Semaphore>);

    impl Taker for Fair {
        type Held = OwnedSemaphorePermit;

        async fn take(&mut self) -> Result<OwnedSemaphorePermit> {
            self.0.clone().acquire_owned().await.map_err(|error| Problem::new(error.to_string()))
        }

        async fn give(&mut self, held: OwnedSemaphorePermit) -> Result<()> {
            drop(held);
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_fair_lock_is_seen_to_be_fair() {
        let semaphore = Arc::new(Semaphore::new(1));
        let turns = Turns::begin((0..5).map(|_| Fair(semaphore.clone())).collect());
        turns.reach(100).await.expect("reached");
        let count = turns.count();
        let taken = turns.end().await.expect("ended");
        assert!(count >= 100 && taken.turns.iter().all(|turns| *turns >= 20), "{:?}", taken.turns);
        assert_eq!(taken.samples.series("s").samples, usize::try_from(taken.count).expect("small"));
    }

    #[tokio::test]
    async fn who_fails_is_heard() {
        let semaphore = Arc::new(Semaphore::new(1));
        semaphore.close();
        let turns = Turns::begin(vec![Fair(semaphore.clone()), Fair(semaphore)]);
        turns.reach(1).await.expect("it ends all the same");
        assert!(turns.end().await.is_err());
    }
}
