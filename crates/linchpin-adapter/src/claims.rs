//! For adapters: claims, and how they wait. For each group one task looks, for all who wait: so one look serves all, however
//! many wait, what one wake-up costs does not grow with them, and a claim that nobody polls holds nobody else up.

use async_trait::async_trait;
use linchpin_core::life::Life;
use linchpin_core::{Action, Claim, Delivery, GroupName, MAX_TTL, Result, Settled, Settlement, StreamName};
use looks::Looks;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};

mod looks;

/// What a look at a stream brought.
#[derive(Debug, Default)]
pub struct Look {
    /// What the claim was given.
    pub given: Vec<Delivery>,
    /// After which time something pending becomes due, if nothing was given and something is pending.
    pub due: Option<Duration>,
}

/// Where records are claimed.
///
/// ```
/// use linchpin_adapter::claims::{Look, Queues, Source};
/// # use linchpin_core::life::Life;
/// # use linchpin_core::*;
/// # use std::sync::{Arc, Mutex};
/// # use std::time::Duration;
/// # use tokio::sync::Notify;
///
/// /// A stream of one record.
/// #[derive(Default)]
/// struct Single {
///     record: Mutex<Option<Record>>,
///     bell: Mutex<Arc<Notify>>,
/// }
///
/// #[async_trait::async_trait]
/// impl Source for Single {
///     type Listening = ();
///
///     async fn look(&self, claim: &Claim) -> Result<Look> {
///         let Claim { stream, group, .. } = claim.clone();
///         let receipt = Receipt { stream, group, position: Position(1), delivery: 1 };
///         let record = self.record.lock().expect("no panic").take();
///         let give = |Record { payload, id, headers, .. }| Delivery { receipt, payload, id, headers };
///         Ok(Look { given: record.map(give).into_iter().collect(), due: None })
///     }
///
///     async fn listen(&self, _: &StreamName, woken: Arc<Notify>) -> Result<()> {
///         *self.bell.lock().expect("no panic") = woken;
///         Ok(())
///     }
///
///     async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
///         Ok(vec![Settled::Stale; settlements.len()]) // it keeps nothing that is claimed
///     }
///
///     fn longest_wait(&self) -> Option<Duration> {
///         Some(Duration::from_secs(5)) // its bell may be lost
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let single = Arc::new(Single::default());
/// let queues = Queues::new(Life::in_runtime(), single.clone());
/// let claim = Claim::new(StreamName::new("s")?, GroupName::new("g")?, MemberName::new("m")?);
/// let claim = claim.wait(Duration::from_secs(1));
/// let appending = async {
///     tokio::time::sleep(Duration::from_millis(10)).await;
///     *single.record.lock().expect("no panic") = Some(Record::new("order 7"));
///     single.bell.lock().expect("no panic").notify_one();
/// };
/// let (claimed, ()) = tokio::join!(queues.claim(&claim), appending);
/// assert_eq!(claimed?[0].payload, "order 7");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What keeps wake-ups coming until it is dropped.
    type Listening: Send + 'static;

    /// Gives the claim what is due now, without waiting.
    async fn look(&self, claim: &Claim) -> Result<Look>;

    /// Has `woken` notified (by [`Notify::notify_one`]) by whatever makes a claim worth another look: a record that is
    /// appended or given back, a gap in what was heard, the end of the handle. Returns once it listens.
    async fn listen(&self, stream: &StreamName, woken: Arc<Notify>) -> Result<Self::Listening>;

    /// Settles what was given to a claim that nobody waits for any more, so that it is due at once. What fails is due after
    /// its visibility.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>>;

    /// After which time a group is looked at again though nobody woke who waits. `None`: never, every wake-up is sure
    /// to come.
    fn longest_wait(&self) -> Option<Duration> {
        None
    }
}

