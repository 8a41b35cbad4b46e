//! The connection for commands: rebuilt when it breaks or falls silent, and never to a server that was demoted.

use crate::commands::ScriptCall;
use crate::config::RedisConfig;
use crate::error::{self, Failure};
use crate::line::{Address, Line, Refusal};
use linchpin_adapter::tasks::SingleFlight;
use linchpin_core::life::Life;
use linchpin_core::{Error, ErrorKind, Result, Retry};
use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind as Native, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, RedisError,
    ServerErrorKind, Value,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The connection for commands, shared by all tasks of a handle. Clones are the same one.
///
/// One that ended, whose server was demoted, or that fell silent while the server answers on another one, is not used
/// again. What was surely not sent is sent on the next one, and the caller does not hear of it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Shared>);

struct Shared {
    address: Address,
    name: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    life: Life,
    current: RwLock<Option<Arc<Line>>>,
    connecting: SingleFlight<Result<Arc<Line>, Refused>>,
    noting: AtomicBool,
}

/// Why connecting failed.
#[derive(Clone)]
enum Refused {
    TooSlow,
    ByServer(Refusal),
}

/// How often a command is sent that was surely not sent before.
const ATTEMPTS: usize = 3;

/// How much later than on a new connection a healthy one may be heard that was asked before.
const GRACE: Duration = Duration::from_millis(50);

/// Operations whose answer must not be that of a server that was demoted. Of those that write it refuses all but what
/// is published, beats too, which nobody hears who listens to the primary.
fn asks_the_primary(operation: &str) -> bool {
    matches!(operation, "get" | "scan" | "watch" | "inspect" | "claim" | "publish")
}

impl Connection {
    /// Connects; what runs in the background ends with `life`.
    pub(crate) async fn open(config: &RedisConfig, life: &Life) -> Result<Self> {
        let connection = Self(Arc::new(Shared {
            address: Address::of(config)?,
            name: linchpin_adapter::Config::address(config),
            connect_timeout: config.common.connect_timeout,
            response_timeout: config.common.response_timeout,
            life: life.clone(),
            current: RwLock::new(None),
            connecting: SingleFlight::default(),
            noting: AtomicBool::new(false),
        }));
        connection.line("connect").await?;
        Ok(connection)
    }

    /// Sends one command.
    pub(crate) async fn send<T: FromRedisValue>(&self, operation: &'static str, command: &Cmd) -> Result<T> {
        let request = |mut redis: MultiplexedConnection| async move { command.query_async(&mut redis).await };
        let answer = self.ask(operation, request).await.map_err(|failure| failure.of_command(operation))?;
        redis::from_redis_value(answer).map_err(|error| Error::unreadable(operation, &error.to_string()))
    }

