//! What the server pushes: one pub/sub connection per handle, shared by everything that listens.
//!
//! Overlapping topics are asked for once: the server sends a message to a client as often as the client's
//! subscriptions match it, so only topics that no other one covers are subscribed to there, and the hub
//! hands each message to all who listen. While one topic takes over from others both are subscribed to for
//! a moment. The server's confirmations come in order with its messages, so it is certain from which message
//! on the new one counts.

use crate::commands::Prefix;
use crate::connection::{Backoff, Connection, Pushes};
use crate::error;
use crate::topics::{Carriers, Topic, outermost};
use linchpin_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The whole namespace, as its ACL writes it.
const WHOLE: Topic = Topic::Start(String::new());

/// Somebody who listens. Called by the hub's task: it must not block.
pub(crate) trait Listener: Send + Sync {
    /// A message on a channel of its topic; the channel's name is that within the namespace.
    fn receive(&self, channel: &str, payload: &[u8]);

    /// Messages may have been missed.
    fn mark_gap(&self);

    /// No more messages will come: the handle was closed.
    fn end(&self);
}

/// The pub/sub connection of a handle; the first listener connects it.
pub(crate) struct Hub {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    serving: Mutex<Option<Serving>>,
}

struct Shared {
    prefix: Prefix,
    listeners: Mutex<Listeners>,
    broken: AtomicBool,
}

/// Who listens to what. Starts are few, channels may be many.
#[derive(Default)]
struct Listeners {
    starts: HashMap<Topic, Vec<Weak<dyn Listener>>>,
    channels: HashMap<Topic, Vec<Weak<dyn Listener>>>,
}

impl Listeners {
    fn of(&mut self, topic: &Topic) -> &mut HashMap<Topic, Vec<Weak<dyn Listener>>> {
        if topic.is_start() { &mut self.starts } else { &mut self.channels }
    }

    fn on(&self, channel: &str) -> Vec<Arc<dyn Listener>> {
        let channel = Topic::Channel(channel.to_owned());
        let starts = self.starts.iter().filter(|(start, _)| start.covers(&channel)).map(|(_, listening)| listening);
        starts.chain(self.channels.get(&channel)).flatten().filter_map(Weak::upgrade).collect()
    }

    /// Whether somebody still listens to exactly this.
    fn need(&mut self, topic: &Topic) -> bool {
        let map = self.of(topic);
        let Some(listening) = map.get_mut(topic) else { return false };
        listening.retain(|listener| listener.strong_count() > 0);
        let needed = !listening.is_empty();
        if !needed {
            map.remove(topic);
        }
        needed
    }

    fn needed(&mut self) -> Vec<Topic> {
        let topics: Vec<Topic> = self.starts.keys().chain(self.channels.keys()).cloned().collect();
        topics.into_iter().filter(|topic| self.need(topic)).collect()
    }
}

struct Serving {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Request {
    Listen(Topic, oneshot::Sender<Result<()>>),
    /// Somebody who listened there is gone.
    Left(Topic),
}

/// Listening to a topic, until it is dropped. It keeps the hub alive, so it may outlive its handle.
pub(crate) struct Listening {
    _hub: Arc<Hub>,
    /// Taken when it is dropped.
    listener: Option<Arc<dyn Listener>>,
    requests: mpsc::Sender<Request>,
    topic: Topic,
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.listener.take());
        // A full queue only keeps a subscription at the server that nobody reads any more.
        drop(self.requests.try_send(Request::Left(self.topic.clone())));
    }
}

impl Hub {
    pub(crate) fn new(connection: Arc<Connection>, prefix: Prefix) -> Self {
        let shared = Shared { prefix, listeners: Mutex::default(), broken: AtomicBool::new(false) };
        Self { connection, shared: Arc::new(shared), serving: Mutex::new(None) }
    }

