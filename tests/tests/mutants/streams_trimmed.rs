//! Trims that drop what is not settled yet, and what is told of a stream afterwards.

use crate::mutants::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Appended, Driver, Receipt, Record, Result, Retention, Settled, Settlement, StreamInfo, StreamName,
};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "given_back_is_dropped",
            breaks: "A trim drops what was given back to be retried at once",
            caught_by: "streams.what_was_given_back_is_kept",
            fault: Arc::new(DropsGivenBack::if_retried(|after| after.is_zero())),
        },
        Mutant {
            name: "retried_later_is_dropped",
            breaks: "A trim drops what was given back to be retried later",
            caught_by: "streams.what_was_given_back_is_kept",
            fault: Arc::new(DropsGivenBack::if_retried(|after| !after.is_zero())),
        },
        Mutant {
            name: "delayed_is_dropped",
            breaks: "A trim drops what waits for its delay, where every group has settled everything else",
            caught_by: "streams.what_is_delayed_is_kept",
            fault: Arc::new(DropsDelayed::default()),
        },
        Mutant {
            name: "lag_counts_what_is_gone",
            breaks: "A group lags behind by what was dropped as well",
            caught_by: "streams.inspect_counts_what_is_left_of_a_trim",
            fault: Arc::new(CountsDropped),
        },
    ]
}

/// Lets a member hold what it gave back, for as long as that is not delivered again; a trim settles it.
struct DropsGivenBack {
    dropped: fn(Duration) -> bool,
    given_back: Mutex<HashSet<Receipt>>,
}

impl DropsGivenBack {
    /// Drops what was given back to be retried after such a time.
    fn if_retried(dropped: fn(Duration) -> bool) -> Self {
        Self { dropped, given_back: Mutex::default() }
    }
}

#[async_trait]
impl Fault for DropsGivenBack {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settlements = settlements.to_vec();
        for Settlement { receipt, action } in &mut settlements {
            if self.given_back.lock().contains(receipt) {
                // No delivery is counted as this one: it is stale.
                receipt.delivery = 0;
            } else if let Action::Retry { after } = *action
                && (self.dropped)(after)
            {
                self.given_back.lock().insert(receipt.clone());
                *action = Action::Extend { visibility: after.max(Duration::from_nanos(1)) };
            }
        }
        inner.settle(&settlements).await
    }

    async fn trim(&self, inner: &Arc<dyn Driver>, stream: &StreamName, keep: Retention) -> Result<u64> {
        let given_back: Vec<_> = self.given_back.lock().iter().filter(|one| one.stream == *stream).cloned().collect();
        for receipt in given_back {
            inner.settle(&[Settlement { receipt, action: Action::Ack }]).await?;
        }
        inner.trim(stream, keep).await
    }
}

/// The streams of delayed records, and when each is due.
#[derive(Default)]
struct DropsDelayed(Mutex<Vec<(StreamName, Instant)>>);

#[async_trait]
impl Fault for DropsDelayed {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let appended = inner.append(stream, records).await?;
        let delays = records.iter().filter_map(|record| record.delay);
        self.0.lock().extend(delays.map(|delay| (stream.clone(), Instant::now() + delay)));
        Ok(appended)
    }

    async fn trim(&self, inner: &Arc<dyn Driver>, stream: &StreamName, keep: Retention) -> Result<u64> {
        let now = Instant::now();
        let delayed = self.0.lock().iter().filter(|(at, due)| at == stream && *due > now).count() as u64;
        let groups = inner.inspect(stream).await?.groups;
        // Who has looked at all has what is delayed pending, and here nothing else. It comes to be again as it was.
        let only_delayed = groups.iter().all(|group| (group.pending, group.lag, group.dead) == (delayed, 0, 0));
        if keep == Retention::Newest(0) && delayed > 0 && only_delayed {
            for group in groups {
                inner.remove_group(stream, &group.name).await?;
            }
        }
        inner.trim(stream, keep).await
    }
}

struct CountsDropped;

#[async_trait]
impl Fault for CountsDropped {
    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        let dropped = info.last.map_or(0, |last| last.0.saturating_sub(info.length));
        for group in info.groups.iter_mut().filter(|group| group.lag > 0) {
            group.lag += dropped;
        }
        Ok(info)
    }
}
