//! Watches that miss something.

use crate::mutants::mutant::{Fault, Mutant};
use futures::channel::mpsc;
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use linchpin_conformance::async_trait;
use linchpin_core::{Driver, Key, Mutation, Outcome, Range, Result, Transaction, WatchEvent, WatchStream};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "deletes_lost",
            breaks: "Watchers are not told that a key is gone",
            caught_by: "watch.deletes_are_told",
            fault: Arc::new(Watches(without_deletes)),
        },
        Mutant {
            name: "hand_over_forgets_the_waiter",
            breaks: "Watchers are not told that a key is gone, so nobody is woken when a lock is released",
            caught_by: "lock.first_come_first_served",
            fault: Arc::new(Watches(without_deletes)),
        },
        Mutant {
            name: "expiries_lost",
            breaks: "Watchers are told of deleted keys, but not of expired ones",
            caught_by: "watch.expiries_are_told_in_time",
            fault: Arc::new(ForgetsExpiries::default()),
        },
        Mutant {
            name: "last_version_lost",
            breaks: "A watcher that lags gets the oldest changes, and the newest are dropped",
            caught_by: "watch.a_slow_watcher_gets_the_last_versions",
            fault: Arc::new(Watches(dropping_the_newest)),
        },
        Mutant {
            name: "changes_swapped",
            breaks: "Changes that come together are told by the names of their keys, not by their revisions",
            caught_by: "watch.keys_come_in_the_order_of_their_creation",
            fault: Arc::new(Watches(by_name)),
        },
        Mutant {
            name: "present_entries_skipped",
            breaks: "A watch tells changes only, and nothing of what was there before",
            caught_by: "watch.present_then_synced_then_changes",
            fault: Arc::new(Watches(|watch| {
                Box::pin(watch.skip_while(|event| ready(matches!(event, Ok(WatchEvent::Put(_))))))
            })),
        },
        Mutant {
            name: "watch_opened_when_read",
            breaks: "A watch begins when it is first read, not when it is returned",
            caught_by: "watch.what_goes_before_it_is_read_is_told",
            fault: Arc::new(WatchesLate),
        },
        Mutant {
            name: "watch_never_ends",
            breaks: "A watch of a closed handle goes silent instead of ending",
            caught_by: "errors.a_closed_handle_watches_nothing",
            fault: Arc::new(Watches(|watch| {
                Box::pin(watch.take_while(|event| ready(event.is_ok())).chain(stream::pending()))
            })),
        },
    ]
}

/// Tells something else than what happens.
pub(crate) struct Watches(pub(crate) fn(WatchStream) -> WatchStream);

#[async_trait]
impl Fault for Watches {
    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        Ok((self.0)(inner.watch(range).await?))
    }
}

fn without_deletes(watch: WatchStream) -> WatchStream {
    Box::pin(watch.filter(|event| ready(!matches!(event, Ok(WatchEvent::Deleted { .. })))))
}

fn by_name(watch: WatchStream) -> WatchStream {
    let sorted = watch.ready_chunks(16).flat_map(|mut events| {
        if events.iter().all(|event| matches!(event, Ok(WatchEvent::Put(_)))) {
            events.sort_by_key(|event| match event {
                Ok(WatchEvent::Put(entry)) => Some(entry.key.clone()),
                _ => None,
            });
        }
        stream::iter(events)
    });
    Box::pin(sorted)
}

fn dropping_the_newest(mut watch: WatchStream) -> WatchStream {
    let (mut sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(event) = watch.next().await {
            if sender.try_send(event).is_err_and(|error| error.is_disconnected()) {
                break;
            }
        }
    });
    Box::pin(receiver)
}

/// The keys that somebody deleted.
#[derive(Default)]
struct ForgetsExpiries(Arc<Mutex<HashSet<Key>>>);

#[async_trait]
impl Fault for ForgetsExpiries {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let deletes = transaction.mutations.iter().filter(|mutation| matches!(mutation, Mutation::Delete { .. }));
        self.0.lock().extend(deletes.map(|delete| delete.key().clone()));
        inner.commit(transaction).await
    }

    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        let deleted = self.0.clone();
        Ok(Box::pin(inner.watch(range).await?.filter(move |event| {
            let told = match event {
                Ok(WatchEvent::Deleted { key, .. }) => deleted.lock().contains(key),
                _ => true,
            };
            ready(told)
        })))
    }
}

struct WatchesLate;

#[async_trait]
impl Fault for WatchesLate {
    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        let (inner, range) = (inner.clone(), range.clone());
        Ok(Box::pin(stream::once(async move { inner.watch(&range).await }).try_flatten()))
    }
}
