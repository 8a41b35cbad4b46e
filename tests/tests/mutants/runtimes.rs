//! Handles that live in one runtime only, and say nothing once it has ended.

use crate::mutants::messages::Hears;
use crate::mutants::mutant::{Fault, Mutant};
use crate::mutants::watch::Watches;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::pending;
use futures::stream::BoxStream;
use linchpin_conformance::async_trait;
use linchpin_core::{Driver, Key, Namespace, Result, Snapshot};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "reads_hang_without_their_runtime",
            breaks: "A read of a handle whose runtime has ended never ends",
            caught_by: "errors.a_handle_that_outlives_its_runtime_works_or_says_so",
            fault: Arc::new(LivesInOne::default()),
        },
        Mutant {
            name: "watches_are_silent_without_their_runtime",
            breaks: "A watch whose runtime has ended tells nothing any more",
            caught_by: "errors.a_watch_that_outlives_its_runtime_is_not_silent",
            fault: Arc::new(Watches(|watch| relayed(watch))),
        },
        Mutant {
            name: "subscriptions_are_silent_without_their_runtime",
            breaks: "A subscription whose runtime has ended hears nothing any more",
            caught_by: "errors.a_subscription_that_outlives_its_runtime_is_not_silent",
            fault: Arc::new(Hears(|subscription| relayed(subscription))),
        },
    ]
}

/// Handed on by a task of the runtime in which it was opened; never ends.
fn relayed<T: Send + 'static>(mut stream: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::unbounded();
    let kept = sender.clone();
    tokio::spawn(async move {
        while let Some(event) = stream.next().await {
            let _ = sender.unbounded_send(event);
        }
    });
    // As long as somebody may send it has not ended.
    Box::pin(receiver.inspect(move |_| drop(kept.clone())))
}

/// The task of the newest handle: what is asked once it has ended is never answered.
#[derive(Default)]
struct LivesInOne(Arc<Mutex<Option<JoinHandle<()>>>>);

#[async_trait]
impl Fault for LivesInOne {
    fn layered(&self, driver: Arc<dyn Driver>, _: &Namespace) -> Arc<dyn Driver> {
        *self.0.lock() = Some(tokio::spawn(pending()));
        driver
    }

    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        if self.0.lock().as_ref().is_some_and(JoinHandle::is_finished) {
            pending::<()>().await;
        }
        inner.get(keys).await
    }
}
