//! Counting the requests that reach the server.

use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{Counter, Requests};
use futures::StreamExt;
use futures::stream::BoxStream;
use redis::aio::MultiplexedConnection;
use std::time::Duration;

/// How long the server may take to show a marker.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client sends to set a connection up or to see that it is there.
const SET_UP: [&str; 7] = ["AUTH", "CLIENT", "HELLO", "MONITOR", "PING", "SCRIPT", "SELECT"];

/// Sees every request that reaches the server. It slows the server down: nothing is timed meanwhile.
pub(crate) struct Monitor {
    lines: BoxStream<'static, String>,
    marker: MultiplexedConnection,
    markers: u64,
}

impl Monitor {
    pub(super) fn new(monitor: redis::aio::Monitor, marker: MultiplexedConnection) -> Self {
        Self { lines: monitor.into_on_message().boxed(), marker, markers: 0 }
    }
}

impl Counter for Monitor {
    async fn mark(&mut self) -> Result<Requests> {
        self.markers += 1;
        let marker = format!("linchpin-bench-{}-{:016x}", self.markers, fastrand::u64(..));
        redis::cmd("ECHO").arg(&marker).exec_async(&mut self.marker).await?;
        let reading = async {
            let mut requests = Requests::default();
            while let Some(line) = self.lines.next().await {
                if line.contains(&marker) {
                    return Ok(requests);
                }
                if let Some(command) = request(&line) {
                    requests.add(command);
                }
            }
            Err(Problem::new("the server ended MONITOR"))
        };
        let late = |_| Problem::new(format!("MONITOR did not show a marker within {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, reading).await.map_err(late)?
    }
}

/// The command of a line of MONITOR, unless it ran inside a script or sets a connection up:
/// `1339518083.107412 [0 127.0.0.1:60866] "get" "k"`.
fn request(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('[')?;
    let (client, command) = rest.split_once("] ")?;
    if client.ends_with(" lua") {
        return None;
    }
    let command = command.strip_prefix('"')?.split('"').next()?.to_ascii_uppercase();
    (!SET_UP.contains(&command.as_str())).then_some(command)
}

#[cfg(test)]
mod tests {
    use super::request;

    #[test]
    fn what_a_client_asked_for_counts_and_what_a_script_does_not() {
        let line = |client: &str, command: &str| format!("1339518083.107412 [{client}] {command}");
        for (client, command, expected) in [
            ("0 127.0.0.1:60866", r#""get" "k""#, Some("GET")),
            ("0 [::1]:60866", r#""EVALSHA" "abc" "1" "k" "] \"x\"""#, Some("EVALSHA")),
            ("0 unix:/tmp/s", r#""XREAD" "BLOCK" "1500""#, Some("XREAD")),
            ("0 lua", r#""GET" "k""#, None),
            ("0 127.0.0.1:60866", r#""PING""#, None),
            ("0 127.0.0.1:60866", r#""CLIENT" "SETINFO" "LIB-NAME" "x""#, None),
        ] {
            assert_eq!(request(&line(client, command)).as_deref(), expected, "{client} {command}");
        }
    }
}
