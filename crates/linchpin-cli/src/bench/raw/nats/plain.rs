//! What async-nats has for a key of a bucket and for a message: no entry as of a revision, no TTL of what is written, no
//! repeats, no queue. What the contract costs is seen against it.

use super::stream::Stream;
use super::{Server, read, settle};
use crate::bench::contender::Contender;
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::PLAIN;
use crate::bench::{LOCK_TTL, PAYLOAD};
use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

#[derive(Clone)]
pub(crate) struct Plain {
    server: Server,
    stream: Stream,
}

/// As `STREAM.MSG.GET` answers.
#[derive(Deserialize)]
struct Got {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    data: String,
}

impl Plain {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let stream = Stream::open(server, server.connect().await?, "plain").await?;
        Ok(Self { server: server.clone(), stream })
    }
}

impl Contender for Plain {
    const NAME: &'static str = PLAIN;

    /// What `get_last_raw_message_by_subject` sends.
    async fn get(&self, key: &str) -> Result<()> {
        let request = json!({ "last_by_subj": self.stream.subject(key) }).to_string();
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.stream.name);
        let answer = self.stream.client.request(subject, request.into()).await?;
        let Got { message } = read(&answer.payload)?;
        let value = STANDARD.decode(message.data);
        value.map(drop).map_err(|_| Problem::new("the raw client: a value that is no base64"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        self.stream.write(&self.stream.subject(key), HeaderMap::new(), PAYLOAD).await?;
        Ok(())
    }

    /// Without the second a message would only lie in a buffer of the client.
    async fn publish(&self, channel: &str) -> Result<()> {
        let subject = self.server.subject(&format!("m.plain.{channel}"));
        self.stream.client.publish(subject, PAYLOAD.into()).await?;
        settle(&self.stream.client, self.server.nobody()).await
    }

    /// A key that is created if it is not there, and ended if it is still the same.
    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        let key = self.stream.subject(&format!("lock.{lock}"));
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", LOCK_TTL.as_secs().to_string());
        self.stream.write(&key, headers, b"").await?;
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "PURGE");
        self.stream.write(&key, headers, b"").await?;
        Ok(())
    }
}
