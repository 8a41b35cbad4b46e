//! Messages: published now to those subscribed now.

use crate::error::Result;
use crate::name::Channel;
use bytes::Bytes;
use futures::stream::Stream;
use std::fmt;
use std::pin::Pin;
use std::time::SystemTime;

/// A message as a driver hands it to a subscriber. Clones share it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication {
    /// The channel it was published to.
    pub channel: Channel,
    /// The payload as it was published.
    pub payload: Bytes,
}

impl Publication {
    /// This payload, published to this channel.
    pub fn new(channel: Channel, payload: impl Into<Bytes>) -> Self {
        Self { channel, payload: payload.into() }
    }
}

impl fmt::Debug for Publication {
    /// The payload's length only: payloads are the user's and never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("channel", &self.channel)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish()
    }
}

/// A message as the port's subscriber takes it out of its stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The channel it was published to.
    pub channel: String,
    /// The payload as it was published.
    pub payload: Vec<u8>,
    /// When it was published, by the publisher's clock, if known.
    pub timestamp: Option<SystemTime>,
}

impl fmt::Debug for Message {
    /// The payload's length only: payloads are the user's and never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("channel", &self.channel)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// How far a published message reached, as far as the backend can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// At most this many subscribers or subscribed processes; 0 means surely nobody, `None` unknown.
    pub at_most: Option<u64>,
}

/// What a [`Subscription`] yields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// A message, once, however many of the subscription's patterns it matches.
    Message(Publication),
    /// Messages were missed here: this many because the subscriber was too slow, or (`None`) an unknown
    /// number while the adapter reconnected. The subscription goes on.
    Lagged(Option<u64>),
}

/// The messages that match a pattern, from the moment the subscription was returned. Dropping it ends it.
pub type Subscription = Pin<Box<dyn Stream<Item = Result<SubscriptionEvent>> + Send>>;
