//! Namespaces that are to be gone altogether.

use crate::config::NatsConfig;
use crate::connection::Connection;
use crate::names::Names;
use linchpin_core::{Namespace, Result};
use serde::de::IgnoredAny;
use serde_json::json;

const ERASE: &str = "erase";

/// Whoever does use such a namespace again begins anew: its revisions, and so its fencing tokens, may be less than before.
pub(crate) async fn erase(config: &NatsConfig, namespaces: &[Namespace]) -> Result<()> {
    let connection = Connection::open(config).await?;
    let names = namespaces.iter().map(Names::new);
    for stream in names.flat_map(|names| [names.log(), names.data()]) {
        let deleted = connection.api::<IgnoredAny>(ERASE, &format!("STREAM.DELETE.{stream}"), &json!({})).await?;
        match deleted {
            Ok(_) => {}
            Err(refusal) if refusal.is_no_stream() => {}
            Err(refusal) => return Err(refusal.into_error(ERASE)),
        }
    }
    connection.close();
    Ok(())
}
