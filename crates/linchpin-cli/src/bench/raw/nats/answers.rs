//! Requests that have several answers: async-nats has them one by one only.

use super::{RESPONSE_TIMEOUT, settle};
use crate::bench::problem::{Problem, Result};
use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where the last answer comes that says that all before were handled.
const END: &str = ".end";

/// One subscription for the answers to all requests of a connection.
pub(super) struct Answers {
    client: Client,
    prefix: String,
    nobody: String,
    next: AtomicU64,
    waiting: Arc<Mutex<HashMap<u64, Waiting>>>,
    task: JoinHandle<()>,
}

struct Waiting {
    answers: Vec<Message>,
    complete: oneshot::Sender<Vec<Message>>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answers {
    pub(super) async fn of(client: Client, nobody: String) -> Result<Self> {
        let prefix = format!("{}.", client.new_inbox());
        let answers = client.subscribe(format!("{prefix}>")).await?;
        settle(&client, nobody.clone()).await?;
        let waiting = Arc::default();
        let task = tokio::spawn(hand_out(answers, prefix.len(), Arc::clone(&waiting)));
        Ok(Self { client, prefix, nobody, next: AtomicU64::new(0), waiting, task })
    }

    /// Sends a message and returns when the server has handled it: whether anybody listens.
    pub(super) async fn tell(&self, subject: String, payload: &'static [u8]) -> Result<bool> {
        let (number, answers) = self.wait();
        let inbox = format!("{}{number}", self.prefix);
        self.client.publish_with_reply(subject, inbox.clone(), payload.into()).await?;
        self.client.publish_with_reply(self.nobody.clone(), inbox + END, Bytes::new()).await?;
        Ok(self.come(number, answers).await?.len() == 1)
    }

    fn wait(&self) -> (u64, oneshot::Receiver<Vec<Message>>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (complete, answers) = oneshot::channel();
        self.waiting.lock().insert(number, Waiting { answers: Vec::new(), complete });
        (number, answers)
    }

    async fn come(&self, number: u64, answers: oneshot::Receiver<Vec<Message>>) -> Result<Vec<Message>> {
        let answers = tokio::time::timeout(RESPONSE_TIMEOUT, answers).await;
        answers.ok().and_then(Result::ok).ok_or_else(|| {
            self.waiting.lock().remove(&number);
            Problem::new("the raw client: the server does not answer")
        })
    }
}

async fn hand_out(mut answers: Subscriber, prefix: usize, waiting: Arc<Mutex<HashMap<u64, Waiting>>>) {
    while let Some(answer) = answers.next().await {
        let token = answer.subject.get(prefix..).unwrap_or_default();
        let number = token.strip_suffix(END);
        let is_last = number.is_some();
        let Ok(number) = number.unwrap_or(token).parse::<u64>() else { continue };
        let mut waiting = waiting.lock();
        if let Some(one) = waiting.get_mut(&number) {
            one.answers.push(answer);
        }
        if is_last && let Some(Waiting { answers, complete }) = waiting.remove(&number) {
            // Whoever gave up needs it no more.
            let _ = complete.send(answers);
        }
    }
}
