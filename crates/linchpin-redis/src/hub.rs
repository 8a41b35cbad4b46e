//! What the server pushes: one pub/sub connection per handle, shared by everything that listens.
//!
//! Overlapping topics are asked for once: the server sends a message to a client as often as the client's
//! subscriptions match it, so only topics that no other one covers are subscribed to there, and the hub
//! hands each message to all who listen. While one topic takes over from others both are subscribed to for
//! a moment. The server's confirmations come in order with its messages, so it is certain from which message
//! on the new one counts.

use crate::commands::Prefix;
use crate::connection::{Backoff, Connection, is_primary, role};
use crate::error;
use crate::line::Line;
use crate::listeners::{Listeners, Ticket};
use crate::single_flight::{SingleFlight, told_to_one};
use crate::topics::{Carriers, Topic, outermost};
use linchpin_core::life::Ended;
use linchpin_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, RedisResult, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How many requests are carried out at once.
const BATCH: usize = 1000;

/// The whole namespace, as its ACL writes it.
const WHOLE: Topic = Topic::Start(String::new());

/// Somebody who listens. Called by the task that reads the connection: it must not block.
pub(crate) trait Listener: Send + Sync {
    /// A message on a channel of its topic; the channel's name is that within the namespace.
    fn receive(&self, channel: &str, payload: &[u8]);

    /// Messages may have been missed; what the server sends from now on arrives.
    fn mark_gap(&self);

    /// No more messages will come.
    fn end(&self, ended: Ended);
}

/// The pub/sub connection of a handle; the first listener connects it.
pub(crate) struct Hub {
    connection: Connection,
    shared: Arc<Shared>,
    serving: Mutex<Option<Serving>>,
    beginning: SingleFlight<Result<Requests, Arc<Error>>>,
}

struct Shared {
    prefix: Prefix,
    listeners: Mutex<Listeners>,
    broken: AtomicBool,
}

type Requests = mpsc::UnboundedSender<Request>;

struct Serving {
    requests: Requests,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// There are never more requests waiting than twice what listens and listened.
enum Request {
    Listen(Ticket, oneshot::Sender<Result<()>>),
    /// Somebody who listened there is gone.
    Left(Topic),
}

/// Listening to a topic, until it is dropped. It keeps the hub alive, so it may outlive its handle.
pub(crate) struct Listening {
    hub: Arc<Hub>,
    /// Held here only.
    _listener: Arc<dyn Listener>,
    requests: Requests,
    ticket: Ticket,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.shared.listeners.lock().remove(&self.ticket);
        // Nobody takes it once the hub has ended.
        drop(self.requests.send(Request::Left(self.ticket.topic.clone())));
    }
}

