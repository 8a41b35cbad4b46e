//! Streams: appending, claiming and settling.

use crate::arguments::{Arguments, field, micros, number, stored};
use crate::connection::{Holder, Pool};
use crate::forgetting::{Cleaner, Leftover};
use crate::hub::Hub;
use crate::names::Names;
use crate::notices::Notices;
use crate::numbers;
use crate::patience::Patience;
use crate::records::{write_headers, write_text};
use linchpin_core::{
    Action, Appended, Error, GroupInfo, GroupName, Position, Record, Result, Retention, Retry, Settled, Settlement,
    StreamInfo, StreamName,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// For how long a record's id is remembered.
pub(crate) const DEDUPE_WINDOW: Duration = Duration::from_mins(2);

/// How many rows a call removes: others wait for it.
const REMOVED: i32 = 1024;

/// The streams of a handle.
pub(crate) struct Streams {
    names: Arc<Names>,
    pool: Arc<Pool>,
    pub(crate) patience: Patience,
    pub(crate) hub: Arc<Hub>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) forgetting: Arc<Cleaner>,
}

impl Streams {
    pub(crate) fn new(
        names: Arc<Names>,
        pool: Arc<Pool>,
        hub: Arc<Hub>,
        notices: Arc<Notices>,
        forgetting: Arc<Cleaner>,
    ) -> Self {
        let patience = Patience::new(pool.clone());
        Self { names, pool, patience, hub, notices, forgetting }
    }

    /// Appends records, in their order, next to each other.
    pub(crate) async fn append(&self, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        const APPEND: &str = "SELECT a.* FROM linchpin.patience AS p, LATERAL \
                              linchpin.append_records($1 || p.nothing, $2, $3, $4, $5, $6, $7) AS a";
        if records.is_empty() {
            return Ok(Vec::new());
        }
        if records.iter().any(|record| record.id.is_some()) {
            self.forgetting.later(Leftover::RecordId);
        }
        let name = stream.storage_name();
        let ids: Vec<_> = records.iter().map(|record| record.id.as_deref().map(str::as_bytes)).collect();
        let delays: Vec<_> = records.iter().map(|record| record.delay.map(micros)).collect();
        let headers: Vec<_> = records.iter().map(write_headers).collect();
        let payloads: Vec<&[u8]> = records.iter().map(|record| &record.payload[..]).collect();
        let given = self.given().with(name.as_bytes()).with(micros(DEDUPE_WINDOW)).with(ids).with(delays);
        let given = given.with(headers).with(payloads).of("append")?;
        let row = self.patience.row("append", &name, APPEND, given).await?;
        let positions: Vec<i64> = field("append", &row, 0)?;
        let duplicates: Vec<bool> = field("append", &row, 1)?;
        if duplicates.contains(&false) {
            self.notices.wake(&name);
        }
        let appended = |(position, duplicate)| Appended { position: Position(number(position)), duplicate };
        Ok(positions.into_iter().zip(duplicates).map(appended).collect())
    }

