//! What serves the watches of a handle.

use super::Feed;
use crate::fanout::Scan;
use crate::service::Service;
use linchpin_core::life::{End, Life};
use linchpin_core::{Page, Range, Result, ScanPage, WatchStream};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// For how long watches are served after the last one is gone.
const LINGER: Duration = Duration::from_secs(5);

/// What serves watches while there are some: it hears of the changes and tells them to its watchers. Each watch holds on to
/// it, so it may outlive its handle.
pub trait WatchSource: Send + Sync + 'static {
    /// Listening to what one watch is told by, until it is dropped.
    type Listening: Send + Sync;

    /// The places that the server gives to changes.
    type Place: Clone + PartialEq + Send;

    /// Begins to listen to the changes of a range, see [`topic`](super::topic): nothing that changes after this returns is
    /// missed. A server that tells all changes to everybody has nothing to do here.
    ///
    /// # Errors
    /// What listening fails with.
    ///
    /// # Cancel safety
    /// Dropping the future listens to nothing.
    fn listen(&self, range: &Range) -> impl Future<Output = Result<Self::Listening>> + Send;

    /// What the watchers are told.
    fn feed(&self) -> &Feed<Self::Place>;

    /// Reads one page of a range. When the first of what it tells ends is noted for who sweeps: of the writes before,
    /// whoever listens by topic did not hear.
    ///
    /// # Errors
    /// What reading fails with.
    fn scan(&self, range: &Range, page: &Page) -> impl Future<Output = Result<ScanPage>> + Send;

    /// Ends what serves the watches; they have ended.
    fn end(&self);
}

/// The watches of a handle. What serves them is begun with the first one, and ends a moment after the last.
///
/// ```
/// use futures::StreamExt;
/// use linchpin_adapter::feed::{Feed, WatchSource, Watches};
/// use linchpin_core::life::{End, Life};
/// use linchpin_core::{Page, Range, Result, Revision, ScanPage, WatchEvent};
///
/// /// A server where nothing is.
/// #[derive(Default)]
/// struct Nothing(Feed<u64>);
///
/// impl WatchSource for Nothing {
///     type Listening = ();
///     type Place = u64;
///
///     async fn listen(&self, _: &Range) -> Result<()> {
///         Ok(())
///     }
///
///     fn feed(&self) -> &Feed<u64> {
///         &self.0
///     }
///
///     async fn scan(&self, _: &Range, _: &Page) -> Result<ScanPage> {
///         Ok(ScanPage { revision: Revision(7), entries: Vec::new(), more: false })
///     }
///
///     fn end(&self) {}
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let (life, watches) = (Life::in_runtime(), Watches::default());
/// let mut watch = watches.watch(&life, &Range::all(), async { Ok(Nothing::default()) }).await?;
/// assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Synced { revision: Revision(7) }))));
/// watches.end(End::Closed);
/// assert!(watch.next().await.expect("an end").is_err());
/// # Ok(())
/// # }
/// ```
pub struct Watches<S: WatchSource>(Service<S>);

impl<S: WatchSource> Watches<S> {
    /// Watches a range; `begin`, if nothing serves watches. Nothing may be missed by what it comes to that changes
    /// afterwards.
    ///
    /// # Errors
    /// What beginning or reading fails with; `Closed` once the handle has ended.
    ///
    /// # Cancel safety
    /// Dropping the future ends the watch. What was begun goes on, for who comes next.
    pub async fn watch(
        &self,
        life: &Life,
        range: &Range,
        begin: impl Future<Output = Result<S>> + Send + 'static,
    ) -> Result<WatchStream> {
        let source = self.0.used(life, "watch", begin).await?;
        let used = Arc::new((source.clone(), source.listen(range).await?));
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let used = used.clone();
            Box::pin(async move {
                let page = used.0.scan(&range, &page).await?;
                if let Some(first) = page.entries.iter().filter_map(|entry| entry.ttl).min() {
                    used.0.feed().alarm.rings_in(first);
                }
                Ok(page)
            })
        });
        source.feed().watchers.add(range.clone(), scan).await
    }

    /// Ends them, and what serves them. For [`Life::ends`].
    pub fn end(&self, ended: End) {
        if let Some(source) = self.0.end() {
            source.feed().end(ended);
            source.end();
        }
    }
}

impl<S: WatchSource> Default for Watches<S> {
    fn default() -> Self {
        Self(Service::new(LINGER))
    }
}

impl<S: WatchSource> fmt::Debug for Watches<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watches").field(&self.0).finish()
    }
}
