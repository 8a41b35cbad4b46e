//! For adapters: claims that wait. Those of one group wait in a queue, and only the first of them looks: so one look serves
//! all, however many wait, and what one wake-up costs does not grow with them.

use crate::{Claim, Delivery, GroupName, MAX_TTL, Result, StreamName};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, timeout_at};

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
pub trait Source: Sync {
    /// What keeps wake-ups coming until it is dropped.
    type Listening: Send;

    /// Gives the claim what is due now, without waiting.
    async fn look(&self, claim: &Claim) -> Result<Look>;

    /// Has `woken` notified (by [`Notify::notify_one`]) by whatever makes a claim worth another look: a record that is
    /// appended or given back, a gap in what was heard, the end of the handle. Returns once it listens.
    async fn listen(&self, stream: &StreamName, woken: Arc<Notify>) -> Result<Self::Listening>;

    /// After which time a group is looked at again though nobody woke who waits. `None`: never, every wake-up is sure
    /// to come.
    fn longest_wait(&self) -> Option<Duration> {
        None
    }
}

/// Where those that wait for a group queue. The first has the wake-ups, which stay as long as somebody waits.
type Queue<L> = AsyncMutex<Option<(Arc<Notify>, L)>>;

/// The queues of a handle.
///
/// ```
/// # use linchpin_core::{Claim, GroupName, MemberName, Result, StreamName};
/// # use linchpin_core::claims::{Look, Queues, Source};
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
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let claim = Claim::new(StreamName::new("s")?, GroupName::new("g")?, MemberName::new("m")?);
/// let given = Queues::default().claim(&Empty, &claim.wait(Duration::from_millis(20))).await?;
/// assert!(given.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queues<L>(Mutex<ByGroup<L>>);

type ByGroup<L> = HashMap<(StreamName, GroupName), Weak<Queue<L>>>;

impl<L> Default for Queues<L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L: Send> Queues<L> {
    /// Claims, and waits for as long as the claim says: until something wakes it, or until something pending becomes due.
    ///
    /// # Errors
    /// What a look or listening fails with. Others that wait go on.
    ///
    /// # Cancel safety
    /// As a look is: what a look that is given up has claimed comes again after its visibility. The place in the queue is
    /// handed on.
    pub async fn claim(&self, source: &dyn Source<Listening = L>, claim: &Claim) -> Result<Vec<Delivery>> {
        let deadline = Instant::now() + claim.wait.min(MAX_TTL);
        // Where others wait there was nothing a moment ago, and the first of them looks.
        if claim.wait.is_zero() || self.waiting(claim).is_none() {
            let found = source.look(claim).await?;
            if !found.given.is_empty() || claim.wait.is_zero() {
                return Ok(found.given);
            }
        }
        let queue = self.join(claim);
        let Ok(mut first) = timeout_at(deadline, queue.lock()).await else { return Ok(Vec::new()) };
        let woken = if let Some((woken, _)) = &*first {
            woken.clone()
        } else {
            let woken = Arc::<Notify>::default();
            *first = Some((woken.clone(), source.listen(&claim.stream, woken.clone()).await?));
            woken
        };
        loop {
            // Looked at after it listens: what came before is found, what comes later wakes.
            let found = source.look(claim).await?;
            let now = Instant::now();
            if !found.given.is_empty() || now >= deadline {
                return Ok(found.given);
            }
            let next = found.due.into_iter().chain(source.longest_wait()).min();
            let next = next.map_or(deadline, |next| deadline.min(now + next));
            // Woken or not, it is looked at again.
            let _ = timeout_at(next, woken.notified()).await;
        }
    }

    /// The queue of those that wait already.
    fn waiting(&self, claim: &Claim) -> Option<Arc<Queue<L>>> {
        self.0.lock().get(&(claim.stream.clone(), claim.group.clone())).and_then(Weak::upgrade)
    }

