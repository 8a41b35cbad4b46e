//! The connection: requests, what is gathered from several answers, and what is known of its health.

use crate::config::NatsConfig;
use crate::error::{self, Refusal, lost, no_answer, not_accepted, not_connected, not_permitted};
use crate::gather::{Gathered, Gathering};
use async_nats::connection::State;
use async_nats::{Client, Event, Message, ServerInfo, StatusCode, Subscriber};
use bytes::Bytes;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The connection of a handle, shared by all its tasks. The client rebuilds it; what was on its way then fails.
pub(crate) struct Connection {
    client: Client,
    response_timeout: Duration,
    /// How often the connection was lost, or closed for good.
    losses: watch::Receiver<Losses>,
    /// What answers to requests that have several come by.
    gathered: Arc<Gathered>,
    closed: watch::Sender<bool>,
    unanswered: Mutex<Option<Instant>>,
    suspicious: Arc<Notify>,
    tasks: [JoinHandle<()>; 2],
}

/// What has become of the connection so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// How often it was lost, or closed for good.
    pub(crate) lost: u64,
    /// How often it was built.
    pub(crate) built: u64,
    /// How often the client dropped messages because nobody took them out in time.
    pub(crate) overrun: u64,
    /// What the server said when it refused a permission last, and how often it did. It says so beside the answers.
    denied: (u64, Arc<str>),
    /// The login is not accepted any more.
    is_refused: bool,
}

/// The server's answer to a message that a stream stored.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct Ack {
    #[serde(rename = "seq")]
    pub(crate) sequence: u64,
}

impl Connection {
    /// Longer than this nobody waits for a healthy server, however often each caller gave up before.
    const SUSPICIOUS: Duration = Duration::from_secs(1);
    /// For how long a call waits for a connection.
    const PATIENCE: Duration = Duration::from_millis(100);

    pub(crate) async fn open(config: &NatsConfig) -> Result<Arc<Self>> {
        let (tell, losses) = watch::channel(Losses::default());
        let options = config.options()?.event_callback(move |event| {
            tell.send_modify(|losses| losses.note(&event));
            async {}
        });
        let servers = config.servers();
        // Each has its time, one after the other.
        let limit = config.common.connect_timeout * u32::try_from(servers.len()).unwrap_or(1);
        let client = tokio::time::timeout(limit, options.connect(servers))
            .await
            .map_err(|_| error::too_slow(&linchpin_adapter::Config::address(config), limit))?
            .map_err(|error| error::while_connecting(&linchpin_adapter::Config::address(config), error))?;
        let gathered = Gathered::new(format!("{}.", client.new_inbox()));
        let answers = client.subscribe(gathered.subjects()).await;
        let answers = answers.map_err(|error| lost("connect").with_source(error))?;
        let suspicious = Arc::new(Notify::new());
        let tasks = [
            tokio::spawn(gathered.clone().hand_out(answers)),
            tokio::spawn(rebuild(client.clone(), suspicious.clone())),
        ];
        Ok(Arc::new(Self {
            client,
            response_timeout: config.common.response_timeout,
            losses,
            gathered,
            closed: watch::Sender::new(false),
            unanswered: Mutex::new(None),
            suspicious,
            tasks,
        }))
    }

    /// What the server that it is connected to says of itself.
    pub(crate) fn server(&self) -> ServerInfo {
        self.client.server_info()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Told of whenever the connection breaks or is built again.
    pub(crate) fn losses(&self) -> watch::Receiver<Losses> {
        self.losses.clone()
    }

    /// A subject that only this connection listens to, for as long as it is subscribed to it.
    pub(crate) fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// Sends a request and waits for its answer. `None` if nobody is there to answer.
    pub(crate) async fn request(
        &self,
        operation: &'static str,
        subject: String,
        payload: Bytes,
    ) -> Result<Option<Message>> {
        let request = async_nats::Request::new().payload(payload).timeout(None);
        let named = subject.clone();
        let answer = async {
            match self.client.send_request(subject, request).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => Ok(None),
                Err(error) => Err(lost(operation).with_source(error)),
            }
        };
        self.answered(operation, &named, answer).await
    }

