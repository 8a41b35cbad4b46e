//! `linchpin stream append`.

use crate::exit::Failure;
use crate::global::Global;
use crate::input;
use crate::output::object;
use linchpin::{Area, Record};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// Append a record, and print its position
///
/// With an id it is appended once, however often this is run within the backend's window: the repeat prints the position
/// of the first, and with --output json "duplicate":true.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// The payload; `-` or nothing reads the standard input
    payload: Option<OsString>,
    /// Its id, of 1 to 256 bytes
    #[arg(long)]
    id: Option<String>,
    /// A header that travels with it; as often as there are headers
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Not to be delivered before this time has passed
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    delay: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  linchpin stream append orders 'pay order 7' --id order-7 --header type=payment
  linchpin stream append reminders --delay 1h - < reminder.txt";

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("a header is NAME=VALUE")?;
    if name.is_empty() { Err("a header's name is not empty") } else { Ok((name.to_owned(), value.to_owned())) }
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let stream = Area::USER.stream(&args.stream)?;
    let driver = global.connect().await?.driver();
    let payload = input::bytes(args.payload, "payload", driver.capabilities().limits.record).await?;
    let mut record = Record::new(payload);
    record.headers = args.header;
    record.delay = args.delay;
    if let Some(id) = args.id {
        record = record.with_id(id)?;
    }
    for appended in driver.append(&stream, &[record]).await? {
        let position = appended.position.0;
        let json = || object([("position", position.into()), ("duplicate", appended.duplicate.into())]);
        global.print(|| position.to_string(), json).await?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_a_name() {
        assert_eq!(header("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(header("a").is_err() && header("=b").is_err());
    }
}
