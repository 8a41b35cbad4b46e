//! Messages: one pub/sub connection per handle, shared by its subscriptions and by waiting stream members.

use crate::commands::Prefix;
use crate::connection::{Backoff, Connection};
use crate::error;
use futures::StreamExt;
use linchpin_core::fanout::Subscribers;
use linchpin_core::{Channel, Error, ErrorKind, Message, Pattern, Reach, Result, StreamName, Subscription};
use parking_lot::Mutex;
use redis::aio::{PubSubSink, PubSubStream};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the server is asked for: a channel, or everything that starts with a text. Each subscriber hangs on
/// exactly one of them, so a message that the server sends for two of them reaches each subscriber once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Topic {
    Channel(String),
    Start(String),
}

impl Topic {
    /// The start as a pattern of the server.
    fn glob(start: &str) -> String {
        let mut glob = String::with_capacity(start.len() + 1);
        for c in start.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                glob.push('\\');
            }
            glob.push(c);
        }
        glob.push('*');
        glob
    }
}

/// The subscriptions of a handle and what serves them.
pub(crate) struct Messages {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    hub: Mutex<Option<Hub>>,
}

struct Shared {
    prefix: Prefix,
    topics: Mutex<HashMap<Topic, Arc<Subscribers>>>,
    /// Members that wait for a stream: its wake channel, and a count that changes when it is to be looked at.
    wakes: Mutex<HashMap<String, Weak<watch::Sender<u64>>>>,
    broken: AtomicBool,
    /// The user may subscribe to no other pattern than the whole namespace: ACLs compare patterns literally.
    whole_only: AtomicBool,
}

struct Hub {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Request {
    Subscribe(Topic, oneshot::Sender<Result<()>>),
    Unsubscribe(Topic),
}

impl Messages {
    pub(crate) fn new(connection: Arc<Connection>, prefix: Prefix) -> Self {
        let shared = Shared {
            prefix,
            topics: Mutex::default(),
            wakes: Mutex::default(),
            broken: AtomicBool::new(false),
            whole_only: AtomicBool::new(false),
        };
        Self { connection, shared: Arc::new(shared), hub: Mutex::new(None) }
    }

    pub(crate) async fn publish(&self, channel: &Channel, payload: &[u8]) -> Result<Reach> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.shared.prefix.channel(channel.as_str())).arg(payload);
        let reached: u64 = self.connection.send("publish", &command).await?;
        Ok(Reach { at_most: Some(reached) })
    }

    /// The subscription keeps what serves it alive, so it may outlive its handle.
    pub(crate) async fn subscribe(self: &Arc<Self>, pattern: &Pattern) -> Result<Subscription> {
        let topic = match pattern.literal() {
            Some(channel) => Topic::Channel(self.shared.prefix.channel(&channel)),
            None => Topic::Start(self.shared.prefix.channel(&pattern.literal_prefix())),
        };
        let requests = self.hub("subscribe").await?;
        let on_drop = {
            let (served_by, requests, topic) = (self.clone(), requests.clone(), topic.clone());
            move || {
                // A full queue only keeps a subscription at the server that nobody reads any more.
                drop(requests.try_send(Request::Unsubscribe(topic.clone())));
                let _ = &served_by;
            }
        };
        // Registered first: what arrives once the server confirms finds it.
        let stream = self.shared.topics.lock().entry(topic.clone()).or_default().add(pattern.clone(), on_drop);
        request(&requests, topic, self.connection.response_timeout()).await?;
        Ok(stream)
    }

    /// Waits for a stream to be appended to, or for anything else that makes a claim worth another look.
    pub(crate) async fn waker(&self, stream: &StreamName) -> Result<Waker> {
        let requests = self.hub("claim").await?;
        let channel = self.shared.prefix.wake(stream);
        let sender = {
            let mut wakes = self.shared.wakes.lock();
            wakes.retain(|_, waiting| waiting.strong_count() > 0);
            let waiting = wakes.get(&channel).and_then(Weak::upgrade);
            waiting.unwrap_or_else(|| {
                let sender = Arc::new(watch::channel(0).0);
                wakes.insert(channel.clone(), Arc::downgrade(&sender));
                sender
            })
        };
        let woken = sender.subscribe();
        let waker = Waker { sender: Some(sender), woken, requests, topic: Topic::Channel(channel) };
        // Even where another member waits already, its subscription may not be confirmed yet.
        request(&waker.requests, waker.topic.clone(), self.connection.response_timeout()).await?;
        Ok(waker)
    }

    /// Whether the pub/sub connection is away at present.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        for subscribers in self.shared.topics.lock().values() {
            subscribers.end(|| Error::closed("subscribe"));
        }
        *self.hub.lock() = None;
        self.shared.wake_all();
    }

    /// The running hub; the first subscription connects it.
    async fn hub(&self, operation: &'static str) -> Result<mpsc::Sender<Request>> {
        if let Some(hub) = &*self.hub.lock() {
            return Ok(hub.requests.clone());
        }
        let (sink, stream) = self.connection.subscriber(operation).await?.split();
        let mut slot = self.hub.lock();
        let hub = slot.get_or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(1024);
            let (connection, shared) = (self.connection.clone(), self.shared.clone());
            let task = tokio::spawn(async move { serve(connection, shared, Server { sink, stream }, receiver).await });
            Hub { requests, task }
        });
        Ok(hub.requests.clone())
    }
}

