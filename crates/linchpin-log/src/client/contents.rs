//! What records of streams carry: it lies beside the log, so that only those receive it who claim it.

use super::Client;
use crate::log::Log;
use bytes::Bytes;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::records::{decode, encode};
use linchpin_core::{Action, Appended, Delivery, Error, ErrorKind, Operation, Record, Result, Settlement, StreamName};
use linchpin_machine::{ClaimAnswer, Command, Placed, Reply};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// How often contents are placed that are not needed any more before their records come.
const ATTEMPTS: usize = 5;

impl<L: Log> Client<L> {
    /// Has records appended, once their contents are kept.
    pub(crate) async fn append_records(
        self: &Arc<Self>,
        stream: &StreamName,
        records: &[Record],
    ) -> Result<Vec<Appended>> {
        let living = stream.living();
        let contents: Vec<Bytes> = records.iter().map(|record| encode(record).into()).collect();
        for _ in 0..ATTEMPTS {
            let places = self.again("append", || self.log.keep_contents(&living, contents.clone())).await;
            // Nothing was appended yet.
            let places = places.map_err(Error::of_read)?;
            let lies_at = |((record, content), place): ((&Record, &Bytes), u64)| {
                let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
                Placed { place, size, id: record.id.clone(), delay: record.delay }
            };
            let records = records.iter().zip(&contents).zip(places).map(lies_at).collect();
            match self.call(Operation::Append, &Command::AppendPlaced { stream: stream.clone(), records }).await? {
                Reply::Appended(all) => return Ok(all),
                // Others were done meanwhile with all that came later.
                Reply::Released => {}
                _ => return Err(Error::unreadable("append", "another command's reply")),
            }
        }
        let problem = "the contents of the records were out of date again and again as these came to be appended";
        Err(Error::new(ErrorKind::Unavailable, "append", problem).of_read())
    }

    /// What was claimed, with its contents. What has lost its content is settled: nobody can read it any more.
    pub(crate) async fn fill(self: &Arc<Self>, stream: &StreamName, answer: ClaimAnswer) -> Result<Vec<Delivery>> {
        let ClaimAnswer { deliveries, places, .. } = answer;
        if places.is_empty() {
            return Ok(deliveries);
        }
        let stream = stream.living();
        let contents = self.again("claim", || self.log.contents(&stream, &places)).await?;
        let (mut whole, mut lost) = (Vec::with_capacity(deliveries.len()), Vec::new());
        for (delivery, content) in deliveries.into_iter().zip(contents) {
            match content.and_then(|content| decode(&content)) {
                Some(record) => whole.push(filled(delivery, record)),
                None => lost.push(delivery.receipt),
            }
        }
        let Some(first) = lost.first() else { return Ok(whole) };
        let (count, position) = (lost.len(), first.position.0);
        tracing::error!(%stream, count, position, "records have lost their contents; they are settled");
        let settlements = lost.into_iter().map(|receipt| Settlement { receipt, action: Action::Ack }).collect();
        self.call(Operation::Settle, &Command::Settle(settlements)).await?;
        if whole.is_empty() {
            let problem = format!(
                "{count} records of the stream, from position {position} on, have lost their contents, which somebody removed at the server; they count as settled"
            );
            return Err(Error::new(ErrorKind::Backend, "claim", problem));
        }
        Ok(whole)
    }

    /// Drops the contents that no record needs any more. Where this fails they are dropped later.
    pub(crate) async fn drop_released(&self) {
        let released: Vec<_> = {
            let (state, mut dropped) = (self.state.lock(), self.dropped.lock());
            let all: HashMap<_, _> = state.replica.machine.released().collect();
            dropped.retain(|stream, _| all.contains_key(stream));
            let new = all.into_iter().filter(|(stream, before)| dropped.get(stream).is_none_or(|known| known < before));
            new.map(|(stream, before)| (stream.clone(), before)).collect()
        };
        for (stream, before) in released {
            if let Err(error) = self.log.drop_contents(&stream, before).await {
                tracing::debug!(%error, "contents could not be dropped; they will be later");
                return;
            }
            self.dropped.lock().insert(stream, before);
        }
    }

    /// Asks the log again as long as what it fails with may pass.
    pub(super) async fn again<T, F: Future<Output = Result<T>>>(
        &self,
        name: &'static str,
        ask: impl Fn() -> F,
    ) -> Result<T> {
        let (until, mut backoff) = (Instant::now() + self.settings.limit, Backoff::default());
        loop {
            let Ok(answer) = timeout_at(until, ask()).await else {
                return Err(Error::timeout(name, self.settings.limit).of_read());
            };
            match answer {
                Err(error) if error.is_transient() && Instant::now() < until => backoff.pause().await,
                answer => return answer.map_err(|error| error.with_operation(name)),
            }
        }
    }
}

/// A delivery with what its record carries: its own headers, and those that tell of its death.
fn filled(delivery: Delivery, record: Record) -> Delivery {
    let Delivery { receipt, headers: story, .. } = delivery;
    let Record { payload, id, mut headers, .. } = record;
    headers.retain(|(name, _)| story.iter().all(|(own, _)| own != name));
    headers.extend(story);
    Delivery { receipt, payload, id, headers }
}
