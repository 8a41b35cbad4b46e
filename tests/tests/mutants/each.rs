//! What is right for most keys, guards and events, and wrong for one of them.

use crate::mutants::mutant::{Fault, Mutant};
use futures::StreamExt;
use futures::stream::BoxStream;
use linchpin_conformance::async_trait;
use linchpin_core::{
    Driver, Error, Mutation, MutationResult, Outcome, Page, Pattern, Range, Result, Revision, ScanPage, Subscription,
    Transaction, TransactionId, WatchEvent, WatchStream,
};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "page_starts_in_its_range",
            "A page that is to start after a key before its range is empty",
            "state.a_page_may_start_before_its_range",
            PageStartsInItsRange,
        ),
        Mutant::new(
            "keys_have_no_ttl",
            "Entries that are read without values are told to live for ever",
            "state.keys_without_values_are_told_whole",
            KeysHaveNoTtl,
        ),
        Mutant::new(
            "sixteen_guards",
            "Of a transaction's guards the first 16 are looked at",
            "transactions.every_guard_counts",
            SixteenGuards,
        ),
        Mutant::new(
            "one_ttl_per_transaction",
            "What a transaction puts lives as long as what it puts first",
            "ttl.each_key_has_its_own_ttl",
            OneTtl,
        ),
        Mutant::new(
            "conflict_names_the_first_key",
            "A conflict has the first key of the transaction, whichever it is about",
            "transactions.the_key_in_the_way_is_named",
            ConflictNamesTheFirst,
        ),
        Mutant::new(
            "repeat_loses_the_ttl",
            "What a repeated put is answered has no TTL",
            "transactions.a_repeat_has_every_result",
            RepeatLosesTtl::default(),
        ),
        Mutant::new(
            "large_values_are_not_told",
            "A watch tells large values as empty ones",
            "watch.a_large_value_is_told",
            Told(without_large_values),
        ),
        Mutant::new(
            "synced_at_a_later_revision",
            "A watch is synced at a revision of which not everything was told",
            "watch.synced_is_before_what_follows",
            Told(synced_later),
        ),
        Mutant::new(
            "ends_of_present_keys_are_not_told",
            "A watch tells the end of the keys only that came to be since it began",
            "watch.an_expiry_is_told_to_who_comes_later",
            ForgetsThePresent,
        ),
        Mutant::new(
            "watch_ends_with_its_handle",
            "A watch tells nothing more once its handle is dropped",
            "watch.a_watch_outlives_its_handle",
            EndsWithItsHandle,
        ),
        Mutant::new(
            "subscription_ends_with_its_handle",
            "A subscription yields nothing more once its handle is dropped",
            "messages.a_subscription_outlives_its_handle",
            EndsWithItsHandle,
        ),
    ]
}

struct PageStartsInItsRange;

#[async_trait]
impl Fault for PageStartsInItsRange {
    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut found = inner.scan(range, page).await?;
        if page.after.as_ref().is_some_and(|after| !range.contains(after)) {
            found.entries.clear();
            found.more = false;
        }
        Ok(found)
    }
}

struct KeysHaveNoTtl;

#[async_trait]
impl Fault for KeysHaveNoTtl {
    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let mut found = inner.scan(range, page).await?;
        for entry in found.entries.iter_mut().filter(|_| !page.values) {
            entry.ttl = None;
        }
        Ok(found)
    }
}

struct SixteenGuards;

#[async_trait]
impl Fault for SixteenGuards {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut transaction = transaction.clone();
        transaction.guards.truncate(16);
        inner.commit(&transaction).await
    }
}

struct OneTtl;

#[async_trait]
impl Fault for OneTtl {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut transaction = transaction.clone();
        let puts = transaction.mutations.iter_mut().filter_map(|mutation| match mutation {
            Mutation::Put { ttl, .. } => Some(ttl),
            _ => None,
        });
        let mut first = None;
        for ttl in puts {
            *ttl = *first.get_or_insert(*ttl);
        }
        inner.commit(&transaction).await
    }
}

struct ConflictNamesTheFirst;

#[async_trait]
impl Fault for ConflictNamesTheFirst {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let first = |error: Error| match transaction.mutations.first() {
            Some(mutation) => error.with_subject(mutation.key().as_str()),
            None => error,
        };
        inner.commit(transaction).await.map_err(first)
    }
}

#[derive(Default)]
struct RepeatLosesTtl(Mutex<HashSet<TransactionId>>);

#[async_trait]
impl Fault for RepeatLosesTtl {
    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        let mut outcome = inner.commit(transaction).await?;
        let is_repeat = transaction.id.is_some_and(|id| !self.0.lock().insert(id));
        if let (true, Outcome::Committed { results, .. }) = (is_repeat, &mut outcome) {
            for result in results {
                if let MutationResult::Put { ttl, .. } = result {
                    *ttl = None;
                }
            }
        }
        Ok(outcome)
    }
}

/// Tells something else.
struct Told(fn(WatchEvent) -> WatchEvent);

#[async_trait]
impl Fault for Told {
    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        let other = self.0;
        Ok(inner.watch(range).await?.map(move |event| event.map(other)).boxed())
    }
}

fn without_large_values(mut event: WatchEvent) -> WatchEvent {
    if let WatchEvent::Put(entry) = &mut event
        && entry.value.len() > 64 * 1024
    {
        entry.value.clear();
    }
    event
}

fn synced_later(event: WatchEvent) -> WatchEvent {
    match event {
        WatchEvent::Synced { revision } => WatchEvent::Synced { revision: Revision(revision.0 + 1_000_000_000) },
        other => other,
    }
}

struct ForgetsThePresent;

#[async_trait]
impl Fault for ForgetsThePresent {
    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        let (mut present, mut is_synced) = (HashSet::new(), false);
        let told = inner.watch(range).await?.filter(move |event| {
            let is_told = match event {
                Ok(WatchEvent::Put(entry)) if !is_synced => {
                    present.insert(entry.key.clone());
                    true
                }
                Ok(WatchEvent::Deleted { key, .. }) => !present.contains(key),
                _ => {
                    is_synced = true;
                    true
                }
            };
            std::future::ready(is_told)
        });
        Ok(told.boxed())
    }
}

/// Nobody is told anything once the handle is dropped.
struct EndsWithItsHandle;

#[async_trait]
impl Fault for EndsWithItsHandle {
    async fn watch(&self, inner: &Arc<dyn Driver>, range: &Range) -> Result<WatchStream> {
        Ok(while_held(inner, inner.watch(range).await?))
    }

    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        Ok(while_held(inner, inner.subscribe(pattern).await?))
    }
}

fn while_held<T: Send + 'static>(handle: &Arc<dyn Driver>, told: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let handle = Arc::downgrade(handle);
    told.then(move |event| {
        let is_held = handle.strong_count() > 0;
        async move { if is_held { event } else { pending().await } }
    })
    .boxed()
}
