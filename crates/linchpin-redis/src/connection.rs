//! Connections: one for commands that is rebuilt when it breaks, and fresh ones for the readers.

use crate::commands::ScriptCall;
use crate::config::RedisConfig;
use crate::error;
use linchpin_core::{Error, ErrorKind, Result, Retry};
use parking_lot::{Mutex as PlainMutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind as Native, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, RedisError,
    ServerErrorKind, Value,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The connection for commands, shared by all tasks of a handle.
///
/// A command that fails because the connection broke, or that got no answer in time, makes the next one
/// build a new connection: a half-open one is never kept.
pub(crate) struct Connection {
    client: redis::Client,
    /// The same server in the version of the protocol in which it confirms subscriptions in line with messages.
    subscriber: redis::Client,
    address: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    current: RwLock<Option<MultiplexedConnection>>,
    connecting: Mutex<()>,
    closed: AtomicBool,
    /// Since when commands have been on their way without any answer.
    unanswered: PlainMutex<Option<Instant>>,
}

impl Connection {
    pub(crate) async fn open(config: &RedisConfig) -> Result<Self> {
        let connection = Self {
            client: config.client(ProtocolVersion::RESP2)?,
            subscriber: config.client(ProtocolVersion::RESP3)?,
            address: config.address(),
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            current: RwLock::new(None),
            connecting: Mutex::new(()),
            closed: AtomicBool::new(false),
            unanswered: PlainMutex::new(None),
        };
        connection.get("connect").await?;
        Ok(connection)
    }

    /// Sends one command.
    pub(crate) async fn send<T: FromRedisValue>(&self, operation: &'static str, command: &Cmd) -> Result<T> {
        let mut connection = self.get(operation).await?;
        let sent = Sent::by(self);
        let answer: Result<Value, RedisError> = command.query_async(&mut connection).await;
        let answer = sent.answered(answer).map_err(|error| error::of_command(operation, error))?;
        redis::from_redis_value(answer).map_err(|error| error::unexpected(operation, &error.to_string()))
    }

    /// Sends commands that the server runs with nothing in between.
    pub(crate) async fn send_all(&self, operation: &'static str, commands: &Pipeline) -> Result<Value> {
        let mut connection = self.get(operation).await?;
        let sent = Sent::by(self);
        let answer = commands.query_async(&mut connection).await;
        sent.answered(answer).map_err(|error| error::of_command(operation, error))
    }

    /// Runs a script, loading it if the server does not know it (any more).
    pub(crate) async fn run<T: FromRedisValue>(&self, operation: &'static str, script: &ScriptCall) -> Result<T> {
        let mut connection = self.get(operation).await?;
        let sent = Sent::by(self);
        let mut answer: Result<Value, RedisError> = script.command.query_async(&mut connection).await;
        if answer.as_ref().is_err_and(|error| error.kind() == Native::Server(ServerErrorKind::NoScript)) {
            answer = match script.script.load_async(&mut connection).await {
                Ok(_) => script.command.query_async(&mut connection).await,
                Err(error) => Err(error),
            };
        }
        let answer = sent.answered(answer).map_err(|error| error::of_command(operation, error))?;
        redis::from_redis_value(answer).map_err(|error| error::unexpected(operation, &error.to_string()))
    }

    /// A connection of its own for what the server pushes, which is handed to `take` as it comes: in order, and on the
    /// task that reads the connection, so `take` must not block.
    pub(crate) async fn subscriber(
        &self,
        operation: &'static str,
        response: Duration,
        take: impl Fn(&PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection> {
        let take = move |push: PushInfo| {
            take(&push);
            Ok::<(), ()>(())
        };
        self.connect(operation, &self.subscriber, AsyncConnectionConfig::new().set_push_sender(take), response).await
    }

    /// How long the server may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Ends the connection; commands fail from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.forget();
    }

    /// Forgets the connection; the next command builds a new one.
    fn forget(&self) {
        *self.current.write() = None;
        *self.unanswered.lock() = None;
    }

    async fn get(&self, operation: &'static str) -> Result<MultiplexedConnection> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed(operation));
        }
        if let Some(connection) = self.current.read().clone() {
            return Ok(connection);
        }
        // One task connects, the others wait for it.
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.current.read().clone() {
            return Ok(connection);
        }
        let config = AsyncConnectionConfig::new();
        let connection = self.connect(operation, &self.client, config, self.response_timeout).await?;
        *self.current.write() = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(
        &self,
        operation: &'static str,
        client: &redis::Client,
        config: AsyncConnectionConfig,
        response: Duration,
    ) -> Result<MultiplexedConnection> {
        let config = config.set_connection_timeout(Some(self.connect_timeout)).set_response_timeout(Some(response));
        // The client's own limit does not cover the handshake.
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        tokio::time::timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| self.too_slow(operation))?
            .map_err(|error| error::while_connecting(operation, &self.address, error))
    }

    fn too_slow(&self, operation: &'static str) -> Error {
        let (address, limit) = (&self.address, self.connect_timeout);
        let problem = format!("{address} did not answer within {limit:?} while connecting; {}", error::CHECK);
        Error::new(ErrorKind::Timeout, operation, problem).with_retry(Retry::Safe)
    }
}

/// A command on its way. A connection that broke, whose server was demoted, or that left callers without any
/// answer until they gave up, is not used again.
struct Sent<'a> {
    connection: &'a Connection,
    answered: bool,
}

impl<'a> Sent<'a> {
    /// Longer than this nobody waits for a healthy server, however often each caller gave up before.
    const SUSPICIOUS: Duration = Duration::from_secs(1);

    fn by(connection: &'a Connection) -> Self {
        connection.unanswered.lock().get_or_insert_with(Instant::now);
        Self { connection, answered: false }
    }

    fn answered<T>(mut self, answer: Result<T, RedisError>) -> Result<T, RedisError> {
        self.answered = true;
        *self.connection.unanswered.lock() = None;
        if answer.as_ref().is_err_and(is_end) {
            self.connection.forget();
        }
        answer
    }
}

/// Whether the connection is of no more use after this error.
fn is_end(error: &RedisError) -> bool {
    let demoted = matches!(error.kind(), Native::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    demoted || error.is_io_error() || error.is_unrecoverable_error()
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let since = *self.connection.unanswered.lock();
        if !self.answered && since.is_some_and(|since| since.elapsed() > Self::SUSPICIOUS) {
            self.connection.forget();
        }
    }
}

/// The pauses between attempts to reconnect: doubled from 20 ms to 1 s, each cut by up to a half at random.
#[derive(Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) async fn pause(&mut self) {
        let doubled = Duration::from_millis(20 << self.0.min(6)).min(Duration::from_secs(1));
        self.0 += 1;
        tokio::time::sleep(doubled.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }

    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}
