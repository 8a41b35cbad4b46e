//! Streams: appending, looking, trimming and clearing. A stream of linchpin is a stream of the server, so that its
//! sequence is the position.

use crate::clock::Clock;
use crate::connection::{Ack, Connection};
use crate::error::Refusal;
use crate::groups::Groups;
use crate::ledger::{self, Ledger};
use crate::names::{Names, name_of_token, token};
use crate::record::{self, Copies};
use async_nats::HeaderMap;
use bytes::Bytes;
use linchpin_core::{
    Appended, Error, ErrorKind, GroupInfo, GroupName, Position, Record, Result, Retention, Retry, StreamInfo,
    StreamName,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long a record's id is remembered.
pub(crate) const DEDUPE_WINDOW: Duration = Duration::from_mins(2);
/// How often something is tried that others are just writing, or that is just coming to be: for some 4 seconds.
pub(crate) const ATTEMPTS: u32 = 24;
/// After so many attempts, about half a second, whoever began to clear a stream is taken for gone.
const PATIENT: u32 = 8;
/// In the metadata of a stream or a consumer: its whole name, as a token.
pub(crate) const NAME: &str = "linchpin";

/// The streams of a namespace.
pub(crate) struct Streams {
    pub(crate) connection: Arc<Connection>,
    pub(crate) names: Names,
    pub(crate) clock: Arc<Clock>,
    pub(crate) ledger: Ledger,
    pub(crate) groups: Groups,
    replicas: usize,
}

/// What the server says of a stream.
#[derive(Deserialize)]
pub(crate) struct Info {
    config: Config,
    pub(crate) state: State,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    first_seq: u64,
}

#[derive(Deserialize)]
pub(crate) struct State {
    messages: u64,
    first_seq: u64,
    pub(crate) last_seq: u64,
}

/// What the server says of a consumer.
#[derive(Deserialize)]
struct Consumer {
    config: ConsumerConfig,
    ack_floor: Floor,
    num_ack_pending: u64,
    num_pending: u64,
}

#[derive(Deserialize)]
struct ConsumerConfig {
    #[serde(default)]
    metadata: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Floor {
    stream_seq: u64,
}

impl Streams {
    pub(crate) fn new(connection: Arc<Connection>, names: Names, replicas: usize, clock: Arc<Clock>) -> Self {
        let ledger = Ledger::new(connection.clone(), clock.clone(), names.clone(), replicas);
        Self { connection, names, clock, ledger, groups: Groups::default(), replicas }
    }

    /// Appends records, in their order, next to each other.
    pub(crate) async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        // A record whose id came before in the same call is that one once more.
        let mut first_of: HashMap<&str, usize> = HashMap::new();
        let first: Vec<usize> = (0..records.len())
            .map(|index| records[index].id.as_deref().map_or(index, |id| *first_of.entry(id).or_insert(index)))
            .collect();
        let mut known: HashMap<usize, Appended> = HashMap::new();
        for attempt in 0..ATTEMPTS {
            let rest: Vec<usize> =
                (0..records.len()).filter(|index| first[*index] == *index && !known.contains_key(index)).collect();
            if rest.is_empty() {
                break;
            }
            let messages: Vec<&Record> = rest.iter().map(|index| &records[*index]).collect();
            match self.store(stream, &messages).await? {
                Ok(ack) => {
                    let from = ack.sequence.saturating_sub(rest.len() as u64 - 1);
                    let appended = |position| Appended { position: Position(position), duplicate: ack.duplicate };
                    known.extend(rest.into_iter().zip((from..).map(appended)));
                    break;
                }
                Err(refusal) if refusal.is_duplicate() => {
                    known.extend(self.duplicates(stream, records, &rest).await?);
                    // One that is just being stored is none yet.
                    pause(attempt).await;
                }
                Err(refusal) => self.mend("append", stream, refusal, attempt).await?,
            }
        }
        let others_write = || {
            let problem = "others append records of the same ids at the same time";
            Error::new(ErrorKind::Unavailable, "append", problem).with_retry(Retry::Safe)
        };
        let appended = |(index, first): (usize, usize)| {
            let appended = *known.get(&first).ok_or_else(others_write)?;
            Ok(Appended { duplicate: appended.duplicate || index != first, ..appended })
        };
        first.into_iter().enumerate().map(appended).collect()
    }

    /// Publishes records as one message or as one batch. Answers where the last one stands.
    async fn store(&self, stream: &StreamName, records: &[&Record]) -> Result<std::result::Result<Ack, Refusal>> {
        let subject = self.names.stream("s", stream);
        let [before @ .., last] = records else { return Err(Error::unreadable("append", "no records")) };
        let (mut headers, body) = record::encode(last, Copies::One);
        if before.is_empty() {
            return self.connection.store("append", subject, headers, body).await;
        }
        let batch = format!("{:032x}", fastrand::u128(..));
        for (record, place) in before.iter().zip(1..) {
            let (mut headers, body) = record::encode(record, Copies::One);
            put_into(&mut headers, &batch, place);
            self.connection.send("append", subject.clone(), None, Some(headers), body).await?;
        }
        put_into(&mut headers, &batch, records.len());
        headers.insert("Nats-Batch-Commit", "1");
        self.connection.store("append", subject, headers, body).await
    }

    /// Which of the records are in the stream already, and where. The server looks for the id of a message before it
    /// refuses that the message is to replace others, which no message of this stream may.
    async fn duplicates(
        &self,
        stream: &StreamName,
        records: &[Record],
        indices: &[usize],
    ) -> Result<Vec<(usize, Appended)>> {
        let named = indices.iter().filter(|index| records[**index].id.is_some());
        let ask = |index: &usize| {
            let index = *index;
            let (mut headers, _) = record::encode(&records[index], Copies::One);
            headers.insert("Nats-Rollup", "sub");
            async move {
                let subject = self.names.stream("s", stream);
                let answer = self.connection.store("append", subject, headers, Bytes::new()).await?;
                let duplicate = answer.ok().filter(|ack| ack.duplicate);
                Ok(duplicate.map(|ack| (index, Appended { position: Position(ack.sequence), duplicate: true })))
            }
        };
        let asked: Result<Vec<_>> = futures::future::join_all(named.map(ask)).await.into_iter().collect();
        Ok(asked?.into_iter().flatten().collect())
    }

    /// Makes it possible that what was refused is not refused once more; the error if that cannot be.
    pub(crate) async fn mend(
        &self,
        operation: &'static str,
        stream: &StreamName,
        refusal: Refusal,
        attempt: u32,
    ) -> Result<()> {
        if attempt + 1 >= ATTEMPTS {
            return Err(refusal.into_error(operation));
        }
        if refusal.is_no_stream() {
            // In a cluster it takes a while until all know that it is there.
            if attempt > 0 {
                pause(attempt).await;
            }
            return self.create(operation, stream).await;
        }
        if !refusal.is_passing() && !refusal.is_sealed() {
            return Err(refusal.into_error(operation));
        }
        if refusal.is_sealed() && attempt >= PATIENT {
            return self.finish_clearing(operation, stream).await;
        }
        pause(attempt).await;
        Ok(())
    }

    /// Creates the stream; one that was cleared goes on where it was.
    pub(crate) async fn create(&self, operation: &'static str, stream: &StreamName) -> Result<()> {
        let name = self.names.records(stream);
        let cleared_at = self.ledger.cleared_at(operation, stream).await?;
        let config = json!({
            "name": name,
            "description": format!("linchpin: {stream}"),
            // A dead letter has a subject of its own, so that it is there once.
            "subjects": [self.names.stream("s", stream), format!("{}.*", self.names.stream("d", stream))],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": self.replicas,
            "duplicate_window": nanos(DEDUPE_WINDOW),
            "allow_atomic": true,
            "first_seq": cleared_at + 1,
            "metadata": { NAME: token(&stream.storage_name()) },
        });
        ledger::create(&self.connection, operation, &name, &config).await
    }

    pub(crate) async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.look(stream).await.map_err(Error::of_read)
    }

    async fn look(&self, stream: &StreamName) -> Result<StreamInfo> {
        const INSPECT: &str = "inspect";
        let Some(Info { config, state }) = self.info(INSPECT, stream).await? else { return Ok(StreamInfo::default()) };
        let last = Some(Position(state.last_seq)).filter(|last| last.0 > 0 && last.0 >= config.first_seq);
        let group = |consumer: Consumer| async move {
            let name = consumer.config.metadata.get(NAME).and_then(|name| name_of_token(name));
            let Some(name) = name.and_then(|name| GroupName::stored(name).ok()) else { return Ok(None) };
            let dead = self.info(INSPECT, &stream.dead_letters(&name)).await?.map_or(0, |info| info.state.messages);
            let (pending, lag) = (consumer.num_ack_pending, consumer.num_pending);
            Ok(Some(GroupInfo { name, pending, lag, dead }))
        };
        let groups = self.consumers(INSPECT, stream).await?.into_iter().map(group);
        let groups: Result<Vec<_>> = futures::future::join_all(groups).await.into_iter().collect();
        let mut groups: Vec<_> = groups?.into_iter().flatten().collect();
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(StreamInfo { length: state.messages, last, groups })
    }

    pub(crate) async fn info(&self, operation: &'static str, stream: &StreamName) -> Result<Option<Info>> {
        let subject = format!("STREAM.INFO.{}", self.names.records(stream));
        match self.connection.api(operation, &subject, &json!({})).await? {
            Ok(info) => Ok(Some(info)),
            Err(refusal) if refusal.is_no_stream() => Ok(None),
            Err(refusal) => Err(refusal.into_error(operation)),
        }
    }

    async fn consumers(&self, operation: &'static str, stream: &StreamName) -> Result<Vec<Consumer>> {
        let subject = format!("CONSUMER.LIST.{}", self.names.records(stream));
        self.list(operation, &subject, "consumers", json!({})).await
    }

    /// All pages of a list.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        subject: &str,
        field: &str,
        mut query: Value,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        loop {
            query["offset"] = all.len().into();
            let mut page: Value = match self.connection.api(operation, subject, &query).await? {
                Ok(page) => page,
                Err(refusal) if refusal.is_no_stream() => return Ok(all),
                Err(refusal) => return Err(refusal.into_error(operation)),
            };
            let listed = match page[field].take() {
                Value::Null => Vec::new(),
                listed => serde_json::from_value(listed).map_err(|_| Error::unreadable(operation, "a list"))?,
            };
            let total = page["total"].as_u64().unwrap_or(0);
            let is_last = listed.is_empty();
            all.extend(listed);
            if is_last || all.len() as u64 >= total {
                return Ok(all);
            }
        }
    }

    /// Drops old records, but none that a group has not settled; returns how many. What a group has settled but the
    /// server was not told of yet stays too.
    pub(crate) async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        const TRIM: &str = "trim";
        #[derive(Deserialize)]
        struct Purged {
            purged: u64,
        }
        let Some(Info { state, .. }) = self.info(TRIM, stream).await? else { return Ok(0) };
        let end = state.last_seq.saturating_add(1);
        let wanted = match keep {
            Retention::Newest(count) => end.saturating_sub(count),
            Retention::From(position) => position.0.min(end),
            Retention::Unsettled => end,
        };
        let consumers = self.consumers(TRIM, stream).await?;
        if keep == Retention::Unsettled && consumers.is_empty() {
            return Ok(0);
        }
        let unsettled = consumers.iter().map(|consumer| consumer.ack_floor.stream_seq.saturating_add(1));
        let first = unsettled.fold(wanted, u64::min);
        if state.messages == 0 || first <= state.first_seq {
            return Ok(0);
        }
        let subject = format!("STREAM.PURGE.{}", self.names.records(stream));
        match self.connection.api::<Purged>(TRIM, &subject, &json!({ "seq": first })).await? {
            Ok(Purged { purged }) => Ok(purged),
            Err(refusal) if refusal.is_no_stream() => Ok(0),
            Err(refusal) => Err(refusal.into_error(TRIM)),
        }
    }
}

fn put_into(headers: &mut HeaderMap, batch: &str, place: usize) {
    headers.insert("Nats-Batch-Id", batch);
    headers.insert("Nats-Batch-Sequence", place.to_string());
}

/// Before something is tried again.
pub(crate) async fn pause(attempt: u32) {
    let longest = 4 << attempt.min(6);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(longest / 2..=longest))).await;
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
