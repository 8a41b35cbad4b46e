//! Streams of events as cases read them: with a bound, and checking what every event must obey.

use crate::failure::{Failure, ensure, here, shown};
use crate::waiting::PATIENCE;
use futures::StreamExt;
use linchpin_core::{
    Driver, Entry, Key, Message, MessageStream, Pattern, Publication, Range, Result as DriverResult, Revision,
    Subscription, SubscriptionEvent, WatchEvent, WatchStream,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The next item of a stream, which must come soon; the failure says what was awaited of what, and what came last.
async fn next_of<S: StreamExt + Unpin>(
    stream: &mut S,
    awaited: &str,
    of: &str,
    patience: Duration,
    last: Option<&(impl Debug + Sync)>,
) -> Result<S::Item, Failure> {
    let last = || last.map_or("nothing".to_owned(), shown);
    match timeout(patience, stream.next()).await {
        Ok(Some(item)) => Ok(item),
        Ok(None) => {
            Err(Failure::new(format!("{of} ended by itself where {awaited} was due; it told last: {}", last())))
        }
        Err(_) => {
            Err(Failure::new(format!("{of} did not tell {awaited} within {patience:?}; it told last: {}", last())))
        }
    }
}

/// Reads a watch, and checks that the versions of each key strictly increase.
pub(crate) struct Watcher {
    stream: WatchStream,
    name: String,
    patience: Duration,
    versions: HashMap<Key, Revision>,
    last: Option<WatchEvent>,
    /// What the watcher has been told to exist.
    pub(crate) entries: BTreeMap<Key, Entry>,
}

impl Watcher {
    #[track_caller]
    pub(crate) fn open(driver: &Arc<dyn Driver>, range: &Range) -> impl Future<Output = Result<Self, Failure>> {
        here(async move {
            let stream = driver.watch(range).await?;
            let name = match range {
                Range::Key(key) => format!("the watch of {:?}", key.as_str()),
                Range::Prefix(prefix) if prefix.is_empty() => "the watch of all keys".to_owned(),
                Range::Prefix(prefix) => format!("the watch of the prefix {prefix:?}"),
            };
            Ok(Self {
                stream,
                name,
                patience: PATIENCE,
                versions: HashMap::new(),
                last: None,
                entries: BTreeMap::new(),
            })
        })
    }

    /// Opens a watch and reads up to `Synced`; its revision.
    #[track_caller]
    pub(crate) fn synced(
        driver: &Arc<dyn Driver>,
        range: &Range,
    ) -> impl Future<Output = Result<(Self, Revision), Failure>> {
        here(async move {
            let mut watcher = Self::open(driver, range).await?;
            loop {
                if let WatchEvent::Synced { revision } = watcher.event("a present entry or Synced").await? {
                    return Ok((watcher, revision));
                }
            }
        })
    }

    /// Versions may be older from here on than what was told: the server lost what it had.
    pub(crate) fn forget_versions(&mut self) {
        self.versions.clear();
    }

    /// The same with more patience: who is far behind reads all of a large range again before it tells anything.
    pub(crate) fn patient(self) -> Self {
        Self { patience: PATIENCE * 4, ..self }
    }

    /// The next event, which must come soon.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Result<WatchEvent, Failure>> {
        here(self.event("another event"))
    }

    async fn event(&mut self, awaited: &str) -> Result<WatchEvent, Failure> {
        let event = next_of(&mut self.stream, awaited, &self.name, self.patience, self.last.as_ref()).await??;
        match &event {
            WatchEvent::Put(entry) => {
                self.check_version(&entry.key, entry.version)?;
                self.entries.insert(entry.key.clone(), entry.clone());
            }
            WatchEvent::Deleted { key, version } => {
                self.check_version(key, *version)?;
                self.entries.remove(key);
            }
            _ => {}
        }
        self.last = Some(event.clone());
        Ok(event)
    }

    fn check_version(&mut self, key: &Key, version: Revision) -> Result<(), Failure> {
        if let Some(before) = self.versions.insert(key.clone(), version) {
            ensure!(version > before, "{key:?}: an event of version {version} came after one of version {before}");
        }
        Ok(())
    }

    /// The next event, which must be a write of `key`.
    #[track_caller]
    pub(crate) fn put(&mut self, key: &Key) -> impl Future<Output = Result<Entry, Failure>> {
        here(async move {
            let awaited = format!("a write of {key:?}");
            match self.event(&awaited).await? {
                WatchEvent::Put(entry) if entry.key == *key => Ok(entry),
                other => Err(Failure::new(format!("{} told {} where {awaited} was due", self.name, shown(&other)))),
            }
        })
    }

    /// The next event, which must be the end of `key`; its version.
    #[track_caller]
    pub(crate) fn deleted(&mut self, key: &Key) -> impl Future<Output = Result<Revision, Failure>> {
        here(async move {
            let awaited = format!("the end of {key:?}");
            match self.event(&awaited).await? {
                WatchEvent::Deleted { key: gone, version } if gone == *key => Ok(version),
                other => Err(Failure::new(format!("{} told {} where {awaited} was due", self.name, shown(&other)))),
            }
        })
    }

    /// Reads on until the watcher has been told of this version of a key, or a later one.
    #[track_caller]
    pub(crate) fn until(&mut self, key: &Key, version: Revision) -> impl Future<Output = Result<(), Failure>> {
        here(async move {
            let awaited = format!("version {version} of {key:?}");
            while self.versions.get(key).is_none_or(|told| *told < version) {
                self.event(&awaited).await?;
            }
            Ok(())
        })
    }
}

