//! No call takes longer than it may.

use super::around::Call;
use crate::error::{Error, Result};
use std::time::Duration;

/// Ends a call that takes longer than `limit`, besides the time it waits on purpose. The outcome of a
/// write that was ended is unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeout {
    pub(super) limit: Duration,
}

impl Timeout {
    pub(super) async fn around<T>(&self, call: Call<'_>, run: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.limit.saturating_add(call.waits);
        tokio::time::timeout(limit, run).await.unwrap_or_else(|_| {
            let late = Error::timeout(call.operation.as_str(), limit);
            let late = if call.operation.is_read() { late.of_read() } else { late };
            Err(match call.subject {
                Some(subject) => late.with_subject(subject),
                None => late,
            })
        })
    }
}
