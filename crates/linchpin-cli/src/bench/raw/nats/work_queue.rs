//! A lock as a token in a stream with one consumer: a pull takes it, a publish gives it back. The server answers
//! who has waited longest. Nothing guards against a holder that dies; it is the shortest way to hand something over on
//! NATS.

use super::stream::Ack;
use super::{Server, api, read};
use crate::bench::contender::Taker;
use crate::bench::problem::{Problem, Result};
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// What the server's answer to a pull may take longer than that.
const GRACE: Duration = Duration::from_secs(5);
const TOKEN: &str = "token";

/// A queue with its token.
pub(super) struct WorkQueue {
    client: Client,
    pull: String,
    subject: String,
}

impl WorkQueue {
    /// In the server's memory: nobody needs it later.
    pub(super) async fn new(server: &Server, name: &str) -> Result<Self> {
        let (client, stream) = (server.connect().await?, server.name(name));
        let subject = server.subject(&format!("tokens.{name}"));
        let config = json!({ "name": stream, "subjects": [subject], "storage": "memory" });
        let _: Value = api(&client, &format!("STREAM.CREATE.{stream}"), &config).await?;
        let config = json!({ "name": "takers", "durable_name": "takers", "ack_policy": "none", "mem_storage": true });
        let config = json!({ "stream_name": stream, "action": "create", "config": config });
        let _: Value = api(&client, &format!("CONSUMER.CREATE.{stream}.takers"), &config).await?;
        put(&client, &subject).await?;
        Ok(Self { client, pull: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.takers"), subject })
    }

    /// Who takes turns. All share a connection: waiting does not block it.
    pub(super) async fn puller(&self) -> Result<Puller> {
        let Self { client, pull, subject } = self;
        // A token comes under the subject that it was put to: async-nats does not know it for the answer to a request.
        let inbox = client.new_inbox();
        let tokens = client.subscribe(inbox.clone()).await?;
        Ok(Puller { client: client.clone(), pull: pull.clone(), subject: subject.clone(), inbox, tokens })
    }
}

async fn put(client: &Client, subject: &str) -> Result<()> {
    let answer = client.request(subject.to_owned(), TOKEN.into()).await?;
    let _: Ack = read(&answer.payload)?;
    Ok(())
}

pub(crate) struct Puller {
    client: Client,
    pull: String,
    subject: String,
    inbox: String,
    tokens: Subscriber,
}

impl Taker for Puller {
    type Held = ();

    async fn take(&mut self) -> Result<()> {
        let asked = json!({ "batch": 1, "expires": u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX) });
        self.client.publish_with_reply(self.pull.clone(), self.inbox.clone(), asked.to_string().into()).await?;
        let token = tokio::time::timeout(PATIENCE + GRACE, self.tokens.next()).await;
        let token = token.ok().flatten().filter(|token| token.payload == TOKEN);
        token.map(drop).ok_or_else(|| Problem::new(format!("no token came within {PATIENCE:?}")))
    }

    async fn give(&mut self, (): ()) -> Result<()> {
        put(&self.client, &self.subject).await
    }
}
