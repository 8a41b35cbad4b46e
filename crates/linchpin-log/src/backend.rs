//! A backend that consists of a log.

use crate::client::{Client, Settings};
use crate::log::Log;
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_adapter::claims::{Look, Queues, Source};
use linchpin_adapter::fanout::Scan;
use linchpin_adapter::{Backend, Config};
use linchpin_core::life::{CLOSING, Life};
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Error, GroupName, Health, Key, Namespace, Operation, Outcome,
    Page, Pattern, Range, Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo,
    StreamName, StreamSupport, Subscription, Transaction, TransactionScope, TtlSupport, WatchCompleteness, WatchStream,
};
use linchpin_machine::{Command, DEDUPE_WINDOW, ID_WINDOW, Prospect, Reply};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long after its time an expiry or a due record may go unnoticed.
const SLACK: Duration = Duration::from_millis(250);

/// Messages, beside a log.
#[async_trait]
pub trait Messages: Send + Sync + 'static {
    /// As [`Backend::publish`].
    ///
    /// # Errors
    /// As [`Backend::publish`].
    ///
    /// # Cancel safety
    /// As [`Backend::publish`].
    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach>;

    /// As [`Backend::subscribe`].
    ///
    /// # Errors
    /// As [`Backend::subscribe`].
    ///
    /// # Cancel safety
    /// As [`Backend::subscribe`].
    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription>;
}

/// A log, and what is to be known of it.
pub struct OpenLog<L> {
    /// The log of one namespace.
    pub log: L,
    /// Its messages; none if the backend has none.
    pub messages: Option<Arc<dyn Messages>>,
    /// What it can do: begin with [`capabilities`].
    pub capabilities: Capabilities,
    /// How many bytes a record of the log may have: a command that needs more is appended in parts.
    pub record: usize,
    /// How long a call takes at most.
    pub response_timeout: Duration,
    /// After how many bytes of records a snapshot is kept, while the last one is smaller than that: with less a client
    /// starts sooner, with more a log does less besides.
    pub snapshot_after: usize,
}

/// Where logs are.
pub trait LogSource: Send + Sync + 'static {
    /// Where they are and how to talk to them.
    type Config: Config;
    /// What they are.
    type Log: Log;

    /// What a handle is called where one is printed for debugging.
    const NAME: &'static str;

    /// Opens the log of the namespace that the configuration names; makes it, if it is not there.
    ///
    /// # Errors
    /// As [`Backend::connect`].
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    fn open(config: Self::Config, life: &Life) -> impl Future<Output = Result<OpenLog<Self::Log>>> + Send;

    /// As [`Backend::erase`].
    ///
    /// # Errors
    /// As [`Backend::erase`].
    ///
    /// # Cancel safety
    /// As [`Backend::erase`].
    fn erase(config: Self::Config, namespaces: &[Namespace]) -> impl Future<Output = Result<()>> + Send;
}

/// What every backend can do that consists of a log, where contents may have so many bytes.
pub fn capabilities(backend: &str, content: usize) -> Capabilities {
    const MIB: usize = 1024 * 1024;
    let mut capabilities = Capabilities::minimum(backend);
    capabilities.transactions = TransactionScope::MultiKey;
    capabilities.transaction_ids = Some(ID_WINDOW);
    capabilities.prefix_guards = true;
    capabilities.key_watches = true;
    capabilities.watch = WatchCompleteness::LatestVersion;
    capabilities.ttl = Some(TtlSupport::within(SLACK));
    capabilities.streams = Some(StreamSupport::full(DEDUPE_WINDOW, SLACK));
    let limits = &mut capabilities.limits;
    (limits.value, limits.transaction_bytes, limits.transaction_operations) = (MIB, 8 * MIB, 1024);
    (limits.message, limits.record, limits.batch) = (content, content, 512);
    capabilities
}

/// One namespace: the machine, replicated over a log.
pub struct Replicated<S: LogSource> {
    capabilities: Capabilities,
    client: Arc<Client<S::Log>>,
    claims: Queues<Claims<S::Log>>,
    source: Arc<Claims<S::Log>>,
    messages: Option<Arc<dyn Messages>>,
}

impl<S: LogSource> Replicated<S> {
    fn messages(&self, operation: Operation) -> Result<&Arc<dyn Messages>> {
        let (name, backend) = (operation.as_str(), &self.capabilities.backend);
        self.messages.as_ref().ok_or_else(|| Error::unsupported(name, backend, name))
    }

