//! Who listens to a namespace through one handle.

use linchpin_adapter::fanout::{Change, Subscribers, Watchers};
use linchpin_core::Publication;
use linchpin_core::life::End;

/// The watchers and subscribers of one handle: closing it ends these and no others.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    pub(crate) watchers: Watchers,
    pub(crate) subscribers: Subscribers,
}

impl Audience {
    pub(crate) fn tell(&self, changes: &[Change]) {
        for change in changes {
            self.watchers.dispatch(change);
        }
    }

    /// Returns how many subscribers the message reached.
    pub(crate) fn send(&self, message: &Publication) -> u64 {
        self.subscribers.dispatch(message)
    }

    /// Ends every watch and subscription.
    pub(crate) fn end(&self, ended: End) {
        self.watchers.end(move || ended.error("watch"));
        self.subscribers.end(move || ended.error("subscribe"));
    }
}
