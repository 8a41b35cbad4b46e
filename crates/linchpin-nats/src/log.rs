//! A namespace's log, and what lies beside it: streams of the server.

use crate::connection::Connection;
use crate::error::no_answer;
use crate::names::Names;
use crate::reader::Reader;
use crate::stream::{Cluster, Info, ServerStream};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use linchpin_core::{Error, ErrorKind, Result, Retry, StreamName};
use linchpin_log::{Bounds, Log};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout};

/// How many requests of a call are on their way at once.
const AT_ONCE: usize = 64;

/// A stream that has not taken a record within this time may have lost it, as its leader went.
const RESEND: Duration = Duration::from_secs(1);

/// How many bytes a second a line carries at least that is of any use.
const SLOWEST: u32 = 128 * 1024;

/// How large a part of a snapshot is at most, and a record of the log.
pub(crate) const PART: usize = 512 * 1024;

/// The records of a namespace are a stream of the server; another one has snapshots and the contents of records of streams.
pub struct NatsLog {
    names: Names,
    log: ServerStream,
    data: ServerStream,
    part: usize,
    first: Mutex<First>,
}

/// Of which stream the contents are.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    /// The place of what would stand before its first message.
    place: u64,
    /// The last sequence that is known.
    last: u64,
    looked: Option<Instant>,
}

/// For how long it is taken for granted that the stream of the contents is still the same: nobody but somebody who removes it
/// by hand makes it another one.
const SAME: Duration = Duration::from_secs(10);

impl NatsLog {
    pub(crate) fn new(connection: &Arc<Connection>, names: Names, replicas: usize) -> Self {
        let log = ServerStream::new(connection.clone(), names.log(), vec![names.log_subject()], replicas);
        let data = ServerStream::new(connection.clone(), names.data(), names.data_subjects().to_vec(), replicas);
        // A part and its subject; the server allows at least 64 KiB.
        let part = PART.min(connection.server().max_payload.saturating_sub(4 * 1024));
        Self { names, log, data: data.read_directly(), part, first: Mutex::default() }
    }

    /// Makes the streams, if they are not there: how many copies they have.
    pub(crate) async fn provide(&self) -> Result<usize> {
        let (log, _) = tokio::try_join!(self.log.provide(), self.data.provide())?;
        Ok(log.replicas())
    }

    /// Of which stream the contents are. The places of one that is made anew are greater: they begin with the second in which
    /// it was made.
    async fn first(&self, operation: &'static str) -> Result<First> {
        let known = *self.first.lock();
        if known.looked.is_some_and(|looked| looked.elapsed() < SAME) {
            return Ok(known);
        }
        let Info { created, state, .. } = self.data.info(operation, None).await?;
        let place = seconds(humantime::parse_rfc3339(&created).unwrap_or(UNIX_EPOCH)) << 32;
        let last = if place == known.place { known.last } else { 0 };
        let first = First { place, last: last.max(state.last_seq), looked: Some(Instant::now()) };
        *self.first.lock() = first;
        Ok(first)
    }
}

/// Since 2020, so that there is room for as many messages in a second.
fn seconds(time: SystemTime) -> u64 {
    const YEAR_2020: u64 = 1_577_836_800;
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(YEAR_2020)
}

#[async_trait]
impl Log for NatsLog {
    type Reader = Reader;

    async fn is_reached(&self) -> Result<()> {
        self.log.connection.admit("append").await
    }

    async fn append(&self, body: Bytes) -> Result<()> {
        let within = RESEND + Duration::from_secs(body.len() as u64) / SLOWEST;
        let stored = timeout(within, self.log.store("append", self.names.log_subject(), body));
        stored.await.unwrap_or_else(|_| Err(no_answer("append"))).map(drop)
    }

    async fn read(&self, from: u64) -> Result<Reader> {
        Reader::open(&self.log, from).await
    }

    async fn bounds(&self) -> Result<Bounds> {
        let Info { created, state, .. } = self.log.info("read", None).await?;
        let log = Sha256::digest(created).iter().take(8).fold(0, |log, byte| log << 8 | u64::from(*byte));
        let next = state.last_seq;
        let first = if state.messages == 0 { next } else { state.first_seq.saturating_sub(1) };
        Ok(Bounds { log, first, next })
    }

    async fn trim(&self, before: u64) -> Result<()> {
        self.log.purge_before("trim", None, before + 1).await
    }

