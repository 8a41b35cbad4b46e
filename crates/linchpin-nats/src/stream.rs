//! A stream of the server.

use crate::connection::{Ack, Connection};
use crate::error::Refusal;
use async_nats::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use linchpin_core::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// By this it is known that a stream is linchpin's.
const DESCRIPTION: &str = "linchpin";

/// A stream of the server. It is made when it is asked for and is not there.
pub(crate) struct ServerStream {
    pub(crate) connection: Arc<Connection>,
    pub(crate) name: String,
    subjects: Vec<String>,
    replicas: usize,
    /// Any server that has a copy may answer for what lies there.
    reads_directly: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    config: Config,
    pub(crate) created: String,
    pub(crate) state: State,
    pub(crate) cluster: Option<Cluster>,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    description: String,
    num_replicas: usize,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct State {
    pub(crate) messages: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    #[serde(default)]
    pub(crate) subjects: Option<HashMap<String, u64>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) leader: Option<String>,
    #[serde(default)]
    pub(crate) replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) current: bool,
    #[serde(default)]
    pub(crate) offline: bool,
}

impl Info {
    /// How many servers have a copy.
    pub(crate) fn replicas(&self) -> usize {
        self.config.num_replicas
    }
}

/// A message as `STREAM.MSG.GET` answers it.
#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    #[serde(default)]
    data: String,
}

impl ServerStream {
    pub(crate) fn new(connection: Arc<Connection>, name: String, subjects: Vec<String>, replicas: usize) -> Self {
        Self { connection, name, subjects, replicas, reads_directly: false }
    }

    /// What lies there may be read from any server that has a copy.
    pub(crate) fn read_directly(self) -> Self {
        Self { reads_directly: true, ..self }
    }

    /// Sees to it that it is there and as it must be; tells how it is.
    pub(crate) async fn provide(&self) -> Result<Info> {
        let info = self.info("connect", None).await?;
        let wanted = self.config(info.config.num_replicas);
        let is_as_wanted = wanted.iter().all(|(name, value)| {
            matches!(name.as_str(), "name" | "description" | "num_replicas")
                || info.config.rest.get(name).unwrap_or(&Value::Null) == value
                || info.config.rest.get(name).is_none() && (*value == json!(false) || *value == json!(0))
        });
        if info.config.description != DESCRIPTION {
            let problem = format!("there is a stream {} that linchpin did not make; rename one of the two", self.name);
            return Err(Error::invalid("connect", problem));
        }
        if is_as_wanted { Ok(info) } else { self.update(info).await }
    }

    /// Changes what linchpin needs, and nothing else that somebody has set.
    async fn update(&self, info: Info) -> Result<Info> {
        let mut config = info.config.rest;
        config.extend(self.config(info.config.num_replicas));
        let updated = self.connection.api("connect", &format!("STREAM.UPDATE.{}", self.name), &config).await?;
        updated.map_err(|refusal: Refusal| refusal.into_error("connect"))
    }

    async fn create(&self, operation: &'static str) -> Result<Info> {
        let config = self.config(self.replicas);
        let created = self.connection.api(operation, &format!("STREAM.CREATE.{}", self.name), &config).await?;
        created.map_err(|refusal: Refusal| refusal.into_error(operation))
    }

    fn config(&self, replicas: usize) -> Map<String, Value> {
        let config = json!({
            "name": self.name,
            "description": DESCRIPTION,
            "subjects": self.subjects,
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": replicas,
            "max_age": 0,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "deny_delete": true,
            "deny_purge": false,
            "allow_direct": self.reads_directly,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// How it is, and how many messages each of its subjects has that match a filter.
    pub(crate) async fn info(&self, operation: &'static str, subjects: Option<&str>) -> Result<Info> {
        let body = subjects.map_or(json!({}), |filter| json!({ "subjects_filter": filter }));
        let subject = format!("STREAM.INFO.{}", self.name);
        match self.connection.api(operation, &subject, &body).await.map_err(Error::of_read)? {
            Ok(info) => Ok(info),
            Err(refusal) if refusal.is_no_stream() => self.create(operation).await,
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }

    /// Stores a message; where it stands then.
    pub(crate) async fn store(&self, operation: &'static str, subject: String, payload: Bytes) -> Result<u64> {
        match self.connection.store(operation, subject, payload).await? {
            Ok(Ack { sequence, .. }) => Ok(sequence),
            Err(refusal) if refusal.is_no_stream() => {
                self.info(operation, None).await?;
                Err(refusal.into_error(operation))
            }
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }

    /// Drops the messages before a sequence, of a subject if that is given.
    pub(crate) async fn purge_before(
        &self,
        operation: &'static str,
        subject: Option<String>,
        sequence: u64,
    ) -> Result<()> {
        match (sequence, subject) {
            // The server takes it for no bound, and drops all.
            (..=1, _) => Ok(()),
            (_, None) => self.purge(operation, &json!({ "seq": sequence })).await,
            (_, Some(subject)) => self.purge(operation, &json!({ "filter": subject, "seq": sequence })).await,
        }
    }

    /// Drops messages.
    pub(crate) async fn purge(&self, operation: &'static str, which: &Value) -> Result<()> {
        let subject = format!("STREAM.PURGE.{}", self.name);
        let purged: Result<serde::de::IgnoredAny, Refusal> = self.connection.api(operation, &subject, which).await?;
        match purged {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_no_stream() => Ok(()),
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }

    /// The payload of a message with this subject, if it is there. `which` names it by its sequence, or by its subject.
    pub(crate) async fn read(&self, operation: &'static str, subject: &str, which: &Value) -> Result<Option<Bytes>> {
        let body = which.to_string().into();
        let direct = format!("$JS.API.DIRECT.GET.{}", self.name);
        let answer = self.connection.request(operation, direct, body).await.map_err(Error::of_read)?;
        if let Some(answer) = answer.filter(|answer| answer.status.is_none_or(|status| status == StatusCode::OK)) {
            let found = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Subject"));
            // A copy: the client's is a part of what it read at once, and would keep all of that.
            let payload = Bytes::copy_from_slice(&answer.payload);
            return Ok(found.is_some_and(|found| found.as_str() == subject).then_some(payload));
        }
        // A copy may lag: the leader knows.
        let asked = format!("STREAM.MSG.GET.{}", self.name);
        match self.connection.api::<Got>(operation, &asked, which).await.map_err(Error::of_read)? {
            Ok(Got { message }) if message.subject == subject => {
                let payload = STANDARD.decode(message.data).map_err(|_| Error::unreadable(operation, "a message"))?;
                Ok(Some(payload.into()))
            }
            Ok(_) => Ok(None),
            Err(refusal) if refusal.is_no_message() || refusal.is_no_stream() => Ok(None),
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }
}
