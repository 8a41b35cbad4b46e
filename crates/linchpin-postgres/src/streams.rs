//! Streams: appending, claiming and settling.

use crate::arguments::{Given, field, micros, number, stored};
use crate::connection::Pool;
use crate::error::unexpected;
use crate::hub::Hub;
use crate::messages::Waker;
use crate::names::Names;
use crate::notices::Notices;
use linchpin_core::{
    Action, Appended, Claim, Delivery, Error, GroupInfo, GroupName, MAX_TTL, Position, Receipt, Record, Result,
    Retention, Retry, Settled, Settlement, StreamInfo, StreamName, dead_letter,
};
use serde::Deserialize;
use sqlx::postgres::PgRow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// For how long a record's id is remembered.
pub(crate) const DEDUPE_WINDOW: Duration = Duration::from_mins(2);

/// A member that waits looks again after this time, should nobody wake it.
const SLOW_POLL: Duration = Duration::from_secs(1);

/// How many rows a call removes: others wait for it.
const REMOVED: i32 = 1024;

/// The streams of a handle.
pub(crate) struct Streams {
    names: Arc<Names>,
    pool: Arc<Pool>,
    hub: Arc<Hub>,
    notices: Arc<Notices>,
}

impl Streams {
    pub(crate) fn new(names: Arc<Names>, pool: Arc<Pool>, hub: Arc<Hub>, notices: Arc<Notices>) -> Self {
        Self { names, pool, hub, notices }
    }

