//! What the server pushes: one connection per handle, shared by everything that listens.
//!
//! Overlapping topics are asked for once: a server sends a message to a client as often as the client's subscriptions
//! match it, so only topics that no other one covers are subscribed to there, and the hub hands each message to all who
//! listen. While one topic takes over from others both are subscribed to for a moment. The server's confirmations come
//! in order with its messages, so it is certain from which message on the new one counts.

mod carrying;
mod intake;
mod listeners;
mod topics;

#[cfg(test)]
mod tests;

pub use intake::Intake;
pub use topics::Topic;

use crate::backoff::Backoff;
use crate::tasks::SingleFlight;
use bytes::Bytes;
use carrying::Carrier;
use linchpin_core::life::{End, Life};
use linchpin_core::{Error, Result};
use listeners::{Listeners, Ticket};
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How many requests are carried out at once.
const BATCH: usize = 1000;

/// Somebody who listens. Called by the task that reads the connection: it must not block.
pub trait Listener: Send + Sync {
    /// A message on a channel of its topic; the channel's name is that within the namespace.
    fn receive(&self, channel: &str, payload: Bytes);

    /// Messages may have been missed; what the server sends from now on arrives.
    fn mark_gap(&self);

    /// No more messages will come.
    fn end(&self, ended: End);
}

/// A server that pushes.
pub trait Pusher: Send + Sync + 'static {
    /// A connection to it.
    type Link: Link;

    /// Connects. What the server confirms and sends is handed to `intake`, in the order in which it comes.
    ///
    /// # Errors
    /// What connecting fails with.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    fn connect(&self, intake: Arc<Intake>) -> impl Future<Output = Result<Self::Link>> + Send;

    /// How often a silent connection is asked whether it is still there.
    fn heartbeat(&self) -> Duration;

    /// How long a caller waits until it is subscribed.
    fn patience(&self) -> Duration;
}

/// A connection over which a server pushes.
pub trait Link: Send + Sync + 'static {
    /// Returns when the connection has ended.
    fn ended(&self) -> impl Future<Output = ()> + Send;

    /// Whether the server is there. What it sent before it answered has been handed on by then.
    ///
    /// # Errors
    /// What is wrong: then the connection is given up.
    fn ping(&self) -> impl Future<Output = Result<()>> + Send;

    /// Subscribes to topics of which none covers another; returns once each was confirmed, with those that are
    /// subscribed to: wider ones where the server allows no others.
    ///
    /// # Errors
    /// As [`ping`](Self::ping); where the server refuses a topic, that one only.
    fn subscribe(&mut self, topics: Vec<Topic>) -> impl Future<Output = Result<Vec<Topic>>> + Send;

    /// Ends subscriptions: those of these topics, one or more, which were confirmed.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    fn unsubscribe(&mut self, topics: Vec<Topic>) -> impl Future<Output = Result<()>> + Send;
}