impl Hub {
    pub(crate) fn new(connection: Connection, prefix: Prefix) -> Self {
        let shared = Shared { prefix, listeners: Mutex::default(), broken: AtomicBool::new(false) };
        let (serving, beginning) = Default::default();
        Self { connection, shared: Arc::new(shared), serving, beginning }
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
        let ticket = self.shared.listeners.lock().add(topic, Arc::downgrade(&listener));
        let (hub, requests_after) = (self.clone(), requests.clone());
        let listening = Listening { hub, _listener: listener, requests: requests_after, ticket: ticket.clone() };
        let limit = self.connection.response_timeout();
        let closed = |_| self.connection.life().admit(operation).err().unwrap_or_else(|| Error::closed(operation));
        let asking = async {
            let (done, confirmed) = oneshot::channel();
            requests.send(Request::Listen(ticket, done)).map_err(|_| Error::closed(operation))?;
            confirmed.await.map_err(closed)?
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

    pub(crate) fn end(&self, ended: Ended) {
        *self.serving.lock() = None;
        for listener in self.shared.listeners.lock().all() {
            listener.end(ended);
        }
    }

    async fn serving(self: &Arc<Self>, operation: &'static str) -> Result<Requests> {
        if let Some(requests) = self.requests() {
            return Ok(requests);
        }
        let hub = self.clone();
        let beginning = async move { hub.begin().await.map_err(Arc::new) };
        let begun = self.beginning.run(self.connection.life(), operation, beginning).await?;
        begun.map_err(|error| told_to_one(&error, operation))
    }

    fn requests(&self) -> Option<Requests> {
        self.serving.lock().as_ref().map(|serving| serving.requests.clone())
    }

    /// Connects, if nobody has by now.
    async fn begin(&self) -> Result<Requests> {
        if let Some(requests) = self.requests() {
            return Ok(requests);
        }
        let server = Server::connect(&self.connection, &self.shared, "subscribe").await?;
        let mut slot = self.serving.lock();
        self.connection.life().admit("subscribe")?;
        let (requests, receiver) = mpsc::unbounded_channel();
        let serving = serve(self.connection.clone(), self.shared.clone(), server, receiver);
        *slot = Some(Serving { requests: requests.clone(), task: self.connection.life().spawn(serving) });
        Ok(requests)
    }
}

impl Shared {
    fn dispatch(&self, channel: &str, payload: &[u8]) {
        let listening = self.listeners.lock().on(channel);
        for listener in listening {
            listener.receive(channel, payload);
        }
    }
}

/// What a connection is subscribed to, and the way of what it pushes to those who listen.
struct Intake {
    shared: Arc<Shared>,
    carriers: Mutex<Carriers>,
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
            PushKind::Subscribe => (Topic::channel_on(prefix, name(0)), None),
            PushKind::PSubscribe => (Topic::start_on(prefix, name(0)), None),
            PushKind::Message => (Topic::channel_on(prefix, name(0)), Some((name(0), bytes(1)))),
            PushKind::PMessage => (Topic::start_on(prefix, name(0)), Some((name(1), bytes(2)))),
            _ => return,
        };
        match (via, message) {
            (Some(via), None) => {
                let behind = self.shared.listeners.lock().confirm(&via);
                self.carriers.lock().confirm(via);
                // Before anything that comes after it.
                for listener in behind {
                    listener.mark_gap();
                }
            }
            (Some(via), Some((channel, payload))) => {
                if let Some(channel) = prefix.strip_channel(channel)
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
    line: Line,
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
        let intake = Arc::new(Intake { shared: shared.clone(), carriers: Mutex::default() });
        let taking = intake.clone();
        let line = connection.subscriber(operation, move |push| taking.take(push)).await?;
        let server = Self { line, intake, whole_only: false };
        server.ping().await?;
        Ok(server)
    }

    fn carries(&self, topic: &Topic) -> bool {
        self.intake.carriers.lock().contains(topic)
    }

    /// Carries out requests, all at once: each takes a way to the server and back.
    async fn take(&mut self, shared: &Shared, requests: Vec<Request>) -> Result<()> {
        let (mut asked, mut left) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                // A caller who gave up no longer listens.
                Request::Listen(ticket, done) if !done.is_closed() => asked.push((ticket, done)),
                Request::Listen(..) => {}
                Request::Left(topic) => left.push(topic),
            }
        }
        if !asked.is_empty() {
            let (tickets, done): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            self.listen(shared, tickets, done).await?;
        }
        self.settle(shared, left).await
    }

    /// Sees to it that the server sends what belongs to the topics of these, and tells each what became of it.
    async fn listen(
        &mut self,
        shared: &Shared,
        tickets: Vec<Ticket>,
        done: Vec<oneshot::Sender<Result<()>>>,
    ) -> Result<()> {
        let mut result = self.carry(shared, &tickets).await;
        let mut lost = false;
        let one = tickets.len() == 1;
        for (ticket, done) in tickets.iter().zip(done) {
            // One that is not allowed must not take the others with it.
            let own = match &result {
                Ok(()) => Ok(()),
                Err(error) if !one && !error.is_transient() => self.carry(shared, std::slice::from_ref(ticket)).await,
                Err(error) if !one => Err(again(error)),
                Err(_) => std::mem::replace(&mut result, Ok(())),
            };
            lost |= own.as_ref().is_err_and(Error::is_transient);
            let _ = done.send(own);
        }
        if lost { Err(self::lost("a subscription failed")) } else { Ok(()) }
    }

    /// Makes the server send what belongs to the topics of these.
    async fn carry(&mut self, shared: &Shared, tickets: &[Ticket]) -> Result<()> {
        let (carried, missing): (Vec<_>, Vec<_>) =
            tickets.iter().partition(|ticket| self.intake.carriers.lock().cover(&ticket.topic));
        if !missing.is_empty() {
            shared.listeners.lock().ask(&missing);
            let topics = outermost(missing.iter().map(|ticket| ticket.topic.clone()).collect());
            self.subscribe(shared, topics.clone()).await?;
            let replaced = {
                let carriers = self.intake.carriers.lock();
                let wide = if self.whole_only && topics.iter().any(Topic::is_start) { vec![WHOLE] } else { topics };
                wide.iter().flat_map(|topic| carriers.under(topic)).collect()
            };
            self.unsubscribe(shared, replaced).await?;
        }
        if !carried.is_empty() {
            // What is on its way by now was sent before anybody asked for it.
            self.ping().await?;
            shared.listeners.lock().go_live(&carried);
        }
        Ok(())
    }

