//! What the server pushes: one pub/sub connection per handle, shared by everything that listens.
//!
//! Overlapping topics are asked for once: the server sends a message to a client as often as the client's
//! subscriptions match it, so only topics that no other one covers are subscribed to there, and the hub
//! hands each message to all who listen. While one topic takes over from others both are subscribed to for
//! a moment. The server's confirmations come in order with its messages, so it is certain from which message
//! on the new one counts.

use crate::commands::Prefix;
use crate::connection::Connection;
use crate::listeners::{Listeners, Ticket};
use crate::server::{HEARTBEAT, Server, lost};
use crate::topics::{Topic, outermost};
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::tasks::SingleFlight;
use linchpin_core::life::Ended;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How many requests are carried out at once.
const BATCH: usize = 1000;

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

pub(crate) struct Shared {
    pub(crate) prefix: Prefix,
    pub(crate) listeners: Mutex<Listeners>,
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
pub(crate) enum Request {
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
        let beginning = async move { hub.begin().await };
        self.beginning.run_or_fail(self.connection.life(), operation, beginning).await
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
    pub(crate) fn dispatch(&self, channel: &str, payload: &[u8]) {
        let listening = self.listeners.lock().on(channel);
        for listener in listening {
            listener.receive(channel, payload);
        }
    }
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
