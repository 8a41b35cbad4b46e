//! The way of what a connection brings to those who listen.

use super::listeners::Listeners;
use super::topics::{Carriers, Topic};
use bytes::Bytes;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// What a connection is subscribed to, and where what it brings goes. The task that reads the connection calls it, in the
/// order in which things come.
pub struct Intake {
    pub(super) listeners: Arc<Mutex<Listeners>>,
    /// None once its connection was given up.
    pub(super) carriers: Mutex<Option<Carriers>>,
}

impl Intake {
    /// The server has confirmed a subscription: what it sends from now on counts.
    pub fn confirm(&self, via: Topic) {
        let behind = {
            // Both at once: a connection that was given up must not end the gap that began with it.
            let mut listeners = self.listeners.lock();
            let mut carriers = self.carriers.lock();
            let Some(carriers) = carriers.as_mut() else { return };
            let behind = listeners.confirm(&via);
            carriers.confirm(via);
            behind
        };
        // Before anything that comes after it.
        for listener in behind {
            listener.mark_gap();
        }
    }

    /// A message on a channel, by its name within the namespace, that was sent because of the subscription `via`.
    pub fn message(&self, via: &Topic, channel: &str, payload: &Bytes) {
        if !self.carriers.lock().as_ref().is_some_and(|carriers| carriers.is_sent_for(via, channel)) {
            return;
        }
        let listening = self.listeners.lock().on(channel);
        for listener in listening {
            listener.receive(channel, payload.clone());
        }
    }

    /// Whether exactly this was confirmed, and not left since.
    pub fn carries(&self, topic: &Topic) -> bool {
        self.carriers.lock().as_ref().is_some_and(|carriers| carriers.contains(topic))
    }

    /// Whether what belongs to a topic is sent.
    pub(super) fn covers(&self, topic: &Topic) -> bool {
        self.carriers.lock().as_ref().is_some_and(|carriers| carriers.cover(topic))
    }

    /// What this topic covers and is subscribed to besides.
    pub(super) fn under(&self, topic: &Topic) -> Vec<Topic> {
        self.carriers.lock().as_ref().map(|carriers| carriers.under(topic).into_iter().collect()).unwrap_or_default()
    }

    /// A subscription is being left; whether it was there.
    pub(super) fn leave(&self, topic: &Topic) -> bool {
        self.carriers.lock().as_mut().is_some_and(|carriers| carriers.remove(topic))
    }

    /// The connection is given up: what it may still read is told by the one after it.
    pub(super) fn end(&self) {
        let _listeners = self.listeners.lock();
        *self.carriers.lock() = None;
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("carriers", &self.carriers).finish_non_exhaustive()
    }
}