    /// Appends records, in their order, next to each other.
    pub(crate) async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        const APPEND: &str = "SELECT * FROM linchpin.append_records($1, $2, $3, $4, $5, $6, $7)";
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let name = stream.storage_name();
        let ids: Vec<_> = records.iter().map(|record| record.id.as_deref().map(str::as_bytes)).collect();
        let delays: Vec<_> = records.iter().map(|record| record.delay.map(micros)).collect();
        let headers: Vec<_> = records.iter().map(write_headers).collect();
        let payloads: Vec<&[u8]> = records.iter().map(|record| &record.payload[..]).collect();
        let given = self.given().with(name.as_bytes()).with(micros(DEDUPE_WINDOW)).with(ids).with(delays);
        let row = self.pool.row("append", APPEND, given.with(headers).with(payloads).of("append")?).await?;
        let positions: Vec<i64> = field("append", &row, 0)?;
        let duplicates: Vec<bool> = field("append", &row, 1)?;
        if duplicates.contains(&false) {
            self.notices.wake(&name);
        }
        let appended = |(position, duplicate)| Appended { position: Position(number(position)), duplicate };
        Ok(positions.into_iter().zip(duplicates).map(appended).collect())
    }

    /// Claims, and waits for as long as the claim says: until the stream wakes it, or until something pending becomes due.
    pub(crate) async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let deadline = Instant::now() + claim.wait.min(MAX_TTL);
        let (given, _) = self.claim_now(claim).await?;
        if !given.is_empty() || claim.wait.is_zero() {
            return Ok(given);
        }
        let mut waker = Waker::of(&self.hub, &claim.stream).await?;
        loop {
            // Looked at after the server listens: what was appended before is found, what comes later wakes.
            let (given, due) = self.claim_now(claim).await?;
            let now = Instant::now();
            if !given.is_empty() || now >= deadline {
                return Ok(given);
            }
            let next = deadline.min(now + due.map_or(SLOW_POLL, |due| due.min(SLOW_POLL)));
            // Woken or not, it is looked at again.
            let _ = timeout_at(next, waker.woken()).await;
        }
    }

    /// Claims what there is; if nothing, tells when something pending becomes due.
    async fn claim_now(&self, claim: &Claim) -> Result<(Vec<Delivery>, Option<Duration>)> {
        const CLAIM: &str = "SELECT * FROM linchpin.claim_records($1, $2, $3, $4, $5, $6, $7)";
        let most = i32::try_from(claim.max).unwrap_or(i32::MAX);
        let enough = claim.max_deliveries.map_or(0, |enough| i32::try_from(enough).unwrap_or(i32::MAX));
        let given = self.given().with(claim.stream.storage_name().as_bytes()).with(claim.group.as_str().as_bytes());
        let given = given.with(claim.member.as_str().as_bytes()).with(most).with(micros(claim.visibility)).with(enough);
        let row = self.pool.row("claim", CLAIM, given.of("claim")?).await?;
        if field("claim", &row, 1)? {
            self.notices.wake(&claim.stream.dead_letters(&claim.group).storage_name());
        }
        let wait: Option<i64> = field("claim", &row, 0)?;
        Ok((deliveries(claim, &row)?, wait.map(|wait| Duration::from_micros(number(wait)))))
    }

    /// Settles deliveries, each on its own.
    pub(crate) async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        const SETTLE: &str = "SELECT linchpin.settle_records($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        let asked = Asked::of(settlements);
        let (streams, groups): (Vec<_>, Vec<_>) = asked
            .queues
            .iter()
            .map(|(stream, group)| (stream.storage_name().into_bytes(), group.as_str().as_bytes()))
            .unzip();
        let given = self.given().with(streams).with(groups).with(asked.slots).with(asked.positions);
        let given = given.with(asked.deliveries).with(asked.actions).with(asked.times).with(asked.reasons);
        let row = self.pool.row("settle", SETTLE, given.with(asked.rounds).of("settle")?).await?;
        let settled: Vec<i32> = field("settle", &row, 0)?;
        let mut woken = BTreeSet::new();
        for (Settlement { receipt, action }, settled) in settlements.iter().zip(&settled) {
            match (action, settled) {
                (Action::Reject { .. }, 1) => woken.insert(receipt.stream.dead_letters(&receipt.group).storage_name()),
                (_, 2) => woken.insert(receipt.stream.storage_name()),
                _ => false,
            };
        }
        for stream in woken {
            self.notices.wake(&stream);
        }
        Ok(settled.into_iter().map(|settled| if settled == 0 { Settled::Stale } else { Settled::Done }).collect())
    }

    /// What a stream holds.
    pub(crate) async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        const INSPECT: &str = "SELECT * FROM linchpin.inspect_stream($1, $2)";
        let given = self.given().with(stream.storage_name().as_bytes()).of("inspect")?;
        let rows = self.pool.rows("inspect", INSPECT, given).await.map_err(Error::of_read)?;
        let Some(first) = rows.first() else { return Ok(StreamInfo::default()) };
        let count = |row, index| field::<i64>("inspect", row, index).map(number);
        let group = |row| {
            let Some(name) = field::<Option<Vec<u8>>>("inspect", row, 2)? else { return Ok(None) };
            let name = GroupName::stored(text("inspect", name)?)?;
            Ok(Some(GroupInfo { name, pending: count(row, 3)?, lag: count(row, 4)?, dead: count(row, 5)? }))
        };
        Ok(StreamInfo {
            length: count(first, 0)?,
            last: field::<Option<i64>>("inspect", first, 1)?.map(|last| Position(number(last))),
            groups: rows.iter().filter_map(|row| group(row).transpose()).collect::<Result<_>>()?,
        })
    }

    /// Drops old records, but none that a group has not settled; returns how many.
    pub(crate) async fn trim(&self, stream: &StreamName, keep: Retention) -> Result<u64> {
        const TRIM: &str = "SELECT * FROM linchpin.trim_records($1, $2, $3, $4, $5)";
        let (newest, count) = match keep {
            Retention::Newest(count) => (true, count),
            Retention::From(position) => (false, position.0),
            Retention::Unsettled if self.inspect(stream).await?.groups.is_empty() => return Ok(0),
            Retention::Unsettled => (false, u64::MAX),
        };
        let mut dropped = 0;
        loop {
            let given = self.given().with(stream.storage_name().as_bytes()).with(newest).with(stored(count));
            let row = self.pool.row("trim", TRIM, given.with(REMOVED).of("trim")?).await;
            // What went before stays removed, and would not be counted again.
            let row = row.map_err(|error| if dropped > 0 { error.with_retry(Retry::Unknown) } else { error })?;
            dropped += number(field("trim", &row, 0)?);
            if field("trim", &row, 1)? {
                return Ok(dropped);
            }
        }
    }

    /// Removes the streams that start with this, with their groups and dead letters.
    pub(crate) async fn clear(&self, prefix: &str) -> Result<()> {
        const CLEAR: &str = "SELECT linchpin.clear_streams($1, $2, $3)";
        loop {
            let given = self.given().with(prefix.as_bytes()).with(REMOVED).of("clear")?;
            if field("clear", &self.pool.row("clear", CLEAR, given).await?, 0)? {
                return Ok(());
            }
        }
    }

    fn given(&self) -> Given {
        Given::default().with(&self.names.namespace)
    }
}

/// What a claim was given.
fn deliveries(claim: &Claim, row: &PgRow) -> Result<Vec<Delivery>> {
    let positions: Vec<i64> = field("claim", row, 2)?;
    let counts: Vec<i32> = field("claim", row, 3)?;
    let ids: Vec<Option<Vec<u8>>> = field("claim", row, 4)?;
    let headers: Vec<Option<String>> = field("claim", row, 5)?;
    let stories: Vec<Option<String>> = field("claim", row, 6)?;
    let payloads: Vec<Vec<u8>> = field("claim", row, 7)?;
    let texts = headers.iter().zip(&stories);
    let records = ids.into_iter().zip(texts).zip(payloads);
    let delivery = |((position, count), ((id, (headers, story)), payload)): ((_, _), ((Option<_>, _), Vec<u8>))| {
        let (headers, story): (&Option<String>, &Option<String>) = (headers, story);
        let (stream, group) = (claim.stream.clone(), claim.group.clone());
        let delivery = u32::try_from(count).unwrap_or(u32::MAX);
        let receipt = Receipt { stream, group, position: Position(number(position)), delivery };
        Ok(Delivery {
            receipt,
            payload: payload.into(),
            id: id.map(|id| text("claim", id)).transpose()?,
            headers: read_headers(headers.as_deref(), story.as_deref())?,
        })
    };
    positions.into_iter().zip(counts).zip(records).map(delivery).collect()
}

