//! Streams: appending and settling, and what else is done to them but claiming.

use crate::codec::{Reader, micros, optional_micros};
use crate::commands::{self, Prefix};
use crate::connection::Connection;
use linchpin_adapter::records;
use linchpin_core::{
    Action, Appended, Error, GroupInfo, GroupName, Position, Record, Result, Retention, Settled, Settlement,
    StreamInfo, StreamName,
};
use redis::Value;
use std::time::Duration;

/// For how long a record's id is remembered.
pub(crate) const DEDUPE_WINDOW: Duration = Duration::from_mins(2);

pub(crate) async fn append(
    connection: &Connection,
    prefix: &Prefix,
    stream: &StreamName,
    records: &[Record],
) -> Result<Vec<Appended>> {
    let read = Reader("append");
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let mut script = prefix.invoke(&commands::APPEND);
    script.arg(stream.storage_name()).arg(DEDUPE_WINDOW.as_millis().to_string());
    for record in records {
        script.arg(record.id.as_deref().unwrap_or_default()).arg(optional_micros(record.delay));
        script.arg(records::encode(record));
    }
    let appended = |value: Value| {
        let mut fields = read.list(value)?.into_iter();
        let position = Position(read.number(fields.next())?);
        Ok(Appended { position, duplicate: read.text(fields.next())? == "1" })
    };
    read.list(connection.run("append", &script).await?)?.into_iter().map(appended).collect()
}

pub(crate) async fn settle(
    connection: &Connection,
    prefix: &Prefix,
    settlements: &[Settlement],
) -> Result<Vec<Settled>> {
    let read = Reader("settle");
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let mut script = prefix.invoke(&commands::SETTLE);
    for Settlement { receipt, action } in settlements {
        script.arg(receipt.stream.storage_name()).arg(receipt.group.as_str());
        script.arg(receipt.position.0).arg(receipt.delivery);
        match action {
            Action::Ack => script.arg("ack").arg(""),
            Action::Retry { after } => script.arg("retry").arg(micros(*after)),
            Action::Extend { visibility } => script.arg("extend").arg(micros(*visibility)),
            Action::Reject { reason } => script.arg("reject").arg(reason),
        };
    }
    let settled = |value| Ok(if read.text(Some(value))? == "1" { Settled::Done } else { Settled::Stale });
    read.list(connection.run("settle", &script).await?)?.into_iter().map(settled).collect()
}

pub(crate) async fn inspect(connection: &Connection, prefix: &Prefix, stream: &StreamName) -> Result<StreamInfo> {
    let read = Reader("inspect");
    let mut script = prefix.invoke(&commands::INSPECT);
    script.arg(stream.storage_name());
    let mut answer = read.list(connection.run("inspect", &script).await.map_err(Error::of_read)?)?.into_iter();
    let length = read.number(answer.next())?;
    let last = Some(Position(read.number(answer.next())?)).filter(|position| position.0 > 0);
    let group = |fields| {
        let mut fields = read.list(fields)?.into_iter();
        Ok(GroupInfo {
            name: GroupName::new(read.text(fields.next())?)?,
            pending: read.number(fields.next())?,
            lag: read.number(fields.next())?,
            dead: read.number(fields.next())?,
        })
    };
    let groups = read.list(answer.next().unwrap_or(Value::Nil))?;
    let mut groups: Vec<GroupInfo> = groups.into_iter().map(group).collect::<Result<_>>()?;
    groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(StreamInfo { length, last, groups })
}

pub(crate) async fn trim(
    connection: &Connection,
    prefix: &Prefix,
    stream: &StreamName,
    keep: Retention,
) -> Result<u64> {
    let read = Reader("trim");
    let mut script = prefix.invoke(&commands::TRIM);
    script.arg(stream.storage_name());
    match keep {
        Retention::Newest(count) => script.arg("newest").arg(count),
        Retention::From(position) => script.arg("from").arg(position.0),
        Retention::Unsettled => script.arg("unsettled").arg(0),
    };
    let mut dropped = 0;
    loop {
        let answer = connection.run("trim", &script).await;
        let answer = answer.map_err(|error| error.after_a_part_if(dropped > 0))?;
        let mut answer = read.list(answer)?.into_iter();
        dropped += read.number(answer.next())?;
        if read.text(answer.next())? != "1" {
            return Ok(dropped);
        }
    }
}

pub(crate) async fn remove_group(
    connection: &Connection,
    prefix: &Prefix,
    stream: &StreamName,
    group: &GroupName,
) -> Result<bool> {
    let mut script = prefix.invoke(&commands::REMOVE_GROUP);
    script.arg(stream.storage_name()).arg(group.as_str());
    connection.run("remove_group", &script).await
}
