//! Claiming: a consumer of the server hands records round among the members of a group; the ledger decides who has one.

use crate::codec::Time;
use crate::error::Refusal;
use crate::ledger::{Entry, Known, State};
use crate::names::{short_token, token};
use crate::pull::{self, Handed, Pull, Pulled};
use crate::record;
use crate::streams::{ATTEMPTS, NAME, Streams, nanos, pause};
use linchpin_core::{Claim, Delivery, Error, MAX_TTL, Receipt, Record, Result, dead_letter};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After this the server hands a record out again that nobody spoke for. Every claim tells it its own time; this is
/// for records that got lost on their way to a member.
const UNCLAIMED: Duration = Duration::from_secs(2);
/// A request for records that is answered sooner, and with none, did not wait.
const EARLY: Duration = Duration::from_millis(10);
/// How often a record is looked at that others are just writing about.
const LOOKS: u32 = 8;
/// How many groups and deliveries a handle remembers.
const MOST_KNOWN: usize = 16_384;

/// What a handle remembers, to ask less.
#[derive(Default)]
pub(crate) struct Groups {
    /// The consumers that are there.
    known: Mutex<HashSet<(String, String)>>,
    /// Where the entries of deliveries stand that are not settled, by their subjects.
    live: Mutex<HashMap<String, (u64, Entry)>>,
    looking: tokio::sync::Mutex<()>,
}

impl Groups {
    pub(crate) fn remember(&self, subject: String, sequence: u64, entry: Entry) {
        let mut live = self.live.lock();
        if live.len() >= MOST_KNOWN {
            live.clear();
        }
        live.insert(subject, (sequence, entry));
    }

    pub(crate) fn recall(&self, subject: &str) -> Option<(u64, Entry)> {
        self.live.lock().remove(subject)
    }
}

impl Streams {
    /// Claims records, and waits for the first as long as the claim says.
    ///
    /// # Cancel safety
    /// Records that were handed out when it is dropped are claimed all the same, until their visibility has passed.
    pub(crate) async fn claim(self: &Arc<Self>, claim: &Claim) -> Result<Vec<Delivery>> {
        let deadline = Instant::now() + claim.wait.min(MAX_TTL);
        let mut attempt = 0;
        loop {
            match self.try_claim(claim, deadline).await? {
                Ok(deliveries) => return Ok(deliveries),
                Err(gone) => {
                    self.groups.known.lock().remove(&self.consumer(claim));
                    attempt += 1;
                    if attempt >= ATTEMPTS {
                        return Err(gone.into_error("claim"));
                    }
                    if attempt > 1 {
                        pause(attempt).await;
                    }
                }
            }
        }
    }

    /// The names of the server's stream and consumer.
    fn consumer(&self, claim: &Claim) -> (String, String) {
        (self.names.records(&claim.stream), short_token(claim.group.as_str()))
    }

    /// Claims, until there is something or the time is over; or the consumer is gone.
    async fn try_claim(
        self: &Arc<Self>,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<std::result::Result<Vec<Delivery>, Refusal>> {
        let (records, consumer) = self.consumer(claim);
        self.ensure(claim, &records, &consumer).await?;
        let mut pull = Pull::new(self.connection.clone(), &records, &consumer).await?;
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut early = 0;
        loop {
            let (missing, asked) = (claim.max - deliveries.len(), Instant::now());
            let until = if deliveries.is_empty() { deadline } else { Instant::now() };
            let handed = match pull.take(missing, until).await {
                Ok(Pulled::Records(handed)) => handed,
                // Whoever has got something is told of it.
                Ok(Pulled::Gone(_)) | Err(_) if !deliveries.is_empty() => break,
                Ok(Pulled::Gone(refusal)) => return Ok(Err(refusal)),
                Err(error) => return Err(error),
            };
            let (is_all, is_none) = (handed.len() < missing, handed.is_empty());
            deliveries.extend(self.take_all(claim, handed).await?);
            let is_over = Instant::now() >= deadline || !deliveries.is_empty();
            if deliveries.len() >= claim.max || (is_all && is_over) {
                break;
            }
            if is_none && asked.elapsed() < EARLY {
                // There is less than those want who wait already.
                pause(early).await;
                early += 1;
            } else {
                early = 0;
            }
        }
        deliveries.sort_by_key(|delivery| delivery.receipt.position);
        Ok(Ok(deliveries))
    }

    /// Creates the consumer, unless it is known to be there: a group comes to be with its first claim.
    async fn ensure(&self, claim: &Claim, records: &str, consumer: &str) -> Result<()> {
        let key = (records.to_owned(), consumer.to_owned());
        if self.groups.known.lock().contains(&key) {
            return Ok(());
        }
        let config = json!({
            "stream_name": records,
            "config": {
                "name": consumer,
                "durable_name": consumer,
                "deliver_policy": "all",
                "ack_policy": "explicit",
                "ack_wait": nanos(UNCLAIMED),
                "max_deliver": -1,
                "max_ack_pending": -1,
                "max_waiting": 8_192,
                "metadata": { NAME: token(claim.group.as_str()) },
            },
        });
        let subject = format!("CONSUMER.CREATE.{records}.{consumer}");
        for attempt in 0.. {
            match self.connection.api::<IgnoredAny>("claim", &subject, &config).await? {
                Ok(_) => break,
                Err(refusal) => self.mend("claim", &claim.stream, refusal, attempt).await?,
            }
        }
        self.ledger.look_at_the_clock("claim").await?;
        let mut known = self.groups.known.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key);
        Ok(())
    }