fn text(operation: &'static str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| unexpected(operation, "a name that is not UTF-8"))
}

/// Settlements as the server takes them.
#[derive(Default)]
struct Asked<'a> {
    /// The streams and groups that they are about, each once.
    queues: Vec<(&'a StreamName, &'a GroupName)>,
    slots: Vec<i32>,
    positions: Vec<i64>,
    deliveries: Vec<i32>,
    actions: Vec<i32>,
    times: Vec<i64>,
    reasons: Vec<Option<String>>,
    /// How often the record was settled before in the same call.
    rounds: Vec<i32>,
}

impl<'a> Asked<'a> {
    fn of(settlements: &'a [Settlement]) -> Self {
        let mut asked = Self::default();
        let mut slots = HashMap::new();
        let mut rounds = HashMap::new();
        for Settlement { receipt, action } in settlements {
            let queue = (&receipt.stream, &receipt.group);
            let slot = *slots.entry(queue).or_insert_with(|| {
                asked.queues.push(queue);
                // From 1, as arrays count on the server.
                i32::try_from(asked.queues.len()).unwrap_or(i32::MAX)
            });
            let round = rounds.entry((slot, receipt.position)).and_modify(|round| *round += 1).or_insert(0);
            let (action, time, reason) = match action {
                Action::Ack => (0, 0, None),
                Action::Retry { after } => (1, micros(*after), None),
                Action::Extend { visibility } => (2, micros(*visibility), None),
                Action::Reject { reason } => (3, 0, Some(write_text(reason))),
            };
            asked.slots.push(slot);
            asked.positions.push(stored(receipt.position.0));
            asked.deliveries.push(i32::try_from(receipt.delivery).unwrap_or(i32::MAX));
            asked.actions.push(action);
            asked.times.push(time);
            asked.reasons.push(reason);
            asked.rounds.push(*round);
        }
        asked
    }
}

/// Headers as JSON; `None` without any.
fn write_headers(record: &Record) -> Option<String> {
    let pair = |(name, value): &(String, String)| format!("[{},{}]", write_text(name), write_text(value));
    let pairs: Vec<_> = record.headers.iter().map(pair).collect();
    (!pairs.is_empty()).then(|| format!("[{}]", pairs.join(",")))
}

/// Text as JSON, in ASCII: then it is no matter in which encoding the database has its text.
fn write_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            ' '..='~' => json.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
    json
}

/// Why a dead letter is one.
#[derive(Deserialize)]
struct Story {
    reason: String,
    deliveries: u32,
    position: u64,
}

/// Headers as they were appended, and those that tell why a record is dead.
fn read_headers(headers: Option<&str>, story: Option<&str>) -> Result<Vec<(String, String)>> {
    let unreadable = |error| unexpected("claim", "headers").with_source(error);
    let mut headers: Vec<(String, String)> =
        headers.map_or_else(|| Ok(Vec::new()), serde_json::from_str).map_err(unreadable)?;
    if let Some(story) = story {
        let Story { reason, deliveries, position } = serde_json::from_str(story).map_err(unreadable)?;
        headers.push((dead_letter::REASON.to_owned(), reason));
        headers.push((dead_letter::DELIVERIES.to_owned(), deliveries.to_string()));
        headers.push((dead_letter::POSITION.to_owned(), position.to_string()));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let record =
            Record::new("").with_header("", "a\0\"\\\n").with_header("é", "\u{1f980}").with_header("", "again");
        let written = write_headers(&record).expect("headers");
        assert!(written.is_ascii());
        assert_eq!(read_headers(Some(&written), None).expect("readable"), record.headers);
        assert_eq!(write_headers(&Record::new("")), None);
        assert_eq!(read_headers(None, None).expect("readable"), []);
        assert!(read_headers(Some("[1]"), None).is_err());
    }

    #[test]
    fn a_dead_letter_tells_its_story() {
        let story = format!("{{\"reason\": {}, \"deliveries\": 3, \"position\": 7}}", write_text("\"é\""));
        let headers = read_headers(Some("[[\"a\",\"b\"]]"), Some(&story)).expect("readable");
        let expected =
            [("a", "b"), (dead_letter::REASON, "\"é\""), (dead_letter::DELIVERIES, "3"), (dead_letter::POSITION, "7")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_settled_twice_comes_in_rounds() {
        let receipt = |group: &str, position| Receipt {
            stream: StreamName::new("s").expect("valid"),
            group: GroupName::new(group).expect("valid"),
            position: Position(position),
            delivery: 1,
        };
        let receipts = [receipt("a", 1), receipt("b", 1), receipt("a", 1), receipt("a", 2), receipt("a", 1)];
        let settlements = receipts.map(|receipt| Settlement { receipt, action: Action::Ack });
        let asked = Asked::of(&settlements);
        assert_eq!((asked.slots, asked.rounds), (vec![1, 2, 1, 1, 1], vec![0, 0, 1, 0, 2]));
        assert_eq!(asked.queues.len(), 2);
    }
}
