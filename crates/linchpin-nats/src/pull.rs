//! Taking records from a consumer of the server.

use crate::codec::{Stored, Time};
use crate::connection::Connection;
use crate::error::{Refusal, lost};
use crate::streams::nanos;
use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use linchpin_core::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// For how long one request for records stands at the most.
const LONGEST: Duration = Duration::from_secs(20);
/// Within this a consumer sees what its stream holds.
const SOON: Duration = Duration::from_millis(200);
/// After this a look that was not answered is taken for lost.
const UNANSWERED: Duration = Duration::from_secs(1);
/// After this no more records are expected in answer to a request that brought some.
const QUIET: Duration = Duration::from_millis(250);
/// How long after its end a request that waits may be answered.
const LATE: Duration = Duration::from_millis(250);

/// A record that the consumer handed out.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) message: Stored,
    /// How often the consumer handed it out, as far as it remembers.
    pub(crate) times: u64,
    /// Where the consumer is told what became of it.
    pub(crate) ack: String,
}

impl Handed {
    /// Reads a message that a consumer delivered. `None` if it was none.
    fn read(message: Message) -> Option<Self> {
        let ack = message.reply?.to_string();
        let [times, sequence, _, stored] = numbers(&ack)?;
        let message = Stored {
            subject: message.subject.to_string(),
            sequence,
            time: Time(stored / 1_000),
            headers: message.headers.unwrap_or_default().into(),
            payload: message.payload,
        };
        Some(Self { message, times, ack })
    }
}

/// How often a record was handed out, by the reply subject of the last time.
pub(crate) fn times(ack: &str) -> Option<u64> {
    numbers(ack).map(|[times, ..]| times)
}

/// Deliveries of the record, its sequence, the consumer's sequence, and when it was stored in nanoseconds.
fn numbers(ack: &str) -> Option<[u64; 4]> {
    let parts: Vec<&str> = ack.strip_prefix("$JS.ACK.")?.split('.').collect();
    // Newer servers name the domain and the account first, and may add a token of their own.
    let numbers = parts.get(if parts.len() >= 9 { 4.. } else { 2.. })?;
    let number = |index: usize| numbers.get(index)?.parse().ok();
    Some([number(0)?, number(1)?, number(2)?, number(3)?])
}

/// What a request for records was answered.
pub(crate) enum Pulled {
    /// A record for each that was asked for, or less if there are no more.
    Records(Vec<Handed>),
    /// The consumer is not there, or not any more.
    Gone(Refusal),
}

/// Requests for records to one consumer. Dropped, it gives back what is on its way.
pub(crate) struct Pull {
    connection: Arc<Connection>,
    stream: String,
    consumer: String,
    subject: String,
    inbox: String,
    answers: Option<Subscriber>,
    /// A request may still be answered.
    open: bool,
}

impl Pull {
    pub(crate) async fn new(connection: Arc<Connection>, stream: &str, consumer: &str) -> Result<Self> {
        let inbox = connection.new_inbox();
        let answers = Some(connection.listen("claim", inbox.clone()).await?);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let (stream, consumer) = (stream.to_owned(), consumer.to_owned());
        Ok(Self { connection, stream, consumer, subject, inbox, answers, open: false })
    }

    /// Takes what there is, and waits for the first record until then. Empty if none came.
    pub(crate) async fn take(&mut self, most: usize, until: Instant) -> Result<Pulled> {
        let rest = until.saturating_duration_since(Instant::now()).min(LONGEST);
        if rest.is_zero() { self.look(most).await } else { self.wait(most, rest).await }
    }

    /// Takes what there is. The server answers at once if the consumer knows of nothing; that may not have heard yet of
    /// what was stored just now.
    async fn look(&mut self, most: usize) -> Result<Pulled> {
        let (connection, subject) = (self.connection.clone(), self.subject.clone());
        let request = json!({ "batch": most, "no_wait": true });
        let looking = async {
            self.request(&request).await?;
            self.collect(most).await
        };
        // A silent server is found out by whoever makes sure that the consumer is there.
        let looking = timeout(UNANSWERED, connection.while_up("claim", &subject, looking));
        match looking.await.unwrap_or_else(|_| Ok(Pulled::Gone(Refusal::nobody())))? {
            Pulled::Records(records) if records.is_empty() && self.is_behind().await? => self.wait(most, SOON).await,
            pulled => Ok(pulled),
        }
    }