/// The connection of a handle that the server pushes over; the first listener has it made.
///
/// ```
/// use bytes::Bytes;
/// use linchpin_adapter::hub::{Hub, Intake, Link, Listener, Listening, Pusher, Topic};
/// use linchpin_core::life::{End, Life};
/// use linchpin_core::Result;
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// /// A server that says of every channel at once what it is asked for.
/// struct Server;
///
/// impl Pusher for Server {
///     type Link = Connection;
///
///     async fn connect(&self, intake: Arc<Intake>) -> Result<Connection> {
///         Ok(Connection(intake))
///     }
///
///     fn heartbeat(&self) -> Duration {
///         Duration::from_secs(1)
///     }
///
///     fn patience(&self) -> Duration {
///         Duration::from_secs(5)
///     }
/// }
///
/// struct Connection(Arc<Intake>);
///
/// impl Link for Connection {
///     async fn ended(&self) {
///         std::future::pending().await
///     }
///
///     async fn ping(&self) -> Result<()> {
///         Ok(())
///     }
///
///     async fn subscribe(&mut self, topics: Vec<Topic>) -> Result<Vec<Topic>> {
///         for topic in &topics {
///             // What is sent for it counts from here on.
///             self.0.confirm(topic.clone());
///             self.0.message(topic, "news:sport", &"2:1".into());
///         }
///         Ok(topics)
///     }
///
///     async fn unsubscribe(&mut self, _: Vec<Topic>) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// #[derive(Default)]
/// struct Ear(Mutex<Vec<String>>);
///
/// impl Ear {
///     fn hear(&self, what: impl Into<String>) {
///         self.0.lock().expect("no panic").push(what.into());
///     }
/// }
///
/// impl Listener for Ear {
///     fn receive(&self, channel: &str, payload: Bytes) {
///         self.hear(format!("{channel} {}", String::from_utf8_lossy(&payload)));
///     }
///     fn mark_gap(&self) {
///         self.hear("a gap");
///     }
///     fn end(&self, ended: End) {
///         self.hear(ended.error("subscribe").to_string());
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let (life, ear) = (Life::in_runtime(), Arc::<Ear>::default());
/// let hub = Arc::new(Hub::new(Server, life.clone()));
/// life.ends(&hub, Hub::end);
/// let news = Topic::Start("news:".to_owned());
/// let listening: Listening<Server> = hub.listen("subscribe", news.clone(), ear.clone()).await?;
/// assert!(!hub.is_broken());
/// life.close();
/// let heard = ["news:sport 2:1".to_owned(), End::Closed.error("subscribe").to_string()];
/// assert_eq!(*ear.0.lock().expect("no panic"), heard);
/// drop(listening);
/// assert!(hub.listen("subscribe", news, ear).await.is_err());
/// # Ok(())
/// # }
/// ```
pub struct Hub<P> {
    pusher: Arc<P>,
    life: Life,
    listeners: Arc<Mutex<Listeners>>,
    broken: Arc<AtomicBool>,
    serving: Mutex<Option<ServingTask>>,
    beginning: SingleFlight<Result<Requests, Arc<Error>>>,
}

type Requests = mpsc::UnboundedSender<Request>;

struct ServingTask {
    requests: Requests,
    task: JoinHandle<()>,
}

impl Drop for ServingTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Request {
    Listen(Ticket, oneshot::Sender<Result<()>>),
    /// Somebody who listened there is gone.
    Left(Topic),
}

/// Listening to a topic, until it is dropped. It keeps the hub alive, so it may outlive its handle.
pub struct Listening<P> {
    hub: Arc<Hub<P>>,
    /// Held here only.
    _listener: Arc<dyn Listener>,
    requests: Requests,
    ticket: Ticket,
}

impl<P> Drop for Listening<P> {
    fn drop(&mut self) {
        self.hub.listeners.lock().remove(&self.ticket);
        // Nobody takes it once the hub has ended.
        drop(self.requests.send(Request::Left(self.ticket.topic.clone())));
    }
}

impl<P: Pusher> Hub<P> {
    /// That of a handle that lives as `life` says.
    pub fn new(pusher: P, life: Life) -> Self {
        let (listeners, broken, serving, beginning) = Default::default();
        Self { pusher: Arc::new(pusher), life, listeners, broken, serving, beginning }
    }

