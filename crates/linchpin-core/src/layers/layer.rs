//! A layer that changes what some calls do.

use crate::capabilities::Capabilities;
use crate::driver::{Driver, Health};
use crate::entry::{Page, Range, ScanPage, Snapshot};
use crate::error::Result;
use crate::message::{Reach, Subscription};
use crate::name::{Channel, GroupName, Key, StreamName};
use crate::pattern::Pattern;
use crate::stream::{Appended, Claim, Delivery, Record, Retention, Settled, Settlement, StreamInfo};
use crate::transaction::{Outcome, Transaction};
use crate::watch::WatchStream;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;

/// A driver around another one that changes what some calls do: whatever it does not say itself goes to the
/// [`inner`](Self::inner) driver as it is. Every layer is a [`Driver`]. For one that treats all calls alike see
/// [`Around`](super::Around).
///
/// The methods mean, fail and are cancelled as the driver's of the same name.
///
/// # Examples
/// A layer that lets nobody write:
/// ```
/// use linchpin_core::layers::Layer;
/// use linchpin_core::{Driver, Error, ErrorKind, Outcome, Result, Transaction};
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct ReadOnly(Arc<dyn Driver>);
///
/// #[async_trait::async_trait]
/// impl Layer for ReadOnly {
///     fn inner(&self) -> &dyn Driver {
///         &*self.0
///     }
///
///     async fn commit(&self, _: &Transaction) -> Result<Outcome> {
///         Err(Error::new(ErrorKind::Unauthorized, "commit", "this handle only reads"))
///     }
/// }
///
/// fn read_only(driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
///     Arc::new(ReadOnly(driver))
/// }
/// ```
#[async_trait]
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// The driver below.
    fn inner(&self) -> &dyn Driver;

    /// As [`Driver::capabilities`].
    fn capabilities(&self) -> &Capabilities {
        self.inner().capabilities()
    }

    /// As [`Driver::get`].
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.inner().get(keys).await
    }

    /// As [`Driver::scan`].
    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.inner().scan(range, page).await
    }

    /// As [`Driver::commit`].
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.inner().commit(transaction).await
    }

    /// As [`Driver::watch`].
    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.inner().watch(range).await
    }

    /// As [`Driver::publish`].
    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.inner().publish(channel, payload).await
    }

    /// As [`Driver::subscribe`].
    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.inner().subscribe(pattern).await
    }

    /// As [`Driver::append`].
    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.inner().append(stream, records).await
    }

    /// As [`Driver::claim`].
    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.inner().claim(claim).await
    }

    /// As [`Driver::settle`].
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.inner().settle(settlements).await
    }

    /// As [`Driver::inspect`].
    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.inner().inspect(stream).await
    }

    /// As [`Driver::trim`].
    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.inner().trim(stream, keep).await
    }

    /// As [`Driver::remove_group`].
    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.inner().remove_group(stream, group).await
    }

    /// As [`Driver::clear`].
    async fn clear(&self, prefix: &str) -> Result<()> {
        self.inner().clear(prefix).await
    }

    /// As [`Driver::health`].
    async fn health(&self) -> Result<Health> {
        self.inner().health().await
    }

    /// As [`Driver::close`].
    async fn close(&self) -> Result<()> {
        self.inner().close().await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<L: Layer> Driver for L {
    fn capabilities(&self) -> &Capabilities {
        Layer::capabilities(self)
    }
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        Layer::get(self, keys).await
    }
    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        Layer::scan(self, range, page).await
    }
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        Layer::commit(self, transaction).await
    }
    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        Layer::watch(self, range).await
    }
    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        Layer::publish(self, channel, payload).await
    }
    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        Layer::subscribe(self, pattern).await
    }
    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        Layer::append(self, stream, records).await
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        Layer::claim(self, claim).await
    }
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        Layer::settle(self, settlements).await
    }
    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        Layer::inspect(self, stream).await
    }
    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        Layer::trim(self, stream, keep).await
    }
    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        Layer::remove_group(self, stream, group).await
    }
    async fn clear(&self, prefix: &str) -> Result<()> {
        Layer::clear(self, prefix).await
    }
    async fn health(&self) -> Result<Health> {
        Layer::health(self).await
    }
    async fn close(&self) -> Result<()> {
        Layer::close(self).await
    }
}