    /// Whether the stream holds something that the consumer has not seen.
    async fn is_behind(&self) -> Result<bool> {
        let Self { connection, stream, consumer, .. } = self;
        let (of_consumer, of_stream) = (format!("CONSUMER.INFO.{stream}.{consumer}"), format!("STREAM.INFO.{stream}"));
        let nothing = json!({});
        let (seen, stored) = tokio::try_join!(
            connection.api::<Value>("claim", &of_consumer, &nothing),
            connection.api::<Value>("claim", &of_stream, &nothing)
        )?;
        let (Ok(seen), Ok(stored)) = (seen, stored) else { return Ok(false) };
        Ok(stored["state"]["last_seq"].as_u64() > seen["delivered"]["stream_seq"].as_u64())
    }

    /// Takes what there is, and waits for the first record for so long.
    async fn wait(&mut self, most: usize, rest: Duration) -> Result<Pulled> {
        let (connection, subject) = (self.connection.clone(), self.subject.clone());
        let request = json!({ "batch": most, "no_wait": true, "expires": nanos(rest) });
        let waiting = async {
            self.request(&request).await?;
            self.collect(most).await
        };
        let waiting = connection.while_up("claim", &subject, waiting);
        timeout(rest + LATE, waiting).await.unwrap_or_else(|_| Ok(Pulled::Records(Vec::new())))
    }

    async fn request(&mut self, request: &serde_json::Value) -> Result<()> {
        self.open = true;
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        self.connection.send("claim", subject, Some(inbox), None, Bytes::from(request.to_string())).await
    }

    async fn collect(&mut self, most: usize) -> Result<Pulled> {
        let mut records = Given { connection: self.connection.clone(), records: Vec::new() };
        let Some(answers) = &mut self.answers else { return Ok(Pulled::Records(Vec::new())) };
        while records.records.len() < most {
            let answer = if records.records.is_empty() {
                answers.next().await
            } else {
                // In a cluster the end is not always told.
                let Ok(answer) = timeout(QUIET, answers.next()).await else {
                    return Ok(Pulled::Records(std::mem::take(&mut records.records)));
                };
                answer
            };
            let Some(message) = answer else { return Err(lost("claim")) };
            match message.status.map(|status| status.as_u16()) {
                None => records.records.extend(Handed::read(message)),
                // A sign of life.
                Some(100) => {}
                // There are no more, or the time is over.
                Some(404 | 408) => break,
                Some(_) => {
                    self.open = false;
                    if records.records.is_empty() {
                        return Ok(Pulled::Gone(gone(&message)));
                    }
                    break;
                }
            }
        }
        self.open = false;
        Ok(Pulled::Records(std::mem::take(&mut records.records)))
    }
}

/// Why there is nobody who hands out records.
fn gone(status: &Message) -> Refusal {
    let description = status.description.clone().unwrap_or_default();
    if description.contains("MaxWaiting") { Refusal::no_room(description) } else { Refusal::nobody() }
}

impl Drop for Pull {
    fn drop(&mut self) {
        let (Some(mut answers), true) = (self.answers.take(), self.open) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let connection = self.connection.clone();
        runtime.spawn(async move {
            let _ = answers.unsubscribe().await;
            let mut given = Given { connection, records: Vec::new() };
            while let Ok(Some(message)) = timeout(Duration::from_secs(1), answers.next()).await {
                given.records.extend(Handed::read(message));
            }
        });
    }
}

/// Records that nobody has looked at yet. Dropped, they are given back.
struct Given {
    connection: Arc<Connection>,
    records: Vec<Handed>,
}

impl Drop for Given {
    fn drop(&mut self) {
        let records = std::mem::take(&mut self.records);
        let (false, Ok(runtime)) = (records.is_empty(), tokio::runtime::Handle::try_current()) else { return };
        let connection = self.connection.clone();
        runtime.spawn(async move {
            for record in records {
                let _ = connection.send("claim", record.ack, None, None, Bytes::from_static(b"-NAK")).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ack: &str) -> Option<(u64, u64, Time)> {
        let message = Message {
            subject: "s".into(),
            reply: Some(ack.into()),
            payload: Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        Handed::read(message).map(|handed| (handed.times, handed.message.sequence, handed.message.time))
    }

    #[test]
    fn both_forms_of_delivery_are_read() {
        let expected = Some((2, 7, Time(1_000)));
        assert_eq!(read("$JS.ACK.s.c.2.7.9.1000000.0"), expected);
        assert_eq!(read("$JS.ACK._.hash.s.c.2.7.9.1000000.0"), expected);
        assert_eq!(read("$JS.ACK.domain.hash.s.c.2.7.9.1000000.0.random"), expected);
        assert_eq!((read("$JS.ACK.s.c.2"), read("other")), (None, None));
    }
}
