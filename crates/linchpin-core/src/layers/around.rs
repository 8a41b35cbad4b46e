//! A layer that is around every call alike.

use crate::capabilities::Capabilities;
use crate::driver::{Driver, Health};
use crate::entry::{Page, Range, ScanPage, Snapshot};
use crate::error::Result;
use crate::message::{Reach, Subscription};
use crate::name::{Channel, GroupName, Key, StreamName};
use crate::operation::Operation;
use crate::pattern::Pattern;
use crate::stream::{Appended, Claim, Delivery, Record, Retention, Settled, Settlement, StreamInfo};
use crate::transaction::{Outcome, Transaction};
use crate::watch::WatchStream;
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long clearing a namespace may take.
const CLEARING: Duration = Duration::from_mins(10);

/// One call of a driver's method, as a layer sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The method.
    pub operation: Operation,
    /// The key, channel or stream it is about.
    pub subject: Option<&'a str>,
    /// Whether it may be sent again although it may have been applied.
    pub idempotent: bool,
    /// How long it waits on purpose, besides the time it takes.
    pub waits: Duration,
    /// For how long the backend tells a repeat from another call, where that is what makes it idempotent.
    pub window: Option<Duration>,
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: Operation, subject: Option<&'a str>) -> Self {
        Self { operation, subject, idempotent: operation.applies_nothing(), waits: Duration::ZERO, window: None }
    }
}

/// What is put around every call alike: it may look at it, wait, refuse it, try it again. [`around`] makes a driver of
/// it.
///
/// # Examples
/// A layer that lets no more than so many calls run at once:
/// ```
/// use linchpin_core::layers::{Around, Call, around};
/// use linchpin_core::{Driver, Result};
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tokio::sync::Semaphore;
///
/// #[derive(Debug)]
/// struct AtMost(Semaphore);
///
/// impl Around for AtMost {
///     async fn around<'a, T: Send, F: Future<Output = Result<T>> + Send>(
///         &'a self,
///         call: Call<'a>,
///         attempt: impl Fn(Duration) -> F + Send + Sync + 'a,
///     ) -> Result<T> {
///         let _permit = self.0.acquire().await;
///         attempt(call.waits).await
///     }
/// }
///
/// fn at_most(calls: usize, driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
///     around(driver, AtMost(Semaphore::new(calls)))
/// }
/// ```
pub trait Around: fmt::Debug + Send + Sync + 'static {
    /// Makes the call: `attempt` sends it to the driver below, as often as it is called, and is told how long to wait on
    /// purpose.
    ///
    /// # Errors
    /// The call's, or the layer's own.
    ///
    /// # Cancel safety
    /// As the call's: dropping it drops the attempt that is on its way.
    fn around<'a, T: Send, F: Future<Output = Result<T>> + Send>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn(Duration) -> F + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T>> + Send;

    /// The transaction as it is sent: where a layer repeats calls it gives it an id.
    fn prepare<'t>(&self, _: &Capabilities, transaction: &'t Transaction) -> Cow<'t, Transaction> {
        Cow::Borrowed(transaction)
    }
}

/// Puts a layer around every call of a driver.
pub fn around(driver: Arc<dyn Driver>, layer: impl Around) -> Arc<dyn Driver> {
    Arc::new(LayeredDriver { inner: driver, layer })
}

/// A driver with a layer around its calls.
#[derive(Debug)]
struct LayeredDriver<A> {
    inner: Arc<dyn Driver>,
    layer: A,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<A: Around> Driver for LayeredDriver<A> {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let call = Call::new(Operation::Get, keys.first().map(Key::as_str));
        self.layer.around(call, |_| self.inner.get(keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let call = Call::new(Operation::Scan, Some(range_text(range)));
        self.layer.around(call, |_| self.inner.scan(range, page)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let transaction = self.layer.prepare(self.capabilities(), transaction);
        let first = transaction.mutations.first().map(crate::Mutation::key);
        let subject = first.or(transaction.guards.first().map(|guard| &guard.key)).map(Key::as_str);
        let window = transaction.id.and(self.capabilities().transaction_ids);
        let call = Call { idempotent: transaction.is_idempotent(), window, ..Call::new(Operation::Commit, subject) };
        self.layer.around(call, |_| self.inner.commit(&transaction)).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        let call = Call::new(Operation::Watch, Some(range_text(range)));
        self.layer.around(call, |_| self.inner.watch(range)).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let call = Call::new(Operation::Publish, Some(channel.as_str()));
        self.layer.around(call, |_| self.inner.publish(channel, payload.clone())).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        let call = Call::new(Operation::Subscribe, Some(pattern.as_str()));
        self.layer.around(call, |_| self.inner.subscribe(pattern)).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let idempotent = records.iter().all(|record| record.id.is_some());
        let window = self.capabilities().streams.and_then(|streams| streams.dedupe_window);
        let call = Call { idempotent, window, ..Call::new(Operation::Append, Some(stream.as_str())) };
        self.layer.around(call, |_| self.inner.append(stream, records)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        // A claim whose answer was lost is redelivered after its visibility time; asking again is no harm.
        let call = Call { waits: claim.wait, ..Call::new(Operation::Claim, Some(claim.stream.as_str())) };
        // A repeat waits for what is left of its time only.
        let run = |wait| async move {
            if wait == claim.wait {
                return self.inner.claim(claim).await;
            }
            self.inner.claim(&Claim { wait, ..claim.clone() }).await
        };
        self.layer.around(call, run).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let subject = settlements.first().map(|settlement| settlement.receipt.stream.as_str());
        let call = Call::new(Operation::Settle, subject);
        self.layer.around(call, |_| self.inner.settle(settlements)).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        let call = Call::new(Operation::Inspect, Some(stream.as_str()));
        self.layer.around(call, |_| self.inner.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let call = Call::new(Operation::Trim, Some(stream.as_str()));
        self.layer.around(call, |_| self.inner.trim(stream, keep)).await
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let call = Call::new(Operation::RemoveGroup, Some(stream.as_str()));
        self.layer.around(call, |_| self.inner.remove_group(stream, group)).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        // It takes as long as there is something to remove.
        let call = Call { waits: CLEARING, ..Call::new(Operation::Clear, Some(prefix)) };
        self.layer.around(call, |_| self.inner.clear(prefix)).await
    }

    async fn health(&self) -> Result<Health> {
        self.layer.around(Call::new(Operation::Health, None), |_| self.inner.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.layer.around(Call { idempotent: true, ..Call::new(Operation::Close, None) }, |_| self.inner.close()).await
    }
}

fn range_text(range: &Range) -> &str {
    match range {
        Range::Key(key) => key.as_str(),
        Range::Prefix(prefix) => prefix,
    }
}
