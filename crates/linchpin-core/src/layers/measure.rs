//! Counts and times of calls: for the `metrics` crate, and as a snapshot of its own.

use super::around::Call;
use crate::error::Result;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
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

/// What the recorder knows the calls of one operation with one outcome by.
struct MetricKeys {
    total: metrics::Key,
    seconds: metrics::Key,
}

/// Made once and shared: a name is a list of labels on the heap.
type Names = Arc<Mutex<BTreeMap<(&'static str, &'static str), Arc<MetricKeys>>>>;

#[derive(Clone)]
pub(super) struct Measure {
    backend: Arc<str>,
    metrics: Metrics,
    names: Names,
}

impl Measure {
    pub(super) fn new(backend: &Arc<str>, metrics: Metrics) -> Self {
        Self { backend: backend.clone(), metrics, names: Names::default() }
    }

    pub(super) async fn around<T>(&self, call: Call<'_>, run: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let result = run.await;
        let took = started.elapsed();
        self.metrics.count(call.operation.as_str(), took, result.is_err());
        let named =
            self.named(call.operation.as_str(), result.as_ref().err().map_or("ok", |error| error.kind().as_str()));
        metrics::with_recorder(|recorder| {
            recorder.register_counter(&named.total, &METADATA).increment(1);
            recorder.register_histogram(&named.seconds, &METADATA).record(took.as_secs_f64());
        });
        result
    }

    fn named(&self, operation: &'static str, outcome: &'static str) -> Arc<MetricKeys> {
        let name = || {
            let labels = vec![
                metrics::Label::new("backend", self.backend.to_string()),
                metrics::Label::new("operation", operation),
                metrics::Label::new("outcome", outcome),
            ];
            let total = metrics::Key::from_parts("linchpin_operations_total", labels.clone());
            Arc::new(MetricKeys {
                total,
                seconds: metrics::Key::from_parts("linchpin_operation_duration_seconds", labels),
            })
        };
        self.names.lock().entry((operation, outcome)).or_insert_with(name).clone()
    }
}

static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new("linchpin", metrics::Level::INFO, Some(module_path!()));

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measure").field("backend", &self.backend).finish_non_exhaustive()
    }
}
