//! The subscribers of one handle.

use futures::stream;
use linchpin_core::Pattern;
use linchpin_core::{Error, Result};
use linchpin_core::{Publication, Subscription, SubscriptionEvent};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// The subscribers of one handle: an adapter dispatches what it receives, each subscriber takes what its
/// pattern matches out of a bounded mailbox. One that lags loses its oldest messages and is told how many.
///
/// ```
/// use futures::StreamExt;
/// use linchpin_adapter::fanout::Subscribers;
/// use linchpin_core::{Channel, Pattern, Publication, SubscriptionEvent};
///
/// # #[tokio::main]
/// # async fn main() -> linchpin_core::Result<()> {
/// let subscribers = Subscribers::default();
/// let mut news = subscribers.add(Pattern::new("news:*")?, || println!("nobody listens to news any more"));
/// // What the server pushes. Each subscriber shares the payload.
/// assert_eq!(subscribers.dispatch(&Publication::new(Channel::new("news:sport")?, "2:1")), 1);
/// assert_eq!(subscribers.dispatch(&Publication::new(Channel::new("weather")?, "rain")), 0);
/// subscribers.mark_gap(); // the connection was lost, and is back
/// let SubscriptionEvent::Message(message) = news.next().await.expect("a message")? else { panic!("no message") };
/// assert_eq!((message.channel.as_str(), &message.payload[..]), ("news:sport", &b"2:1"[..]));
/// assert!(matches!(news.next().await, Some(Ok(SubscriptionEvent::Lagged(None)))));
/// // The handle has ended, and its subscriptions with it.
/// assert_eq!(subscribers.count(), 1);
/// subscribers.end(|| linchpin_core::Error::closed("subscribe"));
/// assert!(news.next().await.expect("an error").is_err());
/// assert_eq!(subscribers.count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Subscribers {
    mailboxes: Mutex<Vec<Weak<Mailbox>>>,
}

struct Mailbox {
    pattern: Pattern,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    /// `None` marks a gap: the connection was lost between its neighbours.
    queue: VecDeque<Option<Publication>>,
    bytes: usize,
    missed: u64,
    missed_unknown: bool,
    ended: Option<Arc<dyn Fn() -> Error + Send + Sync>>,
}

/// A subscriber's hold on its mailbox; calls back once it is gone.
struct MailboxHold<F: FnMut()> {
    mailbox: Option<Arc<Mailbox>>,
    on_drop: F,
}

impl<F: FnMut()> Drop for MailboxHold<F> {
    fn drop(&mut self) {
        // Before the callback: whoever counts the subscribers then must not count this one.
        drop(self.mailbox.take());
        (self.on_drop)();
    }
}

impl Subscribers {
    /// How many messages a subscriber may lag before it loses the oldest.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use linchpin_adapter::fanout::Subscribers;
    /// use linchpin_core::{Channel, Pattern, Publication, SubscriptionEvent};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> linchpin_core::Result<()> {
    /// let subscribers = Subscribers::default();
    /// let (mut slow, news) = (subscribers.add(Pattern::new("*")?, || ()), Channel::new("news")?);
    /// for n in 0..Subscribers::CAPACITY + 5 {
    ///     subscribers.dispatch(&Publication::new(news.clone(), n.to_string()));
    /// }
    /// assert!(matches!(slow.next().await, Some(Ok(SubscriptionEvent::Lagged(Some(5))))));
    /// assert!(matches!(slow.next().await, Some(Ok(SubscriptionEvent::Message(oldest))) if oldest.payload == "5"));
    /// # Ok(())
    /// # }
    /// ```
    pub const CAPACITY: usize = 1024;
    /// How many bytes of payload a subscriber may lag before it loses the oldest.
    ///
    /// ```
    /// # use futures::StreamExt;
    /// # use linchpin_adapter::fanout::Subscribers;
    /// # use linchpin_core::{Channel, Pattern, Publication, SubscriptionEvent};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> linchpin_core::Result<()> {
    /// let subscribers = Subscribers::default();
    /// let (mut slow, news) = (subscribers.add(Pattern::new("*")?, || ()), Channel::new("news")?);
    /// subscribers.dispatch(&Publication::new(news.clone(), vec![0; Subscribers::CAPACITY_BYTES]));
    /// subscribers.dispatch(&Publication::new(news, "2:1"));
    /// assert!(matches!(slow.next().await, Some(Ok(SubscriptionEvent::Lagged(Some(1))))));
    /// # Ok(())
    /// # }
    /// ```
    pub const CAPACITY_BYTES: usize = 16 * 1024 * 1024;

    /// Adds a subscriber; `on_drop` runs when its stream is dropped, so that the adapter can unsubscribe.
    pub fn add(&self, pattern: Pattern, on_drop: impl FnMut() + Send + 'static) -> Subscription {
        let mailbox = Arc::new(Mailbox { pattern, state: Mutex::default(), arrived: Notify::new() });
        let mut mailboxes = self.mailboxes.lock();
        mailboxes.retain(|mailbox| mailbox.strong_count() > 0);
        mailboxes.push(Arc::downgrade(&mailbox));
        let held = MailboxHold { mailbox: Some(mailbox), on_drop };
        Box::pin(stream::unfold(Some(held), |held| async move {
            let held = held?;
            let item = held.mailbox.as_ref()?.take().await;
            let next = item.is_ok().then_some(held);
            Some((item, next))
        }))
    }

