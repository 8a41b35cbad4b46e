//! Work that is done as a task of the handle: a caller who gives up, or whom nobody polls, keeps nothing that others
//! need.

use linchpin_core::life::Life;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Makes a call on behalf of somebody; it ends where he gives up. `None` if the handle ends before it does.
///
/// # Cancel safety
/// Dropping the future drops the call, soon.
///
/// ```
/// use linchpin_adapter::tasks::on_behalf;
/// use linchpin_core::life::Life;
/// use std::time::Duration;
/// use tokio::sync::oneshot;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let life = Life::in_runtime();
/// let answer = on_behalf(&life, async { Ok("PONG") }).await;
/// assert_eq!(answer.unwrap_or_else(|| Err(life.unanswered("health")))?, "PONG");
///
/// let (connection, closed) = oneshot::channel::<()>();
/// let call = on_behalf(&life, async move {
///     let _connection = connection;
///     std::future::pending::<()>().await
/// });
/// assert!(tokio::time::timeout(Duration::from_millis(5), call).await.is_err(), "the caller gives up");
/// assert!(closed.await.is_err(), "so the call has ended");
/// # Ok(())
/// # }
/// ```
pub async fn on_behalf<T: Send + 'static>(life: &Life, call: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (mut reply, answer) = oneshot::channel();
    life.spawn(async move {
        let answer = tokio::select! {
            answer = call => answer,
            () = reply.closed() => return,
        };
        // Nobody may wait any more.
        let _ = reply.send(answer);
    });
    answer.await.ok()
}

/// What many want at once and one task does for all of them: connecting, for one. It does one thing at a time; one who
/// gives up holds nobody else up.
///
/// ```
/// use linchpin_adapter::tasks::SingleFlight;
/// use linchpin_core::life::Life;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let (life, connecting) = (Life::in_runtime(), SingleFlight::default());
/// let connect = || connecting.run(&life, "connect", async { "a connection" });
/// assert_eq!(tokio::try_join!(connect(), connect())?, ("a connection", "a connection"));
/// # Ok(())
/// # }
/// ```
pub struct SingleFlight<T>(Arc<Mutex<Option<Flight<T>>>>);

/// What the task comes to; nothing as long as it runs.
type Flight<T> = watch::Receiver<Option<T>>;

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// What the task comes to that runs now; `task`, if none does.
    ///
    /// # Errors
    /// `Closed` if the runtime of the handle ends before.
    pub fn run(
        &self,
        life: &Life,
        operation: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send {
        // It begins here: the caller's future has no room for it.
        let (mut flight, life) = (self.join(life, task), life.clone());
        async move {
            let come_to = flight.wait_for(Option::is_some).await.ok().and_then(|come_to| come_to.clone());
            come_to.ok_or_else(|| life.unanswered(operation))
        }
    }

    fn join(&self, life: &Life, task: impl Future<Output = T> + Send + 'static) -> Flight<T> {
        let mut running = self.0.lock();
        // One that ended without a result was dropped with its runtime.
        if let Some(flight) = running.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (tell, flight) = watch::channel(None);
        *running = Some(flight.clone());
        let slot = self.0.clone();
        life.spawn(async move {
            let come_to = task.await;
            // Who comes from now on begins anew, and nothing is kept here that nobody waits for.
            *slot.lock() = None;
            tell.send_replace(Some(come_to));
        });
        flight
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<Result<T, Arc<Error>>> {
    /// As `run`, of a task that may fail: each who wants it is told of that as of a call of his own.
    ///
    /// # Errors
    /// As `run`, and what the task fails with.
    ///
    /// ```
    /// use linchpin_adapter::tasks::SingleFlight;
    /// use linchpin_core::Error;
    /// use linchpin_core::life::Life;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (life, connecting) = (Life::in_runtime(), SingleFlight::default());
    /// let connect = |operation| {
    ///     let task = async { Err::<(), _>(Error::timeout("connect", Duration::from_secs(2)).of_read()) };
    ///     connecting.run_or_fail(&life, operation, task)
    /// };
    /// let (get, commit) = tokio::join!(connect("get"), connect("commit"));
    /// assert_eq!(get.expect_err("no server").to_string(), "get: no answer within 2s");
    /// assert_eq!(commit.expect_err("no server").to_string(), "commit: no answer within 2s");
    /// # }
    /// ```
    pub fn run_or_fail(
        &self,
        life: &Life,
        operation: &'static str,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send {
        let come_to = self.run(life, operation, async { task.await.map_err(Arc::new) });
        async move { come_to.await?.map_err(|error| Error::shared(&error, operation)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn one_task_serves_all_and_needs_none_of_them() {
        let (life, flight) = (Life::in_runtime(), SingleFlight::default());
        let (runs, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let run = || {
            let (runs, go_on) = (runs.clone(), go_on.clone());
            flight.run(&life, "get", async move {
                go_on.notified().await;
                runs.fetch_add(1, Ordering::SeqCst) + 1
            })
        };
        let (mut kept, mut second) = (pin!(run()), pin!(run()));
        assert!(poll!(&mut kept).is_pending() && poll!(&mut second).is_pending());
        drop(Box::pin(run()));
        go_on.notify_one();
        assert_eq!(second.await.expect("open"), 1);
        go_on.notify_one();
        assert_eq!(run().await.expect("open"), 2, "what is over is not told again");
        assert_eq!(kept.await.expect("open"), 1);
    }

    #[tokio::test]
    async fn a_call_ends_with_whom_it_is_for() {
        let life = Life::in_runtime();
        assert_eq!(on_behalf(&life, async { 7 }).await, Some(7));
        let held = Arc::new(());
        let holding = held.clone();
        let mut calling = Box::pin(on_behalf(&life, async move {
            std::future::pending::<()>().await;
            drop(holding);
        }));
        assert!(poll!(&mut calling).is_pending());
        drop(calling);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
