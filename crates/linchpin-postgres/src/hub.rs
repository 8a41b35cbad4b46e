//! What the server pushes: one connection per handle that listens, shared by everything in it that does.

use crate::connection::{Backoff, Connector};
use crate::error::Failure;
use crate::names::{Names, Topic};
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use sqlx::Row;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// How often the server is asked how many changes there were: so it is noticed that one was not told, and that the
/// connection is gone.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Somebody who listens. Called by the task that reads the connection: it must not block.
pub(crate) trait Listener: Send + Sync {
    /// A notification of its topic.
    fn receive(&self, text: &str);

    /// So many changes there have been. After `mark_gap`, and first of all, it counts from here.
    fn count(&self, changes: u64);

    /// Notifications may have been missed.
    fn mark_gap(&self);

    /// Nothing more will come: the handle was closed.
    fn end(&self);
}

/// The connection of a handle that listens; the first listener opens it, it is closed after the last.
pub(crate) struct Hub {
    shared: Arc<Shared>,
    serving: Mutex<Option<Serving>>,
    closed: AtomicBool,
}

struct Shared {
    connector: Arc<Connector>,
    names: Arc<Names>,
    listeners: Mutex<Vec<Listed>>,
    /// Of the last listening.
    id: AtomicU64,
    broken: AtomicBool,
}

/// Each listening has an id: that of a listener which was given up must neither stay nor take a later one of it along.
struct Listed {
    id: u64,
    topic: Topic,
    listener: Weak<dyn Listener>,
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
    Listen(Listed, oneshot::Sender<Result<()>>),
    /// Somebody who listened is gone.
    Left,
}

/// Listening to a topic, until it is dropped. It keeps the hub alive, so it may outlive its handle.
pub(crate) struct Listening {
    hub: Arc<Hub>,
    id: u64,
    _listener: Arc<dyn Listener>,
    requests: mpsc::Sender<Request>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.shared.remove(self.id);
        // A full queue only keeps a channel that nobody listens to any more.
        drop(self.requests.try_send(Request::Left));
    }
}

impl Hub {
    pub(crate) fn new(connector: Arc<Connector>, names: Arc<Names>) -> Self {
        let (listeners, broken) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { connector, names, listeners, id: AtomicU64::new(0), broken });
        Self { shared, serving: Mutex::new(None), closed: AtomicBool::new(false) }
    }

    /// Hands everything of a topic to the listener; returns once it is live at the server.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        operation: &'static str,
        topic: Topic,
        listener: Arc<dyn Listener>,
    ) -> Result<Listening> {
        let requests = self.serving(operation)?;
        let hub = self.clone();
        let id = self.shared.id.fetch_add(1, Ordering::Relaxed);
        let listed = Listed { id, topic, listener: Arc::downgrade(&listener) };
        let listening = Listening { hub, id, _listener: listener, requests: requests.clone() };
        let limit = self.shared.connector.response_timeout;
        let closed = || Error::closed(operation);
        let asking = async {
            let (done, confirmed) = oneshot::channel();
            requests.send(Request::Listen(listed, done)).await.map_err(|_| closed())?;
            confirmed.await.map_err(|_| closed())?
        };
        // Not for ever, as the hub may be reconnecting.
        let asked = timeout(limit, asking).await.unwrap_or_else(|_| Err(Error::timeout(operation, limit)));
        asked.map_err(|error| error.with_operation(operation).of_read())?;
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

    fn serving(&self, operation: &'static str) -> Result<mpsc::Sender<Request>> {
        let mut serving = self.serving.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed(operation));
        }
        let serving = serving.get_or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(1024);
            Serving { requests, task: tokio::spawn(serve(self.shared.clone(), receiver)) }
        });
        Ok(serving.requests.clone())
    }
}

impl Shared {
    fn on(&self, topic: Topic) -> Vec<Arc<dyn Listener>> {
        let listeners = self.listeners.lock();
        listeners.iter().filter(|listed| listed.topic == topic).filter_map(|listed| listed.listener.upgrade()).collect()
    }

    fn all(&self) -> Vec<Arc<dyn Listener>> {
        self.listeners.lock().iter().filter_map(|listed| listed.listener.upgrade()).collect()
    }

    fn remove(&self, id: u64) {
        self.listeners.lock().retain(|listed| listed.id != id);
    }

