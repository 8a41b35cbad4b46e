//! A log by hand: a stream whose messages are read back by who appends them, in the order that the server gave them.

use super::stream::Ack;
use super::{RESPONSE_TIMEOUT, Server, api, read};
use crate::bench::problem::{Problem, Result};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

pub(super) struct FollowedLog {
    client: Client,
    subject: String,
    next: AtomicU64,
    waiting: Waiting,
    task: JoinHandle<()>,
}

impl Drop for FollowedLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FollowedLog {
    /// Nobody else appends to it.
    pub(super) async fn new(server: &Server, client: Client, kind: &str) -> Result<Self> {
        let (name, subject) = (server.name(kind), server.subject(kind));
        let config = json!({ "name": name, "subjects": [subject], "storage": "file", "num_replicas": 1 });
        let _: Value = api(&client, &format!("STREAM.CREATE.{name}"), &config).await?;
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await?;
        let config = json!({
            "name": "follower", "deliver_subject": inbox, "ack_policy": "none", "max_deliver": 1, "mem_storage": true,
            "inactive_threshold": 10_000_000_000_u64,
        });
        let config = json!({ "stream_name": name, "action": "create", "config": config });
        let _: Value = api(&client, &format!("CONSUMER.CREATE.{name}.follower"), &config).await?;
        let waiting = Waiting::default();
        let task = tokio::spawn(follow(messages, waiting.clone()));
        Ok(Self { client, subject, next: AtomicU64::new(0), waiting, task })
    }

    /// Appends a message; returns once the server has it, and it was read back.
    pub(super) async fn append(&self, payload: &[u8]) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (told, read_back) = oneshot::channel();
        self.waiting.lock().insert(number, told);
        let message = Bytes::from([&number.to_be_bytes(), payload].concat());
        let answer = self.client.request(self.subject.clone(), message).await?;
        let _: Ack = read(&answer.payload)?;
        let read_back = tokio::time::timeout(RESPONSE_TIMEOUT, read_back).await;
        read_back.ok().and_then(Result::ok).ok_or_else(|| Problem::new("the raw client: a message was not read back"))
    }
}

async fn follow(mut messages: Subscriber, waiting: Waiting) {
    while let Some(message) = messages.next().await {
        let number = message.payload.first_chunk().map(|number| u64::from_be_bytes(*number));
        if let Some(told) = number.and_then(|number| waiting.lock().remove(&number)) {
            // Whoever gave up needs it no more.
            let _ = told.send(());
        }
    }
}
