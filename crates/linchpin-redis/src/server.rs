//! The connection that the server pushes over: what it is subscribed to, and where what it brings goes.

use crate::connection::{Connection, is_primary, role};
use crate::error;
use crate::hub::{Request, Shared};
use crate::line::Line;
use crate::listeners::Ticket;
use crate::topics::{Carriers, Topic, outermost};
use linchpin_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, RedisResult, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// The whole namespace, as its ACL writes it.
const WHOLE: Topic = Topic::Start(String::new());

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

/// The connection that the server pushes over.
pub(crate) struct Server {
    pub(crate) line: Line,
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
    pub(crate) async fn connect(
        connection: &Connection,
        shared: &Arc<Shared>,
        operation: &'static str,
    ) -> Result<Self> {
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
    pub(crate) async fn take(&mut self, shared: &Shared, requests: Vec<Request>) -> Result<()> {
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
    pub(crate) async fn subscribe(&mut self, shared: &Shared, topics: Vec<Topic>) -> Result<()> {
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
    pub(crate) async fn ping(&self) -> Result<()> {
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

pub(crate) fn lost(problem: &str) -> Error {
    Error::unreadable("subscribe", problem)
}
