//! What the server pushes: one connection per handle that listens, shared by everything in it that does.

use crate::connection::Connector;
use crate::error::Failure;
use crate::listening::Server;
use crate::names::{Names, Topic};
use crate::secret::Secret;
use async_trait::async_trait;
use linchpin_adapter::backoff::Backoff;
use linchpin_core::life::{End, Life};
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use sqlx::postgres::PgListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// How often the server is asked where the namespace is: so it is noticed that a change was not told, that data were lost
/// or written by somebody else, and that the connection is gone.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Where one change follows the other, they are read half of the time: so each look finds several, however many handles
/// look, and a server that is slow has to answer less often.
const SHORTEST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(20);

/// How many ask together at most.
const TOGETHER: usize = 1024;

/// Where a namespace is.
pub(crate) struct Beat {
    pub(crate) secret: Secret,
    /// How many changes there have been.
    pub(crate) changes: u64,
    pub(crate) revision: u64,
    /// How often somebody wrote past the functions.
    pub(crate) intrusions: Option<i64>,
}

/// Somebody who listens. Called by the task that reads the connection: it must not block.
#[async_trait]
pub(crate) trait Listener: Send + Sync {
    /// A notification of its topic.
    fn receive(&self, text: &str);

    /// The server is going to be asked for a heartbeat.
    fn asks(&self) {}

    /// A heartbeat. After `mark_gap`, and first of all, it counts from here.
    fn beat(&self, _: &Beat) {}

    /// When it wants to read, if it does.
    fn reads_at(&self) -> Option<Instant> {
        None
    }

    /// Reads on.
    async fn catch_up(&self, _: &mut PgListener, _namespace: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Notifications may have been missed.
    fn mark_gap(&self);

    /// Nothing more will come: the handle has ended.
    fn end(&self, ended: End);
}

/// The connection of a handle that listens; the first listener opens it, and it is closed when there was none for a while.
pub(crate) struct Hub {
    shared: Arc<Shared>,
    serving: Mutex<Option<ServingTask>>,
    pub(crate) life: Life,
}

struct Shared {
    connector: Arc<Connector>,
    names: Arc<Names>,
    listeners: Mutex<Vec<ListenerEntry>>,
    /// Of the last listening.
    id: AtomicU64,
    broken: AtomicBool,
}

/// Each listening has an id: that of a listener which was given up must neither stay nor take a later one of it along.
struct ListenerEntry {
    id: u64,
    topic: Topic,
    listener: Weak<dyn Listener>,
}

struct ServingTask {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl Drop for ServingTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is done once the server tells, and what it told before was handed out.
pub(crate) type Live = Box<dyn FnOnce() + Send>;

enum Request {
    /// Somebody wants to listen, or does.
    Listen(Option<ListenerEntry>, Option<Live>, oneshot::Sender<Result<()>>),
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
    pub(crate) fn new(connector: Arc<Connector>, names: Arc<Names>, life: Life) -> Self {
        let (listeners, broken) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { connector, names, listeners, id: AtomicU64::new(0), broken });
        Self { shared, serving: Mutex::new(None), life }
    }

    /// Hands everything of a topic to the listener; returns once it is live at the server.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        operation: &'static str,
        topic: Topic,
        listener: Arc<dyn Listener>,
        live: Option<Live>,
    ) -> Result<Listening> {
        let requests = self.serving(operation)?;
        let hub = self.clone();
        let id = self.shared.id.fetch_add(1, Ordering::Relaxed);
        let listed = ListenerEntry { id, topic, listener: Arc::downgrade(&listener) };
        let listening = Listening { hub, id, _listener: listener, requests };
        self.ask(operation, Some(listed), live).await?;
        Ok(listening)
    }

    /// Does something once all was handed out that the server tells by now: what it tells after that is new.
    pub(crate) async fn once_live(&self, operation: &'static str, live: Live) -> Result<()> {
        self.ask(operation, None, Some(live)).await
    }

    async fn ask(&self, operation: &'static str, listed: Option<ListenerEntry>, live: Option<Live>) -> Result<()> {
        let requests = self.serving(operation)?;
        let limit = self.shared.connector.response_timeout;
        let closed = || Error::closed(operation);
        let asking = async {
            let (done, confirmed) = oneshot::channel();
            requests.send(Request::Listen(listed, live, done)).await.map_err(|_| closed())?;
            confirmed.await.map_err(|_| closed())?
        };
        // Not for ever, as the hub may be reconnecting.
        let asked = timeout(limit, asking).await.unwrap_or_else(|_| Err(Error::timeout(operation, limit)));
        asked.map_err(|error| error.with_operation(operation).of_read())
    }

