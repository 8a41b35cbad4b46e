//! The task that renews what is held and removes what was given up.

use super::lease::{Lease, Status, call, margin};
use super::{MIN_TTL, Release, Shared};
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use linchpin_core::{Error, Key, MutationResult, Result, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The pause before the removal of a released key is tried again.
const RELEASE_PAUSE: Duration = Duration::from_millis(200);

impl Shared {
    /// Renews what is due, removes what was released, ends what ran out; sleeps in between. A call that
    /// hangs holds up no other.
    pub(super) async fn keep_alive(&self) {
        let mut calls = FuturesUnordered::new();
        loop {
            self.end_expired();
            let batch = self.driver.capabilities().limits.transaction_operations;
            for leases in self.due().chunks(batch) {
                calls.push(self.renew_batch(leases.to_vec()).boxed());
            }
            for release in self.releases() {
                calls.push(self.remove_or_keep(release).boxed());
            }
            let (next, done) = self.next();
            if done && calls.is_empty() {
                return;
            }
            let pause = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = calls.next() => {}
                () = self.changed.notified() => {}
                () = pause => {}
            }
        }
    }

    /// Counts out the leases whose own deadline has passed.
    fn end_expired(&self) {
        let expired: Vec<_> = {
            let mut state = self.state.lock();
            let expired = state.leases.values().filter(|lease| !lease.is_held()).cloned().collect::<Vec<_>>();
            for lease in &expired {
                state.leases.remove(&lease.number);
                // A renewal that came too late may have kept the key alive, and the next in the queue need not
                // wait for that. Not at once: the margin is for who looked at the guard and acts on it.
                let ttl = lease.renewal.lock().ttl;
                let mut release = Release::now(lease.key.clone(), ttl);
                release.not_before += margin(ttl);
                state.releases.push(release);
            }
            expired
        };
        for lease in expired {
            lease.end(Status::Lost);
        }
    }

    /// The leases to renew now, with those that are due soon: one round trip for all.
    fn due(&self) -> Vec<Arc<Lease>> {
        let state = self.state.lock();
        let now = Instant::now();
        let is_due = |lease: &Lease, early: u32| {
            let renewal = lease.renewal.lock();
            renewal.at.is_some_and(|at| at <= now + renewal.ttl / 12 * early)
        };
        if !state.leases.values().any(|lease| is_due(lease, 0)) {
            return Vec::new();
        }
        let due: Vec<_> = state.leases.values().filter(|lease| is_due(lease, 1)).cloned().collect();
        for lease in &due {
            lease.renewal.lock().postpone(4);
        }
        due
    }

    fn releases(&self) -> Vec<Release> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut state.releases).into_iter().partition(|r| r.not_before <= now);
        state.releases = later;
        due
    }

    /// When something is to be done next, and whether nothing ever will be.
    fn next(&self) -> (Option<Instant>, bool) {
        let state = self.state.lock();
        let releases = state.releases.iter().map(|release| release.not_before);
        let next = state.leases.values().map(|lease| lease.due()).chain(releases).min();
        (next, state.owner_gone && next.is_none())
    }

    async fn renew_batch(&self, leases: Vec<Arc<Lease>>) {
        let sent = Instant::now();
        // The TTLs as they are sent: a lease's own may change while this is on its way.
        let leases: Vec<_> = leases.into_iter().map(|lease| (lease.renewal.lock().ttl, lease.clone())).collect();
        let extend = leases
            .iter()
            .fold(Transaction::new(), |extend, (ttl, lease)| extend.extend(lease.key.clone(), lease.created, *ttl));
        // An attempt that hangs must leave time for another before the first lease runs out.
        let patience = leases.iter().map(|(ttl, _)| *ttl).min().unwrap_or(MIN_TTL) / 4;
        let outcome = match tokio::time::timeout(patience, self.driver.commit(&extend)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::timeout("renew", patience)),
        };
        match outcome {
            Ok(outcome) => {
                for ((ttl, lease), result) in leases.iter().zip(outcome.results().unwrap_or_default()) {
                    renewed(lease, sent, *ttl, *result);
                }
            }
            Err(error) => {
                tracing::warn!(%error, leases = leases.len(), "leases could not be renewed; trying again");
                for (_, lease) in leases {
                    lease.renewal.lock().postpone(12);
                    let callbacks = lease.callbacks.get();
                    if let Some(callback) = callbacks.and_then(|callbacks| callbacks.on_renewal_failure.as_ref()) {
                        call(|| callback(&error));
                    }
                }
            }
        }
    }

    /// Removes a key, or keeps it for another attempt while it can still be there.
    async fn remove_or_keep(&self, mut release: Release) {
        let Err(error) = self.remove(&release.key).await else { return };
        tracing::debug!(%error, key = %release.key, "a released key could not be removed");
        if error.is_transient() && Instant::now() < release.until {
            release.not_before = Instant::now() + RELEASE_PAUSE;
            self.state.lock().releases.push(release);
        }
    }

    /// Removes a key of ours; `false` if it was gone. Its random name is never used again.
    pub(super) async fn remove(&self, key: &Key) -> Result<bool> {
        let outcome = self.driver.commit(&Transaction::new().delete(key.clone())).await?;
        Ok(matches!(outcome.results(), Some([MutationResult::Deleted { existed: true }])))
    }
}

/// Books a renewal that was sent with `ttl`.
fn renewed(lease: &Lease, sent: Instant, ttl: Duration, result: MutationResult) {
    {
        let mut renewal = lease.renewal.lock();
        renewal.at = renewal.at.map(|_| sent + renewal.ttl / 3);
    }
    let granted = matches!(result, MutationResult::Extended { ttl: Some(_) });
    // A renewal never shortens, here as at the backend: the caller may have extended further meanwhile.
    if !granted || !lease.granted(sent, ttl, Instant::max) {
        // Gone at the backend, or too late here. The task takes it out of its list in its next round.
        lease.end(Status::Lost);
    }
}
