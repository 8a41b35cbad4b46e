//! The way of what a connection brings to those who listen.

use super::listeners::Listeners;
use super::topics::{Carriers, Topic};
use bytes::Bytes;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a connection is subscribed to, and where what it brings goes. The task that reads the connection calls it, in the
/// order in which things come.
pub struct Intake {
    pub(super) listeners: Arc<Mutex<Listeners>>,
    pub(super) carriers: Mutex<Carriers>,
    /// Its connection was given up. Changed and looked at under the lock of the listeners.
    is_over: AtomicBool,
}

impl Intake {
    pub(super) fn new(listeners: Arc<Mutex<Listeners>>) -> Self {
        Self { listeners, carriers: Mutex::default(), is_over: AtomicBool::new(false) }
    }

    /// The server has confirmed a subscription: what it sends from now on counts.
    pub fn confirm(&self, via: Topic) {
        let behind = {
            let mut listeners = self.listeners.lock();
            // A connection that was given up must not end the gap that began with it.
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let behind = listeners.confirm(&via);
            self.carriers.lock().confirm(via);
            behind
        };
        // Before anything that comes after it.
        for listener in behind {
            listener.mark_gap();
        }
    }

    /// A message on a channel, by its name within the namespace, that was sent because of the subscription `via`.
    pub fn message(&self, via: &Topic, channel: &str, payload: &Bytes) {
        if !self.carriers.lock().is_sent_for(via, channel) {
            return;
        }
        let listening = self.listeners.lock().on(channel);
        for listener in listening {
            listener.receive(channel, payload.clone());
        }
    }

    /// Whether exactly this was confirmed, and not left since.
    pub(crate) fn carries(&self, topic: &Topic) -> bool {
        self.carriers.lock().contains(topic)
    }

    /// The connection is given up: what it may still read is told by the one after it.
    pub(super) fn end(&self) {
        let _listeners = self.listeners.lock();
        self.is_over.store(true, Ordering::Relaxed);
        *self.carriers.lock() = Carriers::default();
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("carriers", &self.carriers).finish_non_exhaustive()
    }
}