    /// Sends a request with a JSON body to JetStream, and reads its JSON answer.
    pub(crate) async fn api<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        subject: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Result<A, Refusal>> {
        let body = serde_json::to_vec(body).map_err(|_| Error::unreadable(operation, "a request cannot be written"))?;
        let answer = self.request(operation, format!("$JS.API.{subject}"), body.into()).await?;
        read_answer(operation, answer)
    }

    /// Publishes to a stream, and waits until it is stored.
    pub(crate) async fn store(
        &self,
        operation: &'static str,
        subject: String,
        payload: Bytes,
    ) -> Result<Result<Ack, Refusal>> {
        let answer = self.request(operation, subject, payload).await?;
        read_answer(operation, answer)
    }

    /// Sends a message that nobody answers, to be answered at `reply` if that is given.
    pub(crate) async fn send(
        &self,
        operation: &'static str,
        subject: String,
        reply: Option<String>,
        payload: Bytes,
    ) -> Result<()> {
        self.admit(operation).await?;
        let sent = match reply {
            None => self.client.publish(subject, payload).await,
            Some(reply) => self.client.publish_with_reply(subject, reply, payload).await,
        };
        sent.map_err(|error| lost(operation).with_source(error))
    }

    /// Prepares to gather several answers.
    pub(crate) fn gathering(&self) -> Gathering {
        self.gathered.gathering()
    }

    /// Sends a message, and returns once the server has handled it: whether anybody listens.
    pub(crate) async fn tell(&self, operation: &'static str, subject: String, payload: Bytes) -> Result<bool> {
        let (mut unheard, mut handled) = (self.gathering(), self.gathering());
        let named = subject.clone();
        let told = async {
            self.send(operation, subject, Some(unheard.inbox()), payload).await?;
            // To ourselves: what the server has to say about the message comes before.
            self.send(operation, handled.inbox(), None, Bytes::new()).await?;
            handled.next().await.ok_or_else(|| lost(operation))?;
            let says = unheard.arrived().and_then(|answer| answer.status);
            Ok(says != Some(StatusCode::NO_RESPONDERS))
        };
        self.answered(operation, &named, told).await
    }

    /// Subscribes; it is live before what is sent afterwards is answered.
    pub(crate) async fn listen(&self, operation: &'static str, subject: String) -> Result<Subscriber> {
        self.admit(operation).await?;
        self.client.subscribe(subject).await.map_err(|error| lost(operation).with_source(error))
    }

    /// Subscribes; it is live at the server when this returns.
    pub(crate) async fn subscribe(&self, operation: &'static str, subject: String) -> Result<Subscriber> {
        self.admit(operation).await?;
        let before = self.losses.borrow().clone();
        let subscriber = self.client.subscribe(subject.clone()).await;
        let subscriber = subscriber.map_err(|error| lost(operation).with_source(error))?;
        self.settle(operation).await?;
        if self.losses.borrow().has_denied(&subject, &before) {
            return Err(not_permitted(operation));
        }
        Ok(subscriber)
    }

    /// Returns once the server has taken in all that was sent before: a message to ourselves is back.
    pub(crate) async fn settle(&self, operation: &'static str) -> Result<()> {
        let mut back = self.gathering();
        let inbox = back.inbox();
        let settled = async {
            self.send(operation, inbox.clone(), None, Bytes::new()).await?;
            back.next().await.map(drop).ok_or_else(|| lost(operation))
        };
        self.answered(operation, &inbox, settled).await
    }

    /// Waits for an answer as long as the connection stands, and as long as a healthy server may take.
    pub(crate) async fn answered<T>(
        &self,
        operation: &'static str,
        subject: &str,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let sent = Sent::by(self);
        let answer = tokio::time::timeout(self.response_timeout, self.while_up(operation, subject, answer));
        let result = answer.await.map_err(|_| no_answer(operation))?;
        sent.answered();
        result
    }

    /// Waits for something as long as the connection stands, and the server does not refuse the subject.
    pub(crate) async fn while_up<T>(
        &self,
        operation: &'static str,
        subject: &str,
        wanted: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.admit(operation).await?;
        let mut losses = self.losses.clone();
        let before = losses.borrow_and_update().clone();
        let mut closed = self.closed.subscribe();
        let broken = async {
            // Without its sender there is no client any more.
            while losses.changed().await.is_ok() {
                let now = losses.borrow_and_update();
                if now.has_denied(subject, &before) {
                    return not_permitted(operation);
                }
                if now.lost != before.lost {
                    return lost(operation);
                }
            }
            lost(operation)
        };
        tokio::select! {
            biased;
            result = wanted => result,
            error = broken => Err(error),
            // What was sent may be done.
            _ = closed.wait_for(|closed| *closed) => {
                Err(Error::closed(operation).for_good())
            }
        }
    }