    async fn keep_snapshot(&self, offset: u64, body: Bytes) -> Result<()> {
        let parts = (0..body.len()).step_by(self.part).map(|at| body.slice(at..body.len().min(at + self.part)));
        let keep = |(number, part)| self.data.store("snapshot", self.names.part(offset, number), part);
        stream::iter(parts.enumerate()).map(keep).buffered(2).try_for_each(async |_| Ok(())).await
    }

    async fn snapshots(&self) -> Result<Vec<u64>> {
        let info = self.data.info("connect", Some(&self.names.all_parts())).await?;
        let subjects = info.state.subjects.unwrap_or_default();
        let offsets: BTreeSet<_> = subjects.keys().filter_map(|subject| self.names.offset_of(subject)).collect();
        Ok(offsets.into_iter().collect())
    }

    async fn snapshot(&self, offset: u64) -> Result<Option<Bytes>> {
        let info = self.data.info("connect", Some(&self.names.parts(offset))).await?;
        let count = info.state.subjects.map_or(0, |subjects| subjects.len());
        let read = |number| {
            let subject = self.names.part(offset, number);
            async move { self.data.read("connect", &subject, &json!({ "last_by_subj": subject })).await }
        };
        let parts: Vec<_> = stream::iter((0..count).map(read)).buffered(AT_ONCE).try_collect().await?;
        let whole: Option<Vec<Bytes>> = parts.into_iter().collect();
        Ok(whole.filter(|parts| !parts.is_empty()).map(|parts| parts.concat().into()))
    }

    async fn drop_snapshot(&self, offset: u64) -> Result<()> {
        self.data.purge("snapshot", &json!({ "filter": self.names.parts(offset) })).await
    }

    async fn degraded(&self) -> Result<Vec<String>> {
        let info = self.log.info("health", None).await?;
        let Some(Cluster { leader, replicas }) = info.cluster else { return Ok(Vec::new()) };
        let mut reasons = Vec::new();
        if leader.is_none_or(|leader| leader.is_empty()) {
            reasons.push("the cluster has no leader for the namespace's stream".to_owned());
        }
        let behind = replicas.iter().filter(|replica| !replica.current || replica.offline);
        reasons.extend(behind.map(|replica| format!("the replica on {:?} is offline or behind", replica.name)));
        Ok(reasons)
    }

    async fn keep_contents(&self, stream: &StreamName, contents: Vec<Bytes>) -> Result<Vec<u64>> {
        let (first, subject) = (self.first("append").await?, self.names.contents(stream));
        let keep = |content| self.data.store("append", subject.clone(), content);
        let kept: Vec<u64> = stream::iter(contents.into_iter().map(keep)).buffered(AT_ONCE).try_collect().await?;
        let mut known = self.first.lock();
        if kept.iter().any(|sequence| *sequence <= first.last) {
            known.looked = None;
            drop(known);
            let problem = "the stream of the contents was made anew meanwhile";
            return Err(Error::new(ErrorKind::Unavailable, "append", problem).with_retry(Retry::Safe));
        }
        known.last = kept.iter().copied().fold(known.last, u64::max);
        Ok(kept.into_iter().map(|sequence| first.place + sequence).collect())
    }

    async fn contents(&self, stream: &StreamName, places: &[u64]) -> Result<Vec<Option<Bytes>>> {
        let (first, subject) = (self.first("claim").await?.place, &self.names.contents(stream));
        let read = |place: u64| async move {
            // What lies before the first one lay in a stream that is gone.
            let Some(sequence) = place.checked_sub(first) else { return Ok(None) };
            self.data.read("claim", subject, &json!({ "seq": sequence })).await
        };
        stream::iter(places.iter().copied().map(read)).buffered(AT_ONCE).try_collect().await
    }

    async fn drop_contents(&self, stream: &StreamName, before: u64) -> Result<()> {
        let Some(before) = before.checked_sub(self.first("trim").await?.place) else { return Ok(()) };
        self.data.purge_before("trim", Some(self.names.contents(stream)), before).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_made_anew_has_greater_places() {
        let time = |text| humantime::parse_rfc3339(text).expect("a time");
        let (old, new) = (time("2026-12-01T07:14:26.123456789Z"), time("2026-12-01T07:14:27Z"));
        assert_eq!((seconds(new) << 32) - (seconds(old) << 32), 1 << 32);
        assert!(seconds(time("2200-01-01T00:00:00Z")) << 32 < u64::MAX / 2);
    }
}
