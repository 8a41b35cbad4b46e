//! What the server pushes: one pub/sub connection per handle, shared by everything that listens.
//!
//! Overlapping topics are asked for once: the server sends a message to a client as often as the client's
//! subscriptions match it, so only topics that no other one covers are subscribed to there, and the hub
//! hands each message to all who listen. While one topic takes over from others both are subscribed to for
//! a moment. The server's confirmations come in order with its messages, so it is certain from which message
//! on the new one counts.

use crate::commands::Prefix;
use crate::connection::{Backoff, Connection};
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
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The whole namespace, as its ACL writes it.
const WHOLE: Topic = Topic::Start(String::new());

/// Somebody who listens. Called by the task that reads the connection: it must not block.
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
    closed: AtomicBool,
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

    fn remove(&mut self, topic: &Topic, listener: &Arc<dyn Listener>) {
        if let Some(listening) = self.of(topic).get_mut(topic) {
            listening.retain(|other| !std::ptr::addr_eq(other.as_ptr(), Arc::as_ptr(listener)));
        }
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
    hub: Arc<Hub>,
    /// Taken when it is dropped.
    listener: Option<Arc<dyn Listener>>,
    requests: mpsc::Sender<Request>,
    topic: Topic,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Taken out here: a dispatch may hold on to it for a moment longer.
        if let Some(listener) = self.listener.take() {
            self.hub.shared.listeners.lock().remove(&self.topic, &listener);
        }
        // A full queue only keeps a subscription at the server that nobody reads any more.
        drop(self.requests.try_send(Request::Left(self.topic.clone())));
    }
}

impl Hub {
    pub(crate) fn new(connection: Arc<Connection>, prefix: Prefix) -> Self {
        let shared = Shared { prefix, listeners: Mutex::default(), broken: AtomicBool::new(false) };
        Self { connection, shared: Arc::new(shared), serving: Mutex::new(None), closed: AtomicBool::new(false) }
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
        let listening =
            Listening { hub: self.clone(), listener: Some(listener), requests: requests.clone(), topic: topic.clone() };
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
        let mut serving = self.serving.lock();
        self.closed.store(true, Ordering::Release);
        *serving = None;
        drop(serving);
        for listener in self.shared.all() {
            listener.end();
        }
    }

    async fn serving(&self, operation: &'static str) -> Result<mpsc::Sender<Request>> {
        if let Some(serving) = &*self.serving.lock() {
            return Ok(serving.requests.clone());
        }
        let server = Server::connect(&self.connection, &self.shared, operation).await?;
        let mut slot = self.serving.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed(operation));
        }
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

/// What a connection is subscribed to, and the way of what it pushes to those who listen.
struct Intake {
    shared: Arc<Shared>,
    carriers: Mutex<Carriers>,
    lost: Notify,
}

impl Intake {
    /// Takes one push: a message, or the confirmation of a subscription.
    fn take(&self, push: &PushInfo) {
        let bytes = |index: usize| match push.data.get(index) {
            Some(Value::BulkString(bytes)) => bytes.as_slice(),
            _ => &[],
        };
        let prefix = &self.shared.prefix;
        let name = |index: usize| str::from_utf8(bytes(index)).unwrap_or_default();
        let (via, message) = match push.kind {
            PushKind::Disconnection => return self.lost.notify_one(),
            PushKind::Subscribe => (Topic::channel_on(prefix, name(0)), None),
            PushKind::PSubscribe => (Topic::start_on(prefix, name(0)), None),
            PushKind::Message => (Topic::channel_on(prefix, name(0)), Some((name(0), bytes(1)))),
            PushKind::PMessage => (Topic::start_on(prefix, name(0)), Some((name(1), bytes(2)))),
            _ => return,
        };
        match (via, message) {
            (Some(via), None) => self.carriers.lock().confirm(via),
            (Some(via), Some((channel, payload))) => {
                if let Some(channel) = prefix.strip(channel)
                    && self.carriers.lock().is_sent_for(&via, channel)
                {
                    self.shared.dispatch(channel, payload);
                }
            }
            (None, _) => {}
        }
    }
}

