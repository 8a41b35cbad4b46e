//! Claiming: one look of a member's, and what wakes those that wait.

use crate::arguments::{field, micros, number};
use crate::forgetting::Leftover;
use crate::hub::{Listener, Listening};
use crate::names::{Topic, to_text};
use crate::records::read_headers;
use crate::streams::{Streams, text};
use async_trait::async_trait;
use linchpin_adapter::claims::{Look, Source};
use linchpin_core::life::End;
use linchpin_core::{Claim, Delivery, Position, Receipt, Result, Settled, Settlement, StreamName};
use sqlx::postgres::PgRow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

#[async_trait]
impl Source for Streams {
    type Listening = Listening;

    /// Claims what there is. A call passes over as much as it may: only one that found the end says that there is nothing.
    async fn look(&self, claim: &Claim) -> Result<Look> {
        loop {
            let Look { given, due } = self.claim_step(claim).await?;
            if !given.is_empty() || due != Some(Duration::ZERO) {
                return Ok(Look { given, due });
            }
        }
    }

    async fn listen(&self, stream: &StreamName, woken: Arc<Notify>) -> Result<Listening> {
        let stream = to_text(stream.storage_name().as_bytes());
        self.hub.listen("claim", Topic::Streams, Arc::new(Waker { stream, woken }), None).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        self.settle(settlements).await
    }

    /// A wake-up that is lost on its way to the server's other processes is told as a gap only at the next heartbeat.
    fn longest_wait(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Streams {
    async fn claim_step(&self, claim: &Claim) -> Result<Look> {
        const CLAIM: &str = "SELECT a.* FROM linchpin.patience AS p, LATERAL \
                             linchpin.claim_records($1 || p.nothing, $2, $3, $4, $5, $6, $7) AS a";
        // What it claims may be appended where there is no handle.
        self.forgetting.later(Leftover::RecordId);
        let most = i32::try_from(claim.max).unwrap_or(i32::MAX);
        let enough = claim.max_deliveries.map_or(0, |enough| i32::try_from(enough).unwrap_or(i32::MAX));
        let name = claim.stream.storage_name();
        let given = self.given().with(name.as_bytes()).with(claim.group.as_str().as_bytes());
        let given = given.with(claim.member.as_str().as_bytes()).with(most).with(micros(claim.visibility));
        let given = given.with(enough).of("claim")?;
        // Who claims for a group that is there waits for nobody who holds the stream, nor for those who wait for that.
        let held = format!("{} of {name}", claim.group);
        let row = self.patience.row("claim", &held, CLAIM, given).await?;
        if field("claim", &row, 1)? {
            self.notices.wake(&claim.stream.dead_letters(&claim.group).storage_name());
        }
        let wait: Option<i64> = field("claim", &row, 0)?;
        let due = wait.map(|wait| Duration::from_micros(number(wait)));
        Ok(Look { given: deliveries(claim, &row)?, due })
    }
}

/// What a claim was given.
fn deliveries(claim: &Claim, row: &PgRow) -> Result<Vec<Delivery>> {
    let positions: Vec<i64> = field("claim", row, 2)?;
    let counts: Vec<i32> = field("claim", row, 3)?;
    let ids: Vec<Option<Vec<u8>>> = field("claim", row, 4)?;
    let headers: Vec<Option<String>> = field("claim", row, 5)?;
    let stories: Vec<Option<String>> = field("claim", row, 6)?;
    let payloads: Vec<Vec<u8>> = field("claim", row, 7)?;
    let texts = headers.iter().zip(&stories);
    let records = ids.into_iter().zip(texts).zip(payloads);
    let delivery = |((position, count), ((id, (headers, story)), payload)): ((_, _), ((Option<_>, _), Vec<u8>))| {
        let (headers, story): (&Option<String>, &Option<String>) = (headers, story);
        let (stream, group) = (claim.stream.clone(), claim.group.clone());
        let delivery = u32::try_from(count).unwrap_or(u32::MAX);
        let receipt = Receipt { stream, group, position: Position(number(position)), delivery };
        Ok(Delivery {
            receipt,
            payload: payload.into(),
            id: id.map(|id| text("claim", id)).transpose()?,
            headers: read_headers(headers.as_deref(), story.as_deref())?,
        })
    };
    positions.into_iter().zip(counts).zip(records).map(delivery).collect()
}

/// Wakes who waits for a stream: when it is appended to, and by anything else that makes a claim worth another look.
struct Waker {
    stream: String,
    woken: Arc<Notify>,
}

impl Listener for Waker {
    fn receive(&self, stream: &str) {
        if stream == self.stream {
            self.woken.notify_one();
        }
    }

    fn mark_gap(&self) {
        self.woken.notify_one();
    }

    fn end(&self, _: End) {
        self.woken.notify_one();
    }
}
