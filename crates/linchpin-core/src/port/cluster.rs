//! The port over any driver: nodes and leadership.

use super::Port;
use super::areas::{Area, DEFAULT_GROUP, without};
use super::implementation::{KeyPages, commit, named};
use super::stored::{Leader, Node};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::name::{Key, NodeId};
use crate::transaction::{MutationResult, Outcome, Transaction};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How long a registered node is listed before its first heartbeat.
const REGISTRATION: Duration = Duration::from_mins(1);
/// What a node without metadata has.
const NO_METADATA: &[u8] = b"{}";
/// How often a decision is taken anew because another node was quicker.
const ATTEMPTS: usize = 16;

pub(super) async fn register_node(port: &Port, node: &str, metadata: Option<&[u8]>) -> Result<()> {
    let key = Area::node(DEFAULT_GROUP, node)?;
    let metadata = Bytes::copy_from_slice(metadata.unwrap_or(NO_METADATA));
    let put = Transaction::new().put(key, record(metadata.clone()), Some(REGISTRATION));
    commit(port, "register_node", node, put).await?;
    port.state().registered.lock().insert(node.to_owned(), metadata);
    Ok(())
}

pub(super) async fn heartbeat(port: &Port, node: &str, ttl: Duration) -> Result<()> {
    const NAME: &str = "heartbeat";
    let key = Area::node(DEFAULT_GROUP, node)?;
    for _ in 0..ATTEMPTS {
        let done = if let Some(entry) = current(port, NAME, node, &key).await? {
            let stored = Node::decode(&entry.value).map_err(|error| named(error.with_operation(NAME), node))?;
            renew(port, NAME, node, &entry, ttl, stored.membership.is_some()).await?
        } else {
            let known = port.state().registered.lock().get(node).cloned();
            let metadata = known.unwrap_or(Bytes::from_static(NO_METADATA));
            let put = Transaction::new().absent(key.clone()).put(key.clone(), record(metadata), Some(ttl));
            commit(port, NAME, node, put).await?.is_committed()
        };
        if done {
            let mut registered = port.state().registered.lock();
            registered.entry(node.to_owned()).or_insert(Bytes::from_static(NO_METADATA));
            return Ok(());
        }
    }
    Err(contended(NAME, node))
}

/// Takes a node off the list, unless the members recipe keeps it there.
pub(super) async fn delist(port: &Port, node: &str) -> Result<()> {
    const NAME: &str = "delist";
    let key = Area::node(DEFAULT_GROUP, node)?;
    let Some(entry) = current(port, NAME, node, &key).await? else { return Ok(()) };
    if Node::decode(&entry.value).is_ok_and(|stored| stored.membership.is_none()) {
        delete(port, NAME, node, &entry).await?;
    }
    Ok(())
}

pub(super) async fn list_nodes(port: &Port) -> Result<Vec<String>> {
    let mut nodes = Vec::new();
    let prefix = Area::NODES.group(DEFAULT_GROUP)?;
    let mut pages = KeyPages::new("list_nodes", &prefix)?;
    while let Some(keys) = pages.next(port).await? {
        for key in &keys {
            nodes.push(without(&prefix, "list_nodes", key.as_str())?);
        }
    }
    Ok(nodes)
}

pub(super) async fn get_node_metadata(port: &Port, node: &str) -> Result<Option<Vec<u8>>> {
    const NAME: &str = "get_node_metadata";
    let entry = current(port, NAME, node, &Area::node(DEFAULT_GROUP, node)?).await?;
    let metadata = |entry: Entry| Ok(Node::decode(&entry.value)?.metadata.into());
    entry.map(metadata).transpose().map_err(|error: Error| named(error.with_operation(NAME), node))
}

pub(super) async fn try_acquire_leadership(port: &Port, node: &str, ttl: Duration) -> Result<bool> {
    const NAME: &str = "try_acquire_leadership";
    let (node_id, key) = (NodeId::new(node)?, Area::ELECTIONS.key(DEFAULT_GROUP)?);
    let leader = Leader { node_id: node_id.clone(), campaign: None, value: Bytes::new() };
    let campaign = Transaction::new().absent(key.clone()).put(key, leader.encode(), Some(ttl));
    for _ in 0..ATTEMPTS {
        let asked = Instant::now();
        let leader = match commit(port, NAME, node, campaign.clone()).await? {
            Outcome::Committed { .. } if asked.elapsed() < ttl => {
                port.state().led.lock().insert(node.to_owned());
                return Ok(true);
            }
            Outcome::Refused { found: Some(leader), .. } => leader,
            // Gone meanwhile; or ours, but the answer came so late that the term may be over, and another's.
            Outcome::Refused { found: None, .. } | Outcome::Committed { .. } => continue,
        };
        let leads = led_by(NAME, node, &leader)?;
        if leads.node_id != node_id {
            return Ok(false);
        }
        let done = renew(port, NAME, node, &leader, ttl, leads.campaign.is_some()).await?;
        if done && asked.elapsed() < ttl {
            port.state().led.lock().insert(node.to_owned());
            return Ok(true);
        }
    }
    Err(contended(NAME, node))
}

