//! Elections: one leader at a time, whose term is a fencing token.
//!
//! Who leads holds one key, the seat: whoever creates it leads, and the revision that created it is the term.
//! Candidates wait in a queue of their own, and only the first of them watches the seat: so the
//! work that a change of leader makes does not grow with the number of candidates. The queue decides who is woken,
//! the seat alone who leads; a candidate whose place in the queue has gone cannot be taken for a leader.
//!
//! The port's `try_acquire_leadership`, `release_leadership` and `get_leader` are about the seat of the election
//! called [`DEFAULT_GROUP`](linchpin_core::DEFAULT_GROUP): each side sees the leaders of the other.

mod leadership;
mod observe;

pub use leadership::Leadership;
pub use observe::{Leader, LeaderStream};

use crate::context::Context;
use crate::held::{FencingToken, Held, run};
use crate::leases::{Answer, Callbacks, Kind, Lease, Request, check_ttl};
use crate::lines::Rank;
use crate::queue::{Place, Queue};
use crate::range::until_gone;
use crate::wait::Wait;
use bytes::Bytes;
use linchpin_core::{Area, Error, Key, Result, stored};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where candidates wait: a key for each.
pub const CANDIDATES: Area = Area::new("candidate/");

/// Told with its term each time that this candidate is elected.
type OnElected = Arc<dyn Fn(FencingToken) + Send + Sync>;

/// An election: made by [`Coordinator::election`](crate::Coordinator::election). Cheap to clone.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> linchpin::Result<()> {
/// use std::time::Duration;
/// let coordinator = linchpin::connect("memory://").await?;
/// let election = coordinator
///     .election("scheduler")
///     .ttl(Duration::from_secs(10))
///     .value("10.0.0.7:8080")
///     .on_elected(|term| println!("we lead, term {term}"))
///     .on_lost(|| eprintln!("we lead no more"));
///
/// let leadership = election.campaign().await?; // waits until this node leads
/// leadership.put("scheduler:state", "started").await?; // refused if somebody else leads by now
///
/// let leader = election.leader().await?.expect("somebody leads");
/// assert_eq!((leader.term, &leader.value[..]), (leadership.term(), &b"10.0.0.7:8080"[..]));
/// leadership.resign().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "an election does nothing until it is taken part in"]
pub struct Election {
    context: Arc<Context>,
    name: Arc<str>,
    value: Bytes,
    ttl: Duration,
    wait: Option<Duration>,
    callbacks: Callbacks,
    on_elected: Option<OnElected>,
}

impl Election {
    pub(crate) fn new(context: Arc<Context>, name: String) -> Self {
        let (ttl, callbacks) = (context.ttl, Callbacks::default());
        Self { context, name: name.into(), value: Bytes::new(), ttl, wait: None, callbacks, on_elected: None }
    }

    /// After how long without a sign of life the leadership passes to the next; 300 ms at least. It is renewed at
    /// a third of that for as long as it is held.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long to wait for the leadership at most; for ever unless told. Who finds neither a leader
    /// nor a candidate leads even with zero: for the first look the backend has a second in any case.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// What this node proclaims when it is elected, for [`leader`](Self::leader) and [`observe`](Self::observe):
    /// its address, say. Empty unless told.
    pub fn value(mut self, value: impl AsRef<[u8]>) -> Self {
        self.value = Bytes::copy_from_slice(value.as_ref());
        self
    }

    /// Calls back with the term each time that this candidate is elected. The callback must not block.
    pub fn on_elected(mut self, callback: impl Fn(FencingToken) + Send + Sync + 'static) -> Self {
        self.on_elected = Some(Arc::new(callback));
        self
    }

    /// Calls back each time a renewal failed; it is tried again until the leadership is lost. The callback must
    /// not block.
    pub fn on_renewal_failure(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.callbacks.on_renewal_failure = Some(Arc::new(callback));
        self
    }

