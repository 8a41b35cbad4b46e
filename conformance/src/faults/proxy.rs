//! A TCP proxy that delays, slows down, holds back and cuts what goes through it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

/// What a connection may keep back for each direction; more stays with the sender.
const BUFFER: usize = 16 * 1024;

/// One way through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Answers,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mode {
    /// Grows with every cut: connections from before it are closed.
    cuts: u64,
    refuses: bool,
    requests: Flow,
    answers: Flow,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    held: bool,
    delay: Duration,
    /// Bytes per second; as many as there are without one.
    rate: Option<NonZeroU32>,
}

impl Mode {
    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::Requests => self.requests,
            Direction::Answers => self.answers,
        }
    }

    fn flow_mut(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::Requests => &mut self.requests,
            Direction::Answers => &mut self.answers,
        }
    }
}

/// A TCP proxy before one server, on a loopback port of its own. Dropping it closes its connections.
///
/// ```
/// use linchpin_conformance::{Direction, Proxy};
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = Proxy::start(server.local_addr()?).await?;
/// // Clients connect to proxy.address().
/// proxy.hold(Direction::Answers); // the server hears them, they do not hear the server
/// proxy.cut(); // their connections break, and no new ones are taken
/// proxy.mend(); // all is well again
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

/// What has come so far.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicU64,
    answers: AtomicU64,
}

impl Counts {
    fn bytes(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Requests => &self.requests,
            Direction::Answers => &self.answers,
        }
    }
}

impl Proxy {
    /// Starts a proxy before the server that listens at `target`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, mode) = (listener.local_addr()?, watch::Sender::new(Mode::default()));
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(accept(listener, target, mode.subscribe(), counts.clone()));
        Ok(Self { address, mode, counts, task })
    }

    /// How many connections it has taken so far.
    pub fn taken(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many bytes it has handed on one way so far, on all connections together.
    pub fn carried(&self, direction: Direction) -> u64 {
        self.counts.bytes(direction).load(Ordering::SeqCst)
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and those that come from now on at once.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| {
            mode.cuts += 1;
            mode.refuses = true;
        });
    }

    /// Holds back what goes one way, connections stay open: as a network does that loses every packet. Held in both
    /// directions a connection is half open: neither side learns that the other is gone.
    pub fn hold(&self, direction: Direction) {
        self.mode.send_modify(|mode| mode.flow_mut(direction).held = true);
    }

    /// Takes so much longer for every piece of data that goes one way.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.mode.send_modify(|mode| mode.flow_mut(direction).delay = by);
    }

    /// Lets so many bytes a second through one way, on each connection.
    pub fn throttle(&self, direction: Direction, bytes_per_second: NonZeroU32) {
        self.mode.send_modify(|mode| mode.flow_mut(direction).rate = Some(bytes_per_second));
    }

    /// Takes connections again, hands on what was held back, and slows nothing down.
    pub fn mend(&self) {
        self.mode.send_modify(|mode| *mode = Mode { cuts: mode.cuts, ..Mode::default() });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, mode: watch::Receiver<Mode>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = client else { continue };
        let now = *mode.borrow();
        if !now.refuses {
            counts.connections.fetch_add(1, Ordering::SeqCst);
            connections.spawn(connection(client, target, now.cuts, mode.clone(), counts.clone()));
        }
    }
}

/// Hands on both ways until one side closes or the proxy cuts.
async fn connection(
    client: TcpStream,
    target: SocketAddr,
    cuts: u64,
    mut mode: watch::Receiver<Mode>,
    counts: Arc<Counts>,
) {
    let pumped = mode.clone();
    let hand_on = async {
        let Ok(server) = TcpStream::connect(target).await else { return };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = pump(from_client, to_server, Direction::Requests, pumped.clone(), &counts) => {}
            () = pump(from_server, to_client, Direction::Answers, pumped.clone(), &counts) => {}
        }
    };
    tokio::select! {
        // First: what a cut has come before is not handed on.
        biased;
        _ = async { mode.wait_for(|mode| mode.cuts > cuts).await.map(drop) } => {}
        () = hand_on => {}
    }
}

/// Hands on one way until it ends. The end of a held way is not told either.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Direction,
    mut mode: watch::Receiver<Mode>,
    counts: &Counts,
) {
    let (mut buffer, mut free) = (vec![0; BUFFER], Instant::now());
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        let Ok(now) = mode.wait_for(|mode| !mode.flow(way).held).await.map(|mode| mode.flow(way)) else { return };
        if !now.delay.is_zero() {
            sleep(now.delay).await;
        }
        if let (Some(rate), Ok(bytes)) = (now.rate, u32::try_from(length)) {
            free = free.max(Instant::now()) + Duration::from_secs(1) * bytes / rate.get();
            sleep_until(free).await;
        }
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        counts.bytes(way).fetch_add(length as u64, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(100);

    /// A server that answers every byte with the next one, and a proxy before it.
    async fn proxied() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        let _ = stream.write_u8(byte + 1).await;
                    }
                });
            }
        });
        Proxy::start(address).await.expect("a proxy")
    }

    async fn client(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.expect("connected")
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
        stream.write_u8(byte).await?;
        timeout(SOON, stream.read_u8()).await.expect("in time")
    }

    #[tokio::test]
    async fn it_hands_on_delays_and_holds_back() {
        let proxy = proxied().await;
        let mut stream = client(&proxy).await;
        assert_eq!(ask(&mut stream, 1).await.expect("answered"), 2);
        proxy.delay(Direction::Answers, SHORT);
        let asked = Instant::now();
        assert_eq!(ask(&mut stream, 3).await.expect("answered"), 4);
        assert!(asked.elapsed() >= SHORT);
        assert_eq!((proxy.taken(), proxy.carried(Direction::Requests)), (1, 2));
        proxy.mend();
        for way in [Direction::Requests, Direction::Answers] {
            proxy.hold(way);
            stream.write_u8(5).await.expect("written");
            timeout(SHORT, stream.read_u8()).await.expect_err("held back");
            proxy.mend();
            assert_eq!(timeout(SOON, stream.read_u8()).await.expect("in time").expect("answered"), 6);
        }
    }

    #[tokio::test]
    async fn it_lets_so_many_bytes_through() {
        let proxy = proxied().await;
        let mut stream = client(&proxy).await;
        proxy.throttle(Direction::Answers, NonZeroU32::new(100).expect("some"));
        let asked = Instant::now();
        for byte in 0..10 {
            assert_eq!(ask(&mut stream, byte).await.expect("answered"), byte + 1);
        }
        assert!(asked.elapsed() >= SHORT && asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }

    #[tokio::test]
    async fn it_cuts_and_takes_connections_again() {
        let proxy = proxied().await;
        let mut stream = client(&proxy).await;
        assert_eq!((ask(&mut stream, 1).await.expect("answered"), proxy.taken()), (2, 1));
        proxy.cut();
        assert!(ask(&mut stream, 1).await.is_err());
        assert!(ask(&mut client(&proxy).await, 1).await.is_err());
        proxy.mend();
        assert_eq!(ask(&mut client(&proxy).await, 1).await.expect("answered"), 2);
    }

    #[tokio::test]
    async fn the_end_of_one_side_is_told_to_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy::start(listener.local_addr().expect("an address")).await.expect("a proxy");
        let stream = client(&proxy).await;
        let (mut accepted, _) = timeout(SOON, listener.accept()).await.expect("in time").expect("accepted");
        drop(stream);
        assert!(timeout(SOON, accepted.read_u8()).await.expect("in time").is_err());
    }
}