    /// Settles deliveries, each on its own.
    pub(crate) async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        const SETTLE: &str = "SELECT linchpin.settle_records($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        let asked = SettlementCall::of(settlements);
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
                (Action::Reject { .. }, &numbers::SETTLED) => {
                    woken.insert(receipt.stream.dead_letters(&receipt.group).storage_name())
                }
                (_, &numbers::SHORTENED) => woken.insert(receipt.stream.storage_name()),
                _ => false,
            };
        }
        for stream in woken {
            self.notices.wake(&stream);
        }
        Ok(settled
            .into_iter()
            .map(|settled| if settled == numbers::STALE { Settled::Stale } else { Settled::Done })
            .collect())
    }

    /// What a stream holds.
    pub(crate) async fn inspect(&self, stream: &StreamName) -> Result<StreamInfo> {
        const INSPECT: &str = "SELECT * FROM linchpin.inspect_stream($1, $2)";
        let given = self.given().with(stream.storage_name().as_bytes()).of("inspect")?;
        let rows = self.pool.rows_behind(Holder::Nobody, "inspect", INSPECT, given).await.map_err(Error::of_read)?;
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
        const TRIM: &str = "SELECT a.* FROM linchpin.patience AS p, LATERAL \
                            linchpin.trim_records($1 || p.nothing, $2, $3, $4, $5) AS a";
        let (newest, count) = match keep {
            Retention::Newest(count) => (true, Some(stored(count))),
            Retention::From(position) => (false, Some(stored(position.0))),
            Retention::Unsettled => (false, None),
        };
        let name = stream.storage_name();
        let mut dropped = 0;
        loop {
            let given = self.given().with(name.as_bytes()).with(newest).with(count).with(REMOVED).of("trim")?;
            let row = self.patience.row("trim", &name, TRIM, given).await;
            // What went before stays removed, and would not be counted again.
            let row = row.map_err(|error| if dropped > 0 { error.with_retry(Retry::Unknown) } else { error })?;
            dropped += number(field("trim", &row, 0)?);
            if field("trim", &row, 1)? {
                return Ok(dropped);
            }
        }
    }

    /// Removes a group with its dead letters; returns whether there was one.
    pub(crate) async fn remove_group(&self, stream: &StreamName, group: &GroupName) -> Result<bool> {
        const REMOVE: &str = "SELECT a FROM linchpin.patience AS p, LATERAL \
                              linchpin.remove_group($1 || p.nothing, $2, $3) AS a";
        const SWEEP: &str = "SELECT linchpin.sweep_streams((SELECT n.id FROM linchpin.namespaces AS n WHERE n.name = $1 \
                             ORDER BY n.generation DESC LIMIT 1), $2)";
        let name = stream.storage_name();
        let given = self.given().with(name.as_bytes()).with(group.as_str().as_bytes()).of("remove_group")?;
        let row = self.patience.row("remove_group", &name, REMOVE, given).await?;
        if !field::<bool>("remove_group", &row, 0)? {
            return Ok(false);
        }
        self.notices.wake(&name);
        // What it had is rubbish now: whoever sweeps next removes what is left if this fails.
        loop {
            let rows = self.pool.rows("remove_group", SWEEP, self.given().with(REMOVED).of("remove_group")?).await;
            let more = rows.ok().and_then(|rows| rows.first().and_then(|row| field("remove_group", row, 0).ok()));
            if more != Some(true) {
                return Ok(true);
            }
        }
    }

    /// Removes the streams that start with this, with their groups and dead letters.
    pub(crate) async fn clear(&self, prefix: &str) -> Result<()> {
        const CLEAR: &str = "SELECT a FROM linchpin.patience AS p, LATERAL \
                             linchpin.clear_streams($1 || p.nothing, $2, $3) AS a";
        loop {
            let given = self.given().with(prefix.as_bytes()).with(REMOVED).of("clear")?;
            if field("clear", &self.patience.row("clear", prefix, CLEAR, given).await?, 0)? {
                return Ok(());
            }
        }
    }

    pub(crate) fn given(&self) -> Arguments {
        Arguments::default().with(&self.names.namespace)
    }
}

pub(crate) fn text(operation: &'static str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::unreadable(operation, "a name that is not UTF-8"))
}

/// Settlements as the server takes them.
#[derive(Default)]
struct SettlementCall<'a> {
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

impl<'a> SettlementCall<'a> {
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
                Action::Ack => (numbers::ACK, 0, None),
                Action::Retry { after } => (numbers::RETRY, micros(*after), None),
                Action::Extend { visibility } => (numbers::PROLONG, micros(*visibility), None),
                Action::Reject { reason } => (numbers::REJECT, 0, Some(write_text(reason))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Receipt;

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
        let asked = SettlementCall::of(&settlements);
        assert_eq!((asked.slots, asked.rounds), (vec![1, 2, 1, 1, 1], vec![0, 0, 1, 0, 2]));
        assert_eq!(asked.queues.len(), 2);
    }
}
