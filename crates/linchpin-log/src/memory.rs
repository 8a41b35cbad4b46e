//! A log in this process's memory, with the faults that logs have: for tests.

mod source;

pub use source::{MemoryLogConfig, MemoryLogCoordination, MemoryLogs};

use crate::log::{Bounds, Log, LogReader, LogRecord};
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::{Error, ErrorKind, Result, Retry, StreamName};
use linchpin_machine::Time;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// What goes wrong between one client and the log: each is a chance from 0 to 1, and how long it takes at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// An append fails, and nothing was appended.
    pub lost: f64,
    /// An append fails, and was done.
    pub unanswered: f64,
    /// An append fails, and is done later.
    pub late: f64,
    /// A record is appended twice.
    pub repeated: f64,
    /// A reader breaks off.
    pub cut: f64,
    /// Of a snapshot only a part is kept, though all was said to be.
    pub torn: f64,
    /// How long an append takes, and a record on its way to a reader, at most: so those of several clients come in another
    /// order than they were sent.
    pub delay: Duration,
    /// How much later a late one comes, at most.
    pub lateness: Duration,
}

/// A log in this process's memory. Clones are the same log, and have the same faults.
///
/// ```
/// use linchpin_log::memory::MemoryLog;
/// use linchpin_log::{Log, LogReader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let log = MemoryLog::new();
/// log.append("a record".into()).await?;
/// let record = log.read(0).await?.next().await?;
/// assert_eq!((record.offset, &record.body[..]), (0, &b"a record"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
    faults: Arc<Faults>,
    dice: Arc<Mutex<fastrand::Rng>>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    next: watch::Sender<u64>,
    started: Instant,
}

#[derive(Debug)]
struct Inner {
    log: u64,
    first: u64,
    records: VecDeque<LogRecord>,
    snapshots: BTreeMap<u64, Bytes>,
    contents: BTreeMap<(StreamName, u64), Bytes>,
    /// Where the last content was kept.
    last_place: u64,
    /// What the clock said at the start, in microseconds: it is stepped by this.
    started_at: u64,
}

impl Inner {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty one, without faults. Its clock is tokio's.
    pub fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started_at = u64::try_from(since_1970.as_micros()).unwrap_or_default();
        let (records, snapshots, contents) = Default::default();
        let inner = Inner { log: 0, first: 0, records, snapshots, contents, last_place: 0, started_at };
        let shared = Shared { inner: Mutex::new(inner), next: watch::Sender::new(0), started: Instant::now() };
        Self {
            shared: Arc::new(shared),
            faults: Arc::default(),
            dice: Arc::new(Mutex::new(fastrand::Rng::with_seed(0))),
        }
    }

    /// The same log as a client has it to whom this happens. The same seed makes the same faults of the same calls.
    #[must_use]
    pub fn with_faults(&self, faults: Faults, seed: u64) -> Self {
        let dice = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { shared: self.shared.clone(), faults: Arc::new(faults), dice }
    }

    /// Steps the log's clock.
    pub fn step_clock(&self, micros: i64) {
        let mut inner = self.shared.inner.lock();
        inner.started_at = inner.started_at.saturating_add_signed(micros);
    }

    /// Loses the last records, though they were acknowledged, and the snapshots that had them in.
    pub fn lose(&self, records: usize) {
        let mut inner = self.shared.inner.lock();
        let left = inner.records.len().saturating_sub(records);
        inner.records.truncate(left);
        let next = inner.next();
        inner.snapshots.retain(|offset, _| *offset <= next);
        drop(inner);
        self.shared.next.send_replace(next);
    }

    /// How many contents are kept of a stream's records.
    pub fn contents_of(&self, stream: &StreamName) -> usize {
        self.shared.inner.lock().contents.keys().filter(|(name, _)| name == stream).count()
    }

    /// Loses the contents of all records.
    pub fn lose_contents(&self) {
        self.shared.inner.lock().contents.clear();
    }

    /// Loses all but its snapshots: it begins anew.
    pub fn lose_all(&self) {
        let mut inner = self.shared.inner.lock();
        (inner.log, inner.first) = (inner.log + 1, 0);
        (inner.records, inner.contents) = Default::default();
        drop(inner);
        self.shared.next.send_replace(0);
    }

    fn push(&self, body: Bytes) {
        let mut inner = self.shared.inner.lock();
        let elapsed = u64::try_from(self.shared.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let time = Time::from_micros(inner.started_at.saturating_add(elapsed));
        let offset = inner.next();
        inner.records.push_back(LogRecord { offset, time, body });
        let next = inner.next();
        drop(inner);
        self.shared.next.send_replace(next);
    }

    fn happens(&self, chance: f64) -> bool {
        chance > 0.0 && self.dice.lock().f64() < chance
    }

    async fn delay(&self, longest: Duration) {
        if !longest.is_zero() {
            let part = self.dice.lock().f64();
            sleep(longest.mul_f64(part)).await;
        }
    }
}