    /// How a watch reads its range. It holds on to what the watch hears by, as a watch outlives its handle.
    fn scanner(&self) -> Scan {
        let client = self.client.clone();
        Arc::new(move |range, page| {
            let client = client.clone();
            Box::pin(async move { client.read("watch", |machine, now| machine.scan(now, &range, &page)).await })
        })
    }
}

/// What a command came to, if it is what such a command comes to.
macro_rules! reply {
    ($operation:expr, $reply:expr, $pattern:pat => $answer:expr) => {
        match $reply {
            $pattern => Ok($answer),
            _ => Err(Error::unreadable($operation.as_str(), "another command's reply")),
        }
    };
}

impl<S: LogSource> Backend for Replicated<S> {
    type Config = S::Config;

    const NAME: &'static str = S::NAME;

    async fn connect(config: S::Config, life: &Life) -> Result<Self> {
        let OpenLog { log, messages, capabilities, record, response_timeout, snapshot_after } =
            S::open(config, life).await?;
        let client = Client::open(log, life, Settings { limit: response_timeout, record, snapshot_after }).await?;
        life.ends(&client, |client, ended| client.watchers.end(move || ended.error("watch")));
        let source = Arc::new(Claims(client.clone()));
        Ok(Self { capabilities, client, claims: Queues::new(life.clone(), source.clone()), source, messages })
    }

    async fn erase(config: S::Config, namespaces: &[Namespace]) -> Result<()> {
        S::erase(config, namespaces).await
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.client.read("get", |machine, now| machine.get(now, keys)).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.client.read("scan", |machine, now| machine.scan(now, range, page)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let operation = Operation::Commit;
        let reply = self.client.call(operation, &Command::Commit(transaction.clone())).await?;
        reply!(operation, reply, Reply::Decided(outcome) => outcome)
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.client.watchers.add(range.clone(), self.scanner()).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.messages(Operation::Publish)?.publish(channel, payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.messages(Operation::Subscribe)?.subscribe(pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.client.append_records(stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.claims.claim(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.source.settle(settlements).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.client.read("inspect", |machine, _| machine.inspect(stream)).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        let operation = Operation::Trim;
        let command = Command::Trim { stream: stream.clone(), keep };
        let reply = self.client.call(operation, &command).await?;
        self.client.drop_released().await;
        reply!(operation, reply, Reply::Trimmed(dropped) => dropped)
    }

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let operation = Operation::RemoveGroup;
        let command = Command::RemoveGroup { stream: stream.clone(), group: group.clone() };
        let reply = self.client.call(operation, &command).await?;
        self.client.drop_released().await;
        reply!(operation, reply, Reply::GroupRemoved(existed) => existed)
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        let operation = Operation::Clear;
        let command = Command::Clear { prefix: prefix.to_owned() };
        let reply = self.client.call(operation, &command).await?;
        self.client.drop_released().await;
        reply!(operation, reply, Reply::Cleared => ())
    }

    async fn health(&self) -> Result<Health> {
        let asked = Instant::now();
        let degraded = self.client.health().await?;
        Ok(Health::new(asked.elapsed(), degraded))
    }

    async fn close(&self) {
        self.claims.close(CLOSING).await;
    }
}

/// Where claims look.
struct Claims<L>(Arc<Client<L>>);

#[async_trait]
impl<L: Log> Source for Claims<L> {
    /// It keeps the wake-ups coming.
    type Listening = Arc<Notify>;

    async fn look(&self, claim: &Claim) -> Result<Look> {
        let operation = Operation::Claim;
        if let Prospect::Nothing(due) = self.0.prospect(claim).await? {
            return Ok(Look { given: Vec::new(), due: due.map(|due| self.0.until(due)) });
        }
        let reply = self.0.call(operation, &Command::Claim(claim.clone())).await?;
        let answer = reply!(operation, reply, Reply::Claimed(answer) => answer)?;
        let due = answer.next_due.map(|due| self.0.until(due));
        Ok(Look { given: self.0.fill(&claim.stream, answer).await?, due })
    }

    async fn listen(&self, stream: &StreamName, woken: Arc<Notify>) -> Result<Arc<Notify>> {
        self.0.wakes(stream, &woken);
        Ok(woken)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let operation = Operation::Settle;
        let reply = self.0.call(operation, &Command::Settle(settlements.to_vec())).await?;
        reply!(operation, reply, Reply::Settled(all) => all)
    }
}
