//! Queues of those who want the same thing: first come, first served, and nobody is woken in vain.
//!
//! After etcd's recipe (`client/v3/concurrency/mutex.go`): everybody who comes creates a key of its own under
//! the queue's name. The revision that created it is its place. A waiter that dies is skipped when its key
//! expires. Who finds the queue empty is first at once; how the others learn that they are, see
//! [`lines`](crate::lines) and, far back, [`ahead`](crate::ahead).

use crate::ahead::{Ahead, Alone, FAR};
use crate::context::Context;
use crate::leases::{Answer, Kind, Lease, Leases, Request};
use crate::lines::{Line, Rank};
use linchpin_core::{Area, Error, ErrorKind, Key, Page, Range, Result, TransactionScope};
use std::sync::Arc;
use std::time::Duration;

/// Where the keys of those who wait lie, and for which operation they are looked at.
pub(crate) struct Queue<'a> {
    context: &'a Context,
    prefix: String,
    range: Range,
    name: &'a str,
    pub(crate) operation: &'static str,
}

impl<'a> Queue<'a> {
    /// The queue called `name` in an area.
    pub(crate) fn new(context: &'a Context, operation: &'static str, area: Area, name: &'a str) -> Result<Self> {
        let prefix = area.group(name).map_err(|error| error.with_operation(operation))?;
        Ok(Self { context, range: Range::prefix(prefix.clone())?, prefix, name, operation })
    }

    /// Takes a place at the end, in this node's name.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up.
    pub(crate) async fn enter(&self, ttl: Duration) -> Result<Place> {
        // It is called long only where somebody here stood back.
        if self.context.long_queues.is_long(&self.range)
            && let Some(alone) = self.wait_alone()
        {
            return self.enter_alone(ttl, alone).await;
        }
        // Watched while the place is on its way.
        let line = self.context.lines.join(&self.range);
        self.take_place(ttl, Knowledge::Line(line)).await
    }

    /// Waiting without being told of everybody, where that costs less: nobody else here waits.
    fn wait_alone(&self) -> Option<Alone> {
        let Context { lines, long_queues, .. } = self.context;
        let alone = long_queues.wait_alone(&self.range)?;
        lines.leave_long(&self.range, FAR);
        (!lines.is_watched(&self.range)).then_some(alone)
    }

    async fn enter_alone(&self, ttl: Duration, mut alone: Alone) -> Result<Place> {
        let mut place = self.take_place(ttl, Knowledge::First).await?;
        let Lease { key, created, .. } = &*place.lease;
        let ahead = Ahead::read(key, *created, &*self.context.driver, &self.range).await;
        let ahead = ahead.map_err(|error| self.named(error))?;
        alone.stands(ahead.as_ref().is_some_and(Ahead::is_far));
        place.known = match ahead {
            Some(ahead) if ahead.is_nobody() => Knowledge::First,
            Some(ahead) if ahead.is_far() => Knowledge::Ahead(ahead, alone),
            _ => Knowledge::Line(self.context.lines.join(&self.range)),
        };
        Ok(place)
    }

    /// Who has many ahead is told of the last of them only, if nobody else here waits, and if that costs the backend less.
    fn stand_back(&self, place: &mut Place) {
        let Knowledge::Line(line) = &place.known else { return };
        if line.is_shared() || !self.context.driver.capabilities().key_watches {
            return;
        }
        let Lease { key, created, .. } = &*place.lease;
        let ahead = Ahead::new(key, *created, line.ahead(*created));
        if ahead.is_far() {
            // Not held any more: then nobody is told of the queue.
            place.known = Knowledge::First;
            place.known = match self.wait_alone() {
                Some(mut alone) => {
                    alone.stands(true);
                    Knowledge::Ahead(ahead, alone)
                }
                None => Knowledge::Line(self.context.lines.join(&self.range)),
            };
        }
    }

    async fn take_place(&self, ttl: Duration, known: Knowledge) -> Result<Place> {
        match self.request(ttl, None).await? {
            (Answer::Granted(lease), ticket) => Ok(self.place(lease, ticket, known)),
            (Answer::Taken, _) => {
                let problem = "a key with a random name existed already";
                Err(self.named(Error::new(ErrorKind::Backend, self.operation, problem)))
            }
        }
    }

