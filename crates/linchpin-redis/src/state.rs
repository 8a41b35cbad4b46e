//! State: reading, scanning and committing.

use crate::codec::{Packed, Reader, micros, optional_micros};
use crate::commands::{self, Prefix, ScriptCall, lex_bounds};
use crate::connection::Connection;
use bytes::Bytes;
use linchpin_adapter::decide::{Failure, Problem};
use linchpin_adapter::outcomes::reused;
use linchpin_core::{
    Condition, Entry, Error, Key, Mutation, MutationResult, Outcome, Page, Range, Result, Revision, ScanPage, Snapshot,
    Transaction,
};
use redis::{Cmd, Value};
use std::time::Duration;

/// For how long a transaction's id is remembered.
pub(crate) const ID_WINDOW: Duration = Duration::from_mins(1);

/// What stands before a value: version, revision that created it, and deadline.
const HEAD: usize = 3 * size_of::<f64>();

/// How far, in microseconds, the time that is noted may lag behind what readers were told: `NOTED` of the prelude.
const NOTED_LAG: u64 = 100_000;

pub(crate) async fn get(connection: &Connection, prefix: &Prefix, keys: &[Key]) -> Result<Snapshot> {
    match get_present(connection, prefix, keys).await.map_err(Error::of_read)? {
        Some(snapshot) => Ok(snapshot),
        None => get_expiring(connection, prefix, keys).await,
    }
}

/// Reads keys of which none is past its deadline, by plain commands: the first reads the revision and the keys as of
/// it, the second the time, which can only have gone on. `None` if something is to be done that only a script can do.
async fn get_present(connection: &Connection, prefix: &Prefix, keys: &[Key]) -> Result<Option<Snapshot>> {
    let read = Reader("get");
    let mut look = Cmd::with_capacity(2 + keys.len(), 64 * (1 + keys.len()));
    look.arg("MGET").arg(prefix.name("meta"));
    for key in keys {
        look.arg(prefix.key(key));
    }
    let mut commands = redis::Pipeline::with_capacity(2);
    commands.add_command(look).cmd("TIME");
    let mut answer = read.list(connection.send_all("get", &commands).await?)?.into_iter();
    let mut found = read.list(answer.next().unwrap_or(Value::Nil))?.into_iter();
    let mut clock = read.list(answer.next().unwrap_or(Value::Nil))?.into_iter();
    let (mut revision, mut acted, mut offset) = (0, 0, 0);
    let meta = read.optional(found.next())?;
    let is_noted = meta.is_some();
    if let Some(meta) = meta {
        let mut meta = Packed::new("get", meta);
        (revision, _, acted, offset) = (meta.number()?, meta.number()?, meta.number()?, meta.number()?);
    }
    let now = read.number(clock.next())? * 1_000_000 + read.number(clock.next())? + offset;
    // Where the server dropped what the revision is known by, a script finds another.
    if now < acted || (!is_noted && found.as_slice().iter().any(|value| *value != Value::Nil)) {
        return Ok(None);
    }
    let mut ends = false;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(stored) = read.optional(found.next())? else {
            entries.push(None);
            continue;
        };
        // A script removes what has ended.
        let Some(entry) = entry("get", key.clone(), stored, now)? else { return Ok(None) };
        ends |= entry.ttl.is_some();
        entries.push(Some(entry));
    }
    // A clock that steps back must not give those time again who were told how much is left.
    if ends && now - acted > NOTED_LAG {
        connection.note_time(|| prefix.invoke(&commands::NOTE));
    }
    Ok(Some(Snapshot { revision: Revision(revision), entries }))
}

/// Reads keys, and removes those that are past their deadline.
async fn get_expiring(connection: &Connection, prefix: &Prefix, keys: &[Key]) -> Result<Snapshot> {
    let read = Reader("get");
    let mut script = prefix.invoke(&commands::GET);
    for key in keys {
        script.arg(key.as_str());
    }
    let mut answer = read.list(connection.run("get", &script).await.map_err(Error::of_read)?)?.into_iter();
    let revision = read.revision(answer.next())?;
    let found = read.list(answer.next().unwrap_or(Value::Nil))?;
    let entry = |(key, fields): (&Key, Value)| match fields {
        Value::Nil => Ok(None),
        fields => read.entry(key.clone(), read.list(fields)?).map(Some),
    };
    let entries = keys.iter().zip(found).map(entry).collect::<Result<Vec<_>>>()?;
    if entries.len() != keys.len() {
        return Err(Error::unreadable("get", "too few entries"));
    }
    Ok(Snapshot { revision, entries })
}

