//! Counts and times of calls: for the `metrics` crate, and as a snapshot of its own.

use super::forward::{Around, Call};
use crate::error::Result;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the calls of a handle came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Per operation of the driver, by its method's name.
    pub operations: BTreeMap<&'static str, OperationMetrics>,
}

/// What the calls of one operation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationMetrics {
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// The time all of them took together, retries included.
    pub total: Duration,
    /// The time the longest took.
    pub longest: Duration,
}

/// Where the metrics layer of one handle counts.
///
/// The same numbers go to the [`metrics`](https://docs.rs/metrics) crate's recorder, if the program
/// installed one: `linchpin_operations_total` and `linchpin_operation_duration_seconds`, labelled with
/// `backend`, `operation` and `outcome` (`ok` or the kind of error).
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<MetricsSnapshot>>);

impl Metrics {
    /// What was counted so far.
    pub fn snapshot(&self) -> MetricsSnapshot {
        self.0.lock().clone()
    }

    fn count(&self, operation: &'static str, took: Duration, failed: bool) {
        let mut snapshot = self.0.lock();
        let metrics = snapshot.operations.entry(operation).or_default();
        metrics.calls += 1;
        metrics.errors += u64::from(failed);
        metrics.total += took;
        metrics.longest = metrics.longest.max(took);
    }
}

#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub(super) backend: Arc<str>,
    pub(super) metrics: Metrics,
}

impl Around for Measure {
    fn around<'a, T: Send + 'a>(
        &'a self,
        call: Call<'a>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            let started = Instant::now();
            let result = run().await;
            let took = started.elapsed();
            self.metrics.count(call.operation, took, result.is_err());
            let labels = [
                ("backend", self.backend.to_string()),
                ("operation", call.operation.to_owned()),
                ("outcome", result.as_ref().err().map_or("ok", |error| error.kind().as_str()).to_owned()),
            ];
            metrics::counter!("linchpin_operations_total", &labels).increment(1);
            metrics::histogram!("linchpin_operation_duration_seconds", &labels).record(took.as_secs_f64());
            result
        })
    }
}
