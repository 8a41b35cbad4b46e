//! The task that renews what is held and removes what was given up.

use super::lease::{Kind, Lease, Status, call, margin};
use super::removal::{Busy, Removal};
use super::schedule::{Due, Renewal};
use super::{MIN_TTL, Shared};
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use linchpin_core::{Error, MutationResult, Result, Revision, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Shared {
    /// Renews what is due, removes what was given up, ends what ran out; sleeps in between. A call that
    /// hangs holds up no other.
    pub(super) async fn keep_alive(&self) {
        let mut calls = FuturesUnordered::new();
        // A task before this one may have died with renewals on their way: its runtime ended, or a driver panicked.
        self.state.lock().leases.place_all();
        loop {
            let now = Instant::now();
            for batch in batches(self.due(now), self.driver.capabilities().keys_per_transaction()) {
                calls.push(self.renew_batch(batch, now).boxed());
            }
            for (removal, busy) in self.removals() {
                calls.push(self.remove_or_keep(removal, busy).boxed());
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

    /// Counts out the leases whose own deadline has passed; those to renew now.
    fn due(&self, now: Instant) -> Vec<Renewal> {
        let Due { ended, renewals } = {
            let mut state = self.state.lock();
            let due = state.leases.take(now);
            for lease in &due.ended {
                // A renewal that came too late may have kept the key alive, and the next in the queue need not
                // wait for that. Not at once: the margin is for who looked at the guard and acts on it.
                let mut removal = Removal::of(lease);
                removal.not_before += margin(lease.state.lock().ttl);
                state.removals.push(removal);
            }
            due
        };
        for lease in ended {
            lease.end(Status::Lost);
        }
        renewals
    }

    /// The keys to remove now; a shutdown that has begun removes them itself, and waits for those before it.
    fn removals(&self) -> Vec<(Removal, Busy)> {
        let mut state = self.state.lock();
        if state.shut_down {
            return Vec::new();
        }
        state
            .removals
            .take_due(Instant::now())
            .into_iter()
            .map(|removal| (removal, self.busy.clone().try_read_owned().ok()))
            .collect()
    }

    /// When something is to be done next, and whether nothing ever will be.
    fn next(&self) -> (Option<Instant>, bool) {
        let mut state = self.state.lock();
        let removal = if state.shut_down { None } else { state.removals.next() };
        let next = state.leases.next().into_iter().chain(removal).min();
        (next, state.owner_gone && next.is_none())
    }

    /// Renews leases that were taken out of the schedule `since`, and puts them back: also where nobody answers, as long as
    /// they were put off for.
    async fn renew_batch(&self, batch: Vec<Renewal>, since: Instant) {
        let mut unsure: Vec<_> = batch.into_iter().map(SentRenewal::now).collect();
        let extend = |all: Transaction, sent: &SentRenewal| all.extend(sent.lease.key.clone(), sent.version, sent.ttl);
        let mut none = Transaction::new();
        none.mutations.reserve_exact(unsure.len());
        let extends = unsure.iter().fold(none, extend);
        // An attempt that hangs must leave time for another before the first lease runs out.
        let patience = unsure.iter().map(|sent| sent.ttl).min().unwrap_or(MIN_TTL) / 4;
        let renew = async {
            let outcome = self.driver.commit(&extends).await?;
            let mut results = outcome.results().unwrap_or_default().iter();
            let is_granted =
                |_: &SentRenewal| matches!(results.next(), Some(MutationResult::Extended { ttl: Some(_) }));
            let (granted, others) = std::mem::take(&mut unsure).into_iter().partition::<Vec<_>, _>(is_granted);
            unsure = others;
            for SentRenewal { lease, ttl, .. } in &granted {
                if !lease.renewed(since, *ttl) {
                    // Too late here.
                    lease.end(Status::Lost);
                }
            }
            self.reschedule_all(granted.iter().map(|sent| &*sent.lease));
            while let Some(sent) = unsure.last() {
                self.look_again(sent).await?;
                self.reschedule(&sent.lease);
                unsure.pop();
            }
            Ok(())
        };
        let error = match tokio::time::timeout_at(since + patience, renew).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => Error::timeout("renew", patience),
        };
        tracing::warn!(%error, leases = unsure.len(), "leases could not be renewed; trying again");
        for SentRenewal { lease, .. } in unsure {
            lease.state.lock().postpone(Instant::now(), 12);
            self.reschedule(&lease);
            if lease.is_released() {
                continue;
            }
            let callbacks = lease.callbacks.get();
            if let Some(callback) = callbacks.and_then(|callbacks| callbacks.on_renewal_failure.as_ref()) {
                call(|| callback(&error));
            }
        }
    }

    /// Finds out why a lease was not renewed: it is gone, or another handle of ours wrote its key.
    async fn look_again(&self, sent: &SentRenewal) -> Result<()> {
        let lease = &sent.lease;
        let found = if lease.kind == Kind::Ticket { None } else { self.entry(&lease.key).await? };
        match found {
            Some(entry) if entry.created == lease.created && entry.version > sent.version => {
                lease.rewritten(entry.version);
                lease.state.lock().hurry();
            }
            // The task takes it out of its list in its next round.
            _ => drop(lease.end(Status::Lost)),
        }
        Ok(())
    }
}

/// What is renewed together: at most so many, and none with a TTL so short that the others would be given too little
/// time for an answer.
fn batches(mut due: Vec<Renewal>, at_most: usize) -> Vec<Vec<Renewal>> {
    due.sort_by_key(|renewal| renewal.ttl);
    let mut batches: Vec<Vec<Renewal>> = Vec::new();
    let mut shortest = Duration::ZERO;
    for renewal in due {
        match batches.last_mut() {
            Some(batch) if batch.len() < at_most && renewal.ttl <= shortest * 2 => batch.push(renewal),
            _ => {
                shortest = renewal.ttl;
                batches.push(vec![renewal]);
            }
        }
    }
    batches
}

/// A lease as it was when its renewal was sent: it may change while that is on its way.
struct SentRenewal {
    lease: Arc<Lease>,
    version: Revision,
    ttl: Duration,
}

impl SentRenewal {
    fn now(Renewal { lease, .. }: Renewal) -> Self {
        let (ttl, version) = (lease.state.lock().ttl, lease.revisions().version);
        Self { lease, version, ttl }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::Revisions;
    use super::*;
    use linchpin_core::Key;

    #[test]
    fn a_long_lease_is_not_renewed_with_a_short_one() {
        let lease = |ttl| {
            let held = Revisions { created: Revision(1), version: Revision(1) };
            let key = Key::new("k").expect("a name");
            let ttl = Duration::from_millis(ttl);
            Renewal { lease: Arc::new(Lease::new(1, Kind::Ticket, key, held, Instant::now(), ttl)), ttl }
        };
        let due = || Vec::from([10_000, 300, 400, 9_000, 300, 601].map(lease));
        let ttls = |batch: Vec<Renewal>| -> Vec<u128> { batch.iter().map(|renewal| renewal.ttl.as_millis()).collect() };
        let batched: Vec<_> = batches(due(), 128).into_iter().map(ttls).collect();
        assert_eq!(batched, [vec![300, 300, 400], vec![601], vec![9_000, 10_000]]);
        assert!(batches(due(), 1).iter().all(|batch| batch.len() == 1));
    }
}
