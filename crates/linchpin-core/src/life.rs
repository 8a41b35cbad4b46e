//! For adapters: how long a handle lives, in one place: until it is closed, or until the runtime in which it was
//! opened has ended.

use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;
use parking_lot::Mutex;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long closing waits for what is on its way.
pub const CLOSING: Duration = Duration::from_secs(1);

/// Why a handle is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was closed.
    Closed,
    /// The runtime in which it was opened has ended, and its background tasks with it.
    RuntimeEnded,
}

impl End {
    /// What a call is told from then on.
    pub fn error(self, operation: &'static str) -> Error {
        match self {
            Self::Closed => Error::closed(operation),
            Self::RuntimeEnded => Error::new(
                ErrorKind::Closed,
                operation,
                "the runtime in which this handle was opened has ended; open a handle in each runtime",
            ),
        }
    }
}

/// How long a handle lives. An adapter makes one when it connects and shares it with its background tasks; clones
/// are the same life.
///
/// Every call goes through [`run`](Self::run), every background task through [`spawn`](Self::spawn), and what ends
/// watches and subscriptions through [`on_end`](Self::on_end): so a wait never outlives its handle, and a handle
/// that outlives its runtime (one in a `static`, used by several `#[tokio::test]`s) says so instead of hanging.
///
/// ```
/// use linchpin_core::{ErrorKind, Operation, life::Life};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let life = Life::in_runtime();
/// let (other, waiting) = (life.clone(), life.clone());
/// let waiting = tokio::spawn(async move { waiting.run::<()>(Operation::Claim, std::future::pending()).await });
/// tokio::task::yield_now().await;
/// assert!(other.close());
/// let error = waiting.await.expect("no panic").expect_err("it waited for ever");
/// assert_eq!((error.kind(), life.admit("get").expect_err("closed").kind()), (ErrorKind::Closed, ErrorKind::Closed));
/// # }
/// ```
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    /// [`LIVE`], or why it ended: what every call looks at.
    state: AtomicU8,
    /// The same for who waits.
    ended: watch::Sender<Option<End>>,
    callbacks: Mutex<Vec<Callback>>,
    runtime: Option<Handle>,
    lifeline: Mutex<Option<JoinHandle<()>>>,
}

type Callback = Box<dyn FnOnce(End) + Send>;

const LIVE: u8 = 0;
const CLOSED: u8 = 1;
const RUNTIME_ENDED: u8 = 2;

