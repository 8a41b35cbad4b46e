//! Streams of events as cases read them: with a bound, and checking what every event must obey.

use crate::failure::{Failure, ensure};
use crate::waiting::soon;
use futures::StreamExt;
use linchpin_core::{
    Driver, Entry, Key, Message, MessageStream, Pattern, Range, Result as DriverResult, Revision, Subscription,
    SubscriptionEvent, WatchEvent, WatchStream,
};
use std::collections::{BTreeMap, HashMap};

/// Reads a watch, and checks that the versions of each key strictly increase.
pub(crate) struct Watcher {
    stream: WatchStream,
    versions: HashMap<Key, Revision>,
    /// What the watcher has been told to exist.
    pub(crate) entries: BTreeMap<Key, Entry>,
}

impl Watcher {
    pub(crate) async fn open(driver: &dyn Driver, range: &Range) -> Result<Self, Failure> {
        let stream = driver.watch(range).await?;
        Ok(Self { stream, versions: HashMap::new(), entries: BTreeMap::new() })
    }

    /// Opens a watch and reads up to `Synced`; its revision.
    pub(crate) async fn synced(driver: &dyn Driver, range: &Range) -> Result<(Self, Revision), Failure> {
        let mut watcher = Self::open(driver, range).await?;
        loop {
            match watcher.next().await? {
                WatchEvent::Synced { revision } => return Ok((watcher, revision)),
                WatchEvent::Put(_) | WatchEvent::Deleted { .. } => {}
            }
        }
    }

    /// The next event, which must come soon.
    pub(crate) async fn next(&mut self) -> Result<WatchEvent, Failure> {
        let Some(event) = soon("the next event of a watch", self.stream.next()).await? else {
            return Err(Failure::new("the watch ended by itself"));
        };
        let event = event?;
        match &event {
            WatchEvent::Put(entry) => {
                self.check_version(&entry.key, entry.version)?;
                self.entries.insert(entry.key.clone(), entry.clone());
            }
            WatchEvent::Deleted { key, version } => {
                self.check_version(key, *version)?;
                self.entries.remove(key);
            }
            WatchEvent::Synced { .. } => {}
        }
        Ok(event)
    }

    fn check_version(&mut self, key: &Key, version: Revision) -> Result<(), Failure> {
        if let Some(before) = self.versions.insert(key.clone(), version) {
            ensure!(version > before, "{key:?}: an event of version {version} came after one of version {before}");
        }
        Ok(())
    }

    /// The next event, which must be a write of `key`.
    pub(crate) async fn put(&mut self, key: &Key) -> Result<Entry, Failure> {
        match self.next().await? {
            WatchEvent::Put(entry) if entry.key == *key => Ok(entry),
            other => Err(Failure::new(format!("expected a write of {key:?}, was told {other:?}"))),
        }
    }

    /// The next event, which must be the end of `key`; its version.
    pub(crate) async fn deleted(&mut self, key: &Key) -> Result<Revision, Failure> {
        match self.next().await? {
            WatchEvent::Deleted { key: gone, version } if gone == *key => Ok(version),
            other => Err(Failure::new(format!("expected the end of {key:?}, was told {other:?}"))),
        }
    }

    /// Reads on until the watcher has been told of this version of a key, or a later one.
    pub(crate) async fn until(&mut self, key: &Key, version: Revision) -> Result<(), Failure> {
        while self.versions.get(key).is_none_or(|told| *told < version) {
            self.next().await?;
        }
        Ok(())
    }
}

/// Reads a subscription of a driver.
pub(crate) struct Listener {
    subscription: Subscription,
}

impl Listener {
    pub(crate) async fn open(driver: &dyn Driver, pattern: &str) -> Result<Self, Failure> {
        Ok(Self { subscription: driver.subscribe(&Pattern::new(pattern)?).await? })
    }

    /// Subscribes to one channel, every character of its name taken as it is.
    pub(crate) async fn exactly(driver: &dyn Driver, channel: &str) -> Result<Self, Failure> {
        Ok(Self { subscription: driver.subscribe(&Pattern::exact(channel)?).await? })
    }

    /// The next event, which must come soon.
    pub(crate) async fn next(&mut self) -> Result<SubscriptionEvent, Failure> {
        match soon("the next event of a subscription", self.subscription.next()).await? {
            Some(event) => Ok(event?),
            None => Err(Failure::new("the subscription ended by itself")),
        }
    }

    /// The next event, which must be a message.
    pub(crate) async fn message(&mut self) -> Result<Message, Failure> {
        match self.next().await? {
            SubscriptionEvent::Message(message) => Ok(message),
            SubscriptionEvent::Lagged(missed) => Err(Failure::new(format!("messages were missed: {missed:?}"))),
        }
    }

    /// The next event, which must mark a gap.
    pub(crate) async fn gap(&mut self) -> Result<(), Failure> {
        match self.next().await? {
            SubscriptionEvent::Lagged(_) => Ok(()),
            SubscriptionEvent::Message(message) => {
                Err(Failure::new(format!("expected the gap to be marked, got {message:?}")))
            }
        }
    }

    /// The next message, as channel and payload, both as text.
    pub(crate) async fn text(&mut self) -> Result<(String, String), Failure> {
        let message = self.message().await?;
        Ok((message.channel, String::from_utf8_lossy(&message.payload).into_owned()))
    }
}

/// The next item of a port's subscription, which must come soon.
pub(crate) async fn next_item(stream: &mut MessageStream) -> Result<DriverResult<Message>, Failure> {
    let item = soon("the next message", stream.next()).await?;
    item.ok_or_else(|| Failure::new("the subscription ended by itself"))
}

/// The next message of a port's subscription.
pub(crate) async fn next_message(stream: &mut MessageStream) -> Result<Message, Failure> {
    Ok(next_item(stream).await??)
}