/// The connection.
struct Server {
    connection: MultiplexedConnection,
    intake: Arc<Intake>,
    /// The user may subscribe to no other pattern than the whole namespace: ACLs compare patterns literally.
    whole_only: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        // What its connection may still read is told by the one after it.
        *self.intake.carriers.lock() = Carriers::default();
    }
}

impl Server {
    async fn connect(connection: &Connection, shared: &Arc<Shared>, operation: &'static str) -> Result<Self> {
        let intake = Intake { shared: shared.clone(), carriers: Mutex::default(), lost: Notify::new() };
        let intake = Arc::new(intake);
        let taking = intake.clone();
        let connection = connection.subscriber(operation, HEARTBEAT * 2, move |push| taking.take(push)).await?;
        Ok(Self { connection, intake, whole_only: false })
    }

    fn carries(&self, topic: &Topic) -> bool {
        self.intake.carriers.lock().contains(topic)
    }

    /// Makes the server send what belongs to a topic.
    async fn carry(&mut self, shared: &Shared, topic: Topic) -> Result<()> {
        if self.intake.carriers.lock().cover(&topic) {
            return Ok(());
        }
        self.subscribe(shared, vec![topic.clone()]).await?;
        let replaced = self.intake.carriers.lock().under(&if self.whole_only { WHOLE } else { topic });
        self.unsubscribe(shared, replaced).await
    }

    /// Stops what nobody needs after somebody left a topic.
    async fn settle(&mut self, shared: &Shared, topic: &Topic) -> Result<()> {
        // What a pattern of the whole namespace carries is not there under its own name.
        if shared.listeners.lock().need(topic) || !self.carries(topic) {
            return Ok(());
        }
        // A channel carries nothing but itself, so only a start is worth a look at everybody.
        if topic.is_start() {
            let mut needed = shared.listeners.lock().needed();
            needed.retain(|other| topic.covers(other));
            self.subscribe(shared, outermost(needed)).await?;
        }
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
                Err(error) if error.kind() == ErrorKind::Unauthorized => {
                    answered(self.connection.psubscribe(WHOLE.on_server(&shared.prefix))).await?;
                    self.whole_only = true;
                }
                result => result?,
            }
        }
        let mut awaited = channels;
        if self.whole_only && !starts.is_empty() {
            awaited.push(WHOLE);
        } else {
            awaited.extend(starts);
        }
        // The confirmations came in line with the messages before them, and before the answers.
        if awaited.iter().all(|topic| self.carries(topic)) {
            Ok(())
        } else {
            Err(lost("a subscription was not confirmed"))
        }
    }

    async fn unsubscribe(&mut self, shared: &Shared, topics: Vec<Topic>) -> Result<()> {
        let (starts, channels): (Vec<_>, Vec<_>) = {
            let mut carriers = self.intake.carriers.lock();
            topics.into_iter().filter(|topic| carriers.remove(topic)).partition(Topic::is_start)
        };
        let names = |topics: Vec<Topic>| topics.iter().map(|topic| topic.on_server(&shared.prefix)).collect::<Vec<_>>();
        if !channels.is_empty() {
            answered(self.connection.unsubscribe(names(channels))).await?;
        }
        if !starts.is_empty() {
            answered(self.connection.punsubscribe(names(starts))).await?;
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
        // It may be alive and only slow: nothing may come over both.
        drop(server);
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
            () = server.intake.lost.notified() => return Err(lost("the connection was closed")),
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

async fn reconnect(connection: &Connection, shared: &Arc<Shared>) -> Server {
    let mut backoff = Backoff::default();
    loop {
        backoff.pause().await;
        match resubscribed(connection, shared).await {
            Ok(server) => return server,
            Err(error) => tracing::debug!(%error, "what the server pushes is still away"),
        }
    }
}

async fn resubscribed(connection: &Connection, shared: &Arc<Shared>) -> Result<Server> {
    let mut server = Server::connect(connection, shared, "subscribe").await?;
    let needed = shared.listeners.lock().needed();
    server.subscribe(shared, outermost(needed)).await?;
    Ok(server)
}