impl Life {
    /// The life of a handle whose background tasks run in the current runtime. It ends with it.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn in_runtime() -> Self {
        Self::of(&Handle::current())
    }

    fn of(runtime: &Handle) -> Self {
        let life = Self::new(Some(runtime.clone()));
        let lifeline = Lifeline(Arc::downgrade(&life.0));
        // A runtime that ends drops its tasks.
        let task = runtime.spawn(async move {
            let _held = lifeline;
            pending::<()>().await;
        });
        *life.0.lifeline.lock() = Some(task);
        life
    }

    /// The life of a handle that needs no runtime of its own: it ends when it is closed.
    pub fn without_runtime() -> Self {
        Self::new(None)
    }

    fn new(runtime: Option<Handle>) -> Self {
        Self(Arc::new(Inner {
            state: AtomicU8::new(LIVE),
            ended: watch::Sender::new(None),
            callbacks: Mutex::default(),
            runtime,
            lifeline: Mutex::default(),
        }))
    }

    /// Whether a call may begin.
    ///
    /// # Errors
    /// `Closed` once it has ended.
    pub fn admit(&self, operation: &'static str) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(ended) => Err(ended.error(operation)),
        }
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<End> {
        match self.0.state.load(Ordering::Acquire) {
            LIVE => None,
            CLOSED => Some(End::Closed),
            _ => Some(End::RuntimeEnded),
        }
    }

    /// Makes a call, and ends it when the handle ends: a wait never outlives its handle. Where the call changes
    /// something and was on its way, the error says that it may have been applied.
    ///
    /// # Errors
    /// What the call fails with; `Closed` once the handle has ended.
    ///
    /// # Cancel safety
    /// As the call's.
    pub async fn run<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        let name = operation.as_str();
        self.admit(name)?;
        let mut call = pin!(call);
        let result = match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
            Poll::Ready(result) => result,
            // Only what waits has to be told of the end.
            Poll::Pending => {
                let mut told = self.0.ended.subscribe();
                tokio::select! {
                    biased;
                    result = call => result,
                    _ = told.wait_for(Option::is_some) => Err(Error::timeout(name, Duration::ZERO)),
                }
            }
        };
        match (result, self.ended()) {
            // What broke because the handle ended is told as that.
            (Err(error), Some(ended)) => {
                let doubt = error.maybe_applied() && !operation.applies_nothing();
                let closed = ended.error(name);
                let closed = if doubt { closed.for_good() } else { closed };
                Err(match error.subject() {
                    Some(subject) => closed.with_subject(subject),
                    None => closed,
                })
            }
            // It may have come too late to be told.
            (Ok(_), Some(ended)) if operation.listens() => Err(ended.error(name)),
            (result, _) => result,
        }
    }

    /// Runs a background task in the handle's own runtime, whichever one the caller is in: so a task never ends
    /// because a caller's runtime does. It ends with that runtime, and otherwise by itself: who owns the task aborts it
    /// where he is dropped, or has [`ends`](Self::ends) do it.
    ///
    /// # Panics
    /// Outside of a runtime, if the handle has none.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.0.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }

    /// The runtime in which its background tasks run: the handle's own, or the current one if it has none.
    pub fn runtime(&self) -> Option<Handle> {
        self.0.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    /// What a call is told whose task of the handle ended without an answer.
    pub fn unanswered(&self, operation: &'static str) -> Error {
        let ended = self.ended().map(|ended| ended.error(operation));
        ended.unwrap_or_else(|| {
            let problem = "a task of this handle ended without an answer: the runtime in which the handle was opened is \
                           ending, or the task panicked";
            Error::new(ErrorKind::Closed, operation, problem)
        })
    }

    /// Has something done once it ends: ending watches and subscriptions. At once if it has ended already.
    pub fn on_end(&self, callback: impl FnOnce(End) + Send + 'static) {
        let mut callbacks = self.0.callbacks.lock();
        let Some(ended) = self.ended() else { return callbacks.push(Box::new(callback)) };
        drop(callbacks);
        callback(ended);
    }

    /// Ends something with it: watches, subscriptions. Holds on to it no longer than others do.
    pub fn ends<T: Send + Sync + 'static>(&self, what: &Arc<T>, end: impl FnOnce(&T, End) + Send + 'static) {
        let what = Arc::downgrade(what);
        self.on_end(move |ended| {
            if let Some(what) = what.upgrade() {
                end(&what, ended);
            }
        });
    }

    /// Ends it, and has a task of the handle do what is left: it is done to its end, also if the caller gives up. Nothing
    /// is done where it has ended before.
    ///
    /// # Cancel safety
    /// What is left goes on without the caller.
    pub async fn close_by(&self, rest: impl Future<Output = ()> + Send + 'static) {
        if !self.close() {
            return;
        }
        match self.runtime() {
            // It fails only with its runtime, which leaves nothing to do.
            Some(runtime) => drop(runtime.spawn(rest).await),
            None => rest.await,
        }
    }

    /// Ends it; whether this was the first to do so.
    pub fn close(&self) -> bool {
        self.0.end(End::Closed)
    }
}

impl Inner {
    fn end(&self, ended: End) -> bool {
        let state = if ended == End::Closed { CLOSED } else { RUNTIME_ENDED };
        if self.state.compare_exchange(LIVE, state, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        self.ended.send_replace(Some(ended));
        if let Some(lifeline) = self.lifeline.lock().take() {
            lifeline.abort();
        }
        let callbacks = std::mem::take(&mut *self.callbacks.lock());
        for callback in callbacks {
            callback(ended);
        }
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(lifeline) = self.lifeline.get_mut().take() {
            lifeline.abort();
        }
    }
}

/// Where the background tasks of something run that is used from several runtimes: in the one in which it was made, as
/// the caller's may only pass by; once that has ended, in the caller's. Clones are the same.
///
/// ```
/// use linchpin_core::life::Home;
///
/// let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
/// let (own, passing) = (runtime(), runtime());
/// let home = own.block_on(async { Home::here() });
/// let task = passing.block_on(async { home.spawn(async { 7 }) }).expect("in a runtime");
/// drop(passing);
/// assert_eq!(own.block_on(task).expect("it did not end with the one that passed by"), 7);
/// ```
#[derive(Clone)]
pub struct Home {
    runtime: Option<Handle>,
    /// What knows whether that has ended, once there was a task.
    life: Arc<OnceLock<Life>>,
}

impl Home {
    /// The current runtime, if there is one.
    pub fn here() -> Self {
        Self { runtime: Handle::try_current().ok(), life: Arc::default() }
    }

