//! Gathering several answers to one request, of all requests of a connection by one subscription.

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// The answers on their way to those who gather them, by the last token of their subject.
#[derive(Default)]
pub(crate) struct Gathered {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

/// How answers are handed over: each as it comes, or all once nothing follows.
enum Waiting {
    Each(mpsc::UnboundedSender<Message>),
    All(Vec<Message>, oneshot::Sender<Vec<Message>>),
}

/// Somebody who gathers answers, until it is dropped.
pub(crate) struct Gathering {
    gathered: Arc<Gathered>,
    token: u64,
    answers: mpsc::UnboundedReceiver<Message>,
}

impl Gathering {
    /// Where the answers are to be sent.
    pub(crate) fn inbox(&self) -> String {
        format!("{}{}", self.gathered.prefix, self.token)
    }

    /// The next answer.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.answers.recv().await
    }

    /// An answer that has arrived.
    pub(crate) fn arrived(&mut self) -> Option<Message> {
        self.answers.try_recv().ok()
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.gathered.waiting.lock().remove(&self.token);
    }
}

/// Somebody who waits for all answers, until it is dropped.
pub(crate) struct All {
    gathered: Arc<Gathered>,
    token: u64,
}

impl All {
    /// Where the answers are to be sent.
    pub(crate) fn inbox(&self) -> String {
        format!("{}{}", self.gathered.prefix, self.token)
    }
}

impl Drop for All {
    fn drop(&mut self) {
        self.gathered.waiting.lock().remove(&self.token);
    }
}

impl Gathered {
    /// For answers to subjects that start with `prefix`.
    pub(crate) fn new(prefix: String) -> Arc<Self> {
        Arc::new(Self { prefix, ..Self::default() })
    }

    /// The subjects of all answers.
    pub(crate) fn subjects(&self) -> String {
        format!("{}*", self.prefix)
    }

    pub(crate) fn gathering(self: &Arc<Self>) -> Gathering {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::unbounded_channel();
        self.waiting.lock().insert(token, Waiting::Each(sender));
        Gathering { gathered: self.clone(), token, answers }
    }

    /// For all answers up to and with the first that has a status, which says that nothing follows.
    pub(crate) fn all(self: &Arc<Self>) -> (All, oneshot::Receiver<Vec<Message>>) {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = oneshot::channel();
        self.waiting.lock().insert(token, Waiting::All(Vec::new(), sender));
        (All { gathered: self.clone(), token }, answers)
    }

    fn hand(&self, token: u64, answer: Message) {
        let mut waiting = self.waiting.lock();
        // Whoever gave up needs it no more.
        match waiting.get_mut(&token) {
            None => {}
            Some(Waiting::Each(sender)) => {
                let _ = sender.send(answer);
            }
            Some(Waiting::All(answers, _)) => {
                let is_last = answer.status.is_some_and(|status| status != StatusCode::OK);
                answers.push(answer);
                if is_last && let Some(Waiting::All(answers, sender)) = waiting.remove(&token) {
                    let _ = sender.send(answers);
                }
            }
        }
    }

    /// Hands answers to those who gather them, as long as there are any.
    pub(crate) async fn hand_out(self: Arc<Self>, mut answers: Subscriber) {
        while let Some(answer) = answers.next().await {
            let token = answer.subject.rsplit('.').next().and_then(|token| token.parse().ok());
            if let Some(token) = token {
                self.hand(token, answer);
            }
        }
    }
}