/// The claims of a handle.
///
/// ```
/// # use linchpin_core::{Claim, GroupName, MemberName, Result, Settled, Settlement, StreamName};
/// # use linchpin_adapter::claims::{Look, Queues, Source};
/// # use linchpin_core::life::{CLOSING, Life};
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use tokio::sync::Notify;
/// struct Empty;
///
/// #[async_trait::async_trait]
/// impl Source for Empty {
///     type Listening = ();
///     async fn look(&self, _: &Claim) -> Result<Look> {
///         Ok(Look::default())
///     }
///     async fn listen(&self, _: &StreamName, _: Arc<Notify>) -> Result<()> {
///         Ok(())
///     }
///     async fn settle(&self, _: &[Settlement]) -> Result<Vec<Settled>> {
///         Ok(Vec::new())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let life = Life::in_runtime();
/// let queues = Queues::new(life.clone(), Arc::new(Empty));
/// let claim = Claim::new(StreamName::new("s")?, GroupName::new("g")?, MemberName::new("m")?);
/// let claim = claim.wait(Duration::from_millis(20));
/// assert!(queues.claim(&claim).await?.is_empty());
/// // The handle is closed: then nobody looks any more.
/// life.close();
/// queues.close(CLOSING).await;
/// assert!(queues.claim(&claim).await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct Queues<S>(Arc<Shared<S>>);

struct Shared<S> {
    life: Life,
    source: Arc<S>,
    groups: Mutex<HashMap<Name, Arc<Group>>>,
    /// How many tasks look or give back.
    tasks: watch::Sender<usize>,
}

impl<S: Source> Shared<S> {
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.send_modify(|tasks| *tasks += 1);
        let running = Running(self.clone());
        self.life.spawn(async move {
            let _running = running;
            task.await;
        });
    }

    /// Answers a claim. What nobody takes is given back, and so is all once the life has ended: it could not be settled.
    fn answer(self: &Arc<Self>, reply: oneshot::Sender<Result<Vec<Delivery>>>, found: Result<Vec<Delivery>>) {
        let untaken = match self.life.ended() {
            None => reply.send(found).err(),
            Some(_) => Some(found),
        };
        if let Some(Ok(given)) = untaken {
            self.give_back(given);
        }
    }

    /// Has records delivered again at once that were given to nobody.
    fn give_back(self: &Arc<Self>, given: Vec<Delivery>) {
        if given.is_empty() {
            return;
        }
        let action = Action::Retry { after: Duration::ZERO };
        let settlement = |given: Delivery| Settlement { receipt: given.receipt, action: action.clone() };
        let settlements: Vec<_> = given.into_iter().map(settlement).collect();
        let source = self.source.clone();
        self.spawn(async move {
            // What fails comes again after its visibility.
            let _ = source.settle(&settlements).await;
        });
    }
}

/// A task that looks or gives back, until it has ended, however it did.
struct Running<S>(Arc<Shared<S>>);

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.0.tasks.send_modify(|tasks| *tasks -= 1);
    }
}

type Name = (StreamName, GroupName);

/// Who wants something of a group, and the task that looks does not know of yet.
#[derive(Default)]
struct Group {
    joined: Mutex<Vec<Waiter>>,
    /// Somebody joined or left.
    changed: Notify,
}

/// A claim that waits.
struct Waiter {
    claim: Claim,
    joined: Instant,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<Delivery>>>,
}

impl<S: Source> Queues<S> {
    /// Of a handle that lives as `life` says: looks are its background tasks.
    pub fn new(life: Life, source: Arc<S>) -> Self {
        Self(Arc::new(Shared { life, source, groups: Mutex::default(), tasks: watch::Sender::new(0) }))
    }

