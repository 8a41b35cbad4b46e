//! `linchpin pub`: a message to those subscribed now.

use crate::exit::{Failure, TEMPORARY};
use crate::global::Global;
use crate::input;
use crate::output::object;
use crate::waiting;
use linchpin::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// Publish a message to those who are subscribed now
///
/// Nobody else ever sees it. What has to arrive later as well belongs in a stream: `linchpin help stream`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The channel
    channel: String,
    /// The message; `-` or nothing reads the standard input
    message: Option<OsString>,
    /// Wait until a subscriber took it, and print how many have; exit code 75 if nobody did
    #[arg(long)]
    ack: bool,
    /// How long to wait for that
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "5s", requires = "ack")]
    timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  linchpin pub orders:new 'order 7'
  linchpin pub orders:new --ack --timeout 2s 'order 7'
  linchpin pub reports < report.pdf";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let coordinator = global.connect().await?;
    let limit = coordinator.driver().capabilities().limits.message;
    let message = input::bytes(args.message, "message", limit).await?;
    if args.ack {
        let acknowledged = match coordinator.publish_with_ack(&args.channel, &message, args.timeout).await {
            // Nobody acknowledged, or nobody answers: that is not the same.
            Err(error) if error.kind() == ErrorKind::Timeout && waiting::answers(coordinator).await => {
                return Err(Failure::new(TEMPORARY, error.to_string()));
            }
            acknowledged => acknowledged?,
        };
        global.print(|| acknowledged.to_string(), || object([("acknowledged", acknowledged.into())])).await?;
    } else {
        coordinator.publish(&args.channel, &message).await?;
    }
    Ok(ExitCode::SUCCESS)
}
