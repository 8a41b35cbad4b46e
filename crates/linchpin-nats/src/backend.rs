//! The backend: each method hands over to the module that does it.

use crate::bucket::{Bucket, Features};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::commit::Committer;
use crate::config::NatsConfig;
use crate::connection::Connection;
use crate::error::no_answer;
use crate::ids::ID_WINDOW;
use crate::messages::{self, Hub};
use crate::names::Names;
use crate::streams::{DEDUPE_WINDOW, Streams};
use crate::{erase, state};
use bytes::Bytes;
use linchpin_adapter::{Backend, Coordination};
use linchpin_core::life::Life;
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, Durability, Error, ErrorKind, GroupName, Health, Key, Limits,
    MessageSupport, Namespace, Outcome, Page, Pattern, Range, Reach, Record, Result, Retention, ScanPage, Settled,
    Settlement, Snapshot, StreamInfo, StreamName, StreamSupport, Subscription, Transaction, TransactionScope,
    TtlSupport, WatchCompleteness, WatchStream,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle to one namespace of a NATS server or cluster. Opening one makes the namespace's stream if it is not there.
pub type NatsCoordination = Coordination<Nats>;

/// One namespace of a NATS server or cluster.
pub struct Nats {
    capabilities: Capabilities,
    bucket: Arc<Bucket>,
    committer: Committer,
    changes: Arc<Changes>,
    hub: Arc<Hub>,
    streams: Arc<Streams>,
}

impl Backend for Nats {
    type Config = NatsConfig;

    const NAME: &'static str = "NatsCoordination";

    async fn connect(config: NatsConfig, life: &Life) -> Result<Self> {
        let connection = Connection::open(&config).await?;
        let server = connection.server();
        let version = read_version(&server.version);
        if version < (2, 9, 0) {
            let what = "what linchpin needs: NATS 2.9 or later, with JetStream";
            return Err(Error::unsupported("connect", &format!("nats {}", server.version), what));
        }
        if server.max_payload < MIN_PAYLOAD {
            let problem = format!("the server's max_payload is {}; linchpin needs {MIN_PAYLOAD}", server.max_payload);
            return Err(Error::new(ErrorKind::Unsupported, "connect", problem));
        }
        let names = Names::new(&config.common.namespace);
        let is_modern = version >= MODERN;
        let clock = Arc::new(Clock::new());
        let opening = Bucket::open(connection.clone(), names.clone(), clock, config.replicas, is_modern);
        let opened = tokio::time::timeout(config.common.response_timeout, opening).await;
        let bucket = opened.unwrap_or_else(|_| Err(no_answer("connect")))?;
        bucket.revision("connect").await?;
        let bucket = Arc::new(bucket);
        let changes = Arc::new(Changes::new(bucket.clone()));
        let hub = Arc::new(Hub::new(connection.clone(), names.clone()));
        let (watched, heard, connected) = (changes.clone(), hub.clone(), connection.clone());
        life.on_end(move |ended| {
            watched.end(ended);
            heard.end(ended);
            connected.close();
        });
        Ok(Self {
            capabilities: capabilities(&server.version, server.max_payload, bucket.features),
            committer: Committer::new(bucket.features.replicas),
            changes,
            streams: Arc::new(Streams::new(connection, names, bucket.features.replicas, bucket.clock.clone())),
            hub,
            bucket,
        })
    }

    async fn erase(config: NatsConfig, namespaces: &[Namespace]) -> Result<()> {
        erase::erase(&config, namespaces).await
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        state::get(&self.bucket, &self.committer.known, keys).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        state::scan(&self.bucket, range, page).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.committer.commit(&self.bucket, transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.changes.watch(range).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        messages::publish(&self.bucket.connection, &self.bucket.names, channel, payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.hub.subscribe(pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.streams.append(stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        Box::pin(self.streams.claim(claim)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.streams.settle(settlements).await
    }

    async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.streams.inspect(stream).await
    }

    async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        self.streams.trim(stream, keep).await
    }

    async fn remove_group(&self, _: &StreamName, _: &GroupName) -> Result<bool> {
        Err(Error::unsupported("remove_group", "nats", "removing a group"))
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        state::clear(&self.bucket, &self.committer.known, prefix).await?;
        if self.capabilities.streams.is_some() {
            self.streams.clear(prefix).await?;
        }
        Ok(())
    }

    async fn health(&self) -> Result<Health> {
        let asked = Instant::now();
        let degraded = self.bucket.degraded().await?;
        Ok(Health::new(asked.elapsed(), degraded))
    }
}

/// The oldest server with batches that are stored as a whole. 2.12.0 has them too, but tears conditional ones.
const MODERN: (u64, u64, u64) = (2, 12, 1);

/// What headers, a subject and what JetStream adds may take of a message.
const OVERHEAD: usize = 24 * 1024;
const MIN_PAYLOAD: usize = Limits::MINIMUM.message + OVERHEAD;

/// Reads `2.14.4`, and `2.14.4-beta.1` as the same.
fn read_version(text: &str) -> (u64, u64, u64) {
    let mut numbers = text.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

fn capabilities(version: &str, max_payload: usize, features: Features) -> Capabilities {
    let Features { is_modern, replicas } = features;
    let most = (max_payload - OVERHEAD).min(1024 * 1024);
    let mut capabilities = Capabilities::minimum("nats");
    capabilities.version = format!("nats {version}");
    capabilities.watch = WatchCompleteness::LatestVersion;
    capabilities.messages = Some(MessageSupport::new(true));
    if is_modern {
        capabilities.transactions = TransactionScope::MultiKey;
        capabilities.transaction_ids = Some(ID_WINDOW);
        let mut ttl = TtlSupport::within(Duration::from_millis(500));
        ttl.granularity = Duration::from_secs(1);
        capabilities.ttl = Some(ttl);
        capabilities.streams = Some(StreamSupport::full(DEDUPE_WINDOW, Duration::from_millis(250)));
    }
    let limits = &mut capabilities.limits;
    (limits.value, limits.message, limits.record) = (most - 1024, most, most - 1024);
    (limits.transaction_operations, limits.transaction_bytes, limits.batch) = (512, 16 * 1024 * 1024, 512);
    let copies = if replicas == 1 { "copy" } else { "copies" };
    let why = format!(
        "file storage, {replicas} {copies}; a server syncs to its disk every sync_interval, 2 minutes by default, and does \
         not tell what it is"
    );
    capabilities.durability = Durability::new(true, false, why);
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(read_version("2.15.1"), (2, 15, 1));
        assert_eq!(read_version("2.12.0-preview.2"), (2, 12, 0));
        assert!(read_version("2.9.10") < MODERN && read_version("nonsense") < MODERN);
    }
}