    /// Runs a task there. `None`, and the task is dropped, if that runtime has ended and the caller is in none.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Option<JoinHandle<T>> {
        let life = self.runtime.as_ref().map(|runtime| self.life.get_or_init(|| Life::of(runtime)));
        match life.filter(|life| life.ended().is_none()) {
            Some(life) => Some(life.spawn(task)),
            None => Handle::try_current().ok().map(|current| current.spawn(task)),
        }
    }
}

/// Where it is when it is made.
impl Default for Home {
    fn default() -> Self {
        Self::here()
    }
}

/// Dropped when the runtime ends.
struct Lifeline(Weak<Inner>);

impl Drop for Lifeline {
    fn drop(&mut self) {
        if let Some(life) = self.0.upgrade() {
            life.end(End::RuntimeEnded);
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Life").field(&self.ended()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Retry;
    use std::sync::atomic::AtomicUsize;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_handle_says_that_its_runtime_has_ended() {
        let first = runtime();
        let life = first.block_on(async { Life::in_runtime() });
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        life.on_end(move |ended| telling.lock().push(ended));
        let waiting = std::thread::spawn({
            let life = life.clone();
            move || runtime().block_on(async move { life.run::<()>(Operation::Claim, pending()).await })
        });
        life.admit("get").expect("its runtime is there");
        drop(first);
        let error = waiting.join().expect("no panic").expect_err("it waited for ever");
        assert!(error.kind() == ErrorKind::Closed && error.to_string().contains("runtime"), "{error}");
        assert!(life.admit("get").expect_err("it has ended").to_string().contains("runtime"));
        assert_eq!((&*told.lock(), life.close()), (&vec![End::RuntimeEnded], false));
        let late = Arc::new(AtomicUsize::new(0));
        let counting = late.clone();
        life.on_end(move |_| {
            counting.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(late.load(Ordering::SeqCst), 1, "told at once");
    }

    #[test]
    fn a_task_runs_in_the_runtime_of_the_handle() {
        let own =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let life = own.block_on(async { Life::in_runtime() });
        let (send, receive) = std::sync::mpsc::channel();
        let caller = runtime();
        let spawning = life.clone();
        caller.block_on(async move {
            spawning.spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                send.send(()).expect("awaited");
            });
        });
        drop(caller);
        receive.recv_timeout(Duration::from_secs(10)).expect("the task outlived the caller's runtime");
    }

    #[tokio::test]
    async fn what_was_on_its_way_is_doubtful_if_it_changes_something() {
        for (operation, doubtful) in [(Operation::Commit, true), (Operation::Get, false), (Operation::Claim, false)] {
            let life = Life::in_runtime();
            let call = async {
                life.close();
                pending::<Result<()>>().await
            };
            let error = life.run(operation, call).await.expect_err("closed");
            assert_eq!(
                (error.kind(), error.maybe_applied(), error.retry()),
                (ErrorKind::Closed, doubtful, Retry::Never)
            );
            let error = life.run(operation, async { Ok(()) }).await.expect_err("closed before");
            assert!(!error.maybe_applied());
        }
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_is_done_though_nobody_waits_for_it() {
        let (life, done) = (Life::in_runtime(), Arc::new(tokio::sync::Notify::new()));
        let (rest, other) = (done.clone(), done.clone());
        let mut closing = Box::pin(life.close_by(async move {
            tokio::task::yield_now().await;
            rest.notify_one();
        }));
        assert!(futures::poll!(&mut closing).is_pending());
        drop(closing);
        assert!(life.ended().is_some());
        life.close_by(async move { other.notify_waiters() }).await;
        tokio::time::timeout(Duration::from_secs(10), done.notified()).await.expect("done");
    }

    #[tokio::test]
    async fn nobody_listens_who_came_while_it_ended() {
        for operation in [Operation::Watch, Operation::Subscribe] {
            let life = Life::in_runtime();
            let begin = async {
                life.close();
                Ok(())
            };
            assert_eq!(life.run(operation, begin).await.expect_err("nobody ends it").kind(), ErrorKind::Closed);
        }
    }

    #[tokio::test]
    async fn a_life_that_nobody_holds_leaves_no_task() {
        let metrics = Handle::current().metrics();
        let before = metrics.num_alive_tasks();
        drop(Life::in_runtime());
        tokio::task::yield_now().await;
        assert_eq!(metrics.num_alive_tasks(), before);
    }
}
