//! `linchpin stream claim`.

use super::{Which, receipt, shown};
use crate::exit::{ABSENT, Failure};
use crate::global::Global;
use crate::output::{object, put_bytes};
use crate::waiting;
use linchpin::{Claim, Delivery, GroupName, MemberName};
use serde_json::{Map, Value};
use std::process::ExitCode;
use std::time::Duration;

/// Claim records for a group, and print them with the receipts to settle them by
///
/// One JSON object per line, whatever --output says: "receipt", "payload" (or "payload_base64"), "position", "delivery" (how
/// often it was delivered to the group, this time included), "id", and "headers" as pairs. The records are yours until
/// you settle them with `linchpin stream ack`, `retry`, `extend` or `reject`, or their visibility time has passed: then
/// they are delivered again, to whoever claims. Exit code 1 if there was nothing to claim.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// The group; every group sees every record
    #[arg(long)]
    group: String,
    /// Who claims, as others see it
    #[arg(long, default_value = "linchpin")]
    member: String,
    /// How many records at most
    #[arg(long, value_name = "N", default_value_t = 1)]
    max: usize,
    /// For how long they are yours
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30s")]
    visibility: Duration,
    /// How long to wait for the first record
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    wait: Duration,
    /// A record that was delivered so often goes to the group's dead letters instead
    #[arg(long, value_name = "N")]
    max_deliveries: Option<u32>,
}

const EXAMPLES: &str = "\
Examples:
  linchpin stream claim orders --group billing --wait 1m --visibility 5m
  linchpin stream claim orders --group billing --max 10 | jq -r .receipt | xargs -r linchpin stream ack
  linchpin stream claim orders --dead-letters billing --group undertakers";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let (group, member) = (GroupName::new(&args.group)?, MemberName::new(&args.member)?);
    let mut claim =
        Claim::new(args.which.name()?, group, member).max(args.max).visibility(args.visibility).wait(args.wait);
    claim.max_deliveries = args.max_deliveries;
    let driver = global.connect().await?.driver();
    let what = format!("waiting for records of {}", shown(&claim.stream));
    let deliveries = waiting::showing(what, driver.claim(&claim)).await?;
    for delivery in &deliveries {
        global.print_json(told(delivery)?).await?;
    }
    Ok(if deliveries.is_empty() { ExitCode::from(ABSENT) } else { ExitCode::SUCCESS })
}

fn told(delivery: &Delivery) -> Result<Map<String, Value>, Failure> {
    let at = &delivery.receipt;
    let headers: Vec<Value> = delivery.headers.iter().map(|(name, value)| [name.as_str(), value].into()).collect();
    let mut told = object([
        ("receipt", receipt::encode(at)?.into()),
        ("position", at.position.0.into()),
        ("delivery", at.delivery.into()),
        ("id", delivery.id.as_deref().into()),
        ("headers", headers.into()),
    ]);
    put_bytes(&mut told, "payload", &delivery.payload);
    Ok(told)
}
