//! Queues of those who want the same thing: first come, first served, and nobody is woken in vain.
//!
//! After etcd's recipe (`client/v3/concurrency/mutex.go`): everybody who comes creates a key of its own under
//! the queue's name. The revision that created it is its place. Everybody watches the place right before
//! its own, so one that leaves wakes one. A waiter that dies is skipped when its key expires.

use crate::leases::{Answer, Kind, Lease, Leases, Request};
use crate::range::read_all;
use futures::StreamExt;
use linchpin_core::{Area, Driver, Entry, Error, ErrorKind, Key, Page, Range, Result, WatchEvent};
use std::sync::Arc;
use std::time::Duration;

/// Where the keys of those who wait lie, and for which operation they are looked at.
pub(crate) struct Queue<'a> {
    driver: &'a Arc<dyn Driver>,
    leases: &'a Arc<Leases>,
    prefix: String,
    range: Range,
    name: &'a str,
    pub(crate) operation: &'static str,
}

impl<'a> Queue<'a> {
    /// The queue called `name` in an area.
    pub(crate) fn new(
        operation: &'static str,
        area: Area,
        name: &'a str,
        driver: &'a Arc<dyn Driver>,
        leases: &'a Arc<Leases>,
    ) -> Result<Self> {
        let prefix = area.group(name).map_err(|error| error.with_operation(operation))?;
        Ok(Self { driver, leases, range: Range::prefix(prefix.clone())?, prefix, name, operation })
    }

    /// Takes a place at the end.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up.
    pub(crate) async fn enter(&self, who: &str, ttl: Duration) -> Result<Place> {
        let ticket = fastrand::u64(..);
        let request = Request {
            operation: self.operation,
            kind: Kind::Ticket,
            key: Key::stored(format!("{}{ticket:016x}", self.prefix))?,
            value: who.to_owned().into(),
            ttl,
        };
        match self.leases.request(request).await.map_err(|error| self.named(error))? {
            Answer::Granted(lease) => Ok(Place { ticket, lease, leases: Some(self.leases.clone()) }),
            Answer::Taken => {
                let problem = "a key with a random name existed already";
                Err(self.named(Error::new(ErrorKind::Backend, self.operation, problem)))
            }
        }
    }

    /// Looks at the whole queue.
    pub(crate) async fn standing(&self, place: &Place) -> Result<Standing> {
        let own = &place.lease;
        let places = self.places().await?;
        // A place that has gone cannot win: its turn may have passed to another already.
        if !own.is_held() || !places.iter().any(|entry| entry.key == own.key && entry.created == own.created) {
            return Ok(Standing::Gone);
        }
        let before = places.into_iter().filter(|entry| entry.created < own.created);
        Ok(before.max_by_key(|entry| entry.created).map_or(Standing::First, |entry| Standing::Behind(entry.key)))
    }

    pub(crate) async fn is_empty(&self) -> Result<bool> {
        Ok(self.places().await?.is_empty())
    }

    async fn places(&self) -> Result<Vec<Entry>> {
        let places = read_all(&**self.driver, &self.range, Page::first_keys()).await;
        places.map_err(|error| self.named(error))
    }

    /// Returns when a key is gone; `false` if the place was lost before that.
    pub(crate) async fn left(&self, place: &Place, key: Key) -> Result<bool> {
        tokio::select! {
            () = place.lease.lost() => Ok(false),
            gone = self.gone(key) => gone.map(|()| true),
        }
    }

    async fn gone(&self, key: Key) -> Result<()> {
        let mut events = self.driver.watch(&Range::Key(key)).await.map_err(|error| self.named(error))?;
        let mut present = false;
        while let Some(event) = events.next().await {
            match event.map_err(|error| self.named(error))? {
                WatchEvent::Put(_) => present = true,
                WatchEvent::Synced { .. } if present => {}
                WatchEvent::Synced { .. } | WatchEvent::Deleted { .. } => return Ok(()),
            }
        }
        Err(self.named(Error::new(ErrorKind::Unavailable, self.operation, "the watch ended")))
    }

    /// An error of what the user called, about what the user named.
    pub(crate) fn named(&self, error: Error) -> Error {
        error.with_operation(self.operation).with_subject(self.name)
    }

    /// The number of the ticket that a place's key is for.
    pub(crate) fn ticket(&self, key: &Key) -> Option<u64> {
        u64::from_str_radix(key.as_str().strip_prefix(&self.prefix)?, 16).ok()
    }
}

/// A place in a queue; given up when it is dropped.
pub(crate) struct Place {
    pub(crate) ticket: u64,
    lease: Arc<Lease>,
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

/// Where a place stands.
pub(crate) enum Standing {
    First,
    /// Behind this one.
    Behind(Key),
    Gone,
}
