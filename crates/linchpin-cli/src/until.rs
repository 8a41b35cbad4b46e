//! How long a command that prints events goes on.

use crate::exit::{Failure, TEMPORARY, UNAVAILABLE};
use crate::output;
use futures::stream::{Stream, StreamExt};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// When to stop. Ctrl-C and a reader that goes away stop it in any case.
#[derive(Debug, clap::Args)]
pub(crate) struct Until {
    /// Stop after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after this time; with --count that is exit code 75, if not as many came
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

impl Until {
    /// Shows what comes; `show` says whether it counts.
    pub(crate) async fn each<T>(
        &self,
        events: impl Stream<Item = T>,
        mut show: impl AsyncFnMut(T) -> Result<bool, Failure>,
    ) -> Result<ExitCode, Failure> {
        let end = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut shown = 0;
        let (mut events, mut unread) = (pin!(events), pin!(output::nobody_reads()));
        while self.count.is_none_or(|count| shown < count) {
            let event = tokio::select! {
                biased;
                () = &mut unread => return Err(Failure::nobody_reads()),
                event = events.next() => event,
                () = at(end) => return self.timed_out(shown),
            };
            let event = event.ok_or_else(|| Failure::new(UNAVAILABLE, "the backend ended it; start again"))?;
            shown += u64::from(show(event).await?);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn timed_out(&self, shown: u64) -> Result<ExitCode, Failure> {
        match self.count {
            None => Ok(ExitCode::SUCCESS),
            Some(count) => {
                let waited = humantime::format_duration(self.timeout.unwrap_or_default());
                Err(Failure::new(TEMPORARY, format!("{shown} of {count} came within {waited}")))
            }
        }
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_with_the_count_the_time_or_the_events() {
        let count = |count, timeout| Until { count, timeout: Some(Duration::from_millis(timeout)) };
        let events = || futures::stream::iter(0..4).chain(futures::stream::pending());
        let even = async |n: i32| Ok(n % 2 == 0);
        assert!(count(Some(2), 60_000).each(events(), even).await.is_ok());
        let late = count(Some(3), 20).each(events(), even).await.expect_err("too few");
        assert_eq!((late.code, late.message.as_str()), (TEMPORARY, "2 of 3 came within 20ms"));
        assert!(count(None, 20).each(events(), even).await.is_ok());
        let ended = count(None, 60_000).each(futures::stream::iter(0..4), even).await.expect_err("it ended");
        assert_eq!(ended.code, UNAVAILABLE);
    }
}
