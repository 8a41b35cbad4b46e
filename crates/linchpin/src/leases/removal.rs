//! Removing the key of a lease that was given up: ours, and nobody else's.

use super::Shared;
use super::lease::{Kind, Lease, Revisions};
use bytes::Bytes;
use linchpin_core::{Entry, Key, MutationResult, Outcome, Result, Revision, Transaction};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::OwnedRwLockReadGuard;
use tokio::time::Instant;

/// The pause before the removal of a key is tried again; doubled each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(100);

/// Who comes next waits no longer than this when an outage is over, however long that was.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Held while a key is written or removed.
pub(super) type Busy = Option<OwnedRwLockReadGuard<()>>;

/// A key to remove in the background: given up by a drop, or by a release that failed.
pub(super) struct Removal {
    pub(super) key: Key,
    pub(super) whose: Whose,
    pub(super) not_before: Instant,
    pause: Duration,
    /// For how long the key may be there, and when it is gone by itself.
    ttl: Duration,
    until: Instant,
    /// A write of the key may still be on its way: that it is not there does not mean that it will not be.
    may_come: bool,
}

impl Removal {
    /// The removal of a lease's key, tried for as long as the key may be there.
    pub(super) fn of(lease: &Lease) -> Self {
        let (now, key, whose) = (Instant::now(), lease.key.clone(), Whose::of(lease));
        let state = lease.state.lock();
        // A renewal may still be on its way.
        let until = state.gone_by.max(now + state.ttl);
        Self { key, whose, not_before: now, pause: PAUSE, ttl: state.ttl, until, may_come: false }
    }

    /// The removal of a key whose write was given up before it was answered.
    pub(super) fn of_a_ghost(key: Key, whose: Whose, ttl: Duration) -> Self {
        let now = Instant::now();
        Self { key, whose, not_before: now, pause: PAUSE, ttl, until: now + ttl, may_come: true }
    }

    /// As it is to be done now, however long ago it was made: what is on its way may come as late as that.
    pub(super) fn starting_now(mut self) -> Self {
        self.not_before = Instant::now();
        self.until = self.until.max(self.not_before + self.ttl);
        self
    }
}

/// Removals, in the order in which they are to be done.
#[derive(Default)]
pub(super) struct Removals {
    by_time: BTreeMap<(Instant, u64), Removal>,
    added: u64,
}

impl Removals {
    pub(super) fn push(&mut self, removal: Removal) {
        self.added += 1;
        self.by_time.insert((removal.not_before, self.added), removal);
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Removal> {
        let mut due = Vec::new();
        while let Some(first) = self.by_time.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        due
    }

    /// When the next one is to be done.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = Removal> {
        self.by_time.into_values()
    }
}

/// How to tell that a key is ours to remove.
#[derive(Clone)]
pub(super) enum Whose {
    /// By its name, which nobody else ever uses.
    Ticket,
    /// By the revision that created it.
    Created(Revisions),
    /// By what it says: a write of ours whose answer never came.
    Wrote(Bytes),
}

impl Whose {
    pub(super) fn of(lease: &Lease) -> Self {
        match lease.kind {
            Kind::Ticket => Self::Ticket,
            Kind::Seat | Kind::Presence => Self::Created(lease.revisions()),
        }
    }
}

impl Shared {
    /// Removes a key, or keeps it for another attempt while it can still be there. A shutdown waits for it.
    pub(super) async fn remove_or_keep(&self, mut removal: Removal, _busy: Busy) {
        let again = match self.remove(&removal.key, removal.whose.clone()).await {
            Ok(removed) => !removed && removal.may_come,
            Err(error) => {
                tracing::debug!(%error, key = %removal.key, "a key that was given up could not be removed");
                error.is_transient()
            }
        };
        if again && Instant::now() < removal.until {
            removal.not_before = Instant::now() + removal.pause;
            removal.pause = (removal.pause * 2).min(LONGEST_PAUSE);
            self.state.lock().removals.push(removal);
        }
    }

    /// Whether a later request of ours has the key, or is about to: what is there now is that one's.
    fn is_ours_again(&self, key: &Key) -> bool {
        let state = self.state.lock();
        state.wanted.contains(key) || state.leases.holds(key)
    }

    /// Removes a key of ours; `false` if it was gone, somebody else's, or is ours again.
    pub(super) async fn remove(&self, key: &Key, whose: Whose) -> Result<bool> {
        let mut held = match whose {
            Whose::Ticket => {
                let outcome = self.driver.commit(&Transaction::new().delete(key.clone())).await?;
                return Ok(matches!(outcome.results(), Some([MutationResult::Deleted { existed: true }])));
            }
            Whose::Created(held) => held,
            Whose::Wrote(value) => match self.entry(key).await? {
                Some(entry) if entry.value == value => Revisions { created: entry.created, version: entry.version },
                _ => return Ok(false),
            },
        };
        while !self.is_ours_again(key) {
            let delete = Transaction::new().version_is(key.clone(), held.version).delete(key.clone());
            match self.driver.commit(&delete).await? {
                Outcome::Committed { .. } => return Ok(true),
                // Written again meanwhile, by another handle of ours.
                Outcome::Refused { found, .. } => match self.standing(key, held.created, found).await? {
                    Some(version) => held.version = version,
                    None => break,
                },
            }
        }
        Ok(false)
    }

    /// The version of a key that was found to have another one than we knew, if it is still the one that was created
    /// then. A repeat of a refused transaction is not told what it found once that was replaced: then it is read.
    pub(super) async fn standing(
        &self,
        key: &Key,
        created: Revision,
        found: Option<Entry>,
    ) -> Result<Option<Revision>> {
        let found = match found {
            Some(found) => Some(found),
            None => self.entry(key).await?,
        };
        Ok(found.filter(|entry| entry.created == created).map(|entry| entry.version))
    }

    pub(super) async fn entry(&self, key: &Key) -> Result<Option<Entry>> {
        let snapshot = self.driver.get(std::slice::from_ref(key)).await?;
        Ok(snapshot.into_entry())
    }
}
