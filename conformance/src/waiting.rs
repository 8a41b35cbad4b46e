//! Waiting with a bound: for something that must come, for something that must come in a window of time.
//! No case sleeps in the hope that something will have happened.

use crate::failure::{Failure, here};
use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// How long a case waits for something that must come, before it says that it did not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A TTL, visibility or wait that does not end while a case runs.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// What the way to us may add to the time at which a server tells something, on a machine that has much else to do.
pub(crate) const ON_THE_WAY: Duration = Duration::from_secs(1);

/// What a wait's first look may take, however short the wait.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(1);

/// For how long a case makes load: what a slow machine has done by then has to be enough.
pub(crate) const ENOUGH: Duration = Duration::from_secs(12);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// What clocks that count in milliseconds may differ by.
const TICK: Duration = Duration::from_millis(1);

/// Awaits something that must come soon.
#[track_caller]
pub(crate) fn soon<T>(what: impl Display, future: impl Future<Output = T>) -> impl Future<Output = Result<T, Failure>> {
    let at = Location::caller();
    async move {
        let late = || Failure::new(format!("{what}: it did not come within {PATIENCE:?}")).at(at);
        timeout(PATIENCE, future).await.map_err(|_| late())
    }
}

/// Looks again and again for something that must be there soon.
#[track_caller]
pub(crate) fn eventually<T, F>(
    what: impl Display,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = Result<T, Failure>>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    let at = Location::caller();
    async move {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if started.elapsed() > PATIENCE {
                return Err(Failure::new(format!("{what}: it was not so within {PATIENCE:?}")).at(at));
            }
            sleep(PAUSE).await;
        }
    }
}

/// A call with the moments between which the server saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed<T> {
    pub(crate) value: T,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
}

/// Makes a call and notes when.
pub(crate) async fn timed<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<Timed<T>, E> {
    let sent = Instant::now();
    let value = call.await?;
    Ok(Timed { value, sent, answered: Instant::now() })
}

impl<T> Timed<T> {
    /// The window in which something must happen `after` the server saw the call, with the slack it has.
    pub(crate) fn window(&self, after: Duration, slack: Duration) -> Window {
        Window { earliest: self.sent + after - TICK, latest: self.answered + after + slack + TICK }
    }
}

/// When something must happen: nobody sees it before `earliest`; whoever looks at `latest` or later does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) earliest: Instant,
    pub(crate) latest: Instant,
}

impl Window {
    /// Waits until it must have happened, so that looking proves something.
    pub(crate) async fn has_passed(self) {
        tokio::time::sleep_until(self.latest).await;
    }

    /// Looks again and again until it has happened, and fails if that was too early or too late.
    #[track_caller]
    pub(crate) fn sees<T, F>(
        self,
        what: impl Display,
        mut look: impl FnMut() -> F,
    ) -> impl Future<Output = Result<T, Failure>>
    where
        F: Future<Output = Result<Option<T>, Failure>>,
    {
        let at = Location::caller();
        let wrong = move |problem: String| Err(Failure::new(problem).at(at));
        async move {
            loop {
                let asked = Instant::now();
                let found = look().await?;
                let told = Instant::now();
                match found {
                    Some(_) if told < self.earliest => {
                        return wrong(format!("{what}: {:?} too early", self.earliest - told));
                    }
                    Some(found) => return Ok(found),
                    None if asked >= self.latest => {
                        return wrong(format!("{what}: {:?} too late, and still not", asked - self.latest));
                    }
                    None => sleep(PAUSE.min(self.latest.saturating_duration_since(told))).await,
                }
            }
        }
    }

    /// How late the answer to a call was, that was waiting for something to happen; fails if it was too early.
    #[track_caller]
    pub(crate) fn lateness<T>(&self, what: impl Display, call: &Timed<T>) -> Result<Duration, Failure> {
        if call.answered < self.earliest {
            return Err(Failure::new(format!("{what}: {:?} too early", self.earliest - call.answered)));
        }
        // Who asks when it has happened is not late for it.
        Ok(call.answered - self.latest.max(call.sent).min(call.answered))
    }

    /// Fails if something that was told to us just now came too early, or later than it takes to tell.
    #[track_caller]
    pub(crate) fn ensure_now(self, what: impl Display) -> Result<(), Failure> {
        let now = Instant::now();
        if now < self.earliest {
            return Err(Failure::new(format!("{what}: {:?} too early", self.earliest - now)));
        }
        if now > self.latest + ON_THE_WAY {
            return Err(Failure::new(format!("{what}: {:?} too late", now - self.latest)));
        }
        Ok(())
    }
}

/// Work that goes on while a case looks on. Dropping it ends it.
pub(crate) struct Meanwhile(JoinSet<Result<(), Failure>>);

impl Meanwhile {
    pub(crate) fn start(work: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Self {
        let mut task = JoinSet::new();
        task.spawn(work);
        Self(task)
    }

    /// Lets the work go on, which must not have ended yet.
    #[track_caller]
    pub(crate) fn go_on(&mut self) -> impl Future<Output = Result<(), Failure>> {
        here(async move {
            if self.goes_on().await? {
                return Ok(());
            }
            Err(Failure::new("what goes on meanwhile ended by itself"))
        })
    }

    /// Whether the work goes on. It gets its turn here: a driver may answer without ever waiting.
    #[track_caller]
    pub(crate) fn goes_on(&mut self) -> impl Future<Output = Result<bool, Failure>> {
        here(async move {
            tokio::task::yield_now().await;
            match self.0.try_join_next() {
                Some(ended) => joined(ended).map(|()| false),
                None => Ok(!self.0.is_empty()),
            }
        })
    }
}

fn joined<T>(ended: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::new(format!("a task of the case panicked: {error}")))?
}

/// Runs all at the same time, each as a task of its own; the results in their order. The first failure
/// ends them all.
pub(crate) async fn together<T, F>(futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for (nth, future) in futures.into_iter().enumerate() {
        tasks.spawn(async move { future.await.map(|value| (nth, value)) });
    }
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(joined(result)?);
    }
    results.sort_unstable_by_key(|(nth, _)| *nth);
    Ok(results.into_iter().map(|(_, value)| value).collect())
}
