//! `linchpin sub`: messages as they come.

use crate::exit::Failure;
use crate::global::Global;
use crate::output::{object, put_bytes};
use crate::until::Until;
use linchpin::{ErrorKind, Message};
use serde_json::{Map, Value};
use std::process::ExitCode;
use std::time::SystemTime;

/// Print the messages of the channels that match a pattern
///
/// One JSON object per line, whatever --output says:
///   {"event":"message","channel":"orders:new","payload":"order 7","published":"2026-01-31T09:30:00.000Z"}
///   {"event":"lagged","missed":3}
/// A payload that is no text comes as "payload_base64". "lagged" marks messages that were missed because they came
/// faster than they were read, or while a connection was rebuilt ("missed" is null where nobody can know how many).
/// Goes on until Ctrl-C, or as the options say.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, verbatim_doc_comment)]
pub(crate) struct Args {
    /// The channels: `*` any run of characters, `?` one, `[a-z]` one of these; `\` takes the next as it is
    pattern: String,
    #[command(flatten)]
    until: Until,
}

const EXAMPLES: &str = "\
Examples:
  linchpin sub 'orders:*'
  linchpin sub 'orders:*' | jq --unbuffered -r .payload
  linchpin sub shutdown --count 1 --timeout 10m";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let messages = global.connect().await?.subscribe(&args.pattern).await?;
    args.until
        .each(global, messages, async |message| match message {
            Ok(message) => {
                global.print_json(told(&message)).await?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Lagged => {
                global.print_json(object([("event", "lagged".into()), ("missed", error.missed().into())])).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        })
        .await
}

fn told(message: &Message) -> Map<String, Value> {
    let mut told = object([("event", "message".into()), ("channel", message.channel.as_str().into())]);
    put_bytes(&mut told, "payload", &message.payload);
    told.insert("published".to_owned(), message.timestamp.and_then(date).into());
    told
}

/// A time of a publisher's clock, which may say anything.
fn date(time: SystemTime) -> Option<String> {
    // What humantime cannot write is later than the year 9999.
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_1970.as_secs() < 253_402_300_800).then(|| humantime::format_rfc3339_millis(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_publishers_clock_may_say_anything() {
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).and_then(date);
        assert_eq!(at(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(at(253_402_300_799).as_deref(), Some("9999-12-31T23:59:59.000Z"));
        assert_eq!(at(253_402_300_800), None);
    }

    #[test]
    fn a_message_is_an_object_with_its_payload_as_it_was() {
        let message = |payload: &[u8]| Message { channel: "c".to_owned(), payload: payload.to_vec(), timestamp: None };
        let told = |payload| Value::Object(told(&message(payload)));
        assert_eq!(told(b"a\nb")["payload"], "a\nb");
        assert_eq!(told(&[0xff])["payload_base64"], "/w==");
    }
}
