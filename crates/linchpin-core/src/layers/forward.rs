//! The driver with traces, metrics, retries and timeouts around each call.

use super::measure::Measure;
use super::retry::RetryLayer;
use super::timeout::Timeout;
use super::trace::Trace;
use crate::capabilities::Capabilities;
use crate::driver::{Driver, Health};
use crate::entry::{Page, Range, ScanPage, Snapshot};
use crate::error::Result;
use crate::message::{Reach, Subscription};
use crate::name::{Channel, GroupName, Key, StreamName};
use crate::pattern::Pattern;
use crate::port::PortState;
use crate::stream::{Appended, Claim, Delivery, Record, Retention, Settled, Settlement, StreamInfo};
use crate::transaction::{Outcome, Transaction};
use crate::watch::WatchStream;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long clearing a namespace may take.
const CLEARING: Duration = Duration::from_secs(600);

/// One call of a driver's method, as a layer sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// The method's name.
    pub(super) operation: &'static str,
    /// The key, channel or stream it is about.
    pub(super) subject: Option<&'a str>,
    /// Whether it may be sent again although it may have been applied.
    pub(super) idempotent: bool,
    /// Whether it changes nothing, so that its failure applied nothing.
    pub(super) read: bool,
    /// How long it waits on purpose, besides the time it takes.
    pub(super) waits: Duration,
    /// For how long the backend tells a repeat from another call, where that is what makes it idempotent.
    pub(super) window: Option<Duration>,
}

impl<'a> Call<'a> {
    fn read(operation: &'static str, subject: Option<&'a str>) -> Self {
        Self { operation, subject, idempotent: true, read: true, waits: Duration::ZERO, window: None }
    }

    fn write(operation: &'static str, subject: Option<&'a str>, idempotent: bool) -> Self {
        Self { operation, subject, idempotent, read: false, waits: Duration::ZERO, window: None }
    }
}

/// What is around each call, from the outermost. One future for all of them: a call is boxed once on its way to the
/// driver below.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) trace: Trace,
    pub(super) measure: Measure,
    pub(super) retry: RetryLayer,
    pub(super) timeout: Timeout,
}

impl Stack {
    /// `run` makes the call, as often as it is tried; it is told how long to wait on purpose.
    fn around<'a, T: Send + 'a, F: Future<Output = Result<T>> + Send + 'a>(
        &'a self,
        call: Call<'a>,
        run: impl Fn(Duration) -> F + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T>> + Send + 'a {
        let attempt = move |waits| self.timeout.around(Call { waits, ..call }, run(waits));
        self.trace.around(call, self.measure.around(call, self.retry.around(call, attempt)))
    }
}

/// A driver with the layers around it.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    pub(super) inner: Arc<dyn Driver>,
    pub(super) stack: Stack,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Driver for Forward {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn port_state(&self) -> &PortState {
        self.inner.port_state()
    }

    fn share(&self) -> Arc<dyn Driver> {
        Arc::new(self.clone())
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let call = Call::read("get", keys.first().map(Key::as_str));
        self.stack.around(call, |_| self.inner.get(keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let call = Call::read("scan", Some(range_text(range)));
        self.stack.around(call, |_| self.inner.scan(range, page)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let transaction = self.stack.retry.prepare(self.capabilities(), transaction);
        let first = transaction.mutations.first().map(crate::Mutation::key);
        let subject = first.or(transaction.guards.first().map(|guard| &guard.key)).map(Key::as_str);
        let window = transaction.id.and(self.capabilities().transaction_ids);
        let call = Call { window, ..Call::write("commit", subject, transaction.is_idempotent()) };
        self.stack.around(call, |_| self.inner.commit(&transaction)).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let call = Call::read("watch", Some(range_text(range)));
        self.stack.around(call, |_| self.inner.watch(range)).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let call = Call::write("publish", Some(channel.as_str()), false);
        self.stack.around(call, |_| self.inner.publish(channel, payload.clone())).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let call = Call::read("subscribe", Some(pattern.as_str()));
        self.stack.around(call, |_| self.inner.subscribe(pattern)).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let idempotent = records.iter().all(|record| record.id.is_some());
        let window = self.capabilities().streams.and_then(|streams| streams.dedupe_window);
        let call = Call { window, ..Call::write("append", Some(stream.as_str()), idempotent) };
        self.stack.around(call, |_| self.inner.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        // A claim whose answer was lost is redelivered after its visibility time; asking again is no harm.
        let call = Call { waits: claim.wait, ..Call::write("claim", Some(claim.stream.as_str()), true) };
        // A repeat waits for what is left of its time only.
        let run = |wait| async move {
            if wait == claim.wait {
                return self.inner.claim(claim).await;
            }
            self.inner.claim(&Claim { wait, ..claim.clone() }).await
        };
        self.stack.around(call, run).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let subject = settlements.first().map(|settlement| settlement.receipt.stream.as_str());
        let call = Call::write("settle", subject, false);
        self.stack.around(call, |_| self.inner.settle(settlements)).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        let call = Call::read("inspect", Some(stream.as_str()));
        self.stack.around(call, |_| self.inner.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let call = Call::write("trim", Some(stream.as_str()), false);
        self.stack.around(call, |_| self.inner.trim(stream, keep)).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let call = Call::write("remove_group", Some(stream.as_str()), false);
        self.stack.around(call, |_| self.inner.remove_group(stream, group)).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        // It takes as long as there is something to remove.
        let call = Call { waits: CLEARING, ..Call::write("clear", Some(prefix), false) };
        self.stack.around(call, |_| self.inner.clear(prefix)).await
    }

    async fn health(&self) -> Result<Health> {
        self.stack.around(Call::read("health", None), |_| self.inner.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.stack.around(Call::write("close", None, true), |_| self.inner.close()).await
    }
}

fn range_text(range: &Range) -> &str {
    match range {
        Range::Key(key) => key.as_str(),
        Range::Prefix(prefix) => prefix,
    }
}