    /// Takes what was handed out. It goes on if nobody waits for it any more, so that nothing stays on its way.
    async fn take_all(self: &Arc<Self>, claim: &Claim, handed: Vec<Handed>) -> Result<Vec<Delivery>> {
        if handed.is_empty() {
            return Ok(Vec::new());
        }
        let (streams, claim) = (self.clone(), claim.clone());
        let taking = tokio::spawn(async move {
            let take = async |handed: Handed| {
                let ack = handed.ack.clone();
                let taken = streams.take(&claim, handed).await;
                if taken.is_err() {
                    streams.put_off("claim", &ack, Duration::ZERO).await;
                }
                taken
            };
            futures::future::join_all(handed.into_iter().map(take)).await
        });
        let taken = taking.await.map_err(|_| Error::unreadable("claim", "taking a record failed"))?;
        let (mut deliveries, mut failure) = (Vec::new(), None);
        for taken in taken {
            match taken {
                Ok(delivery) => deliveries.extend(delivery),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if deliveries.is_empty() => Err(error),
            _ => Ok(deliveries),
        }
    }

    /// Takes a record, if it is to be had.
    async fn take(&self, claim: &Claim, handed: Handed) -> Result<Option<Delivery>> {
        let position = handed.message.sequence;
        let subject = self.ledger.subject(&claim.stream, &claim.group, position);
        let record = record::decode(&handed.message.headers, &handed.message.payload);
        self.clock.sample(handed.message.time);
        for attempt in 0..LOOKS {
            // Of what is handed out for the first time nothing is known, as long as the server forgets nothing.
            let known = match (attempt, handed.times) {
                (0, 1) => None,
                _ => self.ledger.read("claim", &subject).await?,
            };
            let due = match &known {
                Some(known) => known.due(),
                None => record::due(&record, handed.message.time),
            };
            if let Some(rest) = self.rest(due).await? {
                self.keep_waiting(&subject, known, &handed, rest).await?;
                return Ok(None);
            }
            let (expected, deliveries) = match &known {
                None => (0, 0),
                Some(Known { sequence, entry, .. }) if matches!(entry.state, State::Settled | State::Dead(_)) => {
                    let entry = Entry { ack: handed.ack, ..entry.clone() };
                    self.finish("claim", &claim.stream, &claim.group, position, *sequence, &entry, Some(record))
                        .await?;
                    return Ok(None);
                }
                Some(Known { sequence, entry, .. }) => (*sequence, entry.deliveries),
            };
            let is_exhausted = claim.max_deliveries.is_some_and(|most| deliveries >= most);
            let entry = if is_exhausted {
                let state = State::Dead(dead_letter::MAX_DELIVERIES.to_owned());
                Entry { deliveries, state, ack: handed.ack.clone() }
            } else {
                let state = State::Held(claim.visibility);
                Entry { deliveries: deliveries.saturating_add(1), state, ack: handed.ack.clone() }
            };
            let Some(sequence) = self.ledger.write("claim", &subject, expected, &entry).await? else {
                if attempt > 1 {
                    pause(attempt).await;
                }
                continue;
            };
            if is_exhausted {
                self.finish("claim", &claim.stream, &claim.group, position, sequence, &entry, Some(record)).await?;
                return Ok(None);
            }
            if claim.visibility != UNCLAIMED {
                self.put_off("claim", &handed.ack, claim.visibility).await;
            }
            let delivery = delivered(claim, position, entry.deliveries, record);
            self.groups.remember(subject, sequence, entry);
            return Ok(Some(delivery));
        }
        // Others have it.
        Ok(None)
    }

    /// Has a record handed out again later whose time has not come. A consumer that counts less than it did has
    /// forgotten the delivery that is written down, and would not know what its member says of it.
    async fn keep_waiting(&self, subject: &str, known: Option<Known>, handed: &Handed, rest: Duration) -> Result<()> {
        if let Some(Known { sequence, entry, .. }) = known
            && matches!(entry.state, State::Held(_))
            && pull::times(&entry.ack) >= Some(handed.times)
        {
            let entry = Entry { state: State::Held(rest), ack: handed.ack.clone(), ..entry };
            self.ledger.write("claim", subject, sequence, &entry).await?;
        }
        self.put_off("claim", &handed.ack, rest).await;
        Ok(())
    }

    /// How long it is until then.
    async fn rest(&self, due: Option<Time>) -> Result<Option<Duration>> {
        let Some(due) = due else { return Ok(None) };
        let rest = || Some(due.since(self.clock.now())).filter(|rest| !rest.is_zero());
        if rest().is_some() && self.clock.is_stale() {
            let _looking = self.groups.looking.lock().await;
            if self.clock.is_stale() {
                self.ledger.look_at_the_clock("claim").await?;
            }
        }
        Ok(rest())
    }
}

fn delivered(claim: &Claim, position: u64, delivery: u32, record: Record) -> Delivery {
    let position = linchpin_core::Position(position);
    let receipt = Receipt { stream: claim.stream.clone(), group: claim.group.clone(), position, delivery };
    let Record { payload, id, headers, .. } = record;
    Delivery { receipt, payload, id, headers }
}
