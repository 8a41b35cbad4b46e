//! A stream with the newest message of each subject, as a bucket of the key-value store is, and writing to it.

use super::{Server, api, read};
use crate::bench::problem::Result;
use async_nats::{Client, HeaderMap};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long the server remembers a message's id, and lets the mark stay that a key ended.
const ID_WINDOW: Duration = Duration::from_secs(30);
const MARKER_TTL: Duration = Duration::from_secs(30);

/// A stream of this run, and a connection to it.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) name: String,
    /// As the server tells it.
    pub(super) config: Arc<Value>,
    prefix: String,
    /// The sequences last seen, by the subjects that they were seen at: what the next write expects.
    seen: Arc<Mutex<HashMap<String, u64>>>,
}

#[derive(Deserialize)]
pub(super) struct Ack {
    #[serde(rename = "seq")]
    pub(super) sequence: u64,
}

impl Stream {
    pub(super) async fn open(server: &Server, client: Client, kind: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Created {
            config: Value,
        }
        let (name, prefix) = (server.name(kind), server.subject(kind));
        let config = json!({
            "name": name,
            "subjects": [format!("{prefix}.>")],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": 1,
            "max_msgs_per_subject": 1,
            "duplicate_window": nanos(ID_WINDOW),
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
            "allow_atomic": true,
            "allow_msg_ttl": true,
            "subject_delete_marker_ttl": nanos(MARKER_TTL),
        });
        let Created { config } = api(&client, &format!("STREAM.CREATE.{name}"), &config).await?;
        Ok(Self { client, name, config: Arc::new(config), prefix, seen: Arc::default() })
    }

    pub(super) fn subject(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Writes a message if what stands at its subject is what was seen there last; returns its sequence.
    pub(super) async fn write(&self, subject: &str, mut headers: HeaderMap, payload: &'static [u8]) -> Result<u64> {
        headers.insert("Nats-Expected-Last-Subject-Sequence", self.seen(subject).to_string());
        let answer = self.client.request_with_headers(subject.to_owned(), headers, payload.into()).await?;
        let Ack { sequence } = read(&answer.payload)?;
        let mut seen = self.seen.lock();
        match seen.get_mut(subject) {
            Some(before) => *before = sequence,
            None => drop(seen.insert(subject.to_owned(), sequence)),
        }
        Ok(sequence)
    }

    pub(super) fn seen(&self, subject: &str) -> u64 {
        self.seen.lock().get(subject).copied().unwrap_or_default()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
