//! How commands get into the log: those that are asked for while others are on their way go together.

use super::Client;
use crate::envelope::Envelope;
use crate::log::Log;
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, stream};
use linchpin_adapter::backoff::Backoff;
use linchpin_core::{Error, ErrorKind, Result, Retry};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// How many records of a client are on their way at once, and parts of a command.
const AT_ONCE: usize = 4;

/// Appends what is asked for, for as long as there is a client.
pub(super) async fn send_all<L: Log>(client: Weak<Client<L>>, log: Arc<L>, asked: Arc<Notify>) {
    let mut on_their_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = asked.notified(), if on_their_way.len() < AT_ONCE => {}
            Some(()) = on_their_way.next() => {}
        }
        while on_their_way.len() < AT_ONCE {
            let Some(alive) = client.upgrade() else { return };
            let room = alive.settings.record.saturating_sub(Envelope::OVERHEAD);
            let commands = alive.state.lock().pending.next(room);
            if commands.is_empty() {
                break;
            }
            on_their_way.push(send(client.clone(), log.clone(), commands));
        }
    }
}

/// Appends commands, again and again, as long as somebody waits for them. Whether the log has them is known by reading.
async fn send<L: Log>(client: Weak<Client<L>>, log: Arc<L>, commands: Vec<u64>) {
    let (mut backoff, mut is_relieved, mut appended) = (Backoff::default(), false, Vec::new());
    loop {
        let reached = log.is_reached().await;
        let is_reached = reached.is_ok();
        let failed = match reached {
            Ok(()) => append(&client, &*log, &commands, &mut appended).await.err(),
            Err(error) => Some(error.with_retry(Retry::Safe)),
        };
        let (Some(error), Some(client)) = (failed, client.upgrade()) else { return };
        let is_full = error.kind() == ErrorKind::ResourceExhausted;
        if is_full && !is_relieved {
            is_relieved = true;
            client.relieve().await;
            continue;
        }
        if !is_reached || !error.is_transient() || is_full {
            client.state.lock().pending.refuse(&commands, &Arc::new(error));
        }
        drop(client);
        backoff.pause().await;
    }
}

/// Appends those of the commands that somebody still waits for: those are in doubt from now on, unless this fails before the
/// log has them.
async fn append<L: Log>(client: &Weak<Client<L>>, log: &L, commands: &[u64], appended: &mut Vec<bool>) -> Result<()> {
    let Some((before, records)) = client.upgrade().map(|client| client.enclose(commands)) else { return Ok(()) };
    if before.is_empty() {
        return Ok(());
    }
    appended.resize(records.len(), false);
    let result = append_parts(log, records, appended).await;
    if let (Err(error), Some(client)) = (&result, client.upgrade()) {
        client.state.lock().pending.failed(before, error.maybe_applied());
    }
    result
}

/// Appends the parts of a command that were not yet; they count only once all are there, in whatever order. Fails as the one
/// does that is surely not there, if there is such a one.
async fn append_parts<L: Log>(log: &L, records: Vec<Bytes>, appended: &mut [bool]) -> Result<()> {
    let left: Vec<_> = (0..).zip(records).filter(|(number, _): &(usize, _)| !appended[*number]).collect();
    let append = |(number, record)| async move { (number, log.append(record).await) };
    let mut results = stream::iter(left.into_iter().map(append)).buffer_unordered(AT_ONCE);
    let mut failed: Option<Error> = None;
    while let Some((number, result)) = results.next().await {
        appended[number] = result.is_ok();
        failed = failed.filter(|failed| result.is_ok() || !failed.maybe_applied()).or(result.err());
    }
    failed.map_or(Ok(()), Err)
}

impl<L> Client<L> {
    /// The records of those of the commands that somebody still waits for, which are in doubt from now on; and which of them
    /// were before.
    fn enclose(&self, commands: &[u64]) -> (Vec<(u64, bool)>, Vec<Bytes>) {
        let mut state = self.state.lock();
        let (before, commands) = state.pending.begin(commands);
        let (author, done, read) = (self.author, state.pending.done(), state.replica.mark());
        drop(state);
        (before, Envelope { author, done, read, commands }.into_records(self.settings.record))
    }
}