    /// Sends commands that the server runs with nothing in between.
    pub(crate) async fn send_all(&self, operation: &'static str, commands: &Pipeline) -> Result<Value> {
        let request = |mut redis: MultiplexedConnection| async move { commands.query_async(&mut redis).await };
        self.ask(operation, request).await.map_err(|failure| failure.of_command(operation))
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(&self, operation: &'static str, script: &ScriptCall) -> Result<T> {
        let request = |mut redis: MultiplexedConnection| async move {
            let answer: Result<Value, RedisError> = script.command.query_async(&mut redis).await;
            match answer {
                Err(error) if error.kind() == Native::Server(ServerErrorKind::NoScript) => {
                    script.by_text().query_async(&mut redis).await
                }
                answer => answer,
            }
        };
        let answer = self.ask(operation, request).await.map_err(|failure| failure.of_script(operation))?;
        redis::from_redis_value(answer).map_err(|error| Error::unreadable(operation, &error.to_string()))
    }

    /// Notes at the server how far time has come, in the background: nobody waits for it.
    pub(crate) fn note_time(&self, script: impl FnOnce() -> ScriptCall) {
        if self.0.noting.swap(true, Ordering::AcqRel) {
            return;
        }
        let (connection, script) = (self.clone(), script());
        self.0.life.spawn(async move {
            if let Err(error) = connection.run::<Value>("note", &script).await {
                tracing::debug!(%error, "how far time has come could not be noted");
            }
            connection.0.noting.store(false, Ordering::Release);
        });
    }

    /// A connection of its own for what the server pushes, which is handed to `take` as it comes: in order, and on the
    /// task that reads the connection, so `take` must not block. It speaks the version of the protocol in which the
    /// server confirms subscriptions in line with messages.
    pub(crate) async fn subscriber(
        &self,
        operation: &'static str,
        take: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Line> {
        let take = move |push: PushInfo| {
            take(push);
            Ok::<(), ()>(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(take);
        self.0.dial(ProtocolVersion::RESP3, config).await.map_err(|refused| self.0.refused(operation, refused))
    }

    /// How long the handle lives.
    pub(crate) fn life(&self) -> &Life {
        &self.0.life
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }

    /// Ends the connection, and its handle's life with it.
    pub(crate) fn close(&self) {
        self.0.life.close();
        *self.0.current.write() = None;
    }

    /// Makes a request, again where it was surely not sent.
    async fn ask<F: Future<Output = Result<Value, RedisError>>>(
        &self,
        operation: &'static str,
        request: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<Value, Failure> {
        let mut attempt = 1;
        loop {
            let line = self.line(operation).await.map_err(Failure::Connecting)?;
            let written = line.written();
            match self.ask_over(&line, operation, request(line.redis())).await {
                Err(failure) if failure.is_end() && line.written() == written => {
                    self.forget(&line);
                    if attempt == ATTEMPTS {
                        return Err(Failure::Unsent);
                    }
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn ask_over(
        &self,
        line: &Arc<Line>,
        operation: &'static str,
        request: impl Future<Output = Result<Value, RedisError>>,
    ) -> Result<Value, Failure> {
        if asks_the_primary(operation) && line.needs_proof() {
            let (answer, proof) = tokio::join!(self.answer(line, request), self.prove(line));
            return proof.and(answer);
        }
        self.answer(line, request).await
    }

    /// Sees that the server is the primary.
    async fn prove(&self, line: &Arc<Line>) -> Result<(), Failure> {
        let asked = std::time::Instant::now();
        let mut redis = line.redis();
        let answer = self.answer(line, async { role().query_async(&mut redis).await }).await?;
        if !is_primary(&answer) {
            self.forget(line);
            return Err(Failure::Demoted);
        }
        line.is_proven(asked);
        Ok(())
    }

    /// Waits for an answer, for as long as there can be one.
    async fn answer(
        &self,
        line: &Arc<Line>,
        request: impl Future<Output = Result<Value, RedisError>>,
    ) -> Result<Value, Failure> {
        let deadline = Instant::now() + self.0.response_timeout;
        let mut waiting = PendingCall { connection: self, line, answered: false };
        tokio::pin!(request);
        let ended = line.ended();
        tokio::pin!(ended);
        loop {
            // Once it is suspicious somebody looks into it, which takes a while.
            let look = Instant::now() + line.until_suspicious().max(GRACE);
            tokio::select! {
                biased;
                answer = &mut request => {
                    waiting.answered = true;
                    if answer.as_ref().is_err_and(error::is_end) {
                        self.forget(line);
                    }
                    return answer.map_err(Failure::Answer);
                }
                () = &mut ended => {
                    waiting.answered = true;
                    self.forget(line);
                    return Err(Failure::Lost);
                }
                () = tokio::time::sleep_until(look.min(deadline)) => {
                    if Instant::now() >= deadline {
                        self.forget(line);
                        return Err(Failure::Slow);
                    }
                    self.suspect(line);
                }
            }
        }
    }

    /// Looks into it if a connection is silent for too long: one that is half open never ends by itself.
    fn suspect(&self, line: &Arc<Line>) {
        if line.until_suspicious().is_zero() && line.begin_probe() {
            let (connection, line) = (self.clone(), line.clone());
            self.0.life.spawn(async move { connection.probe(&line).await });
        }
    }

    /// Replaces a silent connection by a new one, if the server answers there: it answers in turn.
    async fn probe(&self, line: &Arc<Line>) {
        let heard = line.heard();
        if let Ok(fresh) = self.0.dial(ProtocolVersion::RESP2, AsyncConnectionConfig::new()).await {
            // Longer than a machine under load may need to hand on what has come.
            tokio::time::sleep(GRACE * 3).await;
            if line.heard() == heard {
                tracing::warn!("the connection is silent and the server is not; it is replaced");
                let mut current = self.0.current.write();
                // Closed meanwhile: nobody would end it.
                let is_open = self.0.life.ended().is_none();
                if is_open && current.as_ref().is_none_or(|current| Arc::ptr_eq(current, line)) {
                    *current = Some(Arc::new(fresh));
                }
                drop(current);
                return line.give_up();
            }
        }
        // It was the server, or the network.
        tokio::time::sleep(GRACE * 4).await;
        line.end_probe();
    }

    /// Does not use this one again; another that took its place by now stays.
    fn forget(&self, line: &Arc<Line>) {
        let mut current = self.0.current.write();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, line)) {
            *current = None;
        }
    }

    fn live(&self) -> Option<Arc<Line>> {
        self.0.current.read().clone().filter(|line| !line.has_ended())
    }

    async fn line(&self, operation: &'static str) -> Result<Arc<Line>> {
        // What began before the end may end over what is there.
        if let Some(line) = self.live() {
            return Ok(line);
        }
        self.0.life.admit(operation)?;
        let connecting = self.clone();
        let connecting = async move { connecting.replace().await };
        let line = self.0.connecting.run(&self.0.life, operation, connecting).await?;
        self.0.life.admit(operation)?;
        line.map_err(|refused| self.0.refused(operation, refused))
    }

    /// Connects, if nobody has by now.
    async fn replace(&self) -> Result<Arc<Line>, Refused> {
        if let Some(line) = self.live() {
            return Ok(line);
        }
        let line = Arc::new(self.0.dial(ProtocolVersion::RESP2, AsyncConnectionConfig::new()).await?);
        let mut current = self.0.current.write();
        // Closed meanwhile: nobody would end it.
        if self.0.life.ended().is_none() {
            *current = Some(line.clone());
        }
        Ok(line)
    }
}

impl Shared {
    /// Connects. To be called by tasks of the handle: a connection ends with the runtime that it was opened in.
    async fn dial(&self, protocol: ProtocolVersion, config: AsyncConnectionConfig) -> Result<Line, Refused> {
        match tokio::time::timeout(self.connect_timeout, self.address.connect(protocol, config)).await {
            Ok(line) => line.map_err(Refused::ByServer),
            Err(_) => Err(Refused::TooSlow),
        }
    }

    fn refused(&self, operation: &'static str, refused: Refused) -> Error {
        match refused {
            Refused::ByServer(refusal) => error::while_connecting(operation, &self.name, refusal),
            Refused::TooSlow => {
                let (address, limit) = (&self.name, self.connect_timeout);
                let problem = format!("{address} did not answer within {limit:?} while connecting; {}", error::CHECK);
                Error::new(ErrorKind::Timeout, operation, problem).with_retry(Retry::Safe)
            }
        }
    }
}

/// Asks what part the server plays. `ROLE` would be a right of its own.
pub(crate) fn role() -> Cmd {
    let mut command = redis::cmd("INFO");
    command.arg("replication");
    command
}

/// Whether what it answers is that it is the primary.
pub(crate) fn is_primary(answer: &Value) -> bool {
    let text = redis::from_redis_value_ref::<String>(answer).unwrap_or_default();
    text.lines().any(|line| line.trim_end() == "role:master")
}

/// A caller who waits for an answer. One who gives up leaves it to somebody else to find out why none came.
struct PendingCall<'a> {
    connection: &'a Connection,
    line: &'a Arc<Line>,
    answered: bool,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.suspect(self.line);
        }
    }
}
