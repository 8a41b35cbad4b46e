//! Acknowledged publishing: how a message asks for an acknowledgement, and how one comes back.
//!
//! A message on the wire is a header and the payload. The header: a version byte, the time of publishing
//! in microseconds since 1970 (8 bytes, big endian), the length of the channel on which acknowledgements
//! are awaited (1 byte; 0 for none), that channel, and if there is one the number to acknowledge (8 bytes).

use super::areas::Area;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::life::Home;
use crate::message::SubscriptionEvent;
use crate::name::Channel;
use crate::pattern::Pattern;
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const VERSION: u8 = 1;

const OPERATION: &str = "publish_with_ack";

/// The most bytes that a header adds to a payload.
pub(super) const MAX_HEADER: usize = 1 + 8 + 1 + 255 + 8;

/// Where an acknowledgement goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AckTo {
    pub(super) inbox: Channel,
    pub(super) number: u64,
}

/// A message as it was received.
#[derive(Debug, PartialEq)]
pub(super) struct Envelope<'a> {
    pub(super) published: SystemTime,
    pub(super) ack_to: Option<AckTo>,
    pub(super) payload: &'a [u8],
}

/// What is sealed for a short message: it is kept in one allocation, with what counts who holds it.
const SHORT: usize = 128;

/// Puts a header in front of a payload.
pub(super) fn seal(payload: &[u8], ack_to: Option<&AckTo>) -> Bytes {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // An inbox's name is our own and short.
    let inbox = ack_to.map_or("", |to| to.inbox.as_str());
    let length = 1 + 8 + 1 + ack_to.map_or(0, |_| inbox.len() + 8) + payload.len();
    let mut sealed = SmallVec::<[u8; SHORT]>::with_capacity(length);
    sealed.push(VERSION);
    sealed.extend_from_slice(&u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX).to_be_bytes());
    sealed.push(u8::try_from(inbox.len()).unwrap_or_default());
    sealed.extend_from_slice(inbox.as_bytes());
    if let Some(to) = ack_to {
        sealed.extend_from_slice(&to.number.to_be_bytes());
    }
    sealed.extend_from_slice(payload);
    Bytes::from_owner(sealed)
}

/// Reads a header; `None` if this is not one of our messages.
pub(super) fn open(sealed: &[u8]) -> Option<Envelope<'_>> {
    let rest = sealed.strip_prefix(&[VERSION])?;
    let (micros, rest) = rest.split_first_chunk::<8>()?;
    let (&length, rest) = rest.split_first()?;
    let published = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(u64::from_be_bytes(*micros)))?;
    if length == 0 {
        return Some(Envelope { published, ack_to: None, payload: rest });
    }
    let (inbox, rest) = rest.split_at_checked(usize::from(length))?;
    let (number, payload) = rest.split_first_chunk::<8>()?;
    let inbox = Channel::stored(std::str::from_utf8(inbox).ok()?).ok()?;
    Some(Envelope { published, ack_to: Some(AckTo { inbox, number: u64::from_be_bytes(*number) }), payload })
}

/// The inbox of a handle: opened when it is first needed, and anew when the one before has ended, as it does with
/// the runtime that it is read in.
#[derive(Default)]
pub(super) struct AckInboxes {
    current: tokio::sync::Mutex<Option<Arc<AckInbox>>>,
    home: Home,
}

impl AckInboxes {
    pub(super) async fn open(&self, driver: &dyn Driver) -> Result<Arc<AckInbox>> {
        let mut current = self.current.lock().await;
        if let Some(inbox) = current.as_ref().filter(|inbox| !inbox.waiting.lock().ended) {
            return Ok(inbox.clone());
        }
        let inbox = Arc::new(AckInbox::subscribe(driver, &self.home).await?);
        *current = Some(inbox.clone());
        Ok(inbox)
    }
}

/// The channel on which a handle awaits acknowledgements, and the messages that await some.
pub(super) struct AckInbox {
    channel: Channel,
    next: AtomicU64,
    waiting: Arc<Mutex<PendingAcks>>,
    reader: Option<JoinHandle<()>>,
}