/// Asks the hub for a topic and waits until the server confirmed it; not for ever, as the hub may be
/// reconnecting.
async fn request(requests: &mpsc::Sender<Request>, topic: Topic, limit: Duration) -> Result<()> {
    let asking = async {
        let (done, confirmed) = oneshot::channel();
        requests.send(Request::Subscribe(topic, done)).await.map_err(|_| Error::closed("subscribe"))?;
        confirmed.await.map_err(|_| Error::closed("subscribe"))?
    };
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(Error::timeout("subscribe", limit).of_read()))
}

/// A member's wait for a stream.
pub(crate) struct Waker {
    /// Taken when it is dropped.
    sender: Option<Arc<watch::Sender<u64>>>,
    woken: watch::Receiver<u64>,
    requests: mpsc::Sender<Request>,
    topic: Topic,
}

impl Waker {
    /// Returns when the stream is to be looked at again; remembers a wake-up that came before the call.
    pub(crate) async fn woken(&mut self) {
        let _ = self.woken.changed().await;
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        drop(self.sender.take());
        // Whether another member still waits, the hub sees when it comes to this.
        drop(self.requests.try_send(Request::Unsubscribe(self.topic.clone())));
    }
}

impl Shared {
    fn dispatch(&self, native: &redis::Msg) {
        let channel = native.get_channel_name();
        if let Some(waiting) = self.wakes.lock().get(channel).and_then(Weak::upgrade) {
            waiting.send_modify(|count| *count += 1);
        }
        let Some(own) = self.prefix.own_channel(channel) else { return };
        let message = || {
            let payload = native.get_payload_bytes().to_vec();
            Message { channel: own.to_owned(), payload, timestamp: None }
        };
        for subscribers in self.subscribers_of(native) {
            subscribers.dispatch(&message());
        }
    }

    /// Those who hang on the topic that the server sent this message for.
    fn subscribers_of(&self, native: &redis::Msg) -> Vec<Arc<Subscribers>> {
        let topics = self.topics.lock();
        let Some(glob) = native.get_pattern::<String>().ok().filter(|_| native.from_pattern()) else {
            let topic = Topic::Channel(native.get_channel_name().to_owned());
            return topics.get(&topic).cloned().into_iter().collect();
        };
        let whole = glob == self.prefix.whole();
        let is_meant = |topic: &Topic| matches!(topic, Topic::Start(start) if whole || Topic::glob(start) == glob);
        topics.iter().filter(|(topic, _)| is_meant(topic)).map(|(_, subscribers)| subscribers.clone()).collect()
    }

    fn mark_gap(&self) {
        for subscribers in self.topics.lock().values() {
            subscribers.mark_gap();
        }
        self.wake_all();
    }

