//! Clearing streams. What a stream is cleared of is gone at once; where it ended is remembered for a day.

use crate::names::name_of_token;
use crate::streams::{NAME, Streams, pause};
use linchpin_core::{GroupName, MAX_NAME, Result, StreamName};
use serde::Deserialize;
use serde_json::{Value, json};

/// A stream in the list of all.
#[derive(Deserialize)]
struct Listed {
    config: Value,
}

impl Streams {
    /// Removes the streams whose name starts with `prefix`, with their groups and dead letters.
    pub(crate) async fn clear(&self, prefix: &str) -> Result<()> {
        let query = json!({ "subject": self.names.all_records() });
        for Listed { config } in self.list("clear", "STREAM.LIST", "streams", query).await? {
            let storage_name = config["metadata"][NAME].as_str().and_then(name_of_token);
            let Some(stream) = storage_name.and_then(|name| stream_of(&name)) else { continue };
            if stream.as_str().starts_with(prefix) {
                self.seal("clear", &stream, config).await?;
                self.finish_clearing("clear", &stream).await?;
            }
        }
        Ok(())
    }

    /// Lets a stream take in nothing any more, so that where it ends is known for good.
    async fn seal(&self, operation: &'static str, stream: &StreamName, mut config: Value) -> Result<()> {
        config["sealed"] = true.into();
        let subject = format!("STREAM.UPDATE.{}", self.names.records(stream));
        for attempt in 0.. {
            match self.connection.api::<Value>(operation, &subject, &config).await? {
                Ok(_) => break,
                Err(refusal) if refusal.is_no_stream() => break,
                // Another who clears it has removed it meanwhile, or somebody has just come to wait for it.
                Err(refusal) if attempt > 3 => return Err(refusal.into_error(operation)),
                Err(_) if self.info(operation, stream).await?.is_none() => break,
                Err(_) => pause(attempt).await,
            }
        }
        Ok(())
    }

    /// Removes a stream that is sealed.
    pub(crate) async fn finish_clearing(&self, operation: &'static str, stream: &StreamName) -> Result<()> {
        let Some(info) = self.info(operation, stream).await? else { return Ok(()) };
        self.ledger.clear(operation, stream, info.state.last_seq).await?;
        let subject = format!("STREAM.DELETE.{}", self.names.records(stream));
        match self.connection.api::<Value>(operation, &subject, &json!({})).await? {
            Err(refusal) if !refusal.is_no_stream() => return Err(refusal.into_error(operation)),
            _ => {}
        }
        self.ledger.purge(operation, stream).await
    }
}

/// The stream of a storage name.
fn stream_of(storage_name: &str) -> Option<StreamName> {
    let (name, group) = storage_name.split_once('\0').map_or((storage_name, None), |(name, group)| (name, Some(group)));
    // A layer may have made it longer than a user's name may be.
    let own = (0..name.len()).find(|start| name.is_char_boundary(*start) && name.len() - start <= MAX_NAME)?;
    let stream = StreamName::new(&name[own..]).ok()?;
    let stream = if own == 0 { stream } else { stream.prefixed(&name[..own]).ok()? };
    match group {
        None => Some(stream),
        Some(group) => Some(stream.dead_letters(&GroupName::stored(group).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_read_from_its_storage_name() {
        let group = GroupName::new("g/1").expect("valid");
        let long = StreamName::new("é".repeat(256)).expect("valid");
        for stream in [StreamName::new("a/b").expect("valid"), long.prefixed("prefix/").expect("valid"), long] {
            for stream in [stream.dead_letters(&group), stream] {
                assert_eq!(stream_of(&stream.storage_name()), Some(stream));
            }
        }
        assert_eq!(stream_of(""), None);
    }
}
