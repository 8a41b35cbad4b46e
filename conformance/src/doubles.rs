//! A driver in trouble: for the cases about what the layers make of that.

use linchpin_core::layers::{Around, Call, around};
use linchpin_core::{Driver, Error, ErrorKind, Operation, Result, Retry};
use parking_lot::Mutex;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The backend does what it is asked to, and its answer is lost.
    AnswerLost,
    /// The backend never hears of it, and nobody can know that.
    NeverArrives,
    /// Nobody ever answers, not even with an error, and the backend never hears of it.
    Hangs,
    /// The backend does what it is asked to, and nobody ever answers.
    HangsAfter,
    /// The backend surely never hears of it.
    Away,
    /// The backend refuses it, for good.
    Hopeless,
    /// It goes on for so long, then the connection breaks.
    BreaksAfter(Duration),
}

/// What gets a driver's first calls into trouble; those after them reach the backend.
#[derive(Clone, Debug)]
pub(crate) struct Troubled {
    inner: Arc<dyn Driver>,
    trouble: Trouble,
    in_trouble: u32,
    calls: Arc<AtomicU32>,
    seen: Arc<Mutex<CallLog>>,
}

/// What the driver was asked.
#[derive(Debug, Default)]
struct CallLog {
    /// When each commit was.
    commits: Vec<Instant>,
    /// How long each claim was to wait.
    waits: Vec<Duration>,
}

impl Troubled {
    /// The first `in_trouble` calls are in trouble; one that is tried again is another call.
    pub(crate) fn over(inner: Arc<dyn Driver>, trouble: Trouble, in_trouble: u32) -> Self {
        Self { inner, trouble, in_trouble, calls: Arc::default(), seen: Arc::default() }
    }

    /// The driver in trouble.
    pub(crate) fn driver(&self) -> Arc<dyn Driver> {
        around(self.inner.clone(), self.clone())
    }

    /// How many calls there were so far.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// When each commit so far was sent.
    pub(crate) fn commits(&self) -> Vec<Instant> {
        self.seen.lock().commits.clone()
    }

    /// How long each claim so far was to wait.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.seen.lock().waits.clone()
    }

    /// As the backend would answer, or as the trouble has it.
    async fn troubled<T: Send>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.in_trouble {
            return call.await;
        }
        match self.trouble {
            Trouble::AnswerLost => drop(call.await?),
            Trouble::NeverArrives => {}
            Trouble::Hangs => pending::<()>().await,
            Trouble::HangsAfter => {
                drop(call.await?);
                pending::<()>().await;
            }
            Trouble::Away => {
                return Err(Error::new(ErrorKind::Unavailable, operation, "nobody is there").with_retry(Retry::Safe));
            }
            Trouble::Hopeless => return Err(Error::new(ErrorKind::Backend, operation, "no")),
            Trouble::BreaksAfter(time) => {
                sleep(time).await;
                return Err(Error::new(ErrorKind::Unavailable, operation, "it broke").with_retry(Retry::Unknown));
            }
        }
        Err(Error::timeout(operation, Duration::from_millis(1)))
    }
}

impl Around for Troubled {
    async fn around<'a, T: Send, F: Future<Output = Result<T>> + Send>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn(Duration) -> F + Send + Sync + 'a,
    ) -> Result<T> {
        match call.operation {
            Operation::Commit => self.seen.lock().commits.push(Instant::now()),
            Operation::Claim => self.seen.lock().waits.push(call.waits),
            Operation::Close => return attempt(call.waits).await,
            _ => {}
        }
        let result = self.troubled(call.operation.as_str(), attempt(call.waits)).await;
        if call.operation.is_read() { result.map_err(Error::of_read) } else { result }
    }
}
