//! The port over any driver: messages, keys, health.

use super::ack::{self, AckTo, Envelope};
use super::areas::Area;
use super::{CoordinationStats, DistributedCoordination, HasPort, MessageStream, Port, STATS_WINDOW, cluster};
use crate::capabilities::MAX_TTL;
use crate::driver::Driver;
use crate::entry::{Page, Range};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::message::{Message, Publication, Subscription, SubscriptionEvent};
use crate::name::Key;
use crate::transaction::{MutationResult, Outcome, Transaction};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

#[async_trait]
impl<P: HasPort + ?Sized> DistributedCoordination for P {
    async fn publish(&self, channel: &str, message: &[u8]) -> Result<()> {
        let name = Area::USER.channel(channel)?;
        admit_payload(self.port(), "publish", channel, message)?;
        self.port().driver().publish(&name, ack::seal(message, None)).await.map_err(|error| named(error, channel))?;
        self.port().state().published.count();
        Ok(())
    }

    async fn subscribe(&self, pattern: &str) -> Result<MessageStream> {
        let subscription = self.port().driver().subscribe(&Area::USER.pattern(pattern)?).await?;
        Ok(messages(subscription, self.port()))
    }

    async fn publish_with_ack(&self, channel: &str, message: &[u8], timeout: Duration) -> Result<usize> {
        let name = Area::USER.channel(channel)?;
        admit_payload(self.port(), "publish_with_ack", channel, message)?;
        let deadline = Instant::now() + timeout.min(MAX_TTL);
        let subscribing = self.port().state().inbox.open(&**self.port().driver());
        let late = |_| Error::timeout("publish_with_ack", timeout).with_retry(Retry::Safe).with_subject(channel);
        let inbox = tokio::time::timeout_at(deadline, subscribing).await.map_err(late)?;
        let inbox = inbox.map_err(|error| named(error.with_operation("publish_with_ack"), channel))?;
        let acked = inbox.publish(&**self.port().driver(), &name, message, 1, deadline).await;
        self.port().state().published.count();
        acked.map_err(|error| named(error, channel))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let snapshot = self.port().driver().get(&[Area::USER.key(key)?]).await.map_err(|error| named(error, key))?;
        Ok(snapshot.into_entry().map(|entry| entry.value.into()))
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<()> {
        let put = Transaction::new().put(Area::USER.key(key)?, value.to_vec(), ttl);
        commit(self.port(), "set", key, put).await?;
        Ok(())
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        let snapshot = self.port().driver().get(&[Area::USER.key(key)?]).await;
        let snapshot = snapshot.map_err(|error| named(error.with_operation("exists"), key))?;
        Ok(snapshot.entries.iter().any(Option::is_some))
    }

    async fn ttl(&self, key: &str) -> Result<Option<Duration>> {
        let snapshot = self.port().driver().get(&[Area::USER.key(key)?]).await;
        let snapshot = snapshot.map_err(|error| named(error.with_operation("ttl"), key))?;
        Ok(snapshot.into_entry().and_then(|entry| entry.ttl))
    }

    async fn incr(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64> {
        let add = Transaction::new().add(Area::USER.key(key)?, delta, ttl);
        match commit(self.port(), "incr", key, add).await?.results() {
            Some([MutationResult::Added { value }]) => Ok(*value),
            _ => Err(Error::new(ErrorKind::Backend, "incr", "the driver answered something else").with_subject(key)),
        }
    }

    async fn keys(&self, pattern: &str) -> Result<Vec<String>> {
        let pattern = Area::USER.pattern(pattern)?;
        let mut names = Vec::new();
        let mut pages = KeyPages::new("keys", pattern.literal_prefix())?;
        while let Some(keys) = pages.next(self.port()).await? {
            for key in keys.iter().filter(|key| pattern.matches(key.as_str())) {
                names.push(Area::USER.strip("keys", key.as_str())?);
            }
        }
        Ok(names)
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<usize> {
        let mut wanted = keys.iter().map(|key| Area::USER.key(key)).collect::<Result<Vec<_>>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        delete_all(self.port(), "delete_many", wanted).await
    }

    async fn delete_pattern(&self, pattern: &str) -> Result<usize> {
        let pattern = Area::USER.pattern(pattern)?;
        let mut deleted = 0;
        let mut pages = KeyPages::new("delete_pattern", pattern.literal_prefix())?;
        while let Some(mut keys) = pages.next(self.port()).await? {
            keys.retain(|key| pattern.matches(key.as_str()));
            deleted += delete_all(self.port(), "delete_pattern", keys).await?;
        }
        Ok(deleted)
    }

    async fn flush_all(&self) -> Result<()> {
        self.port().driver().clear("").await.map_err(|error| error.with_operation("flush_all"))
    }

    async fn register_node(&self, node_id: &str, metadata: Option<&[u8]>) -> Result<()> {
        cluster::register_node(self.port(), node_id, metadata).await
    }

    async fn heartbeat(&self, node_id: &str, ttl: Duration) -> Result<()> {
        cluster::heartbeat(self.port(), node_id, ttl).await
    }

    async fn list_nodes(&self) -> Result<Vec<String>> {
        cluster::list_nodes(self.port()).await
    }

    async fn get_node_metadata(&self, node_id: &str) -> Result<Option<Vec<u8>>> {
        cluster::get_node_metadata(self.port(), node_id).await
    }

    async fn try_acquire_leadership(&self, node_id: &str, ttl: Duration) -> Result<bool> {
        cluster::try_acquire_leadership(self.port(), node_id, ttl).await
    }

    async fn release_leadership(&self, node_id: &str) -> Result<bool> {
        cluster::release_leadership(self.port(), node_id).await
    }

    async fn get_leader(&self) -> Result<Option<String>> {
        cluster::get_leader(self.port()).await
    }

    async fn health_check(&self) -> Result<bool> {
        Ok(self.port().driver().health().await.map_err(|error| error.with_operation("health_check"))?.is_healthy())
    }

    async fn stats(&self) -> Result<CoordinationStats> {
        let health = self.port().driver().health().await.map_err(|error| error.with_operation("stats"))?;
        let state = self.port().state();
        let mut metadata = HashMap::from([
            ("backend".to_owned(), self.port().driver().capabilities().backend.clone()),
            ("version".to_owned(), self.port().driver().capabilities().version.clone()),
            ("latency_ms".to_owned(), format!("{:.3}", health.latency.as_secs_f64() * 1000.0)),
            ("window_seconds".to_owned(), STATS_WINDOW.as_secs().to_string()),
        ]);
        if !health.is_healthy() {
            metadata.insert("degraded".to_owned(), health.degraded.join("; "));
        }
        Ok(CoordinationStats {
            active_subscriptions: state.subscriptions.load(Ordering::Relaxed),
            publish_rate: state.published.per_second(),
            receive_rate: state.received.per_second(),
            cluster_size: cluster::list_nodes(self.port()).await?.len(),
            current_leader: cluster::get_leader(self.port()).await?,
            metadata,
        })
    }
}

/// Names the key or channel as the user wrote it.
pub(super) fn named(error: Error, subject: &str) -> Error {
    error.with_subject(subject)
}

/// Commits. A layer below that repeats it gives it an id, so that it is applied at most once.
pub(super) async fn commit(
    port: &Port,
    operation: &'static str,
    subject: &str,
    transaction: Transaction,
) -> Result<Outcome> {
    port.driver().commit(&transaction).await.map_err(|error| error.with_operation(operation).with_subject(subject))
}

/// Refuses a payload over the limit before anything is sent, naming the user's channel.
fn admit_payload(port: &Port, operation: &'static str, channel: &str, payload: &[u8]) -> Result<()> {
    let limit = port.driver().capabilities().limits.message - ack::MAX_HEADER;
    if payload.len() > limit {
        let problem = format!("the message has {} bytes, the limit is {limit}", payload.len());
        return Err(Error::invalid(operation, problem).with_subject(channel));
    }
    Ok(())
}

/// Walks the keys that start with a prefix, page by page.
pub(super) struct KeyPages {
    operation: &'static str,
    range: Range,
    page: Option<Page>,
}

impl KeyPages {
    pub(super) fn new(operation: &'static str, prefix: impl Into<String>) -> Result<Self> {
        Ok(Self { operation, range: Range::prefix(prefix)?, page: Some(Page::first_keys()) })
    }

    /// The keys of the next page; `None` after the last.
    pub(super) async fn next(&mut self, port: &Port) -> Result<Option<Vec<Key>>> {
        let Some(page) = self.page.take() else { return Ok(None) };
        let found =
            port.driver().scan(&self.range, &page).await.map_err(|error| error.with_operation(self.operation))?;
        let keys: Vec<_> = found.entries.into_iter().map(|entry| entry.key).collect();
        if found.more {
            self.page = Some(Page { after: keys.last().cloned().or(page.after), ..page });
        }
        Ok(Some(keys))
    }
}

/// Deletes distinct keys, as many in one transaction as the backend takes.
async fn delete_all(port: &Port, operation: &'static str, keys: Vec<Key>) -> Result<usize> {
    let mut deleted = 0;
    let at_once = port.driver().capabilities().keys_per_transaction();
    for some in keys.chunks(at_once) {
        let delete = some.iter().cloned().fold(Transaction::new(), Transaction::delete);
        let subject = Area::USER.name(&some[0]).unwrap_or_default();
        let outcome = commit(port, operation, subject, delete).await?;
        let existed = |result: &&MutationResult| matches!(result, MutationResult::Deleted { existed: true });
        deleted += outcome.results().into_iter().flatten().filter(existed).count();
    }
    Ok(deleted)
}

/// Counts an open subscription until it is dropped.
struct OpenSubscription(Arc<AtomicUsize>);

impl OpenSubscription {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for OpenSubscription {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A driver's subscription as the port's messages: headers taken off, acknowledgements sent.
fn messages(subscription: Subscription, port: &Port) -> MessageStream {
    let (driver, received) = (port.driver().clone(), port.state().received.clone());
    let open = OpenSubscription::new(&port.state().subscriptions);
    Box::pin(stream::unfold((subscription, driver, open), move |(mut subscription, driver, open)| {
        let received = received.clone();
        async move {
            let item = match subscription.next().await? {
                Ok(SubscriptionEvent::Message(message)) => {
                    received.count();
                    unseal(driver.as_ref(), message).await
                }
                Ok(SubscriptionEvent::Lagged(missed)) => Err(Error::lagged(missed)),
                Err(error) => Err(error),
            };
            Some((item, (subscription, driver, open)))
        }
    }))
}

/// Takes the header off a message and acknowledges it if it asks for that.
async fn unseal(driver: &dyn Driver, sealed: Publication) -> Result<Message> {
    let channel = Area::USER.strip("subscribe", sealed.channel.as_str())?;
    // What a foreign publisher sent has no header and is handed on as it is.
    let Some(Envelope { published, ack_to, payload }) = ack::open(&sealed.payload) else {
        return Ok(Message { channel, payload: sealed.payload.into(), timestamp: None });
    };
    if let Some(AckTo { inbox, number }) = ack_to {
        let number = number.to_be_bytes().to_vec();
        if let Err(error) = driver.publish(&inbox, number.into()).await {
            // The publisher sees it as a missing acknowledgement; the subscriber still gets its message.
            tracing::warn!(channel, %error, "an acknowledgement could not be sent");
        }
    }
    Ok(Message { channel, payload: payload.to_vec(), timestamp: Some(published) })
}