pub(crate) async fn scan(connection: &Connection, prefix: &Prefix, range: &Range, page: &Page) -> Result<ScanPage> {
    let start = match range {
        Range::Key(key) => {
            let Snapshot { revision, entries } = get(connection, prefix, std::slice::from_ref(key)).await?;
            let later = |entry: &Entry| page.after.as_ref().is_none_or(|after| entry.key > *after);
            let entries = entries.into_iter().flatten().filter(later).collect();
            return Ok(ScanPage { revision, entries, more: false });
        }
        Range::Prefix(start) => start,
    };
    let read = Reader("scan");
    let (min, max) = lex_bounds(start, page.after.as_ref().map(Key::as_str));
    let flag = |yes: bool| if yes { "1" } else { "0" };
    let mut closely = false;
    loop {
        let mut script = prefix.invoke(&commands::SCAN);
        script.arg(&min).arg(&max).arg(page.limit).arg(flag(page.values)).arg(flag(closely));
        let mut answer = read.list(connection.run("scan", &script).await.map_err(Error::of_read)?)?.into_iter();
        let (revision, now) = (read.revision(answer.next())?, read.number(answer.next())?);
        let more = read.text(answer.next())? == "1";
        let keys = read.list(answer.next().unwrap_or(Value::Nil))?;
        let stored = read.list(answer.next().unwrap_or(Value::Nil))?;
        let Some(entries) = entries(keys, stored, now, page.values)? else {
            closely = true;
            continue;
        };
        // Otherwise all of them had ended, and are removed now: nobody could read on from there.
        if !entries.is_empty() || !more {
            let newest = entries.iter().map(|entry| entry.version).max();
            return Ok(ScanPage { revision: newest.map_or(revision, |newest| newest.max(revision)), entries, more });
        }
    }
}

/// What a page holds; nothing if one of them has ended: the server had dropped it from the list of what ends.
fn entries(keys: Vec<Value>, stored: Vec<Value>, now: u64, values: bool) -> Result<Option<Vec<Entry>>> {
    let (read, mut stored) = (Reader("scan"), stored.into_iter());
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let (key, mut stored) = (Key::stored(read.text(Some(key))?)?, read.bytes(stored.next())?);
        if !values {
            stored.truncate(HEAD);
        }
        let Some(entry) = entry("scan", key, stored, now)? else { return Ok(None) };
        entries.push(entry);
    }
    Ok(Some(entries))
}

/// What is stored at a key, if it has not ended by then.
fn entry(operation: &'static str, key: Key, stored: Bytes, now: u64) -> Result<Option<Entry>> {
    let mut stored = Packed::new(operation, stored);
    let (version, created, deadline) = (stored.revision()?, stored.revision()?, stored.number()?);
    let ttl = match deadline {
        0 => None,
        ended if ended <= now => return Ok(None),
        deadline => Some(Duration::from_micros(deadline - now)),
    };
    Ok(Some(Entry { key, value: stored.rest(), created, version, ttl }))
}

pub(crate) async fn commit(connection: &Connection, prefix: &Prefix, transaction: &Transaction) -> Result<Outcome> {
    let mut script = prefix.invoke(&commands::COMMIT);
    encode(&mut script, transaction);
    let answer = connection.run("commit", &script).await?;
    outcome(transaction, Reader("commit").bytes(Some(answer))?)
}

