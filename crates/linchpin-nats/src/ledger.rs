//! What the groups of a namespace were delivered: one entry per record that a group has not settled, and for a while
//! after. The consumers of the server only hand records round; what is true stands here, and is written only over
//! what was read.

use crate::clock::Clock;
use crate::codec::{Stored, Time};
use crate::connection::{Connection, refusal};
use crate::error::Refusal;
use crate::names::{Names, token};
use crate::record::{of_word, word};
use crate::streams::{ATTEMPTS, pause};
use async_nats::HeaderMap;
use bytes::Bytes;
use linchpin_core::{Error, GroupName, Result, StreamName};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// For how long a settled entry is kept after the consumer knows of it too. A server that is killed may forget that;
/// if it stays down for longer, and had not written it yet, the record is delivered again.
const SETTLED_FOR: Duration = Duration::from_mins(10);
/// For how long the last position of a cleared stream is remembered.
const CLEARED_FOR: Duration = Duration::from_hours(24);

/// What became of a record in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How often it was delivered.
    pub(crate) deliveries: u32,
    pub(crate) state: State,
    /// Where the consumer is told of the record: the reply subject of its last delivery.
    pub(crate) ack: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A member has it to itself for so long since this was written.
    Held(Duration),
    /// It may be delivered again so long after this was written.
    Waiting(Duration),
    Settled,
    /// It goes to the dead letters, if it is not there yet.
    Dead(String),
}

/// An entry as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) sequence: u64,
    pub(crate) entry: Entry,
    written: Time,
}

impl Known {
    /// When the record may be delivered again; `None` if that is no question of time.
    pub(crate) fn due(&self) -> Option<Time> {
        match self.entry.state {
            State::Held(time) | State::Waiting(time) if !time.is_zero() => Some(self.written.after(time)),
            _ => None,
        }
    }
}

impl Entry {
    /// `state deliveries microseconds ack reason`.
    fn write(&self) -> String {
        let (state, time, reason) = match &self.state {
            State::Held(time) => ("held", *time, ""),
            State::Waiting(time) => ("waiting", *time, ""),
            State::Settled => ("settled", Duration::ZERO, ""),
            State::Dead(reason) => ("dead", Duration::ZERO, &**reason),
        };
        format!("{state} {} {} {} {}", self.deliveries, time.as_micros(), self.ack, word(reason))
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let state = parts.next()?;
        let deliveries = parts.next()?.parse().ok()?;
        let time = Duration::from_micros(parts.next()?.parse().ok()?);
        let ack = parts.next()?.to_owned();
        let state = match state {
            "held" => State::Held(time),
            "waiting" => State::Waiting(time),
            "settled" => State::Settled,
            "dead" => State::Dead(of_word(parts.next()?)?),
            _ => return None,
        };
        Some(Self { deliveries, state, ack })
    }
}

pub(crate) struct Ledger {
    connection: Arc<Connection>,
    clock: Arc<Clock>,
    names: Names,
    replicas: usize,
}

impl Ledger {
    pub(crate) fn new(connection: Arc<Connection>, clock: Arc<Clock>, names: Names, replicas: usize) -> Self {
        Self { connection, clock, names, replicas }
    }

    /// Where the entry of a record lies.
    pub(crate) fn subject(&self, stream: &StreamName, group: &GroupName, position: u64) -> String {
        format!("{}.{}.{position}", self.names.stream("g", stream), token(group.as_str()))
    }

    /// Reads an entry.
    pub(crate) async fn read(&self, operation: &'static str, subject: &str) -> Result<Option<Known>> {
        let Some(stored) = self.last(operation, subject).await? else { return Ok(None) };
        self.clock.sample(stored.time);
        let entry = str::from_utf8(&stored.payload).ok().and_then(Entry::read);
        let entry = entry.ok_or_else(|| Error::unreadable(operation, "what a group was delivered"))?;
        Ok(Some(Known { sequence: stored.sequence, entry, written: stored.time }))
    }

    async fn last(&self, operation: &'static str, subject: &str) -> Result<Option<Stored>> {
        let query = json!({ "last_by_subj": subject });
        match get(&self.connection, operation, &self.names.ledger(), &query).await? {
            Ok(stored) => Ok(Some(stored)),
            Err(refusal) if refusal.is_no_message() || refusal.is_no_stream() => Ok(None),
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }

    /// Writes an entry if the last one is at `expected`, 0 for none. Returns where it stands; `None` if something
    /// else stands there, or is being written.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        subject: &str,
        expected: u64,
        entry: &Entry,
    ) -> Result<Option<u64>> {
        for attempt in 0.. {
            let stored =
                self.connection.store(operation, subject.to_owned(), expecting(expected), entry.write().into()).await?;
            match stored {
                Ok(ack) => return Ok(Some(ack.sequence)),
                Err(refusal) if refusal.is_wrong_sequence() => break,
                Err(refusal) => self.mend(operation, refusal, attempt).await?,
            }
        }
        Ok(None)
    }

    /// Lets an entry go that the consumer knows to be settled. Nobody waits for it.
    pub(crate) async fn forget(&self, operation: &'static str, subject: String, expected: u64, entry: &Entry) {
        let mut headers = expecting(expected);
        headers.insert("Nats-TTL", SETTLED_FOR.as_secs().to_string());
        let settled = Entry { state: State::Settled, ..entry.clone() };
        // If it stays, it is only found once more.
        let _ = self.connection.send(operation, subject, None, Some(headers), settled.write().into()).await;
    }

