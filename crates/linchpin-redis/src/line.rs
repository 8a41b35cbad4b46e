//! One connection to the server, and what is seen of it from outside the client: whether it has ended, whether it has
//! fallen silent, and whether anything was written to it.

use crate::config::RedisConfig;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a server says that has no room for another client, before it hangs up.
const FULL: &[u8] = b"-ERR max number of clients reached";

/// How many requests may wait to be written: so many that nobody waits for room. Who does takes some of it once there
/// is some, also if nobody polls it.
const QUEUE: usize = 1 << 20;

/// Where to connect to, and how.
pub(crate) struct Address {
    config: RedisConfig,
    tls: Option<Arc<ClientConfig>>,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The server has as many clients as it takes.
    Full,
    Other(RedisError),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Other(error.into())
    }
}

impl Address {
    pub(crate) fn of(config: &RedisConfig) -> linchpin_core::Result<Self> {
        Ok(Self { config: config.clone(), tls: config.tls()? })
    }

    /// Connects and logs in. What the server pushes goes where `config` says.
    pub(crate) async fn connect(
        &self,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
    ) -> Result<Line, Refusal> {
        let started = Instant::now();
        let host = self.config.host.as_str();
        let stream = TcpStream::connect((host, self.config.port)).await?;
        // Small commands must not wait for each other, and a peer that vanished is noticed.
        stream.set_nodelay(true)?;
        let keepalive =
            socket2::TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        match &self.tls {
            None => self.over(stream, started, protocol, config).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
                self.over(stream, started, protocol, config).await
            }
        }
    }

    async fn over<S: AsyncRead + AsyncWrite + Socket + Send + Unpin + 'static>(
        &self,
        stream: S,
        started: Instant,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
    ) -> Result<Line, Refusal> {
        let traffic = Arc::new(Traffic::default());
        let stream = ObservedStream { stream, traffic: traffic.clone(), used: Instant::now() };
        // Whoever asks looks at the time himself: he knows more of the connection.
        let config = config.set_response_timeout(None).set_connection_timeout(None);
        let config = config.set_pipeline_buffer_size(QUEUE);
        let login = self.config.login(protocol);
        let (redis, driver) = match MultiplexedConnection::new_with_config(&login, stream, config).await {
            Ok(made) => made,
            Err(_) if traffic.full.load(Ordering::Relaxed) => return Err(Refusal::Full),
            Err(error) => return Err(Refusal::Other(error)),
        };
        let ending = traffic.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            ending.end();
        });
        Ok(Line { redis, traffic, setup: started.elapsed(), driver: driver.abort_handle() })
    }
}

