//! The backend: each method hands over to the module that does it.

use crate::changes::Changes;
use crate::config::PostgresConfig;
use crate::connection::Pool;
use crate::erase;
use crate::error::STANDBY;
use crate::forgetting::Cleaner;
use crate::hub::Hub;
use crate::lane::Lane;
use crate::messages::Messages;
use crate::names::Names;
use crate::notices::NoticeTraffic;
use crate::server::{self, Facts};
use crate::state::State;
use crate::streams::Streams;
use bytes::Bytes;
use linchpin_adapter::claims::Queues;
use linchpin_adapter::{Backend, Coordination};
use linchpin_core::life::{CLOSING, Life};
use linchpin_core::{
    Appended, Capabilities, Channel, Claim, Delivery, GroupName, Health, Key, Namespace, Outcome, Page, Pattern, Range,
    Reach, Record, Result, Retention, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, Subscription,
    Transaction, WatchStream,
};
use std::sync::Arc;
use std::time::Instant;

/// A handle to one namespace of a Postgres database. Opening one sets up the schema `linchpin` if it is not there.
pub type PostgresCoordination = Coordination<Postgres>;

/// One namespace of a Postgres database.
pub struct Postgres {
    capabilities: Capabilities,
    pool: Arc<Pool>,
    state: Arc<State>,
    changes: Arc<Changes>,
    hub: Arc<Hub>,
    messages: Arc<Messages>,
    streams: Arc<Streams>,
    claims: Queues<Streams>,
    notices: Arc<Lane<NoticeTraffic>>,
}

impl Backend for Postgres {
    type Config = PostgresConfig;

    const NAME: &'static str = "PostgresCoordination";

    async fn connect(config: PostgresConfig, life: &Life) -> Result<Self> {
        let names = Arc::new(Names::new(&config.common.namespace));
        let pool = Pool::new(&config, life.clone())?;
        let facts = server::prepare(&pool, &names).await?;
        let notices = Arc::new(Lane::new(pool.clone(), NoticeTraffic(names.clone())));
        let hub = Arc::new(Hub::new(pool.connector().clone(), names.clone(), life.clone()));
        let forgetting = Arc::new(Cleaner::new(&pool));
        let state = Arc::new(State::new(names.clone(), pool.clone(), notices.clone(), forgetting.clone()));
        let changes = Arc::new(Changes::new(state.clone(), hub.clone()));
        life.ends(&changes, Changes::end);
        life.ends(&hub, Hub::end);
        let streams =
            Arc::new(Streams::new(names.clone(), pool.clone(), hub.clone(), notices.clone(), forgetting.clone()));
        Ok(Self {
            capabilities: server::capabilities(&facts),
            changes,
            messages: Arc::new(Messages::new(names, pool.clone(), hub.clone(), notices.clone(), forgetting)),
            claims: Queues::new(life.clone(), streams.clone()),
            streams,
            state,
            pool,
            hub,
            notices,
        })
    }

    async fn erase(config: PostgresConfig, namespaces: &[Namespace]) -> Result<()> {
        erase::erase(&config, namespaces).await
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.state.get(keys).await
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.state.scan(range, page).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.state.commit(transaction).await
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.changes.watch(range).await
    }

    async fn publish(&self, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.messages.publish(channel, payload).await
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription> {
        self.messages.subscribe(pattern).await
    }

    async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        self.streams.append(stream, records).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        self.claims.claim(claim).await
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

    async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        self.streams.remove_group(stream, group).await
    }

    async fn clear(&self, prefix: &str) -> Result<()> {
        self.state.clear(prefix).await?;
        self.streams.clear(prefix).await
    }

    async fn health(&self) -> Result<Health> {
        let asked = Instant::now();
        let facts = Facts::ask(&self.pool, "health").await?;
        let latency = asked.elapsed();
        let mut degraded = facts.map_or_else(|| vec![STANDBY.to_owned()], |facts| facts.degraded());
        if self.hub.is_broken() {
            degraded.push("the connection for watches and subscriptions is being rebuilt".to_owned());
        }
        Ok(Health::new(latency, degraded))
    }

    async fn close(&self) {
        // They ring the doorbell.
        tokio::join!(self.state.close(CLOSING), self.claims.close(CLOSING));
        self.notices.close(CLOSING).await;
        self.pool.close();
    }
}
