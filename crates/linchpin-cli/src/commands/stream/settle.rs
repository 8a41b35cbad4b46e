//! `linchpin stream ack`, `retry`, `extend` and `reject`.

use super::{receipt, shown};
use crate::exit::{ABSENT, Failure};
use crate::global::Global;
use crate::output::object;
use linchpin::{Action, Receipt, Settled, Settlement};
use std::process::ExitCode;
use std::time::Duration;

/// The records to settle.
#[derive(Debug, clap::Args)]
struct Receipts {
    /// What `linchpin stream claim` printed as "receipt"
    #[arg(value_name = "RECEIPT", required = true)]
    receipts: Vec<String>,
}

/// Settle records as done: the group never sees them again
///
/// Exit code 1 if a receipt is stale: its record was settled before, or delivered again because its visibility time had
/// passed. With --output json an object per receipt says which.
#[derive(Debug, clap::Args)]
#[command(after_help = ACK_EXAMPLES)]
pub(super) struct AckArgs {
    #[command(flatten)]
    receipts: Receipts,
}

const ACK_EXAMPLES: &str = "\
Examples:
  linchpin stream ack RECEIPT
  linchpin stream claim orders --group billing | jq -r .receipt | xargs -r linchpin stream ack";

/// Give records back, to be delivered again
///
/// Exit code 1 if a receipt is stale.
#[derive(Debug, clap::Args)]
#[command(after_help = RETRY_EXAMPLES)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    receipts: Receipts,
    /// Not before this time has passed
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    after: Duration,
}

const RETRY_EXAMPLES: &str = "\
Examples:
  linchpin stream retry RECEIPT --after 30s";

/// Keep records for longer
///
/// Exit code 1 if a receipt is stale.
#[derive(Debug, clap::Args)]
#[command(after_help = EXTEND_EXAMPLES)]
pub(super) struct ExtendArgs {
    #[command(flatten)]
    receipts: Receipts,
    /// For how long from now they are yours
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30s")]
    visibility: Duration,
}

const EXTEND_EXAMPLES: &str = "\
Examples:
  linchpin stream extend RECEIPT --visibility 5m";

/// Put records into the group's dead letters, never to be delivered again
///
/// Exit code 1 if a receipt is stale.
#[derive(Debug, clap::Args)]
#[command(after_help = REJECT_EXAMPLES)]
pub(super) struct RejectArgs {
    #[command(flatten)]
    receipts: Receipts,
    /// Why, for whoever reads the dead letters: 512 bytes at most
    #[arg(long, value_name = "TEXT", default_value = "rejected")]
    reason: String,
}

const REJECT_EXAMPLES: &str = "\
Examples:
  linchpin stream reject RECEIPT --reason 'no such customer'";

pub(super) async fn ack(global: &Global, args: AckArgs) -> Result<ExitCode, Failure> {
    settle(global, args.receipts, &Action::Ack).await
}

pub(super) async fn retry(global: &Global, args: RetryArgs) -> Result<ExitCode, Failure> {
    settle(global, args.receipts, &Action::Retry { after: args.after }).await
}

pub(super) async fn extend(global: &Global, args: ExtendArgs) -> Result<ExitCode, Failure> {
    settle(global, args.receipts, &Action::Extend { visibility: args.visibility }).await
}

pub(super) async fn reject(global: &Global, args: RejectArgs) -> Result<ExitCode, Failure> {
    settle(global, args.receipts, &Action::Reject { reason: args.reason }).await
}

async fn settle(global: &Global, Receipts { receipts }: Receipts, action: &Action) -> Result<ExitCode, Failure> {
    let receipts = receipts.iter().map(|word| receipt::decode(word)).collect::<Result<Vec<_>, _>>()?;
    let driver = global.connect().await?.driver();
    let settlement = |receipt: &Receipt| Settlement { receipt: receipt.clone(), action: action.clone() };
    let mut stale = 0;
    for some in receipts.chunks(driver.capabilities().limits.batch) {
        let settlements: Vec<_> = some.iter().map(settlement).collect();
        let settled = driver.settle(&settlements).await?;
        for (receipt, settled) in some.iter().zip(settled) {
            stale += u32::from(settled == Settled::Stale);
            report(global, receipt, settled).await?;
        }
    }
    Ok(if stale == 0 { ExitCode::SUCCESS } else { ExitCode::from(ABSENT) })
}

async fn report(global: &Global, receipt: &Receipt, settled: Settled) -> Result<(), Failure> {
    let done = settled == Settled::Done;
    if global.is_json() {
        let receipt = receipt::encode(receipt)?;
        global.print_json(object([("receipt", receipt.into()), ("settled", done.into())])).await?;
    } else if !done {
        let (position, stream) = (receipt.position.0, shown(&receipt.stream));
        let message = format!("the receipt for position {position} of {stream} is stale; nothing was changed");
        global.voice().warn(&message);
    }
    Ok(())
}