/// A connection; it ends when this is dropped.
pub(crate) struct Line {
    redis: MultiplexedConnection,
    traffic: Arc<Traffic>,
    /// How long it took to set up, which is several times the way to the server and back.
    setup: Duration,
    driver: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Line {
    /// Shorter than this no server is taken for silent, and longer than the other one none needs to be waited for.
    const SILENCE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

    /// So long each byte that was written may be on its way: what the slowest line carries, 256 KiB a second.
    const BYTE: Duration = Duration::from_micros(4);

    /// For how long a server that was seen to be the primary is taken for it.
    const PROVEN: Duration = Duration::from_secs(1);

    pub(crate) fn redis(&self) -> MultiplexedConnection {
        self.redis.clone()
    }

    /// Whether it is of no more use.
    pub(crate) fn has_ended(&self) -> bool {
        *self.traffic.ended.borrow()
    }

    /// Waits until it is of no more use.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as `self` does.
        let _ = self.traffic.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Has nobody wait for it any more.
    pub(crate) fn give_up(&self) {
        self.traffic.end();
    }

    /// How much was handed to the network so far: as long as that is the same, nothing was sent.
    pub(crate) fn written(&self) -> u64 {
        self.traffic.written.load(Ordering::Acquire)
    }

    /// How often something came in.
    pub(crate) fn heard(&self) -> u64 {
        self.traffic.heard.load(Ordering::Acquire)
    }

    /// How long until it will have been silent for suspiciously long after something was written; nothing left if
    /// it has.
    pub(crate) fn until_suspicious(&self) -> Duration {
        let (least, most) = Self::SILENCE;
        let silent = self.traffic.unanswered.since().map_or(Duration::ZERO, |since| since.elapsed());
        let on_its_way = Self::BYTE * u32::try_from(self.traffic.unheard()).unwrap_or(u32::MAX);
        ((self.setup * 2).clamp(least, most) + on_its_way).saturating_sub(silent)
    }

    /// Whether nobody looks yet what its silence means; whoever is told so does.
    pub(crate) fn begin_probe(&self) -> bool {
        !self.traffic.probed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn end_probe(&self) {
        self.traffic.probed.store(false, Ordering::Release);
    }

    /// Whether it is to be asked (again) if the server is the primary: by everybody once that was seen too long ago,
    /// by one of them half-way there.
    pub(crate) fn needs_proof(&self) -> bool {
        match self.traffic.proven.since() {
            Some(since) if since.elapsed() < Self::PROVEN / 2 => false,
            Some(since) if since.elapsed() < Self::PROVEN => !self.traffic.proving.swap(true, Ordering::AcqRel),
            _ => true,
        }
    }

    /// The server, asked at that time, was the primary.
    pub(crate) fn is_proven(&self, asked: Instant) {
        self.traffic.proven.set(asked);
        self.traffic.proving.store(false, Ordering::Release);
    }
}

/// What went over a connection.
struct Traffic {
    written: AtomicU64,
    heard: AtomicU64,
    /// How much was written when something came in last.
    written_before: AtomicU64,
    /// Since when something is written that nothing came in after.
    unanswered: Moment,
    /// When the server was asked whether it is the primary, and said so.
    proven: Moment,
    proving: AtomicBool,
    probed: AtomicBool,
    full: AtomicBool,
    ended: watch::Sender<bool>,
}

impl Default for Traffic {
    fn default() -> Self {
        let opened = Instant::now();
        let moment = || Moment { opened, after: AtomicU64::new(0) };
        let (written, heard, written_before, proving, probed, full) = Default::default();
        let ended = watch::Sender::new(false);
        Self { written, heard, written_before, unanswered: moment(), proven: moment(), proving, probed, full, ended }
    }
}

impl Traffic {
    fn end(&self) {
        self.ended.send_if_modified(|ended| !std::mem::replace(ended, true));
    }

    fn hear(&self, bytes: &[u8]) {
        if self.heard.fetch_add(1, Ordering::AcqRel) == 0 && bytes.starts_with(FULL) {
            self.full.store(true, Ordering::Relaxed);
        }
        self.written_before.store(self.written.load(Ordering::Acquire), Ordering::Release);
        self.unanswered.clear();
        if bytes.is_empty() {
            self.end();
        }
    }

    /// How much was written since something came in last.
    fn unheard(&self) -> u64 {
        let before = self.written_before.load(Ordering::Acquire);
        self.written.load(Ordering::Acquire).saturating_sub(before)
    }

    /// Counts one byte before anything is written, or fails: so nothing is written any more once somebody has seen that
    /// it has ended and how much was written until then.
    fn begin_write(&self) -> io::Result<()> {
        self.written.fetch_add(1, Ordering::AcqRel);
        if *self.ended.borrow() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// After `begin_write`, whatever became of it.
    fn end_write(&self, bytes: usize) {
        if bytes == 0 {
            self.written.fetch_sub(1, Ordering::AcqRel);
        } else {
            self.written.fetch_add(bytes as u64 - 1, Ordering::AcqRel);
            self.unanswered.begin();
        }
    }
}

/// A moment that there may be or not.
struct Moment {
    opened: Instant,
    /// Microseconds after it was opened, and one more; 0 for none.
    after: AtomicU64,
}

impl Moment {
    fn since(&self) -> Option<Instant> {
        let after = self.after.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.opened + Duration::from_micros(after))
    }

    fn micros(&self, at: Instant) -> u64 {
        let after = at.saturating_duration_since(self.opened).as_micros();
        u64::try_from(after).unwrap_or(u64::MAX - 1).saturating_add(1)
    }

    fn set(&self, at: Instant) {
        self.after.store(self.micros(at), Ordering::Release);
    }

    /// Now, unless it was before.
    fn begin(&self) {
        let _ = self.after.compare_exchange(0, self.micros(Instant::now()), Ordering::AcqRel, Ordering::Acquire);
    }

    fn clear(&self) {
        self.after.store(0, Ordering::Release);
    }
}

/// The socket of a stream.
trait Socket {
    fn socket(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream of which it is noted what goes over it.
struct ObservedStream<S> {
    stream: S,
    traffic: Arc<Traffic>,
    /// When something went over it last.
    used: Instant,
}

impl<S: Socket> ObservedStream<S> {
    /// After this time the socket is looked at before something is written: the server may have hung up, and nobody
    /// was there to see it.
    const IDLE: Duration = Duration::from_millis(100);

    fn look(&mut self) -> io::Result<()> {
        let idle = std::mem::replace(&mut self.used, Instant::now()).elapsed();
        if idle < Self::IDLE {
            return Ok(());
        }
        match socket2::SockRef::from(self.stream.socket()).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.used = Instant::now();
        match &result {
            Ok(()) => self.traffic.hear(&buf.filled()[before..]),
            Err(_) => self.traffic.end(),
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Socket + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = match self.traffic.begin_write().and_then(|()| self.look()) {
            Ok(()) => Pin::new(&mut self.stream).poll_write(cx, buf),
            Err(error) => Poll::Ready(Err(error)),
        };
        self.traffic.end_write(if let Poll::Ready(Ok(written)) = &result { *written } else { 0 });
        if matches!(result, Poll::Ready(Err(_))) {
            self.traffic.end();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn nothing_goes_over_a_line_that_was_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connects");
        let (mut peer, _) = listener.accept().await.expect("accepts");
        let traffic = Arc::new(Traffic::default());
        let mut line = ObservedStream { stream, traffic: traffic.clone(), used: Instant::now() };
        line.write_all(b"12").await.expect("written");
        assert_eq!((traffic.written.load(Ordering::Acquire), traffic.unheard()), (2, 2));
        traffic.end();
        line.write_all(b"345").await.expect_err("what was told as unsent is sent");
        assert_eq!(traffic.written.load(Ordering::Acquire), 2);
        drop(line);
        let mut got = Vec::new();
        peer.read_to_end(&mut got).await.expect("read");
        assert_eq!(got, b"12");
    }
}
