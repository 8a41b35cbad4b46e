//! The layers in their order.

use super::around::{Around, Call, around};
use super::measure::{Measure, Metrics};
use super::namespace::NamespaceLayer;
use super::retry::{RetryLayer, RetryPolicy};
use super::timeout::Timeout;
use super::trace::Trace;
use crate::capabilities::Capabilities;
use crate::driver::Driver;
use crate::error::Result;
use crate::name::Namespace;
use crate::transaction::Transaction;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Which layers go around a driver, from the outermost: traces, metrics, retries, a timeout per attempt,
/// a nested namespace.
#[derive(Clone, Debug)]
pub struct Layers {
    namespace: Option<Namespace>,
    timeout: Duration,
    retry: RetryPolicy,
    metrics: Metrics,
}

impl Default for Layers {
    /// [`Layers::TIMEOUT`] per attempt, [`RetryPolicy::default`], no nested namespace.
    fn default() -> Self {
        Self { namespace: None, timeout: Self::TIMEOUT, retry: RetryPolicy::default(), metrics: Metrics::default() }
    }
}

impl Layers {
    /// How long one attempt of a call may take, unless told.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Lives in a part of the driver's namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// How long one attempt of a call may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often and how long a call is tried.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Where the calls are counted.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Puts the layers around a driver.
    pub fn wrap(self, driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
        let backend: Arc<str> = driver.capabilities().backend.as_str().into();
        let namespace: Arc<str> = self.namespace.as_ref().map_or("", Namespace::as_str).into();
        let driver = match &self.namespace {
            Some(namespace) => Arc::new(NamespaceLayer::new(driver, namespace)),
            None => driver,
        };
        let stack = Stack {
            trace: Trace { backend: backend.clone(), namespace },
            measure: Measure::new(&backend, self.metrics),
            retry: RetryLayer { policy: self.retry },
            timeout: Timeout { limit: self.timeout },
        };
        around(driver, stack)
    }
}

/// What is around each call, from the outermost. One future for all of them: a call is boxed once on its way to the
/// driver below.
#[derive(Clone, Debug)]
struct Stack {
    trace: Trace,
    measure: Measure,
    retry: RetryLayer,
    timeout: Timeout,
}

impl Around for Stack {
    fn around<'a, T: Send, F: Future<Output = Result<T>> + Send>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn(Duration) -> F + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T>> + Send {
        let attempt = move |waits| self.timeout.around(Call { waits, ..call }, attempt(waits));
        self.trace.around(call, self.measure.around(call, self.retry.around(call, attempt)))
    }

    fn prepare<'t>(&self, capabilities: &Capabilities, transaction: &'t Transaction) -> Cow<'t, Transaction> {
        self.retry.prepare(capabilities, transaction)
    }
}