fn failed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, "the log did not answer").with_retry(Retry::Unknown)
}

#[async_trait]
impl Log for MemoryLog {
    type Reader = MemoryLogReader;

    async fn append(&self, body: Bytes) -> Result<()> {
        let faults = &*self.faults;
        self.delay(faults.delay).await;
        if self.happens(faults.lost) {
            return Err(failed("append"));
        }
        if self.happens(faults.late) {
            let log = self.clone();
            tokio::spawn(async move {
                log.delay(log.faults.lateness).await;
                log.push(body);
            });
            return Err(failed("append"));
        }
        self.push(body.clone());
        if self.happens(faults.repeated) {
            self.push(body);
        }
        if self.happens(faults.unanswered) {
            return Err(failed("append"));
        }
        self.delay(faults.delay).await;
        Ok(())
    }

    async fn read(&self, from: u64) -> Result<MemoryLogReader> {
        Ok(MemoryLogReader { log: self.clone(), next: from, grown: self.shared.next.subscribe() })
    }

    async fn bounds(&self) -> Result<Bounds> {
        let inner = self.shared.inner.lock();
        Ok(Bounds { log: inner.log, first: inner.first, next: inner.next() })
    }

    async fn trim(&self, before: u64) -> Result<()> {
        let mut inner = self.shared.inner.lock();
        while inner.first < before && inner.records.pop_front().is_some() {
            inner.first += 1;
        }
        Ok(())
    }

    async fn keep_snapshot(&self, offset: u64, body: Bytes) -> Result<()> {
        let kept = if self.happens(self.faults.torn) { body.slice(..body.len() / 2) } else { body };
        self.shared.inner.lock().snapshots.insert(offset, kept);
        Ok(())
    }

    async fn snapshots(&self) -> Result<Vec<u64>> {
        Ok(self.shared.inner.lock().snapshots.keys().copied().collect())
    }

    async fn snapshot(&self, offset: u64) -> Result<Option<Bytes>> {
        Ok(self.shared.inner.lock().snapshots.get(&offset).cloned())
    }

    async fn drop_snapshot(&self, offset: u64) -> Result<()> {
        self.shared.inner.lock().snapshots.remove(&offset);
        Ok(())
    }

    async fn keep_contents(&self, stream: &StreamName, contents: Vec<Bytes>) -> Result<Vec<u64>> {
        self.delay(self.faults.delay).await;
        if self.happens(self.faults.lost) {
            return Err(failed("append"));
        }
        let mut inner = self.shared.inner.lock();
        let mut places = Vec::with_capacity(contents.len());
        for content in contents {
            inner.last_place += 1;
            let place = inner.last_place;
            inner.contents.insert((stream.clone(), place), content);
            places.push(place);
        }
        drop(inner);
        if self.happens(self.faults.unanswered) { Err(failed("append")) } else { Ok(places) }
    }

    async fn contents(&self, stream: &StreamName, places: &[u64]) -> Result<Vec<Option<Bytes>>> {
        self.delay(self.faults.delay).await;
        if self.happens(self.faults.cut) {
            return Err(failed("claim"));
        }
        let inner = self.shared.inner.lock();
        Ok(places.iter().map(|place| inner.contents.get(&(stream.clone(), *place)).cloned()).collect())
    }

    async fn drop_contents(&self, stream: &StreamName, before: u64) -> Result<()> {
        if self.happens(self.faults.lost) {
            return Err(failed("trim"));
        }
        let mut inner = self.shared.inner.lock();
        inner.contents.retain(|(name, place), _| name != stream || *place >= before);
        Ok(())
    }
}

/// Reads a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryLogReader {
    log: MemoryLog,
    next: u64,
    grown: watch::Receiver<u64>,
}

#[async_trait]
impl LogReader for MemoryLogReader {
    async fn next(&mut self) -> Result<LogRecord> {
        self.log.delay(self.log.faults.delay).await;
        if self.log.happens(self.log.faults.cut) {
            return Err(failed("read"));
        }
        loop {
            {
                let inner = self.log.shared.inner.lock();
                if self.next > inner.next() {
                    return Err(Error::new(ErrorKind::Backend, "read", "the log ends before this offset"));
                }
                let from = self.next.max(inner.first);
                let index = usize::try_from(from - inner.first).unwrap_or(usize::MAX);
                if let Some(record) = inner.records.get(index) {
                    self.next = from + 1;
                    return Ok(record.clone());
                }
            }
            if self.grown.changed().await.is_err() {
                return Err(failed("read"));
            }
        }
    }
}
