//! Messages that overtake others, patterns of another syntax, and names that are cut.

use crate::mutants::mutant::{Fault, Mutant};
use crate::mutants::names::renamed;
use bytes::Bytes;
use futures::{StreamExt, stream};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Appended, Channel, Claim, Delivery, Driver, Key, Outcome, Page, Pattern, Range, Reach, Record, Result, ScanPage,
    Snapshot, StreamInfo, StreamName, Subscription, SubscriptionEvent, Transaction,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn mutants() -> Vec<Mutant> {
    let mut mutants = vec![
        Mutant {
            name: "large_messages_take_longer",
            breaks: "Large messages go another way, on which small ones overtake them",
            caught_by: "messages.small_and_large_messages_keep_their_order",
            fault: Arc::new(LargeOnesLate),
        },
        Mutant {
            name: "old_news",
            breaks: "A second subscription is told first what the first one was told last",
            caught_by: "messages.a_second_subscription_hears_nothing_from_before",
            fault: Arc::new(OldNews::default()),
        },
        Mutant {
            name: "long_keys_cut",
            breaks: "Of a key 511 bytes count",
            caught_by: "names.long_keys_differ_in_their_last_byte",
            fault: Arc::new(CutsNames),
        },
        Mutant {
            name: "long_channels_cut",
            breaks: "Of a channel 511 bytes count",
            caught_by: "names.long_channels_differ_in_their_last_byte",
            fault: Arc::new(CutsNames),
        },
        Mutant {
            name: "long_streams_cut",
            breaks: "Of the name of a stream 511 bytes count",
            caught_by: "names.long_streams_differ_in_their_last_byte",
            fault: Arc::new(CutsNames),
        },
    ];
    mutants.extend(SYNTAXES.map(|(name, breaks, pattern, taken_for)| Mutant {
        name,
        breaks,
        caught_by: "messages.what_looks_like_another_syntax_is_text",
        fault: Arc::new(TakesFor { pattern, taken_for }),
    }));
    mutants
}

const SYNTAXES: [(&str, &str, &str, &[&str]); 5] = [
    ("bang_excludes", "A class that starts with `!` excludes", "[!a]", &["[^a]"]),
    ("caret_excludes_anywhere", "A class with a `^` in it excludes", "[a^]", &["[^a]"]),
    ("braces_choose", "Braces are a choice", "{a,b}", &["{a,b}", "a", "b"]),
    ("classes_of_bytes", "A class that is not ASCII matches what has one of its bytes", "[а-я]", &["[ѐ-ӿа-я]"]),
    ("backslash_d_is_a_digit", "A `\\d` matches digits", r"\d", &["[0-9]"]),
];

/// Takes one pattern for others.
struct TakesFor {
    pattern: &'static str,
    taken_for: &'static [&'static str],
}

#[async_trait]
impl Fault for TakesFor {
    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        if pattern.as_str() != self.pattern {
            return inner.subscribe(pattern).await;
        }
        let mut all = Vec::new();
        for pattern in self.taken_for {
            all.push(inner.subscribe(&Pattern::new(*pattern)?).await?);
        }
        Ok(Box::pin(stream::select_all(all)))
    }
}

struct LargeOnesLate;

#[async_trait]
impl Fault for LargeOnesLate {
    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        if payload.len() < 50_000 {
            return inner.publish(channel, payload).await;
        }
        let (inner, channel) = (inner.clone(), channel.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            inner.publish(&channel, payload).await
        });
        Ok(Reach { at_most: None })
    }
}

/// The message that was published last to each channel.
#[derive(Default)]
struct OldNews(Arc<Mutex<HashMap<String, Bytes>>>);

#[async_trait]
impl Fault for OldNews {
    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        self.0.lock().insert(channel.as_str().to_owned(), payload.clone());
        inner.publish(channel, payload).await
    }

    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        let subscription = inner.subscribe(pattern).await?;
        let old = self.0.lock().iter().find(|(channel, _)| pattern.matches(channel)).map(|(channel, payload)| {
            let channel = Channel::stored(channel)?;
            Ok(SubscriptionEvent::Message(linchpin_core::Publication::new(channel, payload.clone())))
        });
        Ok(Box::pin(stream::iter(old).chain(subscription)))
    }
}

/// Takes names for one that differ in the 512th byte.
struct CutsNames;

fn cut(name: &str) -> &str {
    name.get(..511).unwrap_or(name)
}

fn cut_key(key: &Key) -> Result<Key> {
    Key::stored(cut(key.as_str()))
}

fn cut_stream(stream: &StreamName) -> Result<StreamName> {
    StreamName::new(cut(stream.as_str()))
}

#[async_trait]
impl Fault for CutsNames {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        inner.get(&keys.iter().map(cut_key).collect::<Result<Vec<_>>>()?).await
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        match range {
            Range::Key(key) => inner.scan(&Range::Key(cut_key(key)?), page).await,
            Range::Prefix(_) => inner.scan(range, page).await,
        }
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(&renamed(transaction, cut_key)?).await
    }

    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        inner.publish(&Channel::new(cut(channel.as_str()))?, payload).await
    }

    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        inner.subscribe(&Pattern::new(cut(pattern.as_str()))?).await
    }

    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        inner.append(&cut_stream(stream)?, records).await
    }

    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        inner.inspect(&cut_stream(stream)?).await
    }

    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        inner.claim(&Claim { stream: cut_stream(&claim.stream)?, ..claim.clone() }).await
    }
}