    /// Stops what nobody needs after somebody left these topics.
    async fn settle(&mut self, shared: &Shared, mut left: Vec<Topic>) -> Result<()> {
        left.sort_unstable();
        left.dedup();
        // What a pattern of the whole namespace carries is not there under its own name.
        left.retain(|topic| !shared.listeners.lock().need(topic) && self.carries(topic));
        let starts: Vec<_> = left.iter().filter(|topic| topic.is_start()).cloned().collect();
        // A channel carries nothing but itself, so only a start is worth a look at everybody.
        if !starts.is_empty() {
            let starts = outermost(starts);
            let mut needed = shared.listeners.lock().needed();
            needed.retain(|other| starts.iter().any(|start| start.covers(other)));
            self.subscribe(shared, outermost(needed)).await?;
        }
        self.unsubscribe(shared, left).await
    }

    /// Subscribes to topics of which none covers another, and waits until each is confirmed.
    async fn subscribe(&mut self, shared: &Shared, topics: Vec<Topic>) -> Result<()> {
        let (starts, channels): (Vec<_>, Vec<_>) = topics.into_iter().partition(Topic::is_start);
        if !channels.is_empty() {
            let names: Vec<_> = channels.iter().map(|topic| topic.on_server(&shared.prefix)).collect();
            self.answered(self.line.redis().subscribe(names)).await?;
        }
        if !starts.is_empty() && !self.whole_only {
            let globs: Vec<_> = starts.iter().map(|topic| topic.on_server(&shared.prefix)).collect();
            match self.answered(self.line.redis().psubscribe(globs)).await {
                Err(error) if error.kind() == ErrorKind::Unauthorized => {
                    self.answered(self.line.redis().psubscribe(WHOLE.on_server(&shared.prefix))).await?;
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
            self.answered(self.line.redis().unsubscribe(names(channels))).await?;
        }
        if !starts.is_empty() {
            self.answered(self.line.redis().punsubscribe(names(starts))).await?;
        }
        Ok(())
    }

    /// Whether the server is there, and is the one that everything is told by: a replica is told late, or never.
    async fn ping(&self) -> Result<()> {
        let mut redis = self.line.redis();
        let answer = self.answered(async { role().query_async::<Value>(&mut redis).await }).await?;
        if is_primary(&answer) { Ok(()) } else { Err(error::Failure::Demoted.of_command("subscribe")) }
    }

    /// The answer of a connection that may be dead without anybody having said so. Over a slow line much may come before
    /// it that was sent earlier: as long as that comes, it lives.
    async fn answered<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T> {
        tokio::pin!(answer);
        loop {
            let heard = self.line.heard();
            match tokio::time::timeout(HEARTBEAT * 2, &mut answer).await {
                Ok(answer) => return answer.map_err(|error| error::of_command("subscribe", error).of_read()),
                Err(_) if self.line.heard() == heard => {
                    return Err(Error::timeout("subscribe", HEARTBEAT * 2).of_read());
                }
                Err(_) => {}
            }
        }
    }
}

/// The error of a request that failed along with others.
fn again(error: &Error) -> Error {
    let problem = "the subscription failed with others that were asked for at the same time";
    Error::new(error.kind(), "subscribe", problem).with_retry(error.retry())
}

fn lost(problem: &str) -> Error {
    error::unexpected("subscribe", problem)
}

/// Runs the connection for ever: takes requests and messages, asks a silent server whether it is there, and
/// rebuilds what broke.
async fn serve(
    connection: Connection,
    shared: Arc<Shared>,
    mut server: Server,
    mut requests: mpsc::UnboundedReceiver<Request>,
) {
    loop {
        let Err(error) = serve_until_broken(&shared, &mut server, &mut requests).await else { return };
        shared.broken.store(true, Ordering::Relaxed);
        tracing::warn!(%error, "what the server pushes broke off; reconnecting");
        // It may be alive and only slow: nothing may come over both.
        drop(server);
        server = reconnect(&connection, &shared).await;
        shared.broken.store(false, Ordering::Relaxed);
    }
}

async fn serve_until_broken(
    shared: &Shared,
    server: &mut Server,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Result<()> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = server.line.ended() => return Err(lost("the connection was closed")),
            taken = requests.recv_many(&mut batch, BATCH) => match taken {
                0 => return Ok(()),
                _ => server.take(shared, std::mem::take(&mut batch)).await?,
            },
            _ = heartbeat.tick() => server.ping().await?,
        }
    }
}

async fn reconnect(connection: &Connection, shared: &Arc<Shared>) -> Server {
    let mut backoff = Backoff::default();
    loop {
        shared.listeners.lock().lose();
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