    /// Takes the first place if the queue is empty, which asks the backend once; `None` if it is not. A backend has to
    /// [know](Self::knows_emptiness) that.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up.
    pub(crate) async fn enter_first(&self, ttl: Duration) -> Result<Option<Place>> {
        loop {
            let empty = Key::stored(self.prefix.clone())?;
            let (Answer::Granted(lease), ticket) = self.request(ttl, Some(empty)).await? else { return Ok(None) };
            let place = self.place(lease, ticket, Knowledge::First);
            // The answer may have taken longer than the lease lasts: then another may be first by now.
            if place.lease.is_held() {
                return Ok(Some(place));
            }
        }
    }

    /// Whether [`enter_first`](Self::enter_first) can be asked of a backend.
    pub(crate) fn knows_emptiness(&self) -> bool {
        let capabilities = self.context.driver.capabilities();
        capabilities.prefix_guards && capabilities.transactions == TransactionScope::MultiKey
    }

    /// Asks the backend whether nobody is in the queue.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        let page = Page { limit: 1, ..Page::first_keys() };
        let found = self.context.driver.scan(&self.range, &page).await.map_err(|error| self.named(error))?;
        Ok(found.entries.is_empty())
    }

    /// Whether somebody is in the queue, as far as is known here. It may be gone by now.
    pub(crate) fn seems_taken(&self) -> bool {
        self.context.lines.is_somebody_in(&self.range) || self.context.long_queues.is_long(&self.range)
    }

    async fn request(&self, ttl: Duration, empty: Option<Key>) -> Result<(Answer, u64)> {
        let ticket = fastrand::u64(..);
        let request = Request {
            operation: self.operation,
            kind: Kind::Ticket,
            key: Key::stored(format!("{}{ticket:016x}", self.prefix))?,
            value: self.context.node_id.as_str().to_owned().into(),
            ttl,
            empty,
        };
        Ok((self.context.leases.request(request).await.map_err(|error| self.named(error))?, ticket))
    }

    fn place(&self, lease: Arc<Lease>, ticket: u64, known: Knowledge) -> Place {
        Place { ticket, lease, known, leases: Some(self.context.leases.clone()) }
    }

    /// Where a place stands.
    pub(crate) async fn look(&self, place: &mut Place) -> Result<Rank> {
        let rank = self.standing(place, false).await?;
        if rank == Rank::Behind {
            self.stand_back(place);
        }
        Ok(rank)
    }

    /// Returns when a place is first, or gone.
    pub(crate) async fn turn(&self, place: &Place) -> Result<Rank> {
        self.standing(place, true).await
    }

    async fn standing(&self, place: &Place, wait: bool) -> Result<Rank> {
        let created = place.lease.created;
        let standing = async {
            match &place.known {
                Knowledge::First => Ok(Rank::First),
                Knowledge::Line(line) if wait => line.turn(created).await,
                Knowledge::Line(line) => line.look(created).await,
                Knowledge::Ahead(ahead, _) if wait => {
                    Ok(if ahead.turn(&*self.context.driver).await? { Rank::First } else { Rank::Gone })
                }
                Knowledge::Ahead(ahead, _) => Ok(if ahead.is_nobody() { Rank::First } else { Rank::Behind }),
            }
        };
        tokio::select! {
            // A place that has gone cannot win: its turn may have passed to another already.
            biased;
            () = place.lease.lost() => Ok(Rank::Gone),
            standing = standing => standing.map_err(|error| self.named(error)),
        }
    }

    /// An error of what the user called, about what the user named.
    pub(crate) fn named(&self, error: Error) -> Error {
        error.with_operation(self.operation).with_subject(self.name)
    }
}

/// What is known of the others in a queue.
enum Knowledge {
    /// Nobody is ahead, as far as is known.
    First,
    /// All that its watch tells.
    Line(Arc<Line>),
    /// Who is ahead.
    Ahead(Ahead, #[allow(dead_code, reason = "held")] Alone),
}

/// A place in a queue; given up when it is dropped.
pub(crate) struct Place {
    pub(crate) ticket: u64,
    pub(crate) lease: Arc<Lease>,
    known: Knowledge,
    leases: Option<Arc<Leases>>,
}

impl Place {
    /// Keeps the place for good: its lease.
    pub(crate) fn keep(mut self) -> Arc<Lease> {
        self.leases = None;
        self.lease.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(leases) = &self.leases {
            leases.forget(&self.lease);
        }
    }
}
