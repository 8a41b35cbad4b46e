//! A server whose clock is stepped or that stands still, and what is made of that.

use crate::mutants::broken::Backend;
use crate::mutants::mutant::{Fault, Mutant, read};
use linchpin_conformance::{ClockStep, FaultServer, Harness, async_trait};
use linchpin_core::{Claim, Delivery, Driver, Entry, Key, Namespace, Outcome, Result, Revision, Snapshot, Transaction};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn mutants() -> Vec<Mutant> {
    let stops = |name, breaks, caught_by| Mutant { name, breaks, caught_by, fault: Arc::new(StopsTime::default()) };
    vec![
        Mutant {
            name: "steps_forward_count_twice",
            breaks: "A clock that steps forward takes twice from what was written before as far as it went",
            caught_by: "faults.a_clock_that_steps_forward_takes_no_more_than_it_went",
            fault: Arc::new(CountsTwice::default()),
        },
        stops(
            "time_stops_under_reads",
            "A clock that steps back stops time where there were only reads",
            "faults.a_clock_that_steps_back_under_reads_stops_no_time",
        ),
        stops(
            "time_stops_under_renewals",
            "A clock that steps back stops time where there were only renewals",
            "faults.a_clock_that_steps_back_under_renewals_stops_no_time",
        ),
        stops(
            "time_stops_under_writes",
            "A clock that steps back stops time where other keys were written",
            "faults.a_clock_that_steps_back_under_writes_stops_no_time",
        ),
        stops(
            "time_stops_when_a_clock_is_put_right",
            "A clock that was ahead and is put right stops time",
            "faults.a_clock_that_is_put_right_stops_no_time",
        ),
        Mutant {
            name: "time_stops_for_claims",
            breaks: "A clock that steps back keeps what is claimed from others for as long as it went",
            caught_by: "faults.a_clock_that_steps_back_keeps_no_dead_member",
            fault: Arc::new(ClaimsLast::default()),
        },
        Mutant {
            name: "nothing_comes_of_an_outage",
            breaks: "A claim that waits says that there is nothing while the server stands still",
            caught_by: "faults.a_claim_beside_one_that_waits_is_told_of_an_outage",
            fault: Arc::new(SaysNothing::default()),
        },
    ]
}

const NO_PROCESS: &str = "the memory is no process of its own";

/// The memory as a server whose clock can be stepped. By itself it makes nothing of it: it goes by a clock that nobody
/// sets.
#[async_trait]
impl FaultServer for Backend {
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    async fn connect(&self, _: Option<SocketAddr>, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        Harness::connect(self, namespace).await
    }

    async fn pause(&self) -> Result<(), String> {
        if self.fault.pause(true) { Ok(()) } else { Err(NO_PROCESS.to_owned()) }
    }

    async fn resume(&self) -> Result<(), String> {
        if self.fault.pause(false) { Ok(()) } else { Err(NO_PROCESS.to_owned()) }
    }

    async fn kill(&self) -> Result<(), String> {
        Err(NO_PROCESS.to_owned())
    }

    async fn restart(&self) -> Result<(), String> {
        Err(NO_PROCESS.to_owned())
    }

    async fn step_clock(&self, step: ClockStep) -> Result<bool, String> {
        self.fault.step_clock(step);
        Ok(true)
    }
}

#[derive(Default)]
struct CountsTwice {
    written: Mutex<Revision>,
    /// What was written up to then has so much less to live.
    stepped: Mutex<Option<(Revision, Duration)>>,
}

#[async_trait]
impl Fault for CountsTwice {
    fn step_clock(&self, step: ClockStep) {
        if let ClockStep::Forward(by) = step {
            *self.stepped.lock() = Some((*self.written.lock(), by * 2));
        }
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        if let Outcome::Committed { revision, .. } = outcome {
            *self.written.lock() = revision;
        }
        Ok(outcome)
    }

    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(keys).await?;
        let Some((before, taken)) = *self.stepped.lock() else { return Ok(snapshot) };
        for found in &mut snapshot.entries {
            if let Some(entry) = found
                && let Some(ttl) = &mut entry.ttl
                && entry.version <= before
            {
                *ttl = ttl.saturating_sub(taken);
                if ttl.is_zero() {
                    *found = None;
                }
            }
        }
        Ok(snapshot)
    }
}

/// What has a TTL lives longer by as much as the clock went back.
#[derive(Default)]
struct StopsTime {
    stepped: Mutex<Duration>,
    living: Mutex<HashMap<Key, (Entry, Instant)>>,
}

#[async_trait]
impl Fault for StopsTime {
    fn step_clock(&self, step: ClockStep) {
        if let ClockStep::Back(by) = step {
            *self.stepped.lock() = by;
        }
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        for mutation in &transaction.mutations {
            let Some(entry) = read(inner, mutation.key()).await? else { continue };
            let ends = entry.ttl.map(|ttl| Instant::now() + ttl);
            let mut living = self.living.lock();
            living.remove(&entry.key);
            living.extend(ends.map(|ends| (entry.key.clone(), (entry, ends))));
        }
        Ok(outcome)
    }

    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let mut snapshot = inner.get(keys).await?;
        let (living, stepped) = (self.living.lock(), *self.stepped.lock());
        for (key, found) in keys.iter().zip(&mut snapshot.entries) {
            if let Some((entry, ends)) = living.get(key)
                && found.is_none()
                && Instant::now() < *ends + stepped
            {
                *found = Some(entry.clone());
            }
        }
        Ok(snapshot)
    }
}

#[derive(Default)]
struct ClaimsLast(Mutex<Option<Instant>>);

#[async_trait]
impl Fault for ClaimsLast {
    fn step_clock(&self, step: ClockStep) {
        if let ClockStep::Back(by) = step {
            *self.0.lock() = Some(Instant::now() + by);
        }
    }

    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        let is_over = self.0.lock().is_none_or(|ends| Instant::now() >= ends);
        if is_over { inner.claim(claim).await } else { Ok(Vec::new()) }
    }
}

#[derive(Default)]
struct SaysNothing(AtomicBool);

#[async_trait]
impl Fault for SaysNothing {
    fn pause(&self, paused: bool) -> bool {
        self.0.store(paused, Ordering::SeqCst);
        true
    }

    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        if self.0.load(Ordering::SeqCst) {
            tokio::time::sleep(claim.wait).await;
            return Ok(Vec::new());
        }
        inner.claim(claim).await
    }
}