    /// Nothing is sent without a connection: it would come late. One that is just being built is waited for.
    pub(crate) async fn admit(&self, operation: &'static str) -> Result<()> {
        if *self.closed.borrow() {
            return Err(Error::closed(operation));
        }
        if self.is_up() {
            return Ok(());
        }
        let mut closed = self.closed.subscribe();
        tokio::select! {
            _ = tokio::time::timeout(Self::PATIENCE, self.is_built()) => {}
            _ = closed.wait_for(|closed| *closed) => return Err(Error::closed(operation)),
        }
        if self.is_up() {
            return Ok(());
        }
        Err(if self.losses.borrow().is_refused { not_accepted(operation) } else { not_connected(operation) })
    }

    async fn is_built(&self) {
        let mut losses = self.losses.clone();
        while !self.is_up() && !losses.borrow_and_update().is_refused {
            // What is told and what is so do not change in the same moment.
            let _ = tokio::time::timeout(Duration::from_millis(20), losses.changed()).await;
        }
    }

    /// Ends the connection; requests fail from now on.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
        let client = self.client.clone();
        self.tasks.iter().for_each(JoinHandle::abort);
        // What is left to send is sent; without a runtime there is nothing to send it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { client.drain().await });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Losses {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                self.built += 1;
                self.is_refused = false;
            }
            Event::Disconnected | Event::Closed => self.lost += 1,
            Event::SlowConsumer(_) => self.overrun += 1,
            Event::ServerError(error) if error.to_string().to_lowercase().contains("permissions violation") => {
                self.denied = (self.denied.0 + 1, error.to_string().into());
            }
            Event::ClientError(error) if error.to_string().contains("authorization violation") => {
                self.is_refused = true;
            }
            _ => {}
        }
    }

    /// Whether the server has refused this subject since.
    pub(crate) fn has_denied(&self, subject: &str, since: &Self) -> bool {
        self.denied.0 != since.denied.0
            && self.denied.1.to_lowercase().contains(&format!("\"{}\"", subject.to_lowercase()))
    }
}

fn read_answer<A: DeserializeOwned>(operation: &'static str, answer: Option<Message>) -> Result<Result<A, Refusal>> {
    let Some(answer) = answer else { return Ok(Err(Refusal::nobody())) };
    if let Some(status) = answer.status {
        return Ok(Err(Refusal {
            err_code: status.as_u16().into(),
            description: answer.description.unwrap_or_default(),
        }));
    }
    // Most answers are no refusals: those are read once.
    if contains(&answer.payload, br#""error""#)
        && let Some(refusal) = refusal(&answer.payload)
    {
        return Ok(Err(refusal));
    }
    serde_json::from_slice(&answer.payload).map(Ok).map_err(|_| Error::unreadable(operation, "an answer of JetStream"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The refusal that an answer of JetStream is, if it is one.
pub(crate) fn refusal(answer: &[u8]) -> Option<Refusal> {
    #[derive(serde::Deserialize)]
    struct Refused {
        error: Option<Refusal>,
    }
    serde_json::from_slice(answer).ok().and_then(|Refused { error }| error)
}

/// Builds the connection anew when it has become suspicious.
async fn rebuild(client: Client, suspicious: Arc<Notify>) {
    loop {
        suspicious.notified().await;
        if client.force_reconnect().await.is_err() {
            return;
        }
    }
}

/// A request on its way. A connection that left callers without any answer until they gave up is built anew.
struct Sent<'a> {
    connection: &'a Connection,
    answered: bool,
}

impl<'a> Sent<'a> {
    fn by(connection: &'a Connection) -> Self {
        connection.unanswered.lock().get_or_insert_with(Instant::now);
        Self { connection, answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
        *self.connection.unanswered.lock() = None;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut unanswered = self.connection.unanswered.lock();
        if unanswered.is_some_and(|since| since.elapsed() > Connection::SUSPICIOUS) {
            *unanswered = None;
            self.connection.suspicious.notify_one();
        }
    }
}