/// Reads the outcome as the script writes it: see `commit.lua`.
fn outcome(transaction: &Transaction, answer: Bytes) -> Result<Outcome> {
    let mut answer = Packed::new("commit", answer);
    match answer.kind()? {
        b'c' => {
            let revision = answer.revision()?;
            let results = transaction.mutations.iter().map(|mutation| result(mutation, &mut answer));
            let results = results.collect::<Result<_>>()?;
            Ok(Outcome::Committed { revision, results })
        }
        b'r' => {
            let (revision, guard) = (answer.revision()?, answer.index()?);
            let guard = guard.ok_or_else(|| Error::unreadable("commit", "no guard"))?;
            if answer.is_empty() {
                return Ok(Outcome::Refused { guard, found: None, revision });
            }
            let (version, created, ttl, key) = (answer.revision()?, answer.revision()?, answer.ttl()?, answer.key()?);
            let found = Some(Entry { key, value: answer.rest(), created, version, ttl });
            Ok(Outcome::Refused { guard, found, revision })
        }
        _ => Err(refused_for_good(transaction, answer.index()?, &answer.rest())),
    }
}

fn encode(script: &mut ScriptCall, transaction: &Transaction) {
    let Transaction { id, guards, mutations } = transaction;
    match id {
        Some(id) => {
            script
                .arg(format!("{:032x}", id.0))
                .arg(ID_WINDOW.as_secs() * 1000)
                .arg(format!("{:016x}", transaction.fingerprint()));
        }
        None => {
            script.arg(&["", "", ""]);
        }
    }
    let expires = |mutation: &Mutation| {
        matches!(mutation, Mutation::Put { ttl: Some(_), .. } | Mutation::Add { ttl: Some(_), .. })
    };
    let grows = |mutation: &Mutation| matches!(mutation, Mutation::Put { .. } | Mutation::Add { .. });
    let kind = match mutations {
        _ if mutations.iter().any(expires) => "1",
        _ if mutations.iter().any(grows) => "",
        _ => "f",
    };
    script.arg(kind).arg(guards.len());
    for guard in guards {
        let (condition, version) = match guard.condition {
            Condition::Absent => ("a", 0),
            Condition::Present => ("p", 0),
            Condition::VersionIs(Revision(version)) => ("v", version),
            // No other was admitted.
            _ => ("n", 0),
        };
        script.arg(guard.key.as_str()).arg(condition).arg(version);
    }
    for mutation in mutations {
        let key = mutation.key().as_str();
        match mutation {
            Mutation::Put { value, ttl, .. } => {
                script.arg("put").arg(key).arg(value.as_ref()).arg(optional_micros(*ttl));
            }
            Mutation::Delete { .. } => {
                script.arg("del").arg(key).arg("").arg("");
            }
            Mutation::Add { delta, ttl, .. } => {
                script.arg("add").arg(key).arg(*delta).arg(optional_micros(*ttl));
            }
            Mutation::Extend { version, ttl, .. } => {
                script.arg("ext").arg(key).arg(version.0).arg(micros(*ttl));
            }
            _ => debug_assert!(false, "no other was admitted"),
        }
    }
}

fn result(mutation: &Mutation, answer: &mut Packed) -> Result<MutationResult> {
    Ok(match mutation {
        Mutation::Put { .. } => MutationResult::Put { created: answer.revision()?, ttl: answer.ttl()? },
        Mutation::Delete { .. } => MutationResult::Deleted { existed: answer.number()? == 1 },
        Mutation::Add { .. } => {
            let value = answer.bytes()?;
            let value = str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            MutationResult::Added { value: value.ok_or_else(|| Error::unreadable("commit", "no counter"))? }
        }
        Mutation::Extend { .. } => MutationResult::Extended { ttl: answer.ttl()? },
        _ => return Err(Error::unreadable("commit", "the result of another mutation")),
    })
}

fn refused_for_good(transaction: &Transaction, mutation: Option<usize>, problem: &[u8]) -> Error {
    match problem {
        b"id" => reused(),
        b"counter" => Failure::of(transaction, mutation, Problem::NoCounter),
        _ => Failure::of(transaction, mutation, Problem::Overflow),
    }
}

/// Removes everything whose name starts with `start`, some at a time: a script holds up everybody else.
pub(crate) async fn clear(connection: &Connection, prefix: &Prefix, start: &str) -> Result<()> {
    let (min, max) = lex_bounds(start, None);
    let mut script = prefix.invoke(&commands::CLEAR);
    script.arg(min).arg(max);
    let mut removed = false;
    loop {
        match connection.run::<u64>("clear", &script).await {
            Ok(0) => return Ok(()),
            Ok(_) => removed = true,
            Err(error) => return Err(error.after_a_part_if(removed)),
        }
    }
}