/// The messages that await acknowledgements, by their numbers.
#[derive(Default)]
struct PendingAcks {
    counts: HashMap<u64, watch::Sender<usize>>,
    /// No acknowledgement can come any more.
    ended: bool,
}

/// Ends every wait once nothing can come any more: the handle was closed, or the reader's runtime has ended.
struct ReaderGuard(Arc<Mutex<PendingAcks>>);

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.ended = true;
        waiting.counts.clear();
    }
}

impl AckInbox {
    /// Subscribes to a channel of its own; live when this returns.
    async fn subscribe(driver: &dyn Driver, home: &Home) -> Result<Self> {
        let channel = Area::ACKS.channel(&format!("{:032x}", fastrand::u128(..)))?;
        let mut subscription = driver.subscribe(&Pattern::exact(channel.as_str())?).await?;
        let waiting: Arc<Mutex<PendingAcks>> = Arc::default();
        let reading = ReaderGuard(waiting.clone());
        let reader = home.spawn(async move {
            while let Some(Ok(event)) = subscription.next().await {
                let SubscriptionEvent::Message(message) = event else { continue };
                let Ok(number) = <[u8; 8]>::try_from(&message.payload[..]) else { continue };
                if let Some(count) = reading.0.lock().counts.get(&u64::from_be_bytes(number)) {
                    count.send_modify(|count| *count += 1);
                }
            }
        });
        Ok(Self { channel, next: AtomicU64::new(1), waiting, reader })
    }

    /// Publishes and waits for `wanted` acknowledgements until the deadline.
    pub(super) async fn publish(
        &self,
        driver: &dyn Driver,
        channel: &Channel,
        payload: &[u8],
        wanted: usize,
        deadline: Instant,
    ) -> Result<usize> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let (number, mut count) = self.await_one()?;
        let _forget = Forget { waiting: &self.waiting, number };
        let sealed = seal(payload, Some(&AckTo { inbox: self.channel.clone(), number }));
        let late = || Error::timeout(OPERATION, timeout);
        let reach = tokio::time::timeout_at(deadline, driver.publish(channel, sealed)).await;
        if reach.map_err(|_| late())?.map_err(|error| error.with_operation(OPERATION))?.at_most == Some(0) {
            let problem = "nobody is subscribed to this channel";
            return Err(Error::new(ErrorKind::NoSubscribers, OPERATION, problem).with_retry(Retry::Safe));
        }
        let acked = tokio::time::timeout_at(deadline, count.wait_for(|count| *count >= wanted)).await;
        match acked.map(|acked| acked.map(|count| *count)) {
            Ok(Ok(count)) => Ok(count),
            // It was published.
            Ok(Err(_)) => Err(Error::closed(OPERATION).for_good()),
            Err(_) => {
                let got = *count.borrow();
                let problem = format!("{got} of {wanted} acknowledgements within {timeout:?}");
                Err(Error::new(ErrorKind::Timeout, OPERATION, problem).with_retry(Retry::Unknown))
            }
        }
    }

    /// The number of a message, and the count of its acknowledgements.
    fn await_one(&self) -> Result<(u64, watch::Receiver<usize>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, count) = watch::channel(0);
        let mut waiting = self.waiting.lock();
        if waiting.ended {
            return Err(Error::closed(OPERATION));
        }
        waiting.counts.insert(number, sender);
        Ok((number, count))
    }
}

impl Drop for AckInbox {
    fn drop(&mut self) {
        self.reader.iter().for_each(JoinHandle::abort);
    }
}

/// Forgets a message that awaited acknowledgements, also when the wait is cancelled.
struct Forget<'a> {
    waiting: &'a Mutex<PendingAcks>,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().counts.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sealed_opens(payload: Vec<u8>, number: u64, acked: bool) {
            let inbox = Channel::new("ack/1").expect("valid");
            let ack_to = acked.then_some(AckTo { inbox, number });
            let sealed = seal(&payload, ack_to.as_ref());
            prop_assert!(sealed.len() <= payload.len() + MAX_HEADER);
            let opened = open(&sealed).expect("opens");
            prop_assert_eq!((opened.payload, opened.ack_to), (payload.as_slice(), ack_to));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = open(&bytes);
        }
    }
}
