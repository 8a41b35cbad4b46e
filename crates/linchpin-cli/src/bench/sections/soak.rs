//! A million small things in streams, state and messages, and what the adapter's tables take meanwhile: what only grows is
//! seen.
//!
//! Laps of the same work. After each the tables are looked at, and then vacuumed, as the server does in its own time, which
//! need not come while this runs. What is kept for a while only, as the ids of transactions are, is as much in each lap once
//! the first while is over; so the second half of the laps takes no more than the first.

use crate::bench::problem::Result;
use crate::bench::raw::Raw;
use crate::bench::report::{Soak, SoakSample};
use crate::bench::{PAYLOAD, Pace, Site};
use bytes::Bytes;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use linchpin::{
    Action, Area, Claim, Coordinator, Driver, GroupName, MemberName, Pattern, Record, Retention, Settlement,
    StreamName, Transaction, TransactionId,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const TOTAL: u64 = 1_000_000;
const QUICK_TOTAL: u64 = 100_000;
const LAPS: u64 = 10;
const STREAMS: u64 = 4;
const BATCH: u64 = 100;
/// A stream is trimmed after so many batches.
const TRIMMED_AFTER: u64 = 10;
/// One in so many has an id, is large, expires or is deleted.
const ONE_IN: u64 = 10;
const KEYS: u64 = 1000;
const COMMITS_AT_ONCE: usize = 64;
const MESSAGES_AT_ONCE: usize = 16;
/// More than a NOTIFY carries.
const LARGE: usize = 16 << 10;
const TTL: Duration = Duration::from_secs(20);
/// No lap waits longer for what is kept for a while.
const LONGEST_LAP: Duration = Duration::from_secs(30);
/// How long what is kept for a while may take to be gone, after that while.
const GRACE: Duration = Duration::from_mins(1);

/// How much of each goes through at once.
#[derive(Clone, Copy)]
struct Load {
    records: u64,
    commits: u64,
    messages: u64,
}

impl Load {
    fn of(total: u64) -> Self {
        Self { records: total / 2, commits: total / 5 * 2, messages: total / 10 }
    }
}

pub(crate) async fn run<S: Raw>(site: &Site<S>, pace: Pace) -> Result<Soak> {
    let coordinator = site.coordinator().await?;
    let total = if pace.quick { QUICK_TOTAL } else { TOTAL };
    let progress = pace.progress("soak", usize::try_from(LAPS).unwrap_or(usize::MAX) + 1);
    let listening = listen(&coordinator).await?;
    let (started, load) = (Instant::now(), Load::of(total / LAPS));
    let mut soak = Soak { samples: vec![look(site, "before").await?], ..Soak::default() };
    let shortest = if pace.quick { Duration::ZERO } else { (kept(&coordinator) / 4).min(LONGEST_LAP) };
    for lap in 1..=LAPS {
        let over = tokio::time::sleep(shortest);
        soak.large += lap_of(&coordinator, load).await?;
        over.await;
        soak.records += load.records;
        soak.commits += load.commits;
        soak.messages += load.messages;
        soak.samples.push(look(site, &format!("{} %", 100 * lap / LAPS)).await?);
        site.server.vacuum().await?;
        progress.step();
    }
    let first = soak.samples.first().map(SoakSample::total).unwrap_or_default().rows;
    let last = forgotten(site, &coordinator, first + total / 100).await?;
    soak.samples.push(last);
    soak.seconds = started.elapsed().as_secs_f64();
    progress.step();
    listening.abort();
    coordinator.shutdown().await?;
    Ok(soak)
}

async fn look<S: Raw>(site: &Site<S>, when: &str) -> Result<SoakSample> {
    Ok(SoakSample { when: when.to_owned(), tables: site.server.tables().await? })
}

/// For how long ids are remembered.
fn kept(coordinator: &Coordinator) -> Duration {
    let capabilities = coordinator.driver().capabilities();
    let streams = capabilities.streams.as_ref().and_then(|streams| streams.dedupe_window);
    [capabilities.transaction_ids, streams].into_iter().flatten().max().unwrap_or_default()
}

/// Somebody who hears the messages, as large ones are fetched.
async fn listen(coordinator: &Coordinator) -> Result<JoinHandle<()>> {
    let mut messages = coordinator.driver().subscribe(&Pattern::new("*")?).await?;
    Ok(tokio::spawn(async move { while messages.next().await.is_some() {} }))
}

/// One lap of everything; how many messages were large.
async fn lap_of(coordinator: &Coordinator, load: Load) -> Result<u64> {
    let driver = coordinator.driver();
    let streams = (0..STREAMS).map(|number| pass_through(driver, number, load.records / STREAMS));
    let (_, (), large) =
        tokio::try_join!(try_join_all(streams), commit(driver, load.commits), publish(driver, load.messages))?;
    Ok(large)
}

/// Appends, claims, acknowledges and trims so many records of one stream.
async fn pass_through(driver: &Arc<dyn Driver>, number: u64, records: u64) -> Result<()> {
    let stream = stream_name(number)?;
    let claim = Claim::new(stream.clone(), GroupName::new("soak")?, MemberName::new("soak")?);
    let batch = BATCH.min(u64::try_from(driver.capabilities().limits.batch).unwrap_or(u64::MAX));
    let claim = claim.max(usize::try_from(batch).unwrap_or(usize::MAX));
    let (mut appended, mut batches) = (0, 0);
    while appended < records {
        let wanted = batch.min(records - appended);
        let of_batch = (0..wanted).map(|number| {
            let record = Record::new(PAYLOAD);
            if number.is_multiple_of(ONE_IN) {
                record.with_id(format!("{:032x}", fastrand::u128(..)))
            } else {
                Ok(record)
            }
        });
        driver.append(&stream, &of_batch.collect::<linchpin::Result<Vec<_>>>()?).await?;
        appended += wanted;
        acknowledge(driver, &claim).await?;
        batches += 1;
        if u64::is_multiple_of(batches, TRIMMED_AFTER) {
            driver.trim(&stream, Retention::Newest(batch)).await?;
        }
    }
    acknowledge(driver, &claim).await
}

async fn acknowledge(driver: &Arc<dyn Driver>, claim: &Claim) -> Result<()> {
    let deliveries = driver.claim(claim).await?;
    let settled = deliveries.into_iter().map(|delivery| Settlement { receipt: delivery.receipt, action: Action::Ack });
    let settled: Vec<Settlement> = settled.collect();
    if !settled.is_empty() {
        driver.settle(&settled).await?;
    }
    Ok(())
}

/// Writes to some keys, with ids; some expire, some are deleted.
async fn commit(driver: &Arc<dyn Driver>, commits: u64) -> Result<()> {
    let one = || async move {
        let key = Area::USER.key(&format!("soak-{}", fastrand::u64(..KEYS)))?;
        let transaction = Transaction::new().with_id(TransactionId::random());
        let transaction = match fastrand::u64(..ONE_IN) {
            0 => transaction.delete(key),
            1 => transaction.put(key, PAYLOAD, Some(TTL)),
            _ => transaction.put(key, PAYLOAD, None),
        };
        driver.commit(&transaction).await.map(drop)
    };
    let all = stream::iter(0..commits).map(|_| one());
    Ok(all.buffer_unordered(COMMITS_AT_ONCE).try_collect().await?)
}

async fn publish(driver: &Arc<dyn Driver>, messages: u64) -> Result<u64> {
    let channel = Area::USER.channel("soak")?;
    let (small, large) = (Bytes::from_static(PAYLOAD), Bytes::from(vec![7; LARGE]));
    let one = |number: u64| {
        let payload = if number.is_multiple_of(ONE_IN) { &large } else { &small };
        driver.publish(&channel, payload.clone())
    };
    let publishing = stream::iter(0..messages).map(one).buffer_unordered(MESSAGES_AT_ONCE);
    publishing.map_ok(drop).try_collect::<()>().await?;
    Ok(messages.div_ceil(ONE_IN))
}

fn stream_name(number: u64) -> Result<StreamName> {
    Ok(StreamName::new(format!("soak-{number}"))?)
}

/// Deletes what is left and waits, while little goes on, until no more than `few` rows are there, or should long be.
async fn forgotten<S: Raw>(site: &Site<S>, coordinator: &Coordinator, few: u64) -> Result<SoakSample> {
    const LITTLE: Load = Load { records: BATCH, commits: KEYS / 10, messages: 10 };
    let until = Instant::now() + kept(coordinator) + GRACE;
    coordinator.port().delete_pattern("soak-*").await?;
    loop {
        lap_of(coordinator, LITTLE).await?;
        for number in 0..STREAMS {
            coordinator.driver().trim(&stream_name(number)?, Retention::Newest(0)).await?;
        }
        site.server.vacuum().await?;
        let sample = look(site, "in the end").await?;
        if sample.total().rows <= few || Instant::now() >= until {
            return Ok(sample);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
