//! What linchpin guarantees, by hand: entries with a version and a deadline, read as of a revision; writes that may be
//! repeated; messages of which is known whether anybody listens; a fair lock with a fencing token.

use super::Server;
use super::answers::Answers;
use super::stream::Stream;
use crate::bench::contender::Contender;
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{SAME_WORK, unique};
use crate::bench::{LOCK_TTL, PAYLOAD, VALUE_TTL};
use async_nats::{HeaderMap, Message};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// For how long the adapter lets the message stay that says that a key is gone.
const TOMBSTONE_TTL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct SameWork {
    server: Server,
    stream: Stream,
    answers: Arc<Answers>,
}

impl SameWork {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let client = server.connect().await?;
        let answers = Arc::new(Answers::of(client.clone(), server.nobody()).await?);
        Ok(Self { server: server.clone(), stream: Stream::open(server, client, "same").await?, answers })
    }

    /// Headers of a write that may be repeated.
    fn once(ttl: Duration, created: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", ttl.as_secs().to_string());
        headers.insert("Nats-Msg-Id", unique());
        headers.insert("Created", created.to_string());
        headers
    }
}

/// Reads what an entry says of itself: its version, its creation and what is left of its time.
fn entry(message: &Message) -> Option<(u64, u64, Duration)> {
    let headers = message.headers.as_ref()?;
    let text = |name: &str| headers.get_last(name).map(async_nats::HeaderValue::as_str);
    let version = text("Nats-Sequence")?.parse().ok()?;
    let created = text("Created")?.parse().ok().filter(|created| *created > 0).unwrap_or(version);
    let stored = humantime::parse_rfc3339(text("Nats-Time-Stamp")?).ok()?;
    let end = stored + Duration::from_secs(text("Nats-TTL")?.parse().ok()?);
    Some((version, created, end.duration_since(std::time::SystemTime::now()).unwrap_or_default()))
}

impl Contender for SameWork {
    const NAME: &'static str = SAME_WORK;

    /// Two answers: the entry, and the revision that it was read at.
    async fn get(&self, key: &str) -> Result<()> {
        let request = json!({ "multi_last": [self.stream.subject(key)] }).to_string();
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream.name);
        let answers = self.answers.of_request(subject, request.into()).await?;
        let [found, end] = &answers[..] else { return Err(Problem::new("the key is gone")) };
        let revision = end.headers.as_ref().and_then(|headers| headers.get_last("Nats-UpTo-Sequence"));
        let revision: Option<u64> = revision.and_then(|text| text.as_str().parse().ok());
        let known = entry(found).zip(revision);
        known.map(drop).ok_or_else(|| Problem::new("an entry does not tell what it is"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        let key = self.stream.subject(key);
        self.stream.write(&key, Self::once(VALUE_TTL, self.stream.seen(&key)), PAYLOAD).await?;
        Ok(())
    }

    async fn publish(&self, channel: &str) -> Result<()> {
        let subject = self.server.subject(&format!("m.same.{channel}"));
        let _is_heard: bool = self.answers.tell(subject, PAYLOAD).await?;
        Ok(())
    }

    /// One key for a lock, written if it is as last seen: its value is who holds it and, where more want it, who waits in
    /// which order, each having appended itself. Its sequence is the fencing token.
    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        let key = self.stream.subject(&format!("lock.{lock}"));
        self.stream.write(&key, Self::once(LOCK_TTL, 0), b"who").await?;
        let mut headers = Self::once(TOMBSTONE_TTL, 0);
        headers.insert("KV-Operation", "PURGE");
        self.stream.write(&key, headers, b"").await?;
        Ok(())
    }
}
