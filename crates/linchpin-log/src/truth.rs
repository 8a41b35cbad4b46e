//! What a log says from its beginning on: the last snapshot that is whole, and what comes after it.

use crate::log::Log;
use crate::replica::Replica;
use bytes::Bytes;
use linchpin_core::{Error, ErrorKind, Result};

/// Where to begin to read a log.
pub(crate) async fn begin(log: &impl Log) -> Result<Replica> {
    let bounds = log.bounds().await?;
    let kept = log.snapshots().await?;
    // One that is older than all records leaves a gap; one that is newer is of another log.
    for offset in kept.into_iter().rev().filter(|offset| (bounds.first..=bounds.next).contains(offset)) {
        if let Some(replica) = whole(log, offset, bounds.log).await? {
            return Ok(replica);
        }
        tracing::warn!(offset, "a snapshot is not whole, or of another log; going back to the one before it");
    }
    if bounds.first > 0 {
        let problem = "the log's beginning was dropped, and no snapshot of it is left that is whole";
        return Err(Error::new(ErrorKind::Backend, "connect", problem));
    }
    Ok(Replica::new(bounds.log))
}

/// What a snapshot says, if it is whole, and of this log.
async fn whole(log: &impl Log, offset: u64, of: u64) -> Result<Option<Replica>> {
    let bytes = log.snapshot(offset).await?;
    let replica = bytes.and_then(|bytes| Replica::restore(&bytes));
    Ok(replica.filter(|replica| replica.next() == offset && replica.log() == of))
}

/// Keeps a snapshot of this log, and drops what comes before the older one of the last two that are whole.
pub(crate) async fn keep(log: &impl Log, of: u64, offset: u64, snapshot: Bytes) -> Result<()> {
    log.keep_snapshot(offset, snapshot).await?;
    drop_before_last(log, of, 2).await
}

/// Drops what comes before the last snapshots, so many that are whole.
pub(crate) async fn drop_before_last(log: &impl Log, of: u64, count: usize) -> Result<()> {
    let kept = log.snapshots().await?;
    let mut are_whole = 0;
    for offset in kept.iter().copied().rev() {
        if whole(log, offset, of).await?.is_none() {
            continue;
        }
        are_whole += 1;
        if are_whole == count {
            // First the records: whoever begins meanwhile finds a snapshot.
            log.trim(offset).await?;
            for older in kept.into_iter().filter(|older| *older < offset) {
                log.drop_snapshot(older).await?;
            }
            break;
        }
    }
    Ok(())
}
