//! Namespaces that are to be gone altogether.

use crate::config::NatsConfig;
use crate::connection::Connection;
use crate::names::Names;
use linchpin_core::{Error, Namespace, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

const ERASE: &str = "erase";

/// A page of the names of the server's streams.
#[derive(Deserialize)]
struct Page {
    total: usize,
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// The user must be allowed to list and to delete streams. Whoever does use such a namespace again begins anew: its
/// revisions, and so its fencing tokens, may be less than before.
pub(crate) async fn erase(config: &NatsConfig, namespaces: &[Namespace]) -> Result<()> {
    let connection = Connection::open(config).await?;
    let unwanted: Vec<_> = namespaces.iter().map(Names::new).collect();
    for stream in streams(&connection).await? {
        if unwanted.iter().any(|names| *stream == *names.state || stream.starts_with(&names.stream_prefix())) {
            let deleted = connection.api::<IgnoredAny>(ERASE, &format!("STREAM.DELETE.{stream}"), &json!({})).await?;
            match deleted {
                Ok(_) => {}
                Err(refusal) if refusal.is_no_stream() => {}
                Err(refusal) => return Err(refusal.into_error(ERASE)),
            }
        }
    }
    connection.close();
    Ok(())
}

async fn streams(connection: &Connection) -> Result<Vec<String>> {
    let mut all = Vec::new();
    loop {
        let asked = json!({ "offset": all.len() });
        let page: Result<Page, _> = connection.api(ERASE, "STREAM.NAMES", &asked).await.map_err(Error::of_read)?;
        let Page { total, streams } = page.map_err(|refusal| refusal.into_error(ERASE))?;
        let page = streams.unwrap_or_default();
        let was_last = page.is_empty();
        all.extend(page);
        if was_last || all.len() >= total {
            return Ok(all);
        }
    }
}
