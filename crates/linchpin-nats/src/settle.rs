//! Settling: what a member says of a record is written over its delivery, and then the consumer is told.

use crate::connection::Connection;
use crate::error::Refusal;
use crate::ledger::{self, Entry, State};
use crate::record::{self, Copies};
use crate::streams::{Streams, nanos, pause};
use bytes::Bytes;
use linchpin_adapter::records::Death;
use linchpin_core::{Action, GroupName, Position, Receipt, Record, Result, Retry, Settled, Settlement, StreamName};
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::timeout;

/// How often a delivery is looked at that others are just writing about.
const ATTEMPTS: u32 = 8;
/// How long a consumer may take to say that it has heard. One that has forgotten the record says nothing.
const HEARD: Duration = Duration::from_millis(500);

impl Streams {
    /// Settles deliveries, each on its own; those of the same record one after the other.
    pub(crate) async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settled = vec![None; settlements.len()];
        while settled.iter().any(Option::is_none) {
            let mut seen = HashSet::new();
            let open = (0..settlements.len()).filter(|index| settled[*index].is_none());
            let first = open.filter(|index| {
                let Receipt { stream, group, position, .. } = &settlements[*index].receipt;
                seen.insert((stream, group, position))
            });
            let settling = first.map(|index| async move { (index, self.settle_one(&settlements[index]).await) });
            for (index, one) in futures::future::join_all(settling).await {
                settled[index] = Some(one?);
            }
        }
        Ok(settled.into_iter().flatten().collect())
    }

    async fn settle_one(&self, Settlement { receipt, action }: &Settlement) -> Result<Settled> {
        let Receipt { stream, group, position, delivery } = receipt;
        let subject = self.ledger.subject(stream, group, position.0);
        for attempt in 0..ATTEMPTS {
            let live = self.groups.recall(&subject).filter(|(_, held)| attempt == 0 && held.deliveries == *delivery);
            let (expected, held) = match live {
                Some(live) => live,
                None => match self.ledger.read("settle", &subject).await? {
                    Some(known) => (known.sequence, known.entry),
                    None => return Ok(Settled::Stale),
                },
            };
            if held.deliveries != *delivery || !matches!(held.state, State::Held(_)) {
                return Ok(Settled::Stale);
            }
            let state = match action {
                Action::Ack => State::Settled,
                Action::Retry { after } => State::Waiting(*after),
                Action::Extend { visibility } => State::Held(*visibility),
                Action::Reject { reason } => State::Dead(reason.clone()),
            };
            let entry = Entry { state, ..held };
            let Some(sequence) = self.ledger.write("settle", &subject, expected, &entry).await? else {
                if attempt > 1 {
                    pause(attempt).await;
                }
                continue;
            };
            match action {
                Action::Ack | Action::Reject { .. } => {
                    let finished = self.finish("settle", stream, group, position.0, sequence, &entry, None).await;
                    finished.map_err(|error| error.with_retry(Retry::Unknown))?;
                }
                Action::Retry { after } => {
                    tell(&self.connection, "settle", &entry.ack, later(*after)).await;
                }
                Action::Extend { visibility } => {
                    self.put_off("settle", &entry.ack, *visibility).await;
                    self.groups.remember(subject, sequence, entry);
                }
            }
            return Ok(Settled::Done);
        }
        Err(Refusal::contended().into_error("settle"))
    }

    /// Has the consumer hand a record out again after a while. One that is not told does so too early, and is told then.
    pub(crate) async fn put_off(&self, operation: &'static str, ack: &str, time: Duration) {
        let _ = self.connection.send(operation, ack.to_owned(), None, None, later(time)).await;
    }

    /// Does what is left to do for an entry that is settled or dead: the dead letter, telling the consumer, and letting
    /// the entry go. What does not succeed is done when the consumer hands the record out again.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn finish(
        &self,
        operation: &'static str,
        stream: &StreamName,
        group: &GroupName,
        position: u64,
        sequence: u64,
        entry: &Entry,
        record: Option<Record>,
    ) -> Result<()> {
        if let State::Dead(reason) = &entry.state {
            self.bury(operation, stream, group, position, entry.deliveries, reason, record).await?;
        }
        if tell(&self.connection, operation, &entry.ack, Bytes::from_static(b"+ACK")).await {
            let subject = self.ledger.subject(stream, group, position);
            self.ledger.forget(operation, subject, sequence, entry).await;
        }
        Ok(())
    }

    /// Puts a record into the dead letters of the group, once. A group that reads its own dead letters has it there
    /// already.
    #[allow(clippy::too_many_arguments)]
    async fn bury(
        &self,
        operation: &'static str,
        stream: &StreamName,
        group: &GroupName,
        position: u64,
        deliveries: u32,
        reason: &str,
        record: Option<Record>,
    ) -> Result<()> {
        // There are no dead letters of dead letters.
        if stream.dead_letters_of().is_some() {
            return Ok(());
        }
        let dead_letters = stream.dead_letters(group);
        let record = match record {
            Some(record) => record,
            None => match self.record(operation, stream, position).await? {
                Some(record) => record,
                None => return Ok(()),
            },
        };
        let death = Death { reason, deliveries, position: Position(position) };
        let dead = Record { headers: death.told(record.headers), delay: None, ..record };
        let subject = format!("{}.{position}", self.names.stream("d", &dead_letters));
        for attempt in 0.. {
            let (mut headers, body) = record::encode(&dead, Copies::Many);
            headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
            match self.connection.store(operation, subject.clone(), headers, body).await? {
                Ok(_) => break,
                // It is there.
                Err(refusal) if refusal.is_wrong_sequence() => break,
                Err(refusal) => self.mend(operation, &dead_letters, refusal, attempt).await?,
            }
        }
        Ok(())
    }

    async fn record(&self, operation: &'static str, stream: &StreamName, position: u64) -> Result<Option<Record>> {
        let name = self.names.records(stream);
        match ledger::get(&self.connection, operation, &name, &json!({ "seq": position })).await? {
            Ok(stored) => Ok(Some(record::decode(&stored.headers, &stored.payload))),
            Err(refusal) if refusal.is_no_message() || refusal.is_no_stream() => Ok(None),
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }
}

/// What tells a consumer to hand a record out again after a while.
fn later(time: Duration) -> Bytes {
    match time {
        Duration::ZERO => Bytes::from_static(b"-NAK"),
        time => format!(r#"-NAK {{"delay": {}}}"#, nanos(time)).into(),
    }
}

/// Tells a consumer something; whether it says that it has heard.
async fn tell(connection: &Connection, operation: &'static str, ack: &str, what: Bytes) -> bool {
    let mut gathering = connection.gathering();
    if connection.send(operation, ack.to_owned(), Some(gathering.inbox()), None, what).await.is_err() {
        return false;
    }
    let heard = connection.while_up(operation, ack, async { Ok(gathering.next().await) });
    matches!(timeout(HEARD, heard).await, Ok(Ok(Some(answer))) if answer.status.is_none())
}