    /// Hands a message to every subscriber whose pattern matches; returns to how many.
    pub fn dispatch(&self, message: &Publication) -> u64 {
        let mut reached = 0;
        for mailbox in self.mailboxes.lock().iter().filter_map(Weak::upgrade) {
            if mailbox.pattern.matches(message.channel.as_str()) {
                mailbox.put(Some(message.clone()));
                reached += 1;
            }
        }
        reached
    }

    /// Tells every subscriber that messages may have been missed here: call it before anything that came after the gap
    /// is dispatched.
    pub fn mark_gap(&self) {
        for mailbox in self.live() {
            mailbox.put(None);
        }
    }

    /// Ends every subscription with an error, after what is queued has been taken.
    pub fn end(&self, error: impl Fn() -> Error + Send + Sync + 'static) {
        let error: Arc<dyn Fn() -> Error + Send + Sync> = Arc::new(error);
        for mailbox in self.live() {
            mailbox.state.lock().ended = Some(error.clone());
            mailbox.arrived.notify_one();
        }
    }

    /// How many subscribers there are.
    pub fn count(&self) -> usize {
        self.live().len()
    }

    fn live(&self) -> Vec<Arc<Mailbox>> {
        self.mailboxes.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Mailbox {
    fn put(&self, item: Option<Publication>) {
        let mut state = self.state.lock();
        if item.is_none() && matches!(state.queue.back(), Some(None)) {
            return;
        }
        state.bytes += size(item.as_ref());
        state.queue.push_back(item);
        while state.queue.len() > Subscribers::CAPACITY || state.bytes > Subscribers::CAPACITY_BYTES {
            let Some(oldest) = state.queue.pop_front() else { break };
            state.bytes -= size(oldest.as_ref());
            match oldest {
                Some(_) => state.missed += 1,
                None => state.missed_unknown = true,
            }
        }
        drop(state);
        self.arrived.notify_one();
    }

    async fn take(&self) -> Result<SubscriptionEvent> {
        loop {
            if let Some(item) = self.try_take() {
                return item;
            }
            self.arrived.notified().await;
        }
    }

    fn try_take(&self) -> Option<Result<SubscriptionEvent>> {
        let mut state = self.state.lock();
        if state.missed > 0 {
            return Some(Ok(SubscriptionEvent::Lagged(Some(std::mem::take(&mut state.missed)))));
        }
        if std::mem::take(&mut state.missed_unknown) {
            return Some(Ok(SubscriptionEvent::Lagged(None)));
        }
        match state.queue.pop_front() {
            Some(Some(message)) => {
                state.bytes -= message.payload.len();
                Some(Ok(SubscriptionEvent::Message(message)))
            }
            Some(None) => Some(Ok(SubscriptionEvent::Lagged(None))),
            None => state.ended.as_ref().map(|error| Err(error())),
        }
    }
}

fn size(item: Option<&Publication>) -> usize {
    item.map_or(0, |message| message.payload.len())
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribers").field("count", &self.count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use linchpin_core::ErrorKind;

    fn message(n: usize) -> Publication {
        Publication::new(linchpin_core::Channel::new("c").expect("valid"), n.to_string())
    }

    #[tokio::test]
    async fn a_laggard_is_told_how_much_it_lost_and_goes_on() {
        let subscribers = Subscribers::default();
        let mut stream = subscribers.add(Pattern::new("*").expect("valid"), || ());
        for n in 0..Subscribers::CAPACITY + 5 {
            assert_eq!(subscribers.dispatch(&message(n)), 1);
        }
        assert!(matches!(stream.next().await, Some(Ok(SubscriptionEvent::Lagged(Some(5))))));
        assert_eq!(stream.next().await.expect("open").expect("a message"), SubscriptionEvent::Message(message(5)));
    }

    #[tokio::test]
    async fn a_gap_stands_where_it_happened_and_the_end_comes_last() {
        let subscribers = Subscribers::default();
        let mut stream = subscribers.add(Pattern::new("c").expect("valid"), || ());
        subscribers.dispatch(&message(1));
        subscribers.mark_gap();
        subscribers.dispatch(&message(2));
        subscribers.end(|| Error::closed("subscribe"));
        let mut seen = Vec::new();
        while let Some(item) = stream.next().await {
            seen.push(item.map_err(|error| error.kind()));
        }
        let expected = vec![
            Ok(SubscriptionEvent::Message(message(1))),
            Ok(SubscriptionEvent::Lagged(None)),
            Ok(SubscriptionEvent::Message(message(2))),
            Err(ErrorKind::Closed),
        ];
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_dropped_subscription_is_gone_and_says_so() {
        let dropped = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let subscribers = Subscribers::default();
        let flag = dropped.clone();
        let stream = subscribers.add(Pattern::new("*").expect("valid"), move || {
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        drop(stream);
        assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!((subscribers.count(), subscribers.dispatch(&message(1))), (0, 0));
    }
}
