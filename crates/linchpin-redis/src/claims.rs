//! Claiming: one look of a member's, and what wakes those that wait.

use crate::codec::{Reader, micros};
use crate::commands::{self, Prefix, wake};
use crate::connection::Connection;
use crate::server::{Listening, Pushes};
use crate::streams;
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_adapter::claims::{Look, Queues, Source};
use linchpin_adapter::hub::{Listener, Topic};
use linchpin_adapter::records::Death;
use linchpin_core::life::End;
use linchpin_core::{Claim, Delivery, Position, Receipt, Record, Result, Settled, Settlement, StreamName};
use redis::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Where the claims of a handle look.
pub(crate) struct Claims {
    connection: Connection,
    prefix: Prefix,
    hub: Arc<Pushes>,
}

impl Claims {
    /// The claims of a handle, and those of them that wait.
    pub(crate) fn queues(connection: Connection, prefix: Prefix, hub: Arc<Pushes>) -> Queues<Self> {
        Queues::new(connection.life().clone(), Arc::new(Self { connection, prefix, hub }))
    }
}

#[async_trait]
impl Source for Claims {
    type Listening = Listening;

    /// Claims what there is. The script looks at so many records at most; where it ends before it has found one that is due,
    /// it is run again. It asks for that only where it has got on.
    async fn look(&self, claim: &Claim) -> Result<Look> {
        let read = Reader("claim");
        let mut script = self.prefix.invoke(&commands::CLAIM);
        script.arg(claim.stream.storage_name()).arg(claim.group.as_str());
        script.arg(claim.max).arg(micros(claim.visibility)).arg(claim.max_deliveries.unwrap_or(0));
        loop {
            let mut answer = read.list(self.connection.run("claim", &script).await?)?.into_iter();
            let more = read.text(answer.next())? == "1";
            let due = read.text(answer.next())?.parse().ok().map(Duration::from_micros);
            let given = read.list(answer.next().unwrap_or(Value::Nil))?;
            let given: Vec<_> = given.into_iter().map(|fields| delivery(claim, fields)).collect::<Result<_>>()?;
            if !more || !given.is_empty() {
                return Ok(Look { given, due });
            }
        }
    }

    async fn listen(&self, stream: &StreamName, woken: Arc<Notify>) -> Result<Listening> {
        self.hub.listen("claim", Topic::Channel(wake(stream)), Arc::new(Waker(woken))).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        streams::settle(&self.connection, &self.prefix, settlements).await
    }

    /// Pushes may be away for long while calls are answered: the server takes no more clients.
    fn longest_wait(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }
}

fn delivery(claim: &Claim, fields: Value) -> Result<Delivery> {
    let read = Reader("claim");
    let mut fields = read.list(fields)?.into_iter();
    let position = Position(read.number(fields.next())?);
    let delivery = u32::try_from(read.number(fields.next())?).unwrap_or(u32::MAX);
    let Record { payload, id, mut headers, .. } = read.record(&read.bytes(fields.next())?)?;
    if let Some(death) = death(&read.text(fields.next())?) {
        headers = death.told(headers);
    }
    let receipt = Receipt { stream: claim.stream.clone(), group: claim.group.clone(), position, delivery };
    Ok(Delivery { receipt, payload, id, headers })
}

/// Why a record is dead: deliveries, position and reason, as the scripts wrote them.
fn death(text: &str) -> Option<Death<'_>> {
    let mut parts = text.splitn(3, ' ');
    let (deliveries, position) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok().map(Position)?);
    Some(Death { reason: parts.next()?, deliveries, position })
}

/// Wakes who waits for a stream: when it is appended to, and by anything else that makes a claim worth another look.
struct Waker(Arc<Notify>);

impl Listener for Waker {
    fn receive(&self, _: &str, _: Bytes) {
        self.0.notify_one();
    }

    fn mark_gap(&self) {
        self.0.notify_one();
    }

    fn end(&self, _: End) {
        self.0.notify_one();
    }
}
