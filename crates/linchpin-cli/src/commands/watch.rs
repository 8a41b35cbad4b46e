//! `linchpin watch`: changes of keys as they come.

use super::get;
use crate::exit::{Failure, SOFTWARE};
use crate::global::Global;
use crate::output::{bytes_in_line, object, one_line};
use crate::until::Until;
use linchpin::{Area, Error, Key, Range, WatchEvent};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Print the changes of a key, or of all keys that start alike
///
/// First what is there, then `synced`, then every change, a line each: `put KEY VALUE` or `deleted KEY`, also when a TTL
/// has run out. With --output json an object each: {"event":"put",...} with what `linchpin get --output json` tells,
/// {"event":"deleted","key":...,"version":...}, {"event":"synced","revision":...}. Changes in quick succession may be told as
/// one; the last one always is. Goes on until Ctrl-C, or as the options say; `synced` does not count.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The key
    #[arg(required_unless_present = "prefix")]
    key: Option<String>,
    /// Watch every key that starts with this instead; an empty one is every key
    #[arg(long, conflicts_with = "key")]
    prefix: Option<String>,
    #[command(flatten)]
    until: Until,
}

const EXAMPLES: &str = "\
Examples:
  linchpin watch config
  linchpin watch --prefix session: --output json
  linchpin watch deployed --count 1 --timeout 5m";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let named = match (&args.key, &args.prefix) {
        (Some(key), _) => key,
        (None, prefix) => prefix.as_deref().unwrap_or_default(),
    };
    let range = match &args.key {
        Some(key) => Range::Key(Area::USER.key(key)?),
        None => Range::prefix(format!("{}{named}", Area::USER.prefix()))?,
    };
    let told = |error: Error| Failure::from(error.with_operation("watch").with_subject(named));
    let events = global.connect().await?.driver().watch(&range).await.map_err(told)?;
    args.until
        .each(global, events, async |event| {
            let event = event.map_err(told)?;
            let counts = !matches!(event, WatchEvent::Synced { .. });
            let (text, json) = tell(&event)?;
            global.print(|| text, || json).await?;
            Ok(counts)
        })
        .await
}

/// An event as a line and as an object.
fn tell(event: &WatchEvent) -> Result<(String, Map<String, Value>), Failure> {
    Ok(match event {
        WatchEvent::Put(entry) => {
            let name = own(&entry.key)?;
            let mut json = get::told(name, entry);
            json.insert("event".to_owned(), "put".into());
            (format!("put {} {}", one_line(name), bytes_in_line(&entry.value)), json)
        }
        WatchEvent::Deleted { key, version } => {
            let name = own(key)?;
            let json = object([("event", "deleted".into()), ("key", name.into()), ("version", version.0.into())]);
            (format!("deleted {}", one_line(name)), json)
        }
        WatchEvent::Synced { revision } => {
            let json = object([("event", "synced".into()), ("revision", revision.0.into())]);
            ("synced".to_owned(), json)
        }
        other => return Err(Failure::new(SOFTWARE, format!("this program does not know the event {other:?}"))),
    })
}

/// A key as the user calls it.
fn own(key: &Key) -> Result<&str, Failure> {
    Area::USER.name(key).ok_or_else(|| Failure::new(SOFTWARE, "the backend told of a key that was not asked for"))
}
