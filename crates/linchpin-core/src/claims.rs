//! For adapters: claims that wait. For each group one task looks, for all who wait: so one look serves all, however many
//! wait, what one wake-up costs does not grow with them, and a claim that nobody polls holds nobody else up.

use crate::life::Life;
use crate::{Action, Claim, Delivery, GroupName, MAX_TTL, Result, Settled, Settlement, StreamName};
use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// What a look at a stream brought.
#[derive(Debug, Default)]
pub struct Look {
    /// What the claim was given.
    pub given: Vec<Delivery>,
    /// After which time something pending becomes due, if nothing was given and something is pending.
    pub due: Option<Duration>,
}

/// Where records are claimed.
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

/// The claims of a handle that wait, by their groups.
///
/// ```
/// # use linchpin_core::{Claim, GroupName, MemberName, Result, Settled, Settlement, StreamName};
/// # use linchpin_core::claims::{Look, Queues, Source};
/// # use linchpin_core::life::Life;
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
/// let queues = Queues::new(Life::in_runtime(), Arc::new(Empty));
/// let claim = Claim::new(StreamName::new("s")?, GroupName::new("g")?, MemberName::new("m")?);
/// assert!(queues.claim(&claim.wait(Duration::from_millis(20))).await?.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Queues<S>(Arc<Shared<S>>);

struct Shared<S> {
    life: Life,
    source: Arc<S>,
    groups: Mutex<HashMap<Name, Arc<Group>>>,
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
        Self(Arc::new(Shared { life, source, groups: Mutex::default() }))
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
        if claim.wait.is_zero() {
            return Ok(self.0.source.look(claim).await?.given);
        }
        let mut place = self.join(claim);
        let answer = (&mut place.answer).await;
        answer.unwrap_or_else(|_| Err(self.0.life.unanswered("claim")))
    }

    fn join(&self, claim: &Claim) -> Place<S> {
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let deadline = now + claim.wait.min(MAX_TTL);
        let waiter = Waiter { claim: claim.clone(), joined: now, deadline, reply };
        let name = (claim.stream.clone(), claim.group.clone());
        let mut groups = self.0.groups.lock();
        let group = groups.entry(name.clone()).or_insert_with(|| {
            let group = Arc::<Group>::default();
            let looks = Looks::new(Served { shared: self.0.clone(), name, group: group.clone() });
            self.0.life.spawn(looks.run());
            group
        });
        group.joined.lock().push(waiter);
        group.changed.notify_one();
        Place { answer, group: group.clone(), shared: self.0.clone() }
    }
}

/// Where a claim waits for its answer. Once dropped, what was or will be answered is given back.
struct Place<S: Source> {
    answer: oneshot::Receiver<Result<Vec<Delivery>>>,
    group: Arc<Group>,
    shared: Arc<Shared<S>>,
}

impl<S: Source> Drop for Place<S> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(given)) = self.answer.try_recv()
            && !given.is_empty()
        {
            self.shared.life.spawn(give_back(self.shared.source.clone(), given));
        }
        self.group.changed.notify_one();
    }
}

/// Has records delivered again at once that were given to nobody.
async fn give_back<S: Source>(source: Arc<S>, given: Vec<Delivery>) {
    let action = Action::Retry { after: Duration::ZERO };
    let settlement = |given: Delivery| Settlement { receipt: given.receipt, action: action.clone() };
    // What fails comes again after its visibility.
    let _ = source.settle(&given.into_iter().map(settlement).collect::<Vec<_>>()).await;
}

/// A group while a task looks for it. Once dropped, however the task ended, nobody joins it any more.
struct Served<S> {
    shared: Arc<Shared<S>>,
    name: Name,
    group: Arc<Group>,
}

impl<S> Served<S> {
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

impl<S> Drop for Served<S> {
    fn drop(&mut self) {
        let mut groups = self.shared.groups.lock();
        if groups.get(&self.name).is_some_and(|group| Arc::ptr_eq(group, &self.group)) {
            groups.remove(&self.name);
        }
        // Who waits hears that there will be no answer.
        self.group.joined.lock().clear();
    }
}

/// What a task looks for, for all who wait for a group.
struct Looks<S: Source> {
    served: Served<S>,
    waiting: VecDeque<Waiter>,
    steps: FuturesUnordered<BoxFuture<'static, Step<S::Listening>>>,
    /// How many look at this moment.
    looking: usize,
    /// How many may: none where it is known that there is nothing.
    allowed: usize,
    /// When the latest look began that found nothing.
    found_nothing: Option<Instant>,
    /// When something may be due though nobody wakes.
    next: Option<Instant>,
    woken: Arc<Notify>,
    /// How often it was woken.
    wakes: u64,
    listening: Listens<S::Listening>,
}

enum Listens<L> {
    No,
    Begins,
    Yes { _held: L },
}

/// What was done.
enum Step<L> {
    Looked(Box<Looked>),
    Listens(Result<L>),
    GaveBack,
}

struct Looked {
    waiter: Waiter,
    began: Instant,
    /// How often who waits had been woken before.
    wakes: u64,
    found: Result<Look>,
}

impl<S: Source> Looks<S> {
    fn new(served: Served<S>) -> Self {
        Self {
            served,
            waiting: VecDeque::new(),
            steps: FuturesUnordered::new(),
            looking: 0,
            // Nothing is known: everybody looks.
            allowed: usize::MAX,
            found_nothing: None,
            next: None,
            woken: Arc::default(),
            wakes: 0,
            listening: Listens::No,
        }
    }