    /// The last position that a stream of this name had when it was cleared.
    pub(crate) async fn cleared_at(&self, operation: &'static str, stream: &StreamName) -> Result<u64> {
        let stored = self.last(operation, &self.names.stream("c", stream)).await?;
        let text = stored.as_ref().and_then(|stored| str::from_utf8(&stored.payload).ok());
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Remembers where a stream ended that is cleared, and forgets what its groups were delivered.
    pub(crate) async fn clear(&self, operation: &'static str, stream: &StreamName, last: u64) -> Result<()> {
        if last == 0 {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", CLEARED_FOR.as_secs().to_string());
        for attempt in 0.. {
            let (subject, payload) = (self.names.stream("c", stream), last.to_string());
            match self.connection.store(operation, subject, headers.clone(), payload.into()).await? {
                Ok(_) => break,
                Err(refusal) => self.mend(operation, refusal, attempt).await?,
            }
        }
        Ok(())
    }

    /// Forgets what the groups of a stream were delivered.
    pub(crate) async fn purge(&self, operation: &'static str, stream: &StreamName) -> Result<()> {
        let filter = format!("{}.*.*", self.names.stream("g", stream));
        let subject = format!("STREAM.PURGE.{}", self.names.ledger());
        match self.connection.api::<serde_json::Value>(operation, &subject, &json!({ "filter": filter })).await? {
            Err(refusal) if !refusal.is_no_stream() => Err(refusal.into_error(operation)),
            _ => Ok(()),
        }
    }

    /// Looks at the server's clock.
    pub(crate) async fn look_at_the_clock(&self, operation: &'static str) -> Result<()> {
        #[derive(Deserialize)]
        struct Info {
            ts: String,
        }
        let subject = format!("STREAM.INFO.{}", self.names.ledger());
        for attempt in 0.. {
            match self.connection.api::<Info>(operation, &subject, &json!({})).await? {
                Ok(info) => {
                    let time = Time::read(&info.ts).ok_or_else(|| Error::unreadable(operation, "no time"))?;
                    self.clock.sample_now(time);
                    break;
                }
                Err(refusal) => self.mend(operation, refusal, attempt).await?,
            }
        }
        Ok(())
    }

    /// Creates the ledger if it is not there. In a cluster it takes a while until all know that it is.
    async fn mend(&self, operation: &'static str, refusal: Refusal, attempt: u32) -> Result<()> {
        if attempt >= ATTEMPTS || !refusal.is_no_stream() {
            return Err(refusal.into_error(operation));
        }
        if attempt > 0 {
            pause(attempt).await;
        }
        self.create(operation).await
    }

    async fn create(&self, operation: &'static str) -> Result<()> {
        let name = self.names.ledger();
        let config = json!({
            "name": name,
            "subjects": self.names.ledger_subjects(),
            "description": "what the groups of linchpin's streams were delivered",
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": self.replicas,
            "max_msgs_per_subject": 1,
            "allow_msg_ttl": true,
        });
        create(&self.connection, operation, &name, &config).await
    }
}

fn expecting(sequence: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.to_string());
    headers
}

/// Creates a stream of the server; one that is there already stays as it is.
pub(crate) async fn create(
    connection: &Connection,
    operation: &'static str,
    name: &str,
    config: &serde_json::Value,
) -> Result<()> {
    match connection.api::<serde_json::Value>(operation, &format!("STREAM.CREATE.{name}"), config).await? {
        Err(refusal) if !refusal.is_other_stream() => Err(refusal.into_error(operation)),
        _ => Ok(()),
    }
}

/// Reads a message of a stream from its leader.
pub(crate) async fn get(
    connection: &Connection,
    operation: &'static str,
    stream: &str,
    query: &serde_json::Value,
) -> Result<std::result::Result<Stored, Refusal>> {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let answer = connection.request(operation, subject, None, Bytes::from(query.to_string())).await?;
    let Some(answer) = answer else { return Ok(Err(Refusal::nobody())) };
    match refusal(&answer.payload) {
        Some(refusal) => Ok(Err(refusal)),
        None => Stored::of_answer(operation, &answer.payload).map(Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_comes_back() {
        let second = Duration::from_secs(1);
        let reason = "two\nlines and é".to_owned();
        for state in [State::Held(second), State::Waiting(second), State::Settled, State::Dead(reason)] {
            let entry = Entry { deliveries: 3, state, ack: "$JS.ACK.s.c.1.2.3.4.5".to_owned() };
            assert_eq!(Entry::read(&entry.write()), Some(entry));
        }
        for text in ["", "held", "held x 1 a ", "lost 1 1 a "] {
            assert_eq!(Entry::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_waits_for_no_time_is_due() {
        let known = |state| {
            let entry = Entry { deliveries: 1, state, ack: String::new() };
            Known { sequence: 1, entry, written: Time(5) }.due()
        };
        assert_eq!(known(State::Held(Duration::from_micros(2))), Some(Time(7)));
        assert_eq!((known(State::Waiting(Duration::ZERO)), known(State::Settled)), (None, None));
    }
}
