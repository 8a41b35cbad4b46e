//! Watching: one reader of the change log and one sweeper of expired keys per handle, while anybody watches.

use crate::codec::Reader;
use crate::commands::{self, Prefix};
use crate::connection::{Backoff, Connection};
use crate::state;
use linchpin_core::fanout::{Change, Scan, Watchers};
use linchpin_core::{Error, Key, Page, Range, Result, Revision, WatchStream};
use redis::Value;
use redis::aio::MultiplexedConnection;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;

/// How long one read of the log waits: the pause after which a dead connection is noticed.
const BLOCK: Duration = Duration::from_millis(1500);
/// Before the first record of the log.
const START: &str = "0-0";
/// How late a sweeper may come, at random, so that one of many processes comes first.
const JITTER: Duration = Duration::from_millis(20);

/// The watchers of a handle and what serves them.
pub(crate) struct Changes {
    shared: Arc<Shared>,
    tasks: OnceCell<Tasks>,
}

struct Shared {
    connection: Arc<Connection>,
    prefix: Prefix,
    watchers: Watchers,
    /// A deadline came up that may be earlier than the one the sweeper sleeps for.
    deadline: Notify,
    broken: AtomicBool,
}

struct Tasks {
    reader: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.reader.abort();
        self.sweeper.abort();
    }
}

impl Changes {
    pub(crate) fn new(connection: Arc<Connection>, prefix: Prefix) -> Self {
        let shared = Shared {
            connection,
            prefix,
            watchers: Watchers::default(),
            deadline: Notify::new(),
            broken: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), tasks: OnceCell::new() }
    }

    /// The stream keeps what serves it alive, so it may outlive its handle.
    pub(crate) async fn watch(self: &Arc<Self>, range: &Range) -> Result<WatchStream> {
        self.tasks.get_or_try_init(|| self.start()).await?;
        let changes = self.clone();
        let scan: Scan = Arc::new(move |range: Range, page: Page| {
            let changes = changes.clone();
            Box::pin(
                async move { state::scan(&changes.shared.connection, &changes.shared.prefix, &range, &page).await },
            )
        });
        let stream = self.shared.watchers.add(range.clone(), scan).await?;
        // What it watches may expire before the sweeper would look next.
        self.shared.deadline.notify_one();
        Ok(stream)
    }

    /// Whether the log cannot be read at present.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.shared.watchers.end(|| Error::closed("watch"));
        if let Some(tasks) = self.tasks.get() {
            tasks.reader.abort();
            tasks.sweeper.abort();
        }
    }

    /// Starts the tasks; the log's end is known when this returns, so nothing after it is missed.
    async fn start(&self) -> Result<Tasks> {
        let log = self.shared.open_log().await?;
        let (reader, sweeper) = (self.shared.clone(), self.shared.clone());
        Ok(Tasks {
            reader: tokio::spawn(async move { reader.read(log).await }),
            sweeper: tokio::spawn(async move { sweeper.sweep().await }),
        })
    }
}

/// A connection to the log and the id of the last record that was read.
struct Log {
    connection: MultiplexedConnection,
    last: String,
}

/// A record of the log: the id of the one before it, what happened, to which key, at which revision.
struct LogRecord {
    id: String,
    before: String,
    kind: String,
    key: Key,
    has_deadline: bool,
}

impl LogRecord {
    fn revision(&self) -> Revision {
        Revision(self.id.split('-').next().and_then(|text| text.parse().ok()).unwrap_or_default())
    }
}

impl Shared {
    async fn open_log(&self) -> Result<Log> {
        let connection = self.connection.blocking("watch", BLOCK).await?;
        let script = self.prefix.invoke(&commands::POSITION);
        let last = self.connection.run("watch", &script).await.map_err(Error::of_read)?;
        Ok(Log { connection, last })
    }