/// Steps down, unless it was the election recipe that made the node leader.
pub(super) async fn resign(port: &Port, node: &str) -> Result<()> {
    step_down(port, "resign", node, |leads| leads.campaign.is_none()).await.map(drop)
}

pub(super) async fn release_leadership(port: &Port, node: &str) -> Result<bool> {
    step_down(port, "release_leadership", NodeId::new(node)?.as_str(), |_| true).await
}

/// Ends the term of a node, if it leads and `may` says so; whether it did.
async fn step_down(port: &Port, operation: &'static str, node: &str, may: fn(&Leader) -> bool) -> Result<bool> {
    let key = Area::ELECTIONS.key(DEFAULT_GROUP)?;
    let Some(entry) = current(port, operation, node, &key).await? else { return Ok(false) };
    let leads = led_by(operation, node, &entry)?;
    if leads.node_id.as_str() != node || !may(&leads) {
        return Ok(false);
    }
    delete(port, operation, node, &entry).await
}

pub(super) async fn get_leader(port: &Port) -> Result<Option<String>> {
    const NAME: &str = "get_leader";
    let leader = current(port, NAME, DEFAULT_GROUP, &Area::ELECTIONS.key(DEFAULT_GROUP)?).await?;
    leader.map(|entry| Ok(led_by(NAME, DEFAULT_GROUP, &entry)?.node_id.into())).transpose()
}

fn led_by(operation: &'static str, subject: &str, entry: &Entry) -> Result<Leader> {
    Leader::decode(&entry.value).map_err(|error| named(error.with_operation(operation), subject))
}

/// What is stored of a node that says only this of itself.
fn record(metadata: Bytes) -> Bytes {
    Node { metadata, ..Node::default() }.encode()
}

async fn current(port: &Port, operation: &'static str, subject: &str, key: &Key) -> Result<Option<Entry>> {
    let snapshot = port.driver().get(std::slice::from_ref(key)).await;
    let snapshot = snapshot.map_err(|error| named(error.with_operation(operation), subject))?;
    Ok(snapshot.into_entry())
}

/// Deletes an entry; `false` if it was gone or rewritten meanwhile.
async fn delete(port: &Port, operation: &'static str, subject: &str, entry: &Entry) -> Result<bool> {
    let delete = Transaction::new().version_is(entry.key.clone(), entry.version).delete(entry.key.clone());
    Ok(commit(port, operation, subject, delete).await?.is_committed())
}

/// Gives an entry another TTL. What a recipe keeps it renews by a TTL of its own: that is extended, never cut short.
async fn renew(
    port: &Port,
    operation: &'static str,
    subject: &str,
    entry: &Entry,
    ttl: Duration,
    kept_by_a_recipe: bool,
) -> Result<bool> {
    if kept_by_a_recipe {
        extend(port, operation, subject, entry, ttl).await
    } else {
        set_ttl(port, operation, subject, entry, ttl).await
    }
}

/// Sets the TTL of an entry, to a shorter one too; `false` if it was gone or rewritten meanwhile.
async fn set_ttl(port: &Port, operation: &'static str, subject: &str, entry: &Entry, ttl: Duration) -> Result<bool> {
    if entry.ttl.is_none_or(|left| left > ttl) {
        // An extension never shortens; a rewrite does, and keeps `created`, the leader's term.
        let rewrite = Transaction::new().version_is(entry.key.clone(), entry.version);
        let rewrite = rewrite.put(entry.key.clone(), entry.value.clone(), Some(ttl));
        return Ok(commit(port, operation, subject, rewrite).await?.is_committed());
    }
    extend(port, operation, subject, entry, ttl).await
}

/// Extends the TTL of an entry; `false` if it was gone or rewritten meanwhile.
async fn extend(port: &Port, operation: &'static str, subject: &str, entry: &Entry, ttl: Duration) -> Result<bool> {
    let extend = Transaction::new().extend(entry.key.clone(), entry.version, ttl);
    let outcome = port.driver().commit(&extend).await;
    let outcome = outcome.map_err(|error| named(error.with_operation(operation), subject))?;
    Ok(matches!(outcome.results(), Some([MutationResult::Extended { ttl: Some(_) }])))
}

fn contended(operation: &'static str, subject: &str) -> Error {
    Error::new(ErrorKind::Conflict, operation, format!("other nodes were quicker {ATTEMPTS} times; try again"))
        .with_subject(subject)
        .with_retry(Retry::Safe)
}
