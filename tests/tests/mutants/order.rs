//! Watches that tell things in another order, or tell who is behind something else than what happened.

use crate::mutants::mutant::Mutant;
use crate::mutants::watch::Watches;
use futures::{StreamExt, stream};
use linchpin_core::{Key, Result, Revision, WatchEvent, WatchStream};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "present_by_name",
            breaks: "The entries present are told in the order of their names",
            caught_by: "watch.present_entries_come_in_the_order_of_their_creation",
            fault: Arc::new(Watches(|watch| in_chunks(watch, sort_present))),
        },
        Mutant {
            name: "rewritten_moves_back",
            breaks: "A key that was rewritten before anybody looked is told behind those that came after it",
            caught_by: "watch.a_rewritten_key_is_told_at_its_old_place",
            fault: Arc::new(Watches(|watch| in_chunks(watch, sort_by_version))),
        },
        Mutant {
            name: "made_again_stays",
            breaks: "A key that went and came again is told at the place that it had before",
            caught_by: "watch.a_key_made_again_is_told_at_its_new_place",
            fault: Arc::new(Watches(at_first_places)),
        },
        Mutant {
            name: "gone_while_behind",
            breaks: "Who is far behind is not told what is gone",
            caught_by: "watch.a_watcher_far_behind_learns_what_is_gone",
            fault: Arc::new(Watches(|watch| {
                in_chunks(watch, |events| {
                    if is_far_behind(events) {
                        events.retain(|event| !matches!(event, Ok(WatchEvent::Deleted { .. })));
                    }
                })
            })),
        },
        Mutant {
            name: "gone_twice",
            breaks: "Who is far behind is told twice what is gone",
            caught_by: "watch.a_watcher_far_behind_learns_what_is_gone",
            fault: Arc::new(Watches(|watch| in_chunks(watch, repeat_ends))),
        },
        Mutant {
            name: "synced_again",
            breaks: "Who is far behind is synced once more",
            caught_by: "watch.a_watcher_far_behind_learns_what_is_gone",
            fault: Arc::new(Watches(|watch| {
                in_chunks(watch, |events| {
                    if is_far_behind(events) {
                        events.push(Ok(WatchEvent::Synced { revision: Revision(1) }));
                    }
                })
            })),
        },
        Mutant {
            name: "gone_long_ago",
            breaks: "What is gone is told to have gone at the revision of its last write",
            caught_by: "watch.a_watcher_far_behind_learns_what_is_gone",
            fault: Arc::new(Watches(gone_when_written)),
        },
    ]
}

type Events = Vec<Result<WatchEvent>>;

/// What is told at once is told otherwise.
fn in_chunks(watch: WatchStream, mut change: impl FnMut(&mut Events) + Send + 'static) -> WatchStream {
    Box::pin(watch.ready_chunks(10_000).flat_map(move |mut events| {
        change(&mut events);
        stream::iter(events)
    }))
}

/// More is told at once than of a few changes.
fn is_far_behind(events: &Events) -> bool {
    events.len() > 1_000
}

fn written(event: &Result<WatchEvent>) -> Option<(&Key, Revision)> {
    match event {
        Ok(WatchEvent::Put(entry)) => Some((&entry.key, entry.version)),
        _ => None,
    }
}

fn sort_present(events: &mut Events) {
    let is_synced = |event: &Result<WatchEvent>| matches!(event, Ok(WatchEvent::Synced { .. }));
    let present = events.iter().position(is_synced).unwrap_or(0);
    events[..present].sort_by_key(|event| written(event).map(|(key, _)| key.clone()));
}

fn sort_by_version(events: &mut Events) {
    if events.iter().all(|event| written(event).is_some()) {
        events.sort_by_key(|event| written(event).map(|(_, version)| version));
    }
}

fn at_first_places(watch: WatchStream) -> WatchStream {
    let mut places: HashMap<Key, usize> = HashMap::new();
    in_chunks(watch, move |events| {
        for (key, _) in events.iter().filter_map(written) {
            let next = places.len();
            places.entry(key.clone()).or_insert(next);
        }
        if events.iter().all(|event| written(event).is_some()) {
            events.sort_by_key(|event| written(event).map(|(key, _)| places[key]));
        }
    })
}

fn repeat_ends(events: &mut Events) {
    if !is_far_behind(events) {
        return;
    }
    let again = |event: &Result<WatchEvent>| match event {
        Ok(WatchEvent::Deleted { key, version }) => {
            Some(Ok(WatchEvent::Deleted { key: key.clone(), version: Revision(version.0 + 1) }))
        }
        _ => None,
    };
    let again: Vec<_> = events.iter().filter_map(again).collect();
    events.extend(again);
}

fn gone_when_written(watch: WatchStream) -> WatchStream {
    let mut versions: HashMap<Key, Revision> = HashMap::new();
    in_chunks(watch, move |events| {
        for event in events.iter_mut() {
            match event {
                Ok(WatchEvent::Put(entry)) => drop(versions.insert(entry.key.clone(), entry.version)),
                Ok(WatchEvent::Deleted { key, version }) => *version = versions.get(key).copied().unwrap_or(*version),
                _ => {}
            }
        }
    })
}
