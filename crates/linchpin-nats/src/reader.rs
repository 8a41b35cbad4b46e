//! Reading a namespace's log: a consumer that the server pushes to.

use crate::connection::{Connection, Losses};
use crate::error::{Refusal, lost};
use crate::stream::ServerStream;
use async_nats::{Message, StatusCode, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use linchpin_core::{Error, Result};
use linchpin_log::{LogReader, LogRecord};
use linchpin_machine::Time;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How often the server says that nothing happened.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Without a sign of life for so long the consumer is gone.
const SILENCE: Duration = Duration::from_secs(2);

/// A consumer that gets every record from an offset on.
pub struct Reader {
    connection: Arc<Connection>,
    messages: Subscriber,
    losses: watch::Receiver<Losses>,
    before: Losses,
    /// How many messages it was sent.
    count: u64,
}

impl Reader {
    pub(crate) async fn open(log: &ServerStream, from: u64) -> Result<Self> {
        let connection = log.connection.clone();
        let losses = connection.losses();
        let before = losses.borrow().clone();
        let inbox = connection.new_inbox();
        // What is asked for after it comes after it.
        let messages = connection.listen("read", inbox.clone()).await?;
        let name = format!("linchpin-{:016x}", fastrand::u64(..));
        let config = json!({
            "stream_name": log.name,
            "config": {
                "name": name,
                "deliver_subject": inbox,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": from + 1,
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "flow_control": true,
                "idle_heartbeat": u64::try_from(HEARTBEAT.as_nanos()).unwrap_or(u64::MAX),
                "inactive_threshold": 10_000_000_000_u64,
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let subject = format!("CONSUMER.CREATE.{}.{name}", log.name);
        let created: Result<serde::de::IgnoredAny, Refusal> =
            connection.api("read", &subject, &config).await.map_err(Error::of_read)?;
        created.map_err(|refusal| refusal.into_error("read"))?;
        Ok(Self { connection, messages, losses, before, count: 0 })
    }

    /// Answers a heartbeat that asks for it; whether nothing was missed before it.
    async fn answer(&self, message: Message) -> bool {
        let headers = message.headers.unwrap_or_default();
        let text = |name| headers.get(name).map(|value| value.as_str().to_owned());
        let sent = text("Nats-Last-Consumer").and_then(|sent| sent.parse().ok());
        if sent.is_some_and(|sent: u64| sent != self.count) {
            return false;
        }
        let stalled = text("Nats-Consumer-Stalled");
        let Some(subject) = message.reply.map(|reply| reply.to_string()).or(stalled) else { return true };
        self.connection.send("read", subject, None, Bytes::new()).await.is_ok()
    }
}

#[async_trait]
impl LogReader for Reader {
    async fn next(&mut self) -> Result<LogRecord> {
        loop {
            let message = tokio::select! {
                biased;
                message = timeout(SILENCE, self.messages.next()) => message.ok().flatten().ok_or_else(|| lost("read"))?,
                changed = self.losses.changed() => {
                    let now = self.losses.borrow_and_update().clone();
                    if changed.is_err() || (now.lost, now.overrun) != (self.before.lost, self.before.overrun) {
                        return Err(lost("read"));
                    }
                    continue;
                }
            };
            if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
                if !self.answer(message).await {
                    return Err(lost("read"));
                }
                continue;
            }
            let Delivered { record, count } = Delivered::read(message).ok_or_else(|| lost("read"))?;
            self.count += 1;
            return if count == self.count { Ok(record) } else { Err(lost("read")) };
        }
    }
}

/// A record as a consumer delivers it.
struct Delivered {
    record: LogRecord,
    /// The how-manieth it is of the consumer.
    count: u64,
}

impl Delivered {
    /// Where it stands is told by the subject for its acknowledgement:
    /// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream's>.<consumer's>.<time>.<pending>[.<random>]`.
    fn read(message: Message) -> Option<Self> {
        let reply = message.reply?;
        let tokens: Vec<_> = reply.split('.').collect();
        let skipped = match tokens.len() {
            9 => 0,
            11.. => 2,
            _ => return None,
        };
        let number = |index: usize| tokens.get(index + skipped)?.parse::<u64>().ok();
        let (offset, time) = (number(5)?.checked_sub(1)?, Time::from_micros(number(7)? / 1000));
        Some(Self { record: LogRecord { offset, time, body: message.payload }, count: number(6)? })
    }
}