    /// The topics that somebody listens to.
    fn needed(&self) -> Vec<Topic> {
        let mut listeners = self.listeners.lock();
        listeners.retain(|listed| listed.listener.strong_count() > 0);
        let mut topics: Vec<_> = listeners.iter().map(|listed| listed.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

/// Runs for ever: takes requests and notifications, and rebuilds what broke.
async fn serve(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let mut backoff = Backoff::default();
    let mut server = None;
    loop {
        let Err(failure) = serve_until_broken(&shared, &mut server, &mut requests, &mut backoff).await else { return };
        let error = failure.told("subscribe");
        if shared.broken.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "the server cannot be listened to yet; trying on");
        } else {
            tracing::warn!(%error, "what the server pushes broke off; reconnecting");
        }
        // It may be alive and only slow: nothing may come over both.
        server = None;
        backoff.pause().await;
    }
}

async fn serve_until_broken(
    shared: &Shared,
    server: &mut Option<Server>,
    requests: &mut mpsc::Receiver<Request>,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    let mut heartbeat = heartbeat();
    loop {
        let needed = shared.needed();
        let listening = match server {
            None if needed.is_empty() => {
                shared.broken.store(false, Ordering::Relaxed);
                let Some(request) = requests.recv().await else { return Ok(()) };
                answer(shared, server, request).await?;
                continue;
            }
            None => {
                let listening = server.insert(Server::connect(shared).await?);
                let changes = listening.follow(shared, &needed).await?;
                for listener in shared.all() {
                    listener.mark_gap();
                    listener.count(changes);
                }
                shared.broken.store(false, Ordering::Relaxed);
                backoff.reset();
                continue;
            }
            Some(_) if needed.is_empty() => {
                *server = None;
                continue;
            }
            Some(listening) => listening,
        };
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return Ok(()) };
                answer(shared, server, request).await?;
            }
            notification = listening.listener.try_recv() => match notification? {
                Some(notification) => take(shared, notification.channel(), notification.payload()),
                // The client noticed that the connection broke, and would build another in silence.
                None => return Err(lost()),
            },
            _ = heartbeat.tick() => {
                let changes = listening.ask(shared, "").await?;
                for listener in shared.on(Topic::Changes) {
                    listener.count(changes);
                }
            }
        }
    }
}

fn heartbeat() -> Interval {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

fn take(shared: &Shared, channel: &str, text: &str) {
    let Some(topic) = shared.names.topic(channel) else { return };
    for listener in shared.on(topic) {
        listener.receive(text);
    }
}

fn lost() -> Failure {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into()
}

async fn answer(shared: &Shared, server: &mut Option<Server>, request: Request) -> Result<(), Failure> {
    let Request::Listen(listed, done) = request else {
        if let Some(server) = server {
            server.follow(shared, &shared.needed()).await.map(drop)?;
        }
        return Ok(());
    };
    if done.is_closed() {
        return Ok(());
    }
    let id = listed.id;
    let outcome = listen(shared, server, listed).await;
    let told = outcome.as_ref().map_err(|failure| failure.told("subscribe")).copied();
    // A caller who gave up no longer listens, and took itself off before it was listed.
    if done.send(told).is_err() {
        shared.remove(id);
    }
    outcome
}

async fn listen(shared: &Shared, server: &mut Option<Server>, listed: Listed) -> Result<(), Failure> {
    let Some(listener) = listed.listener.upgrade() else { return Ok(()) };
    let server = match server {
        Some(server) => server,
        None => server.insert(Server::connect(shared).await?),
    };
    let mut topics = shared.needed();
    topics.push(listed.topic);
    let changes = server.follow(shared, &topics).await?;
    // It counts from what there was after the server began to tell.
    shared.listeners.lock().push(listed);
    listener.count(changes);
    Ok(())
}

/// The connection.
struct Server {
    listener: PgListener,
    topics: Vec<Topic>,
}

impl Server {
    async fn connect(shared: &Shared) -> Result<Self, Failure> {
        let Connector { options, address, connect_timeout, .. } = &*shared.connector;
        let connecting = async {
            let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
            let pool = pool.acquire_timeout(*connect_timeout).connect_lazy_with(options.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            Ok(listener)
        };
        let late = || Failure::ConnectingLate(address.clone(), *connect_timeout);
        let listener = timeout(*connect_timeout, connecting).await.map_err(|_| late())?;
        let failed = |error: sqlx::Error| Failure::Connecting(address.clone(), Arc::new(error));
        Ok(Self { listener: listener.map_err(failed)?, topics: Vec::new() })
    }

    /// Listens to these topics, and to no others. Returns how many changes there had been once it did.
    async fn follow(&mut self, shared: &Shared, topics: &[Topic]) -> Result<u64, Failure> {
        let statement = |what: &str, topic: &Topic| format!("{what} \"{}\"; ", shared.names.channel(*topic));
        let new = topics.iter().filter(|topic| !self.topics.contains(topic)).map(|topic| statement("LISTEN", topic));
        let old = self.topics.iter().filter(|topic| !topics.contains(topic)).map(|topic| statement("UNLISTEN", topic));
        let statements: String = new.chain(old).collect();
        // They count once they are committed: what is asked after that misses nothing.
        let statements = if statements.is_empty() { statements } else { format!("BEGIN; {statements}COMMIT; ") };
        let changes = self.ask(shared, &statements).await?;
        self.topics = topics.to_vec();
        Ok(changes)
    }

    /// Runs statements, and asks in the same round trip how many changes there have been in the namespace: 0 if it is not
    /// there. A namespace's name needs no quotes of its own.
    async fn ask(&mut self, shared: &Shared, statements: &str) -> Result<u64, Failure> {
        let namespace = &shared.names.namespace;
        let question = format!("{statements}SELECT changes FROM linchpin.namespaces WHERE name = '{namespace}'");
        let asked = sqlx::raw_sql(sqlx::AssertSqlSafe(question)).fetch_optional(&mut self.listener);
        let changes = answered(asked).await?.map(|row| row.try_get::<i64, _>(0)).transpose()?;
        Ok(changes.map_or(0, crate::arguments::number))
    }
}

/// The answer of a connection that may be dead without anybody having said so.
async fn answered<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    let limit = HEARTBEAT * 2;
    Ok(timeout(limit, answer).await.map_err(|_| Failure::Late(limit))??)
}