    /// Hands everything of a topic to the listener; returns once the server confirmed it.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        operation: &'static str,
        topic: Topic,
        listener: Arc<dyn Listener>,
    ) -> Result<Listening> {
        let requests = self.serving(operation).await?;
        // Registered first: what arrives once the server confirms finds it.
        self.shared.listeners.lock().of(&topic).entry(topic.clone()).or_default().push(Arc::downgrade(&listener));
        let listening = Listening {
            _hub: self.clone(),
            listener: Some(listener),
            requests: requests.clone(),
            topic: topic.clone(),
        };
        let limit = self.connection.response_timeout();
        let closed = || Error::closed(operation);
        let asking = async {
            let (done, confirmed) = oneshot::channel();
            requests.send(Request::Listen(topic, done)).await.map_err(|_| closed())?;
            confirmed.await.map_err(|_| closed())?
        };
        // Not for ever, as the hub may be reconnecting.
        tokio::time::timeout(limit, asking)
            .await
            .unwrap_or_else(|_| Err(Error::timeout(operation, limit).of_read()))
            .map_err(|error| error.with_operation(operation))?;
        Ok(listening)
    }

    /// Whether the connection is away at present.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        *self.serving.lock() = None;
        for listener in self.shared.all() {
            listener.end();
        }
    }

    async fn serving(&self, operation: &'static str) -> Result<mpsc::Sender<Request>> {
        if let Some(serving) = &*self.serving.lock() {
            return Ok(serving.requests.clone());
        }
        let server = Server::connect(&self.connection, operation).await?;
        let mut slot = self.serving.lock();
        let serving = slot.get_or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(1024);
            let (connection, shared) = (self.connection.clone(), self.shared.clone());
            Serving { requests, task: tokio::spawn(async move { serve(connection, shared, server, receiver).await }) }
        });
        Ok(serving.requests.clone())
    }
}

impl Shared {
    fn all(&self) -> Vec<Arc<dyn Listener>> {
        let listeners = self.listeners.lock();
        listeners.starts.values().chain(listeners.channels.values()).flatten().filter_map(Weak::upgrade).collect()
    }

    fn dispatch(&self, channel: &str, payload: &[u8]) {
        let listening = self.listeners.lock().on(channel);
        for listener in listening {
            listener.receive(channel, payload);
        }
    }

    fn mark_gap(&self) {
        for listener in self.all() {
            listener.mark_gap();
        }
    }
}

/// The connection, and what it is subscribed to.
struct Server {
    connection: MultiplexedConnection,
    pushes: Pushes,
    carriers: Carriers,
    /// The user may subscribe to no other pattern than the whole namespace: ACLs compare patterns literally.
    whole_only: bool,
}

impl Server {
    async fn connect(connection: &Connection, operation: &'static str) -> Result<Self> {
        let (connection, pushes) = connection.subscriber(operation, HEARTBEAT * 2).await?;
        Ok(Self { connection, pushes, carriers: Carriers::default(), whole_only: false })
    }

    /// Makes the server send what belongs to a topic.
    async fn carry(&mut self, shared: &Shared, topic: Topic) -> Result<()> {
        if self.carriers.cover(&topic) {
            return Ok(());
        }
        self.subscribe(shared, vec![topic.clone()]).await?;
        let replaced = self.carriers.under(&if self.whole_only { WHOLE } else { topic });
        self.unsubscribe(shared, replaced).await
    }

    /// Stops what nobody needs after somebody left a topic.
    async fn settle(&mut self, shared: &Shared, topic: &Topic) -> Result<()> {
        // What a pattern of the whole namespace carries is not there under its own name.
        if shared.listeners.lock().need(topic) || !self.carriers.contains(topic) {
            return Ok(());
        }
        let mut needed = shared.listeners.lock().needed();
        needed.retain(|other| topic.covers(other));
        self.subscribe(shared, outermost(needed)).await?;
        self.unsubscribe(shared, vec![topic.clone()]).await
    }

