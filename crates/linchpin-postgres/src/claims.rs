//! Claiming. Those of one group that wait form a queue: the first of them looks whenever something wakes it, and hands its
//! place on when it leaves. So one look serves all, however many wait.

use crate::arguments::{field, micros, number};
use crate::hub::{Hub, Listener, Listening};
use crate::names::{Topic, to_text};
use crate::records::read_headers;
use crate::streams::{Streams, text};
use linchpin_core::life::Ended;
use linchpin_core::{Claim, Delivery, GroupName, MAX_TTL, Position, Receipt, Result, StreamName};
use parking_lot::Mutex;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, timeout_at};

/// A group is looked at again after this time, should nobody wake who waits.
const SLOW_POLL: Duration = Duration::from_secs(1);

/// Where those that wait for a group queue. The first has the waker, which stays as long as somebody waits.
type Queue = AsyncMutex<Option<Waker>>;

/// The queues of a handle.
#[derive(Default)]
pub(crate) struct Queues(Mutex<HashMap<(StreamName, GroupName), Weak<Queue>>>);

impl Queues {
    /// The queue of those that wait already.
    fn of(&self, claim: &Claim) -> Option<Arc<Queue>> {
        self.0.lock().get(&(claim.stream.clone(), claim.group.clone())).and_then(Weak::upgrade)
    }

    fn join(&self, claim: &Claim) -> Arc<Queue> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(&(claim.stream.clone(), claim.group.clone())).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::default();
        queues.insert((claim.stream.clone(), claim.group.clone()), Arc::downgrade(&queue));
        queue
    }
}

impl Streams {
    /// Claims, and waits for as long as the claim says: until the stream wakes it, or until something pending becomes due.
    pub(crate) async fn claim(&self, claim: &Claim) -> Result<Vec<Delivery>> {
        let deadline = Instant::now() + claim.wait.min(MAX_TTL);
        // Where others wait there was nothing a moment ago, and the first of them looks.
        if claim.wait.is_zero() || self.queues.of(claim).is_none() {
            let (given, _) = self.claim_now(claim).await?;
            if !given.is_empty() || claim.wait.is_zero() {
                return Ok(given);
            }
        }
        let queue = self.queues.join(claim);
        let Ok(mut waker) = timeout_at(deadline, queue.lock()).await else { return Ok(Vec::new()) };
        if waker.is_none() {
            *waker = Some(Waker::of(&self.hub, &claim.stream).await?);
        }
        let Some(waker) = &mut *waker else { return Ok(Vec::new()) };
        loop {
            // Looked at after the server listens: what was appended before is found, what comes later wakes.
            let (given, due) = self.claim_now(claim).await?;
            let now = Instant::now();
            if !given.is_empty() || now >= deadline {
                return Ok(given);
            }
            let next = deadline.min(now + due.map_or(SLOW_POLL, |due| due.min(SLOW_POLL)));
            // Woken or not, it is looked at again.
            let _ = timeout_at(next, waker.woken()).await;
        }
    }

    /// Claims what there is; if nothing, tells when something pending becomes due. A call passes over as much as it may:
    /// only one that found the end says that there is nothing.
    async fn claim_now(&self, claim: &Claim) -> Result<(Vec<Delivery>, Option<Duration>)> {
        loop {
            let (given, due) = self.claim_step(claim).await?;
            if !given.is_empty() || due != Some(Duration::ZERO) {
                return Ok((given, due));
            }
        }
    }

    async fn claim_step(&self, claim: &Claim) -> Result<(Vec<Delivery>, Option<Duration>)> {
        const CLAIM: &str = "SELECT a.* FROM linchpin.patience AS p, LATERAL \
                             linchpin.claim_records($1 || p.nothing, $2, $3, $4, $5, $6, $7) AS a";
        let most = i32::try_from(claim.max).unwrap_or(i32::MAX);
        let enough = claim.max_deliveries.map_or(0, |enough| i32::try_from(enough).unwrap_or(i32::MAX));
        let name = claim.stream.storage_name();
        let given = || {
            let given = self.given().with(name.as_bytes()).with(claim.group.as_str().as_bytes());
            let given = given.with(claim.member.as_str().as_bytes()).with(most).with(micros(claim.visibility));
            given.with(enough)
        };
        // Who claims for a group that is there waits for nobody who holds the stream, nor for those who wait for that.
        let held = format!("{} of {name}", claim.group);
        let row = self.patience.row("claim", &held, CLAIM, given).await?;
        if field("claim", &row, 1)? {
            self.notices.wake(&claim.stream.dead_letters(&claim.group).storage_name());
        }
        let wait: Option<i64> = field("claim", &row, 0)?;
        Ok((deliveries(claim, &row)?, wait.map(|wait| Duration::from_micros(number(wait)))))
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
    woken: Arc<Woken>,
    _listening: Listening,
}

struct Woken {
    stream: String,
    notify: Notify,
}

impl Listener for Woken {
    fn receive(&self, stream: &str) {
        if stream == self.stream {
            self.notify.notify_one();
        }
    }

    fn mark_gap(&self) {
        self.notify.notify_one();
    }

    fn end(&self, _: Ended) {
        self.notify.notify_one();
    }
}

impl Waker {
    async fn of(hub: &Arc<Hub>, stream: &StreamName) -> Result<Self> {
        let stream = to_text(stream.storage_name().as_bytes());
        let woken = Arc::new(Woken { stream, notify: Notify::new() });
        let listening = hub.listen("claim", Topic::Streams, woken.clone(), None).await?;
        Ok(Self { woken, _listening: listening })
    }

    /// Returns when the stream is to be looked at again; remembers a wake-up that came before the call.
    async fn woken(&mut self) {
        self.woken.notify.notified().await;
    }
}