    /// Reads the log for ever. After a break every watcher reads its range again.
    async fn read(&self, mut log: Log) {
        let mut backoff = Backoff::default();
        loop {
            match self.read_some(&mut log).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.broken.store(true, Ordering::Relaxed);
                    tracing::warn!(%error, "the change log broke off; reconnecting");
                    log = loop {
                        backoff.pause().await;
                        match self.open_log().await {
                            Ok(log) => break log,
                            Err(error) => tracing::debug!(%error, "the change log is still away"),
                        }
                    };
                    self.broken.store(false, Ordering::Relaxed);
                    self.mark_gap();
                }
            }
        }
    }

    /// Changes may have been missed, and deadlines with them.
    fn mark_gap(&self) {
        self.watchers.mark_gap();
        self.deadline.notify_one();
    }

    async fn read_some(&self, log: &mut Log) -> Result<()> {
        let read = Reader("watch");
        let mut command = redis::cmd("XREAD");
        let block = u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX);
        command.arg("COUNT").arg(512).arg("BLOCK").arg(block).arg("STREAMS").arg(self.prefix.log()).arg(&log.last);
        let answer: Result<Value, _> = command.query_async(&mut log.connection).await;
        let answer = answer.map_err(|error| crate::error::of_command("watch", error))?;
        let Some(stream) = read.list(answer)?.pop() else { return Ok(()) };
        let records = read.list(read.list(stream)?.pop().unwrap_or(Value::Nil))?;
        let records = records.into_iter().map(log_record).collect::<Result<Vec<_>>>()?;
        for record in &records {
            // A log that was trimmed past this reader, or lost: what came between is unknown.
            let expected = if log.last == START { "" } else { log.last.as_str() };
            if record.before != expected {
                self.mark_gap();
            }
            log.last.clone_from(&record.id);
        }
        if records.iter().any(|record| record.has_deadline) {
            self.deadline.notify_one();
        }
        self.dispatch(&records).await;
        Ok(())
    }

    /// Hands out the newest change of each key that is watched. Values are not in the log: the present
    /// ones are fetched, so a watcher may see a newer version than the record that caused the look.
    async fn dispatch(&self, records: &[LogRecord]) {
        let mut newest: HashMap<&Key, &LogRecord> = HashMap::new();
        for record in records.iter().filter(|record| self.watchers.wants(&record.key)) {
            newest.insert(&record.key, record);
        }
        let written: Vec<Key> =
            newest.values().filter(|record| record.kind == "put").map(|record| record.key.clone()).collect();
        for keys in written.chunks(64) {
            match state::get(&self.connection, &self.prefix, keys).await {
                Ok(snapshot) => {
                    for entry in snapshot.entries.into_iter().flatten() {
                        self.watchers.dispatch(&Change::Put(entry));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "changed values could not be read; watchers read their ranges again");
                    self.mark_gap();
                }
            }
        }
        for record in newest.values().filter(|record| record.kind == "del") {
            self.watchers.dispatch(&Change::Deleted(record.key.clone(), record.revision()));
        }
    }

    /// Removes expired keys as their deadlines pass, so that watchers hear of them; sleeps in between.
    async fn sweep(&self) {
        let mut backoff = Backoff::default();
        loop {
            let next = if self.watchers.count() == 0 {
                None
            } else {
                match self.connection.run::<i64>("watch", &self.prefix.invoke(&commands::SWEEP)).await {
                    Ok(next) => {
                        backoff.reset();
                        u64::try_from(next).ok().map(Duration::from_micros)
                    }
                    Err(error) => {
                        tracing::debug!(%error, "expired keys could not be swept");
                        backoff.pause().await;
                        Some(Duration::ZERO)
                    }
                }
            };
            let Some(next) = next else {
                self.deadline.notified().await;
                continue;
            };
            let pause = next + JITTER.mul_f64(fastrand::f64());
            let _ = tokio::time::timeout(pause, self.deadline.notified()).await;
        }
    }
}

fn log_record(value: Value) -> Result<LogRecord> {
    let read = Reader("watch");
    let mut parts = read.list(value)?.into_iter();
    let id = read.text(parts.next())?;
    let mut fields = HashMap::new();
    let mut rest = read.list(parts.next().unwrap_or(Value::Nil))?.into_iter();
    while let Some(name) = rest.next() {
        fields.insert(read.text(Some(name))?, read.text(rest.next())?);
    }
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let (before, kind, key) = (take("p"), take("t"), Key::stored(take("k"))?);
    Ok(LogRecord { id, before, kind, key, has_deadline: !take("d").is_empty() })
}