    fn join(&self, claim: &Claim) -> Arc<Queue<L>> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(&(claim.stream.clone(), claim.group.clone())).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(AsyncMutex::new(None));
        queues.insert((claim.stream.clone(), claim.group.clone()), Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind, MemberName, Position, Receipt};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Records, how often somebody looked for one, and who listens.
    #[derive(Default)]
    struct Records {
        waiting: AtomicUsize,
        looks: AtomicUsize,
        fails: AtomicUsize,
        woken: Mutex<Vec<Arc<Notify>>>,
    }

    impl Records {
        fn append(&self, count: usize) {
            self.waiting.fetch_add(count, Ordering::SeqCst);
            self.woken.lock().iter().for_each(|woken| woken.notify_one());
        }
    }

    fn one_less(count: &AtomicUsize) -> bool {
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
    }

    #[async_trait]
    impl Source for Records {
        type Listening = ();

        async fn look(&self, claim: &Claim) -> Result<Look> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            // As far as a server is.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if one_less(&self.fails) {
                return Err(Error::new(ErrorKind::Unavailable, "claim", "the server is away"));
            }
            let (stream, group) = (claim.stream.clone(), claim.group.clone());
            let receipt = Receipt { stream, group, position: Position(1), delivery: 1 };
            let delivery = Delivery { receipt, payload: "r".into(), id: None, headers: Vec::new() };
            let given = one_less(&self.waiting).then_some(delivery);
            Ok(Look { given: given.into_iter().collect(), due: None })
        }

        async fn listen(&self, _: &StreamName, woken: Arc<Notify>) -> Result<()> {
            self.woken.lock().push(woken);
            Ok(())
        }
    }

    fn claim(wait: Duration) -> Claim {
        let (stream, group) = (StreamName::new("s").expect("a name"), GroupName::new("g").expect("a name"));
        Claim::new(stream, group, MemberName::new("m").expect("a name")).wait(wait)
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn one_look_serves_all_that_wait() {
        let (queues, records) = (Queues::default(), Records::default());
        let (waits, looks) = (claim(LONG), || records.looks.load(Ordering::SeqCst));
        let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(queues.claim(&records, &waits))).collect();
        let first = futures::future::select_all(&mut waiting);
        assert!(tokio::time::timeout(LONG / 2, first).await.is_err());
        let before = looks();
        records.append(1);
        let (given, ..) = futures::future::select_all(waiting).await;
        assert_eq!(given.expect("no error").len(), 1);
        assert!(looks() - before <= 2, "{} looks for one record", looks() - before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_handed_on() {
        let (queues, records) = (Queues::default(), Records::default());
        let waits = claim(LONG);
        let mut first = Box::pin(queues.claim(&records, &waits));
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut first).await.is_err());
        let next = queues.claim(&records, &waits);
        let given_up = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(first);
            records.append(1);
        };
        let (given, ()) = tokio::join!(next, given_up);
        assert_eq!(given.expect("no error").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_for_one_and_the_others_go_on() {
        let (queues, records) = (Queues::default(), Records::default());
        let waits = claim(LONG);
        let (first, second) = (queues.claim(&records, &waits), queues.claim(&records, &waits));
        let breaks = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            records.fails.store(1, Ordering::SeqCst);
            records.append(1);
        };
        let (first, second, ()) = tokio::join!(first, second, breaks);
        let (failed, given): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_err);
        assert_eq!((failed.len(), given.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_in_time_wherever_it_stands() {
        let (queues, records) = (Queues::default(), Records::default());
        let started = Instant::now();
        let (long, short) = (claim(LONG), claim(Duration::from_secs(2)));
        let waits = futures::future::select(
            Box::pin(queues.claim(&records, &long)),
            Box::pin(futures::future::join(queues.claim(&records, &short), queues.claim(&records, &short))),
        );
        let futures::future::Either::Right(((one, other), _)) = waits.await else { panic!("the long one ended") };
        assert!(one.expect("no error").is_empty() && other.expect("no error").is_empty());
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(3), "{took:?}");
        assert!(queues.0.lock().values().all(|queue| queue.strong_count() == 0), "a queue outlives who waits");
    }
}