    /// Calls back once when a leadership is lost; not when it is resigned. The callback must not block.
    pub fn on_lost(mut self, callback: impl Fn() + Send + Sync + 'static) -> Self {
        self.callbacks.on_lost = Some(Arc::new(callback));
        self
    }

    /// Waits until this node leads: first come, first served, among those who campaign. Somebody who asks through
    /// [`try_campaign`](Self::try_campaign) or the port may be quicker when the leader changes.
    ///
    /// # Errors
    /// `Timeout` if it was not elected within [`wait`](Self::wait); `InvalidArgument` for a name, TTL or value that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the candidacy; what it wrote is removed in the background.
    pub async fn campaign(&self) -> Result<Leadership> {
        let queue = self.queue("campaign")?;
        let wait = Wait::new("campaign", &self.name, self.wait);
        loop {
            let mut place = wait.look(queue.enter(self.ttl)).await?;
            // A place that was lost while waiting (a pause longer than the TTL) is taken anew at the end.
            if let Some(lease) = self.serve(&queue, &mut place, &wait).await?
                && let Some(leadership) = self.elected(lease, place.ticket)
            {
                return Ok(leadership);
            }
        }
    }

    /// Becomes leader if nobody is; `None` otherwise, however long the [`wait`](Self::wait).
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign), but for its `Timeout`.
    ///
    /// # Cancel safety
    /// As [`campaign`](Self::campaign).
    pub async fn try_campaign(&self) -> Result<Option<Leadership>> {
        let queue = self.queue("try_campaign")?;
        let campaign = fastrand::u64(..);
        let lease = self.take_seat(&queue, campaign).await?;
        Ok(lease.and_then(|lease| self.elected(lease, campaign)))
    }

    /// Runs `body` while this node leads: waits until it does, and resigns when `body` has finished. If the
    /// leadership is lost, `body` is dropped at its next await, before the leadership can pass to another.
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign): then `body` was not run; `Lost` if the leadership was lost while `body`
    /// waited for something: call it again to stand again.
    ///
    /// # Cancel safety
    /// Dropping the future drops `body` and resigns in the background.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let election = coordinator.election("scheduler");
    /// let runs = election.run_while_leader(async |leadership| {
    ///     leadership.put("scheduler:last", "today").await?;
    ///     Ok::<_, linchpin::Error>(1)
    /// });
    /// assert_eq!(runs.await??, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_while_leader<T>(&self, body: impl AsyncFnOnce(&Leadership) -> T) -> Result<T> {
        run("run_while_leader", self.campaign().await?, body).await
    }

    /// As [`run_while_leader`](Self::run_while_leader) if nobody leads; `None`, and `body` was not run, otherwise.
    ///
    /// # Errors
    /// As [`try_campaign`](Self::try_campaign): then `body` was not run; `Lost` if the leadership was lost while `body`
    /// waited for something.
    ///
    /// # Cancel safety
    /// As [`run_while_leader`](Self::run_while_leader).
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let election = coordinator.election("scheduler");
    /// let ran = election.try_run_while_leader(async |_| election.try_run_while_leader(async |_| "twice").await).await?;
    /// assert_eq!(ran.transpose()?, Some(None)); // it ran once: somebody led already
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_run_while_leader<T>(&self, body: impl AsyncFnOnce(&Leadership) -> T) -> Result<Option<T>> {
        match self.try_campaign().await? {
            Some(leadership) => run("try_run_while_leader", leadership, body).await.map(Some),
            None => Ok(None),
        }
    }

    /// Who leads, if anybody does.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is not allowed; what the backend fails with.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        let named = |error: Error| error.with_operation("leader").with_subject(&*self.name);
        let snapshot = self.context.driver.get(&[self.seat().map_err(named)?]).await.map_err(named)?;
        snapshot.into_entry().map(|entry| Leader::of(&entry)).transpose().map_err(named)
    }

    /// The leaders from now on, in the order of their terms: first who leads now, then every election and every
    /// proclaimed value; `None` while nobody leads. Somebody who reads too slowly, or is cut off for a while, may miss
    /// leaders in between, never the last one.
    ///
    /// # Errors
    /// As [`leader`](Self::leader). What cannot be read is an error in the stream, which goes on; an error of the watch
    /// is its end.
    ///
    /// # Cancel safety
    /// Cancel safe; dropping the stream ends it.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> linchpin::Result<()> {
    /// use futures::StreamExt;
    /// let coordinator = linchpin::connect("memory://").await?;
    /// let election = coordinator.election("scheduler");
    /// let mut leaders = election.observe().await?;
    /// assert_eq!(leaders.next().await.transpose()?, Some(None)); // nobody leads
    /// let leadership = election.campaign().await?;
    /// let leader = leaders.next().await.transpose()?.flatten().expect("somebody leads");
    /// assert_eq!(leader.term, leadership.term());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn observe(&self) -> Result<LeaderStream> {
        let named = |error: Error| error.with_operation("observe").with_subject(&*self.name);
        observe::leaders(&*self.context.driver, self.seat().map_err(named)?, self.name.clone()).await.map_err(named)
    }

    /// The key of whoever leads.
    fn seat(&self) -> Result<Key> {
        Area::ELECTIONS.key(&self.name)
    }

    /// Checks the name and the TTL.
    fn queue(&self, operation: &'static str) -> Result<Queue<'_>> {
        check_ttl(operation, "an election", &self.name, self.ttl)?;
        Queue::new(&self.context, operation, CANDIDATES, &self.name)
    }

    /// Waits in the queue for the seat and takes it; `None` if the place was lost meanwhile.
    async fn serve(&self, queue: &Queue<'_>, place: &mut Place, wait: &Wait<'_>) -> Result<Option<Arc<Lease>>> {
        let mut rank = wait.look(queue.look(place)).await?;
        if rank == Rank::Behind {
            rank = wait.turn(queue.turn(place)).await?;
        }
        while rank == Rank::First {
            if let Some(lease) = wait.look(self.take_seat(queue, place.ticket)).await? {
                return Ok(Some(lease));
            }
            tokio::select! {
                () = place.lease.lost() => break,
                free = wait.turn(self.until_seat_is_free(queue)) => free?,
            }
            rank = wait.turn(queue.turn(place)).await?;
        }
        Ok(None)
    }

    /// Returns when nobody leads.
    async fn until_seat_is_free(&self, queue: &Queue<'_>) -> Result<()> {
        let free = until_gone(&*self.context.driver, &self.seat()?).await;
        free.map_err(|error| queue.named(error))
    }

    /// Takes the seat if it is free.
    async fn take_seat(&self, queue: &Queue<'_>, campaign: u64) -> Result<Option<Arc<Lease>>> {
        let request = Request {
            operation: queue.operation,
            kind: Kind::Seat,
            key: self.seat()?,
            value: self.stored(campaign, self.value.clone()),
            ttl: self.ttl,
            empty: None,
        };
        match self.context.leases.request(request).await.map_err(|error| queue.named(error))? {
            Answer::Granted(lease) => Ok(Some(lease)),
            Answer::Taken => Ok(None),
        }
    }

    fn stored(&self, campaign: u64, value: Bytes) -> Bytes {
        stored::Leader { node_id: self.context.node_id.clone(), campaign: Some(campaign), value }.encode()
    }

    /// Tells of the election; `None` if the seat was granted so late that its time is over already.
    fn elected(&self, lease: Arc<Lease>, campaign: u64) -> Option<Leadership> {
        let held = Held::new(self.context.clone(), lease, self.name.clone());
        let leadership = Leadership::new(held, self.clone(), campaign);
        if !leadership.is_leader() {
            return None;
        }
        if let Some(callback) = &self.on_elected {
            crate::leases::call(|| callback(leadership.term()));
        }
        // After that: a loss is told after the election.
        leadership.tell(self.callbacks.clone());
        Some(leadership)
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election")
            .field("name", &self.name)
            .field("node_id", &self.context.node_id)
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
