//! `linchpin get`: the value of a key.

use crate::exit::{ABSENT, Failure};
use crate::global::Global;
use crate::output::{self, object, put_bytes};
use linchpin::{Area, Entry, Error};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

/// Print the value of a key
///
/// The value's bytes as they are, and nothing else: exit code 1 if there is no such key. With --output json an object
/// with the value as "value", or as "value_base64" if it is no text, and what --entry tells.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The key
    key: String,
    /// Instead of the value, print what is known of it: the revision of its last write, the revision that created the key,
    /// the time that it has left
    #[arg(long)]
    entry: bool,
}

const EXAMPLES: &str = "\
Examples:
  linchpin get greeting
  linchpin get greeting --output json | jq -r .version
  linchpin get logo > logo.png";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let coordinator = global.connect().await?;
    let named = |error: Error| error.with_operation("get").with_subject(&args.key);
    let key = Area::USER.key(&args.key)?;
    let found = coordinator.driver().get(&[key]).await.map_err(named)?.into_entry();
    let Some(entry) = found else { return Ok(ExitCode::from(ABSENT)) };
    if global.is_json() {
        global.print_json(told(&args.key, &entry)).await?;
    } else if args.entry {
        global.print(|| described(&entry), Map::new).await?;
    } else {
        output::write(&entry.value).await?;
        // Or the shell's prompt follows in the same line.
        if io::stdout().is_terminal() && !entry.value.ends_with(b"\n") {
            output::write(b"\n").await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A key, as the user calls it, and all of its entry.
pub(crate) fn told(key: &str, entry: &Entry) -> Map<String, Value> {
    let mut told = object([("key", key.into())]);
    put_bytes(&mut told, "value", &entry.value);
    told.insert("version".to_owned(), entry.version.0.into());
    told.insert("created".to_owned(), entry.created.0.into());
    told.insert("ttl_ms".to_owned(), entry.ttl.map(milliseconds).into());
    told
}

fn described(entry: &Entry) -> String {
    let ttl = entry.ttl.map_or_else(|| "for ever".to_owned(), |ttl| humantime::format_duration(whole(ttl)).to_string());
    let bytes = entry.value.len();
    format!("version {}\ncreated {}\nttl     {ttl}\nbytes   {bytes}", entry.version, entry.created)
}

/// To the millisecond, upwards: what lives is never shown as nothing left.
fn whole(time: Duration) -> Duration {
    Duration::from_millis(milliseconds(time))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin::{Key, Revision};

    #[test]
    fn an_entry_is_told_with_its_versions() {
        let key = Key::new("user/k").expect("a name");
        let ttl = Some(Duration::from_micros(1_500));
        let entry = Entry { key, value: "v".into(), created: Revision(3), version: Revision(7), ttl };
        let json = Value::Object(told("k", &entry)).to_string();
        assert_eq!(json, r#"{"created":3,"key":"k","ttl_ms":2,"value":"v","version":7}"#);
        assert_eq!(described(&entry), "version 7\ncreated 3\nttl     2ms\nbytes   1");
    }
}
