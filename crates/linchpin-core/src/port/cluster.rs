//! The port over any driver: nodes and leadership.

use super::areas::Area;
use super::implementation::{KeyPages, commit, named};
use crate::driver::Driver;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::name::{Key, NodeId};
use crate::transaction::{MutationResult, Outcome, Transaction};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How long a registered node is listed before its first heartbeat.
const REGISTRATION: Duration = Duration::from_secs(60);
/// What a node without metadata has.
const NO_METADATA: &[u8] = b"{}";
/// The election that the port's methods take part in.
const ELECTION: &str = "default";
/// How often a decision is taken anew because another node was quicker.
const ATTEMPTS: usize = 16;

pub(super) async fn register_node<D: Driver + ?Sized>(driver: &D, node: &str, metadata: Option<&[u8]>) -> Result<()> {
    let key = Area::node(node)?;
    let metadata = Bytes::copy_from_slice(metadata.unwrap_or(NO_METADATA));
    let put = Transaction::new().put(key, metadata.clone(), Some(REGISTRATION));
    commit(driver, "register_node", node, put).await?;
    driver.port_state().registered.lock().insert(node.to_owned(), metadata);
    Ok(())
}

pub(super) async fn heartbeat<D: Driver + ?Sized>(driver: &D, node: &str, ttl: Duration) -> Result<()> {
    const NAME: &str = "heartbeat";
    let key = Area::node(node)?;
    for _ in 0..ATTEMPTS {
        let done = if let Some(entry) = current(driver, NAME, node, &key).await? {
            set_ttl(driver, NAME, node, &entry, ttl).await?
        } else {
            let known = driver.port_state().registered.lock().get(node).cloned();
            let metadata = known.unwrap_or(Bytes::from_static(NO_METADATA));
            let put = Transaction::new().absent(key.clone()).put(key.clone(), metadata, Some(ttl));
            commit(driver, NAME, node, put).await?.is_committed()
        };
        if done {
            return Ok(());
        }
    }
    Err(contended(NAME, node))
}

pub(super) async fn list_nodes<D: Driver + ?Sized>(driver: &D) -> Result<Vec<String>> {
    let mut nodes = Vec::new();
    let mut pages = KeyPages::new("list_nodes", Area::Nodes.prefix())?;
    while let Some(keys) = pages.next(driver).await? {
        for key in &keys {
            nodes.push(Area::Nodes.strip("list_nodes", key.as_str())?);
        }
    }
    Ok(nodes)
}

pub(super) async fn get_node_metadata<D: Driver + ?Sized>(driver: &D, node: &str) -> Result<Option<Vec<u8>>> {
    let entry = current(driver, "get_node_metadata", node, &Area::node(node)?).await?;
    Ok(entry.map(|entry| entry.value.into()))
}

pub(super) async fn try_acquire_leadership<D: Driver + ?Sized>(driver: &D, node: &str, ttl: Duration) -> Result<bool> {
    const NAME: &str = "try_acquire_leadership";
    let (node_id, key) = (NodeId::new(node)?, Area::Elections.key(ELECTION)?);
    let campaign = Transaction::new().absent(key.clone()).put(key, node_id.as_str().as_bytes().to_vec(), Some(ttl));
    for _ in 0..ATTEMPTS {
        let asked = Instant::now();
        let leader = match commit(driver, NAME, node, campaign.clone()).await? {
            Outcome::Committed { .. } if asked.elapsed() < ttl => return Ok(true),
            Outcome::Refused { found: Some(leader), .. } => leader,
            // Gone meanwhile; or ours, but the answer came so late that the term may be over, and another's.
            Outcome::Refused { found: None, .. } | Outcome::Committed { .. } => continue,
        };
        if leader.value != node.as_bytes() {
            return Ok(false);
        }
        if set_ttl(driver, NAME, node, &leader, ttl).await? {
            return Ok(true);
        }
    }
    Err(contended(NAME, node))
}

pub(super) async fn release_leadership<D: Driver + ?Sized>(driver: &D, node: &str) -> Result<bool> {
    const NAME: &str = "release_leadership";
    let (node_id, key) = (NodeId::new(node)?, Area::Elections.key(ELECTION)?);
    match current(driver, NAME, node, &key).await? {
        Some(leader) if leader.value == node_id.as_str().as_bytes() => {
            let resign = Transaction::new().version_is(key.clone(), leader.version).delete(key);
            Ok(commit(driver, NAME, node, resign).await?.is_committed())
        }
        _ => Ok(false),
    }
}

pub(super) async fn get_leader<D: Driver + ?Sized>(driver: &D) -> Result<Option<String>> {
    const NAME: &str = "get_leader";
    let leader = current(driver, NAME, ELECTION, &Area::Elections.key(ELECTION)?).await?;
    let text = |entry: Entry| {
        String::from_utf8(entry.value.into())
            .map_err(|_| Error::new(ErrorKind::Backend, NAME, "the stored leader is not UTF-8"))
    };
    leader.map(text).transpose()
}

async fn current<D: Driver + ?Sized>(
    driver: &D,
    operation: &'static str,
    subject: &str,
    key: &Key,
) -> Result<Option<Entry>> {
    let snapshot = Driver::get(driver, std::slice::from_ref(key)).await;
    let snapshot = snapshot.map_err(|error| named(error.with_operation(operation), subject))?;
    Ok(snapshot.entries.into_iter().flatten().next())
}

/// Sets the TTL of an entry, to a shorter one too; `false` if it was gone or rewritten meanwhile.
async fn set_ttl<D: Driver + ?Sized>(
    driver: &D,
    operation: &'static str,
    subject: &str,
    entry: &Entry,
    ttl: Duration,
) -> Result<bool> {
    let (key, version) = (entry.key.clone(), entry.version);
    if entry.ttl.is_none_or(|left| left > ttl) {
        // An extension never shortens; a rewrite does, and keeps `created`, the leader's term.
        let rewrite = Transaction::new().version_is(key.clone(), version).put(key, entry.value.clone(), Some(ttl));
        return Ok(commit(driver, operation, subject, rewrite).await?.is_committed());
    }
    let extend = Transaction::new().extend(key, version, ttl);
    let outcome = driver.commit(&extend).await;
    let outcome = outcome.map_err(|error| named(error.with_operation(operation), subject))?;
    Ok(matches!(outcome.results(), Some([MutationResult::Extended { ttl: Some(_) }])))
}

fn contended(operation: &'static str, subject: &str) -> Error {
    Error::new(ErrorKind::Conflict, operation, format!("other nodes were quicker {ATTEMPTS} times; try again"))
        .with_subject(subject)
        .with_retry(Retry::Safe)
}