    /// Hands everything of a topic to the listener; returns once the server confirmed it.
    ///
    /// # Errors
    /// What subscribing fails with; `Timeout` after the pusher's patience; `Closed` once the handle has ended.
    ///
    /// # Cancel safety
    /// Dropping the future ends the listening.
    pub async fn listen(
        self: &Arc<Self>,
        operation: &'static str,
        topic: Topic,
        listener: Arc<dyn Listener>,
    ) -> Result<Listening<P>> {
        let requests = self.serving(operation).await?;
        // Registered first: what arrives once the server confirms finds it.
        let ticket = self.listeners.lock().add(topic, Arc::downgrade(&listener));
        let (hub, requests_after) = (self.clone(), requests.clone());
        let listening = Listening { hub, _listener: listener, requests: requests_after, ticket: ticket.clone() };
        let limit = self.pusher.patience();
        let closed = |_| self.life.admit(operation).err().unwrap_or_else(|| Error::closed(operation));
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
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Tells everybody that nothing more will come. For [`Life::ends`].
    pub fn end(&self, ended: End) {
        *self.serving.lock() = None;
        let listeners = self.listeners.lock().all();
        for listener in listeners {
            listener.end(ended);
        }
    }

    async fn serving(self: &Arc<Self>, operation: &'static str) -> Result<Requests> {
        if let Some(requests) = self.requests() {
            return Ok(requests);
        }
        let hub = self.clone();
        let beginning = async move { hub.begin().await };
        self.beginning.run_or_fail(&self.life, operation, beginning).await
    }

    fn requests(&self) -> Option<Requests> {
        self.serving.lock().as_ref().map(|serving| serving.requests.clone())
    }

    /// Connects, if nobody has by now.
    async fn begin(&self) -> Result<Requests> {
        if let Some(requests) = self.requests() {
            return Ok(requests);
        }
        let carrying = Carrier::connect(&*self.pusher, &self.listeners).await?;
        let mut slot = self.serving.lock();
        self.life.admit("subscribe")?;
        let (requests, receiver) = mpsc::unbounded_channel();
        let (pusher, listeners, broken) = (self.pusher.clone(), self.listeners.clone(), self.broken.clone());
        let task = self.life.spawn(async move { serve(&*pusher, &listeners, &broken, carrying, receiver).await });
        *slot = Some(ServingTask { requests: requests.clone(), task });
        Ok(requests)
    }
}

impl<P> fmt::Debug for Hub<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("life", &self.life).field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for Listening<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("topic", &self.ticket.topic).finish_non_exhaustive()
    }
}

/// Runs the connection for ever: takes requests and messages, asks a silent server whether it is there, and
/// rebuilds what broke.
async fn serve<P: Pusher>(
    pusher: &P,
    listeners: &Arc<Mutex<Listeners>>,
    broken: &AtomicBool,
    mut carrying: Carrier<P::Link>,
    mut requests: mpsc::UnboundedReceiver<Request>,
) {
    let mut waiting = Vec::new();
    loop {
        let served = serve_until_broken(pusher, &mut carrying, std::mem::take(&mut waiting), &mut requests).await;
        let Err(error) = served else { return };
        broken.store(true, Ordering::Relaxed);
        tracing::warn!(%error, "what the server pushes broke off; reconnecting");
        // It may be alive and only slow: nothing may come over both.
        drop(carrying);
        carrying = reconnect(pusher, listeners, &mut waiting, &mut requests).await;
        broken.store(false, Ordering::Relaxed);
    }
}

async fn serve_until_broken<P: Pusher>(
    pusher: &P,
    carrying: &mut Carrier<P::Link>,
    waiting: Vec<Request>,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Result<()> {
    carrying.take(waiting).await?;
    let mut heartbeat = tokio::time::interval(pusher.heartbeat());
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = carrying.link.ended() => return Err(Error::unreadable("subscribe", "the connection was closed")),
            taken = requests.recv_many(&mut batch, BATCH) => match taken {
                0 => return Ok(()),
                _ => carrying.take(std::mem::take(&mut batch)).await?,
            },
            _ = heartbeat.tick() => carrying.link.ping().await?,
        }
    }
}

/// Connects anew, however long that takes. Of what is asked for meanwhile those wait who have not given up; who left is not
/// subscribed to anyway.
async fn reconnect<P: Pusher>(
    pusher: &P,
    listeners: &Arc<Mutex<Listeners>>,
    waiting: &mut Vec<Request>,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Carrier<P::Link> {
    let mut backoff = Backoff::default();
    loop {
        listeners.lock().lose();
        backoff.pause().await;
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
        waiting.retain(|request| matches!(request, Request::Listen(_, done) if !done.is_closed()));
        match Carrier::reconnect(pusher, listeners).await {
            Ok(carrying) => return carrying,
            Err(error) => tracing::debug!(%error, "what the server pushes is still away"),
        }
    }
}
