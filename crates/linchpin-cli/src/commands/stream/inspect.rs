//! `linchpin stream inspect`.

use super::Which;
use crate::exit::Failure;
use crate::global::Global;
use crate::output::{object, one_line, table};
use clap::builder::styling::Style;
use linchpin::{GroupInfo, StreamInfo};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Print what a stream holds, and where its groups stand
///
/// Per group: `pending` records are delivered and not settled, or wait for a retry or a delay; the group has not looked
/// at `lag` records yet; `dead` ones are in its dead letters.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
}

const EXAMPLES: &str = "\
Examples:
  linchpin stream inspect orders
  linchpin stream inspect orders --output json | jq '.groups[] | select(.lag > 100)'";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let stream = args.which.name()?;
    let info = global.connect().await?.driver().inspect(&stream).await?;
    global.print(|| described(global.title_style(), &info), || told(&info)).await?;
    Ok(ExitCode::SUCCESS)
}

fn told(info: &StreamInfo) -> Map<String, Value> {
    let group = |group: &GroupInfo| {
        Value::Object(object([
            ("group", group.name.as_str().into()),
            ("pending", group.pending.into()),
            ("lag", group.lag.into()),
            ("dead", group.dead.into()),
        ]))
    };
    object([
        ("length", info.length.into()),
        ("last", info.last.map(|position| position.0).into()),
        ("groups", info.groups.iter().map(group).collect::<Vec<_>>().into()),
    ])
}

fn described(style: Style, info: &StreamInfo) -> String {
    let last = info.last.map_or_else(|| "never any".to_owned(), |position| position.0.to_string());
    let records = format!("length  {}\nlast    {last}", info.length);
    if info.groups.is_empty() {
        return records;
    }
    let row = |group: &GroupInfo| {
        [one_line(group.name.as_str()), group.pending.to_string(), group.lag.to_string(), group.dead.to_string()]
    };
    let rows: Vec<_> = info.groups.iter().map(row).collect();
    format!("{records}\n{}", table(style, ["GROUP", "PENDING", "LAG", "DEAD"], &rows))
}
