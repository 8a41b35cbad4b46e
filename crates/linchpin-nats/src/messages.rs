//! Messages: core NATS, with one subscription at the server for each part of the namespace's channels that is asked for.

use crate::connection::{Connection, Losses};
use crate::error::{lost, not_permitted};
use crate::names::Names;
use async_nats::Subscriber;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use linchpin_adapter::fanout::Subscribers;
use linchpin_core::life::End;
use linchpin_core::{Channel, Pattern, Publication, Reach, Result, Subscription};
use linchpin_log::Messages;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// The subscriptions of a handle.
pub(crate) struct Hub {
    connection: Arc<Connection>,
    names: Names,
    /// By the subject that the server was asked for.
    topics: Mutex<HashMap<String, Weak<Topic>>>,
}

/// A subscription at the server, and who listens to it here.
#[derive(Default)]
struct Topic {
    subscribers: Subscribers,
    listening: OnceCell<Listening>,
}

/// The task that takes messages from the server; ends when it is dropped.
struct Listening {
    task: JoinHandle<()>,
    /// Who wants to hear nothing that has arrived by now: told once that was handed out.
    joining: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    pub(crate) fn new(connection: Arc<Connection>, names: Names) -> Self {
        Self { connection, names, topics: Mutex::default() }
    }

    async fn join(&self, pattern: &Pattern) -> Result<Subscription> {
        let subject = match pattern.literal() {
            Some(channel) => self.names.channel(&Channel::stored(channel)?),
            None => self.names.channels_under(&pattern.literal_prefix()),
        };
        let topic = self.topic(&subject);
        let was_live = topic.listening.initialized();
        let listening = topic.listening.get_or_try_init(|| self.listen(&topic, subject)).await?;
        if was_live {
            // What was published so far has arrived.
            self.connection.settle("subscribe").await?;
        }
        let (handed_out, is_over) = oneshot::channel();
        let is_gone = |_| lost("subscribe");
        listening.joining.send(handed_out).map_err(|_| lost("subscribe"))?;
        is_over.await.map_err(is_gone)?;
        // It holds what it listens by.
        let held = topic.clone();
        Ok(topic.subscribers.add(pattern.clone(), move || {
            let _ = &held;
        }))
    }

    fn topic(&self, subject: &str) -> Arc<Topic> {
        let mut topics = self.topics.lock();
        let is_over = |topic: &Topic| topic.listening.get().is_some_and(|listening| listening.task.is_finished());
        if let Some(topic) = topics.get(subject).and_then(Weak::upgrade).filter(|topic| !is_over(topic)) {
            return topic;
        }
        topics.retain(|_, topic| topic.strong_count() > 0);
        let topic = Arc::new(Topic::default());
        topics.insert(subject.to_owned(), Arc::downgrade(&topic));
        topic
    }

    async fn listen(&self, topic: &Arc<Topic>, subject: String) -> Result<Listening> {
        let losses = self.connection.losses();
        let before = losses.borrow().clone();
        let messages = self.connection.subscribe("subscribe", subject.clone()).await?;
        let (connection, names) = (self.connection.clone(), self.names.clone());
        let (joining, joins) = mpsc::unbounded_channel();
        let listener = Listener { connection, names, subject, messages, joins, losses, before };
        let topic = Arc::downgrade(topic);
        Ok(Listening { task: tokio::spawn(async move { listener.listen(&topic).await }), joining })
    }

    /// Ends every subscription.
    pub(crate) fn end(&self, ended: End) {
        let topics: Vec<_> = self.topics.lock().values().filter_map(Weak::upgrade).collect();
        for topic in topics {
            topic.subscribers.end(move || ended.error("subscribe"));
        }
    }
}

#[async_trait]
impl Messages for Hub {
    /// Sends a message to whoever is subscribed now. The server says if that is nobody.
    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        let is_heard = self.connection.tell("publish", self.names.channel(channel), payload).await?;
        Ok(Reach { at_most: (!is_heard).then_some(0) })
    }

    /// Returns once the subscription is live at the server.
    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.join(pattern).await
    }
}

/// What hands messages to the subscribers. It keeps the connection, as a subscription outlives its handle.
struct Listener {
    connection: Arc<Connection>,
    names: Names,
    subject: String,
    messages: Subscriber,
    joins: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    losses: watch::Receiver<Losses>,
    /// What had become of the connection when the last gap was marked.
    before: Losses,
}

impl Listener {
    /// How long until it is asked again whether the subscription is live, while nothing tells.
    const AGAIN: Duration = Duration::from_millis(100);

    /// Hands out messages, and tells where some may be missing, for as long as anybody listens.
    async fn listen(mut self, topic: &Weak<Topic>) {
        let mut has_gap = false;
        loop {
            tokio::select! {
                biased;
                changed = self.losses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(Self::AGAIN), if has_gap => {}
                Some(joining) = self.joins.recv(), if !has_gap => {
                    let Some(topic) = topic.upgrade() else { return };
                    // However many: the runtime would make it pause after some.
                    while let Some(Some(message)) = tokio::task::unconstrained(self.messages.next()).now_or_never() {
                        self.dispatch(&topic.subscribers, &message);
                    }
                    // It may have been given up.
                    let _ = joining.send(());
                    continue;
                }
                // What comes after a gap waits until that is marked.
                message = self.messages.next(), if !has_gap => {
                    let Some(topic) = topic.upgrade() else { return };
                    let Some(message) = message else {
                        return topic.subscribers.end(|| lost("subscribe"));
                    };
                    self.dispatch(&topic.subscribers, &message);
                    continue;
                }
            }
            let Some(topic) = topic.upgrade() else { return };
            let now = self.losses.borrow_and_update().clone();
            if now.has_denied(&self.subject, &self.before) {
                return topic.subscribers.end(|| not_permitted("subscribe"));
            }
            let known = &self.before;
            has_gap = (now.lost, now.built, now.overrun) != (known.lost, known.built, known.overrun);
            // Once it is live again: what is sent after the mark arrives.
            if has_gap && self.connection.is_up() && self.connection.settle("subscribe").await.is_ok() {
                topic.subscribers.mark_gap();
                (self.before, has_gap) = (now, false);
            }
        }
    }

    fn dispatch(&self, subscribers: &Subscribers, message: &async_nats::Message) {
        if let Some(Ok(channel)) = self.names.channel_of(&message.subject).map(Channel::stored) {
            // A copy: the client's is a part of what it read at once, and would keep all of that in a mailbox.
            subscribers.dispatch(&Publication::new(channel, Bytes::copy_from_slice(&message.payload)));
        }
    }
}
