//! Watching who leads.

use crate::held::FencingToken;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::Stream;
use linchpin_core::{Driver, Entry, Error, Key, NodeId, Range, Result, Revision, WatchEvent, stored};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Who leads, change by change; `None` while nobody does.
pub type LeaderStream = Pin<Box<dyn Stream<Item = Result<Option<Leader>>> + Send>>;

/// A leader, as others see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Leader {
    /// Who leads.
    pub node_id: NodeId,
    /// Its term: greater than that of every leader before.
    pub term: FencingToken,
    /// What it proclaimed; empty for a leader that was acquired through the port.
    pub value: Bytes,
}

impl Leader {
    pub(super) fn of(seat: &Entry) -> Result<Self> {
        let stored::Leader { node_id, value, .. } = stored::Leader::decode(&seat.value)?;
        let Revision(term) = seat.created;
        Ok(Self { node_id, term: FencingToken(term), value })
    }
}

impl fmt::Debug for Leader {
    /// Without the value: that is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("node_id", &self.node_id)
            .field("term", &self.term)
            .field("value", &format_args!("{} bytes", self.value.len()))
            .finish()
    }
}

/// Watches a seat.
pub(super) async fn leaders(driver: &dyn Driver, seat: Key, name: Arc<str>) -> Result<LeaderStream> {
    let events = driver.watch(&Range::Key(seat)).await?;
    let mut told = false;
    Ok(Box::pin(events.filter_map(move |event| {
        let first = !std::mem::replace(&mut told, true);
        let named = |error: Error| error.with_operation("observe").with_subject(&*name);
        std::future::ready(match event {
            Ok(WatchEvent::Put(entry)) => Some(Leader::of(&entry).map(Some).map_err(named)),
            Ok(WatchEvent::Deleted { .. }) => Some(Ok(None)),
            // Whoever leads now has been told before this.
            Ok(WatchEvent::Synced { .. }) => first.then_some(Ok(None)),
            Ok(_) => None,
            Err(error) => Some(Err(named(error))),
        })
    })))
}
