//! Names and namespaces that are taken for others.

use crate::mutants::broken::Broken;
use crate::mutants::mutant::{Fault, Mutant};
use bytes::Bytes;
use futures::TryStreamExt;
use linchpin_conformance::async_trait;
use linchpin_core::{
    Channel, Driver, Entry, Key, Namespace, Outcome, Page, Pattern, Range, Reach, Result, ScanPage, Snapshot,
    Subscription, SubscriptionEvent, Transaction,
};
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "namespace_leaks_by_prefix",
            breaks: "Nothing separates a namespace from its keys, so `a` sees those of `ab`",
            caught_by: "names.keys_stay_in_their_namespace",
            fault: Arc::new(Nested { separator: "" }),
        },
        Mutant {
            name: "namespace_leaks_by_pattern",
            breaks: "Nothing separates a namespace from its patterns, so `*` in `a` matches the channels of `ab`",
            caught_by: "names.messages_stay_in_their_namespace",
            fault: Arc::new(Nested { separator: "" }),
        },
        Mutant {
            name: "clear_leaves_its_namespace",
            breaks: "Nothing separates a namespace from its keys, so clearing `a` clears `ab` as well",
            caught_by: "names.clear_stays_in_its_namespace",
            fault: Arc::new(Nested { separator: "" }),
        },
        Mutant {
            name: "case_is_folded",
            breaks: "Keys that differ in upper and lower case only are one key",
            caught_by: "names.any_text_is_a_key",
            fault: Arc::new(FoldsCase),
        },
    ]
}

/// What is built as some of the mutants here are, but without their fault: by the case that it must pass.
pub(crate) fn sound() -> Vec<(&'static str, Arc<dyn Fault>)> {
    let cases = [
        "names.keys_stay_in_their_namespace",
        "names.messages_stay_in_their_namespace",
        "names.clear_stays_in_its_namespace",
    ];
    cases.map(|case| (case, Arc::new(Nested { separator: "/" }) as Arc<dyn Fault>)).into()
}

/// Keeps all namespaces in one, each with its name and the separator in front of everything.
struct Nested {
    separator: &'static str,
}

impl Fault for Nested {
    fn lives_in(&self, _: &Namespace) -> Namespace {
        Namespace::default()
    }

    fn layered(&self, driver: Arc<dyn Driver>, namespace: &Namespace) -> Arc<dyn Driver> {
        Broken::over(driver, Arc::new(Prefixes(format!("{namespace}{}", self.separator))))
    }
}

/// Puts a prefix in front of keys, channels and patterns on the way down, and takes it off on the way up.
struct Prefixes(String);

impl Prefixes {
    fn key(&self, key: &Key) -> Result<Key> {
        key.prefixed(&self.0)
    }

    fn take_off(&self, entry: &mut Entry) {
        if let Some(own) = entry.key.without_prefix(&self.0) {
            entry.key = own;
        }
    }
}

#[async_trait]
impl Fault for Prefixes {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        let keys = keys.iter().map(|key| self.key(key)).collect::<Result<Vec<_>>>()?;
        let mut snapshot = inner.get(&keys).await?;
        for entry in snapshot.entries.iter_mut().flatten() {
            self.take_off(entry);
        }
        Ok(snapshot)
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        let range = match range {
            Range::Key(key) => Range::Key(self.key(key)?),
            Range::Prefix(prefix) => Range::prefix(format!("{}{prefix}", self.0))?,
        };
        let after = page.after.as_ref().map(|key| self.key(key)).transpose()?;
        let mut found = inner.scan(&range, &Page { after, ..page.clone() }).await?;
        for entry in &mut found.entries {
            self.take_off(entry);
        }
        Ok(found)
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(&renamed(transaction, |key| self.key(key))?).await
    }

    async fn publish(&self, inner: &Arc<dyn Driver>, channel: &Channel, payload: Bytes) -> Result<Reach> {
        inner.publish(&channel.prefixed(&self.0)?, payload).await
    }

    async fn subscribe(&self, inner: &Arc<dyn Driver>, pattern: &Pattern) -> Result<Subscription> {
        let prefix = self.0.clone();
        let events = inner.subscribe(&pattern.prefixed(&prefix)?).await?;
        Ok(Box::pin(events.map_ok(move |mut event| {
            if let SubscriptionEvent::Message(message) = &mut event {
                let name = message.channel.as_str().replacen(prefix.as_str(), "", 1);
                message.channel = Channel::stored(name).expect("it had a name");
            }
            event
        })))
    }

    async fn clear(&self, inner: &Arc<dyn Driver>, prefix: &str) -> Result<()> {
        inner.clear(&format!("{}{prefix}", self.0)).await
    }
}

struct FoldsCase;

fn folded(key: &Key) -> Result<Key> {
    Key::stored(key.as_str().to_lowercase())
}

#[async_trait]
impl Fault for FoldsCase {
    async fn get(&self, inner: &Arc<dyn Driver>, keys: &[Key]) -> Result<Snapshot> {
        inner.get(&keys.iter().map(folded).collect::<Result<Vec<_>>>()?).await
    }

    async fn scan(&self, inner: &Arc<dyn Driver>, range: &Range, page: &Page) -> Result<ScanPage> {
        match range {
            Range::Key(key) => inner.scan(&Range::Key(folded(key)?), page).await,
            Range::Prefix(_) => inner.scan(range, page).await,
        }
    }

    async fn commit(&self, inner: &Arc<dyn Driver>, transaction: &Transaction) -> Result<Outcome> {
        inner.commit(&renamed(transaction, folded)?).await
    }
}

/// The same transaction about keys that are called otherwise.
pub(crate) fn renamed(transaction: &Transaction, name: impl Fn(&Key) -> Result<Key>) -> Result<Transaction> {
    let mut renamed = transaction.clone();
    for guard in &mut renamed.guards {
        guard.key = name(&guard.key)?;
    }
    for mutation in &mut renamed.mutations {
        *mutation.key_mut() = name(mutation.key())?;
    }
    Ok(renamed)
}