    fn wake_all(&self) {
        for waiting in self.wakes.lock().values().filter_map(Weak::upgrade) {
            waiting.send_modify(|count| *count += 1);
        }
    }

    /// Whether anybody still needs a topic; forgets it if not.
    fn is_needed(&self, topic: &Topic) -> bool {
        let mut topics = self.topics.lock();
        if topics.get(topic).is_some_and(|subscribers| subscribers.count() > 0) {
            return true;
        }
        topics.remove(topic);
        let Topic::Channel(channel) = topic else { return false };
        self.wakes.lock().get(channel).is_some_and(|waiting| waiting.strong_count() > 0)
    }

    fn needed(&self) -> Vec<Topic> {
        let mut topics: Vec<Topic> = self.topics.lock().keys().cloned().collect();
        topics.extend(self.wakes.lock().keys().cloned().map(Topic::Channel));
        topics.retain(|topic| self.is_needed(topic));
        topics
    }
}

struct Server {
    sink: PubSubSink,
    stream: PubSubStream,
}

impl Server {
    async fn subscribe(&mut self, shared: &Shared, topic: &Topic) -> Result<()> {
        let start = match topic {
            Topic::Channel(channel) => return answered(self.sink.subscribe(channel)).await,
            Topic::Start(start) => start,
        };
        if !shared.whole_only.load(Ordering::Relaxed) {
            match answered(self.sink.psubscribe(Topic::glob(start))).await {
                Err(error) if error.kind() == ErrorKind::Unauthorized => {
                    shared.whole_only.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        answered(self.sink.psubscribe(shared.prefix.whole())).await
    }

    async fn unsubscribe(&mut self, shared: &Shared, topic: &Topic) -> Result<()> {
        match topic {
            Topic::Channel(channel) => answered(self.sink.unsubscribe(channel)).await,
            // Others may hang on it.
            Topic::Start(_) if shared.whole_only.load(Ordering::Relaxed) => Ok(()),
            Topic::Start(start) => answered(self.sink.punsubscribe(Topic::glob(start))).await,
        }
    }

    async fn ping(&mut self) -> Result<()> {
        answered(self.sink.ping::<redis::Value>()).await.map(drop)
    }
}

/// The answer of a connection that may be dead without anybody having said so.
async fn answered<T>(answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
    tokio::time::timeout(HEARTBEAT * 2, answer)
        .await
        .map_err(|_| Error::timeout("subscribe", HEARTBEAT * 2).of_read())?
        .map_err(|error| error::of_command("subscribe", error).of_read())
}

/// Runs the pub/sub connection for ever: takes requests and messages, asks a silent server whether it is
/// there, and rebuilds what broke.
async fn serve(
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    mut server: Server,
    mut requests: mpsc::Receiver<Request>,
) {
    loop {
        let Err(error) = serve_until_broken(&shared, &mut server, &mut requests).await else { return };
        shared.broken.store(true, Ordering::Relaxed);
        tracing::warn!(%error, "the subscriptions broke off; reconnecting");
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
    let lost = || error::unexpected("subscribe", "the connection was closed");
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = server.stream.next() => shared.dispatch(&message.ok_or_else(lost)?),
            request = requests.recv() => match request {
                None => return Ok(()),
                Some(Request::Unsubscribe(topic)) if shared.is_needed(&topic) => {}
                Some(Request::Unsubscribe(topic)) => server.unsubscribe(shared, &topic).await?,
                Some(Request::Subscribe(topic, done)) => {
                    let result = server.subscribe(shared, &topic).await;
                    let broken = result.as_ref().err().is_some_and(Error::is_transient);
                    // A caller who gave up no longer listens.
                    let _ = done.send(result);
                    if broken {
                        return Err(lost());
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
            Err(error) => tracing::debug!(%error, "the subscriptions are still away"),
        }
    }
}

async fn resubscribed(connection: &Connection, shared: &Shared) -> Result<Server> {
    let (sink, stream) = connection.subscriber("subscribe").await?.split();
    let mut server = Server { sink, stream };
    for topic in shared.needed() {
        server.subscribe(shared, &topic).await?;
    }
    Ok(server)
}