    /// Subscribes to topics of which none covers another, and waits until each is confirmed.
    async fn subscribe(&mut self, shared: &Shared, topics: Vec<Topic>) -> Result<()> {
        let (starts, channels): (Vec<_>, Vec<_>) = topics.into_iter().partition(Topic::is_start);
        if !channels.is_empty() {
            let names: Vec<_> = channels.iter().map(|topic| topic.on_server(&shared.prefix)).collect();
            answered(self.connection.subscribe(names)).await?;
        }
        if !starts.is_empty() && !self.whole_only {
            let globs: Vec<_> = starts.iter().map(|topic| topic.on_server(&shared.prefix)).collect();
            match answered(self.connection.psubscribe(globs)).await {
                Err(error) if error.kind() == ErrorKind::Unauthorized => self.whole_only = true,
                result => result?,
            }
        }
        let mut awaited = channels;
        if self.whole_only && !starts.is_empty() {
            awaited.push(WHOLE);
            if !self.carriers.contains(&WHOLE) {
                answered(self.connection.psubscribe(WHOLE.on_server(&shared.prefix))).await?;
            }
        } else {
            awaited.extend(starts);
        }
        // The confirmations stand in line with the messages before them.
        while !awaited.iter().all(|topic| self.carriers.contains(topic)) {
            let push = self.pushes.take_now().ok_or_else(|| lost("a subscription was not confirmed"))?;
            self.take(shared, &push)?;
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, shared: &Shared, topics: Vec<Topic>) -> Result<()> {
        let topics = topics.into_iter().filter(|topic| self.carriers.remove(topic));
        let (starts, channels): (Vec<_>, Vec<_>) = topics.partition(Topic::is_start);
        let names = |topics: Vec<Topic>| topics.iter().map(|topic| topic.on_server(&shared.prefix)).collect::<Vec<_>>();
        if !channels.is_empty() {
            answered(self.connection.unsubscribe(names(channels))).await?;
        }
        if !starts.is_empty() {
            answered(self.connection.punsubscribe(names(starts))).await?;
        }
        Ok(())
    }

    /// Takes one push: a message, or the confirmation of a subscription.
    fn take(&mut self, shared: &Shared, push: &PushInfo) -> Result<()> {
        let text = |index: usize| match push.data.get(index) {
            Some(Value::BulkString(bytes)) => str::from_utf8(bytes).ok(),
            Some(Value::SimpleString(text)) => Some(text.as_str()),
            _ => None,
        };
        let payload = |index: usize| match push.data.get(index) {
            Some(Value::BulkString(bytes)) => bytes.as_slice(),
            _ => &[],
        };
        let (via, channel, payload) = match push.kind {
            PushKind::Disconnection => return Err(lost("the connection was closed")),
            PushKind::Subscribe => (text(0).and_then(|name| Topic::channel_on(&shared.prefix, name)), None, &[][..]),
            PushKind::PSubscribe => (text(0).and_then(|glob| Topic::start_on(&shared.prefix, glob)), None, &[][..]),
            PushKind::Message => {
                (text(0).and_then(|name| Topic::channel_on(&shared.prefix, name)), text(0), payload(1))
            }
            PushKind::PMessage => (text(0).and_then(|glob| Topic::start_on(&shared.prefix, glob)), text(1), payload(2)),
            _ => return Ok(()),
        };
        let Some(via) = via else { return Ok(()) };
        let Some(channel) = channel else {
            self.carriers.confirm(via);
            return Ok(());
        };
        if let Some(channel) = shared.prefix.strip(channel)
            && self.carriers.is_sent_for(&via, channel)
        {
            shared.dispatch(channel, payload);
        }
        Ok(())
    }

    async fn ping(&mut self) -> Result<()> {
        answered(redis::cmd("PING").query_async::<Value>(&mut self.connection)).await.map(drop)
    }
}

fn lost(problem: &str) -> Error {
    error::unexpected("subscribe", problem)
}

/// The answer of a connection that may be dead without anybody having said so.
async fn answered<T>(answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
    tokio::time::timeout(HEARTBEAT * 2, answer)
        .await
        .map_err(|_| Error::timeout("subscribe", HEARTBEAT * 2).of_read())?
        .map_err(|error| error::of_command("subscribe", error).of_read())
}

/// Runs the connection for ever: takes requests and messages, asks a silent server whether it is there, and
/// rebuilds what broke.
async fn serve(
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    mut server: Server,
    mut requests: mpsc::Receiver<Request>,
) {
    loop {
        let Err(error) = serve_until_broken(&shared, &mut server, &mut requests).await else { return };
        shared.broken.store(true, Ordering::Relaxed);
        tracing::warn!(%error, "what the server pushes broke off; reconnecting");
        server = reconnect(&connection, &shared).await;
        shared.broken.store(false, Ordering::Relaxed);
        shared.mark_gap();
    }
}

async fn serve_until_broken(
    shared: &Shared,
    server: &mut Server,
    requests: &mut mpsc::Receiver<Request>,
) -> Result<()> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            push = server.pushes.take() => {
                let push = push.ok_or_else(|| lost("more came than could be handed out"))?;
                server.take(shared, &push)?;
            }
            request = requests.recv() => match request {
                None => return Ok(()),
                Some(Request::Left(topic)) => server.settle(shared, &topic).await?,
                Some(Request::Listen(topic, done)) => {
                    let result = server.carry(shared, topic).await;
                    let broken = result.as_ref().err().is_some_and(Error::is_transient);
                    // A caller who gave up no longer listens.
                    let _ = done.send(result);
                    if broken {
                        return Err(lost("a subscription failed"));
                    }
                }
            },
            _ = heartbeat.tick() => server.ping().await?,
        }
    }
}

async fn reconnect(connection: &Connection, shared: &Shared) -> Server {
    let mut backoff = Backoff::default();
    loop {
        backoff.pause().await;
        match resubscribed(connection, shared).await {
            Ok(server) => return server,
            Err(error) => tracing::debug!(%error, "what the server pushes is still away"),
        }
    }
}

async fn resubscribed(connection: &Connection, shared: &Shared) -> Result<Server> {
    let mut server = Server::connect(connection, "subscribe").await?;
    let needed = shared.listeners.lock().needed();
    server.subscribe(shared, outermost(needed)).await?;
    Ok(server)
}
