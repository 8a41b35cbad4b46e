//! A server whose clock is stepped, and what it makes of that.

use crate::broken::Backend;
use crate::mutant::{Fault, Mutant};
use linchpin_conformance::{ClockStep, FaultServer, Harness, async_trait};
use linchpin_core::{Driver, Key, Namespace, Outcome, Result, Revision, Snapshot, Transaction};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![Mutant {
        name: "steps_forward_count_twice",
        breaks: "A clock that steps forward takes twice from what was written before as far as it went",
        caught_by: "faults.a_clock_that_steps_forward_takes_no_more_than_it_went",
        fault: Arc::new(CountsTwice::default()),
    }]
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
        Err(NO_PROCESS.to_owned())
    }

    async fn resume(&self) -> Result<(), String> {
        Err(NO_PROCESS.to_owned())
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

    async fn commit(&self, inner: &dyn Driver, transaction: &Transaction) -> Result<Outcome> {
        let outcome = inner.commit(transaction).await?;
        if let Outcome::Committed { revision, .. } = outcome {
            *self.written.lock() = revision;
        }
        Ok(outcome)
    }

    async fn get(&self, inner: &dyn Driver, keys: &[Key]) -> Result<Snapshot> {
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
