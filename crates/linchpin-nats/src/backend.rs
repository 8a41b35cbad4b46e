//! The backend: the machine over a log that is a stream of the server, and messages beside it.

use crate::config::NatsConfig;
use crate::connection::Connection;
use crate::erase;
use crate::error::no_answer;
use crate::log::{NatsLog, PART};
use crate::messages::Hub;
use crate::names::Names;
use linchpin_adapter::Coordination;
use linchpin_core::life::Life;
use linchpin_core::{Capabilities, Durability, Error, ErrorKind, Limits, MessageSupport, Namespace, Result};
use linchpin_log::{LogSource, OpenLog, Replicated};
use std::sync::Arc;

/// A handle to one namespace of a NATS server or cluster. Opening one makes the namespace's streams if they are not there.
pub type NatsCoordination = Coordination<Nats>;

/// One namespace of a NATS server or cluster.
pub type Nats = Replicated<NatsLogs>;

/// Where the logs of namespaces are that NATS servers keep.
#[derive(Debug)]
pub struct NatsLogs;

impl LogSource for NatsLogs {
    type Config = NatsConfig;
    type Log = NatsLog;

    const NAME: &'static str = "NatsCoordination";

    async fn open(config: NatsConfig, life: &Life) -> Result<OpenLog<NatsLog>> {
        let connection = Connection::open(&config).await?;
        let server = connection.server();
        if read_version(&server.version) < (2, 9, 0) {
            let what = "what linchpin needs: NATS 2.9 or later, with JetStream";
            return Err(Error::unsupported("connect", &format!("nats {}", server.version), what));
        }
        if server.max_payload < MIN_PAYLOAD {
            let problem = format!("the server's max_payload is {}; linchpin needs {MIN_PAYLOAD}", server.max_payload);
            return Err(Error::new(ErrorKind::Unsupported, "connect", problem));
        }
        let names = Names::new(&config.common.namespace);
        let log = NatsLog::new(&connection, names.clone(), config.replicas);
        let opened = tokio::time::timeout(config.common.response_timeout, log.provide()).await;
        let replicas = opened.unwrap_or_else(|_| Err(no_answer("connect")))?;
        let hub = Arc::new(Hub::new(connection.clone(), names));
        let heard = hub.clone();
        life.on_end(move |ended| {
            heard.end(ended);
            connection.close();
        });
        Ok(OpenLog {
            log,
            messages: Some(hub),
            capabilities: capabilities(&server.version, server.max_payload, replicas),
            record: PART.min(server.max_payload - OVERHEAD),
            response_timeout: config.common.response_timeout,
            snapshot_after: SNAPSHOT_AFTER,
        })
    }

    async fn erase(config: NatsConfig, namespaces: &[Namespace]) -> Result<()> {
        erase::erase(&config, namespaces).await
    }
}

/// So many bytes of records are read in a few milliseconds.
const SNAPSHOT_AFTER: usize = 1024 * 1024;

/// What headers, a subject and what JetStream adds may take of a message.
const OVERHEAD: usize = 24 * 1024;
const MIN_PAYLOAD: usize = Limits::MINIMUM.message + OVERHEAD;

/// Reads `2.14.4`, and `2.14.4-beta.1` as the same.
fn read_version(text: &str) -> (u64, u64, u64) {
    let mut numbers = text.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

fn capabilities(version: &str, max_payload: usize, replicas: usize) -> Capabilities {
    let most = (max_payload - OVERHEAD).min(1024 * 1024);
    let mut capabilities = linchpin_log::capabilities("nats", most - 1024);
    capabilities.version = format!("nats {version}");
    capabilities.messages = Some(MessageSupport::new(true));
    capabilities.limits.message = most;
    let copies = if replicas == 1 { "copy" } else { "copies" };
    let why = format!(
        "file storage, {replicas} {copies}; a server syncs to its disk every sync_interval, 2 minutes by default, and does \
         not tell what it is"
    );
    capabilities.durability = Durability::new(true, false, why);
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(read_version("2.15.1"), (2, 15, 1));
        assert_eq!(read_version("2.12.0-preview.2"), (2, 12, 0));
        assert!(read_version("2.9.10") < read_version("2.12.1") && read_version("nonsense") < (2, 9, 0));
    }
}