    /// Claims, and waits for as long as the claim says: until something wakes it, or until something pending becomes due.
    /// Says that there is nothing only if it was looked for since the call.
    ///
    /// # Errors
    /// What a look or listening fails with. Others that wait look for themselves.
    ///
    /// # Cancel safety
    /// What comes for a claim that waits and is given up is given back. Without a wait it is as a look is: what one that is
    /// given up has claimed comes again after its visibility.
    pub async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let mut place = if claim.wait.is_zero() { self.look(claim) } else { self.join(claim) };
        let answer = (&mut place.answer).await;
        answer.unwrap_or_else(|_| Err(self.0.life.unanswered("claim")))
    }

    /// Ends what waits once the life has ended: returns when nobody looks any more and what was claimed by then is given
    /// back, or after the limit. A connection is closed after that, for a look that nobody waits for takes what is appended
    /// later.
    ///
    /// # Cancel safety
    /// What looks goes on without it.
    pub async fn close(&self, limit: Duration) {
        for group in self.0.groups.lock().values() {
            group.changed.notify_one();
        }
        let mut tasks = self.0.tasks.subscribe();
        // What is not given back by then comes again after its visibility.
        let _ = timeout(limit, tasks.wait_for(|tasks| *tasks == 0)).await;
    }

    /// Looks once, for as long as somebody waits for it; to its end where the handle is closed meanwhile.
    fn look(&self, claim: &Claim) -> Place<S> {
        let (mut reply, answer) = oneshot::channel();
        let (shared, claim) = (self.0.clone(), claim.clone());
        self.0.spawn(async move {
            if shared.life.ended().is_some() {
                return;
            }
            let given_up = async {
                reply.closed().await;
                // Once the handle is closed it is waited for what it brings.
                if shared.life.ended().is_some() {
                    pending::<()>().await;
                }
            };
            let found = tokio::select! {
                found = shared.source.look(&claim) => found,
                () = given_up => return,
            };
            shared.answer(reply, found.map(|look| look.given));
        });
        Place { answer, group: None, shared: self.0.clone() }
    }

    fn join(&self, claim: &Claim) -> Place<S> {
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let deadline = now + claim.wait.min(MAX_TTL);
        let waiter = Waiter { claim: claim.clone(), joined: now, deadline, reply };
        let name = (claim.stream.clone(), claim.group.clone());
        let mut groups = self.0.groups.lock();
        let known = groups.get(&name).cloned();
        let group = known.clone().unwrap_or_default();
        group.joined.lock().push(waiter);
        if known.is_none() {
            groups.insert(name.clone(), group.clone());
        }
        drop(groups);
        if known.is_none() {
            // A runtime that is ending drops it at once, and it takes itself off.
            self.0.spawn(Looks::new(Attendance { shared: self.0.clone(), name, group: group.clone() }).run());
        }
        group.changed.notify_one();
        Place { answer, group: Some(group), shared: self.0.clone() }
    }
}

/// Where a claim waits for its answer. Once dropped, what was or will be answered is given back.
struct Place<S: Source> {
    answer: oneshot::Receiver<Result<Vec<Delivery>>>,
    /// Whose task is to hear of it, if it waits.
    group: Option<Arc<Group>>,
    shared: Arc<Shared<S>>,
}

impl<S: Source> Drop for Place<S> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(given)) = self.answer.try_recv() {
            self.shared.give_back(given);
        }
        if let Some(group) = &self.group {
            group.changed.notify_one();
        }
    }
}

/// A group while a task looks for it. Once dropped, however the task ended, nobody joins it any more.
struct Attendance<S> {
    shared: Arc<Shared<S>>,
    name: Name,
    group: Arc<Group>,
}

impl<S> Attendance<S> {
    /// Whether nobody has joined; then it is over.
    fn is_over(&self) -> bool {
        let mut groups = self.shared.groups.lock();
        let is_over = self.group.joined.lock().is_empty();
        if is_over {
            groups.remove(&self.name);
        }
        is_over
    }
}

impl<S> Drop for Attendance<S> {
    fn drop(&mut self) {
        let mut groups = self.shared.groups.lock();
        if groups.get(&self.name).is_some_and(|group| Arc::ptr_eq(group, &self.group)) {
            groups.remove(&self.name);
        }
        // Who waits hears that there will be no answer.
        self.group.joined.lock().clear();
    }
}

#[cfg(test)]
mod tests;