/// Reads a subscription of a driver.
pub(crate) struct Listener {
    subscription: Subscription,
    name: String,
    last: Option<SubscriptionEvent>,
}

impl Listener {
    #[track_caller]
    pub(crate) fn open(driver: &Arc<dyn Driver>, pattern: &str) -> impl Future<Output = Result<Self, Failure>> {
        here(async move { Self::over(driver, &Pattern::new(pattern)?).await })
    }

    /// Subscribes to one channel, every character of its name taken as it is.
    #[track_caller]
    pub(crate) fn exactly(driver: &Arc<dyn Driver>, channel: &str) -> impl Future<Output = Result<Self, Failure>> {
        here(async move { Self::over(driver, &Pattern::exact(channel)?).await })
    }

    async fn over(driver: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Self, Failure> {
        let name = format!("the subscription to {}", shown(pattern.as_str()));
        Ok(Self { subscription: driver.subscribe(pattern).await?, name, last: None })
    }

    /// The next event, which must come soon.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Result<SubscriptionEvent, Failure>> {
        here(self.event("another event"))
    }

    async fn event(&mut self, awaited: &str) -> Result<SubscriptionEvent, Failure> {
        let event = next_of(&mut self.subscription, awaited, &self.name, PATIENCE, self.last.as_ref()).await??;
        self.last = Some(event.clone());
        Ok(event)
    }

    /// The next event, which must be a message.
    #[track_caller]
    pub(crate) fn message(&mut self) -> impl Future<Output = Result<Publication, Failure>> {
        here(async move {
            match self.event("a message").await? {
                SubscriptionEvent::Message(message) => Ok(message),
                SubscriptionEvent::Lagged(missed) => {
                    Err(Failure::new(format!("{} missed messages: {missed:?}", self.name)))
                }
                other => Err(Failure::new(format!("{} told {other:?}", self.name))),
            }
        })
    }

    /// The next event, which must mark a gap.
    #[track_caller]
    pub(crate) fn gap(&mut self) -> impl Future<Output = Result<(), Failure>> {
        here(async move {
            match self.event("a gap").await? {
                SubscriptionEvent::Lagged(_) => Ok(()),
                SubscriptionEvent::Message(message) => {
                    Err(Failure::new(format!("{} told {} where a gap was due", self.name, shown(&message))))
                }
                other => Err(Failure::new(format!("{} told {other:?} where a gap was due", self.name))),
            }
        })
    }

    /// The next message, as channel and payload, both as text.
    #[track_caller]
    pub(crate) fn text(&mut self) -> impl Future<Output = Result<(String, String), Failure>> {
        here(async move {
            let message = self.message().await?;
            Ok((message.channel.as_str().to_owned(), String::from_utf8_lossy(&message.payload).into_owned()))
        })
    }
}

/// The next item of a port's subscription, which must come soon.
#[track_caller]
pub(crate) fn next_item(stream: &mut MessageStream) -> impl Future<Output = Result<DriverResult<Message>, Failure>> {
    here(next_of(stream, "a message", "a subscription of the port", PATIENCE, None::<&Message>))
}

/// The next message of a port's subscription.
#[track_caller]
pub(crate) fn next_message(stream: &mut MessageStream) -> impl Future<Output = Result<Message, Failure>> {
    here(async move { Ok(next_item(stream).await??) })
}
