//! Gathering answers that are no single answer to a request, of a whole connection by one subscription.

use async_nats::{Message, Subscriber};
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// The answers on their way to those who gather them, by the last token of their subject.
#[derive(Default)]
pub(crate) struct Gathered {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>,
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
        self.waiting.lock().insert(token, sender);
        Gathering { gathered: self.clone(), token, answers }
    }

    /// Hands answers to those who gather them, as long as there are any.
    pub(crate) async fn hand_out(self: Arc<Self>, mut answers: Subscriber) {
        while let Some(answer) = answers.next().await {
            let token = answer.subject.rsplit('.').next().and_then(|token| token.parse().ok());
            // Whoever gave up needs it no more.
            if let Some(sender) = token.and_then(|token: u64| self.waiting.lock().get(&token).cloned()) {
                let _ = sender.send(answer);
            }
        }
    }
}