    /// Whether the connection is away at present.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self, ended: End) {
        // The life has ended before: nobody opens it again.
        *self.serving.lock() = None;
        for listener in self.shared.all() {
            listener.end(ended);
        }
    }

    fn serving(&self, operation: &'static str) -> Result<mpsc::Sender<Request>> {
        let mut serving = self.serving.lock();
        self.life.admit(operation)?;
        let serving = serving.get_or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(TOGETHER);
            ServingTask { requests, task: self.life.spawn(serve(self.shared.clone(), receiver)) }
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

    /// Who wants to read, and when: the first one.
    fn reader(&self) -> Option<(Arc<dyn Listener>, Instant)> {
        let listeners = self.on(Topic::Changes).into_iter();
        listeners.filter_map(|listener| listener.reads_at().map(|at| (listener, at))).min_by_key(|(_, at)| *at)
    }

    /// Hands out what was read from the connection while it was asked something.
    fn hand_out(&self, server: &mut Server) {
        while let Some((topic, text)) = server.buffered() {
            self.take(topic, &text);
        }
    }

    fn take(&self, topic: Topic, text: &str) {
        for listener in self.on(topic) {
            listener.receive(text);
        }
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
    let mut beats_at = Instant::now();
    let mut asked = Vec::new();
    let mut rested = Instant::now();
    let mut needed_until = Instant::now();
    loop {
        let needed = shared.needed();
        if !needed.is_empty() {
            needed_until = Instant::now();
        }
        // It may have been opened for who gave up meanwhile, and is there for who comes next.
        let closes = needed_until + shared.connector.idle_limit(false);
        // Whoever listened before has missed something, and is told so before anybody else is listed.
        if server.is_none() && !needed.is_empty() {
            rebuild(shared, server, &needed).await?;
            backoff.reset();
        }
        while asked.len() < TOGETHER
            && let Ok(request) = requests.try_recv()
        {
            asked.push(request);
        }
        if !asked.is_empty() {
            answer(shared, server, std::mem::take(&mut asked)).await?;
            needed_until = Instant::now();
            continue;
        }
        let listening = match server {
            None => {
                shared.broken.store(false, Ordering::Relaxed);
                let Some(request) = requests.recv().await else { return Ok(()) };
                asked.push(request);
                continue;
            }
            Some(_) if closes <= Instant::now() => {
                *server = None;
                continue;
            }
            Some(listening) => listening,
        };
        shared.hand_out(listening);
        // Whatever there is to read.
        if !needed.is_empty() && beats_at <= Instant::now() {
            let listeners = shared.on(Topic::Changes);
            for listener in &listeners {
                listener.asks();
            }
            let beat = listening.beat(&shared.names.namespace).await?;
            for listener in &listeners {
                listener.beat(&beat);
            }
            beats_at = Instant::now() + HEARTBEAT;
            continue;
        }
        let reader = shared.reader().map(|(listener, at)| (listener, at.max(rested)));
        let reads_at = reader.as_ref().map(|(_, at)| *at);
        if let Some((listener, _)) = reader.filter(|(_, at)| *at <= Instant::now()) {
            rested = read_on(shared, listening, &*listener).await?;
            continue;
        }
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return Ok(()) };
                asked.push(request);
            }
            notification = listening.next() => {
                match notification {
                    Ok(told) => told.into_iter().for_each(|(topic, text)| shared.take(topic, &text)),
                    // Nobody missed anything.
                    Err(_) if needed.is_empty() => *server = None,
                    Err(failure) => return Err(failure),
                }
            }
            () = sleep_until(reads_at.unwrap_or(rested)), if reads_at.is_some() => {}
            () = sleep_until(closes), if needed.is_empty() => {}
            () = sleep_until(beats_at), if !needed.is_empty() => {}
        }
    }
}

/// Has somebody read on; returns when the next look may be.
async fn read_on(shared: &Shared, server: &mut Server, listener: &dyn Listener) -> Result<Instant, Failure> {
    let started = Instant::now();
    server.catch_up(listener, &shared.names.namespace).await?;
    Ok(Instant::now() + started.elapsed().clamp(SHORTEST_REST, LONGEST_REST))
}

/// Connects anew.
async fn rebuild(shared: &Shared, server: &mut Option<Server>, needed: &[Topic]) -> Result<(), Failure> {
    let listening = server.insert(Server::connect(&shared.connector).await?);
    let beat = listening.follow(&shared.names.namespace, needed).await?;
    for listener in shared.all() {
        listener.mark_gap();
        listener.beat(&beat);
    }
    shared.broken.store(false, Ordering::Relaxed);
    Ok(())
}

/// Answers all who asked meanwhile, in one round trip.
async fn answer(shared: &Shared, server: &mut Option<Server>, asked: Vec<Request>) -> Result<(), Failure> {
    let wanted = |request| match request {
        Request::Listen(listed, live, done) if !done.is_closed() => Some((listed, live, done)),
        _ => None,
    };
    let asked: Vec<_> = asked.into_iter().filter_map(wanted).collect();
    if asked.is_empty() && server.is_none() {
        return Ok(());
    }
    let topics = asked.iter().filter_map(|(listed, ..)| listed.as_ref()).map(|listed| listed.topic);
    let needed = shared.needed();
    let was_idle = server.is_some() && needed.is_empty() && !asked.is_empty();
    let mut topics: Vec<_> = needed.into_iter().chain(topics).collect();
    topics.sort_unstable();
    topics.dedup();
    let mut outcome = follow(shared, server, &topics).await;
    if was_idle && outcome.is_err() {
        // Nobody looked at it for a while.
        *server = None;
        outcome = follow(shared, server, &topics).await;
    }
    for (listed, live, done) in asked {
        let id = listed.as_ref().map(|listed| listed.id);
        if let Ok(beat) = &outcome {
            // What was told before is handed out: whoever comes now hears what comes after.
            if let Some(listed) = listed
                && let Some(listener) = listed.listener.upgrade()
            {
                shared.listeners.lock().push(listed);
                listener.beat(beat);
            }
            if let Some(live) = live {
                live();
            }
        }
        let told = outcome.as_ref().map(drop).map_err(|failure| failure.told("subscribe"));
        // A caller who gave up no longer listens, and took itself off before it was listed.
        if done.send(told).is_err()
            && let Some(id) = id
        {
            shared.remove(id);
        }
    }
    outcome.map(drop)
}

async fn follow(shared: &Shared, server: &mut Option<Server>, topics: &[Topic]) -> Result<Beat, Failure> {
    let server = match server {
        Some(server) => server,
        None => server.insert(Server::connect(&shared.connector).await?),
    };
    let beat = server.follow(&shared.names.namespace, topics).await?;
    shared.hand_out(server);
    Ok(beat)
}