    async fn run(mut self) {
        loop {
            self.waiting.extend(self.served.group.joined.lock().drain(..));
            self.waiting.retain(|waiter| !waiter.reply.is_closed());
            self.end_waits();
            while self.looking < self.allowed {
                let Some(waiter) = self.waiting.pop_front() else { break };
                self.look(waiter);
            }
            if self.waiting.is_empty() && self.steps.is_empty() && self.served.is_over() {
                return;
            }
            let next = self.waiting.iter().map(|waiter| waiter.deadline).chain(self.next).min();
            let due = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(step) = self.steps.next() => self.done(step),
                () = self.served.group.changed.notified() => {}
                () = self.woken.notified() => self.wake(),
                () = due => {
                    if self.next.is_some_and(|next| next <= Instant::now()) {
                        self.wake();
                    }
                }
            }
        }
    }

    /// Answers those whose time is up: that there is nothing if a look since they came says so; who had none looks.
    fn end_waits(&mut self) {
        let now = Instant::now();
        for waiter in std::mem::take(&mut self.waiting) {
            if waiter.deadline > now {
                self.waiting.push_back(waiter);
            } else if self.found_nothing.is_some_and(|began| began >= waiter.joined) {
                let _ = waiter.reply.send(Ok(Vec::new()));
            } else {
                self.look(waiter);
            }
        }
    }

    fn look(&mut self, waiter: Waiter) {
        self.looking += 1;
        let (source, began, wakes) = (self.served.shared.source.clone(), Instant::now(), self.wakes);
        let looked = async move {
            let found = source.look(&waiter.claim).await;
            Step::Looked(Box::new(Looked { waiter, began, wakes, found }))
        };
        self.steps.push(looked.boxed());
    }

    /// There may be something.
    fn wake(&mut self) {
        self.wakes += 1;
        self.next = None;
        self.allowed = self.allowed.max(1);
    }

    fn done(&mut self, step: Step<S::Listening>) {
        match step {
            Step::Looked(looked) => self.looked(*looked),
            Step::Listens(Ok(held)) => {
                self.listening = Listens::Yes { _held: held };
                // What came before is found only now.
                self.wake();
            }
            Step::Listens(Err(error)) => {
                self.listening = Listens::No;
                self.allowed = usize::MAX;
                if let Some(waiter) = self.waiting.pop_front() {
                    let _ = waiter.reply.send(Err(error));
                }
            }
            Step::GaveBack => {}
        }
    }

    fn looked(&mut self, Looked { waiter, began, wakes, found }: Looked) {
        self.looking -= 1;
        match found {
            Ok(Look { given, due }) if given.is_empty() => self.found_nothing(waiter, began, wakes, due),
            Ok(Look { given, .. }) => self.found(waiter, given),
            Err(error) => {
                self.allowed = usize::MAX;
                let _ = waiter.reply.send(Err(error));
            }
        }
    }

    /// Where a claim had all that it asked for there may be more: twice as many look next.
    fn found(&mut self, waiter: Waiter, given: Vec<Delivery>) {
        if given.len() >= waiter.claim.max {
            self.allowed = self.allowed.saturating_mul(2);
        }
        self.allowed = self.allowed.max(1);
        if let Err(Ok(given)) = waiter.reply.send(Ok(given)) {
            let giving_back = give_back(self.served.shared.source.clone(), given);
            self.steps.push(giving_back.map(|()| Step::GaveBack).boxed());
        }
    }

    fn found_nothing(&mut self, waiter: Waiter, began: Instant, wakes: u64, due: Option<Duration>) {
        let now = Instant::now();
        self.found_nothing = self.found_nothing.max(Some(began));
        let source = &self.served.shared.source;
        let next = due.into_iter().chain(source.longest_wait()).min().map(|after| now + after);
        self.next = self.next.into_iter().chain(next).min();
        self.allowed = usize::from(wakes != self.wakes);
        if waiter.deadline <= now {
            let _ = waiter.reply.send(Ok(Vec::new()));
            return;
        }
        if matches!(self.listening, Listens::No) {
            self.listening = Listens::Begins;
            let (source, stream, woken) = (source.clone(), waiter.claim.stream.clone(), self.woken.clone());
            self.steps.push(async move { Step::Listens(source.listen(&stream, woken).await) }.boxed());
        }
        self.waiting.push_front(waiter);
    }
}

#[cfg(test)]
mod tests;
