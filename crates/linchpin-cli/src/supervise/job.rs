//! The options of whatever runs a command while it holds something.

use crate::exit::Failure;
use std::ffi::OsString;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// After how long without a sign of life it passes to the next; 300ms at least
    ///
    /// It is renewed at a third of that. A longer one outlives longer outages, and passes on later if we die.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "10s")]
    pub(crate) ttl: Duration,
    /// Once it is lost: how long after SIGTERM to send SIGKILL
    ///
    /// We know of a loss by our own clock before another can hold it: by 1 % of the TTL, 50ms at least. The grace has to
    /// fit in there: four fifths of it at most, half of it unless told.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandName)]
    pub(crate) command: Vec<OsString>,
}

impl JobArgs {
    /// The time between SIGTERM and SIGKILL.
    pub(crate) fn grace(&self) -> Result<Duration, Failure> {
        let margin = margin(self.ttl);
        let most = margin * 4 / 5;
        match self.grace {
            None => Ok(margin / 2),
            Some(grace) if grace <= most => Ok(grace),
            Some(grace) => {
                let [grace, ttl, most] = [grace, self.ttl, most].map(humantime::format_duration);
                Err(Failure::invalid(format!(
                    "a --grace of {grace} is too long: with a --ttl of {ttl} the command has to be gone within {most}, \
                     before another holds what was lost; a longer --ttl leaves more"
                )))
            }
        }
    }
}

/// How much earlier than the backend a holder of linchpin's counts itself out.
fn margin(ttl: Duration) -> Duration {
    (ttl / 100).max(Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ours is the library's: a lock that is not renewed reports itself lost that much before its TTL is over.
    #[tokio::test(start_paused = true)]
    async fn the_margin_is_that_of_the_leases() {
        let coordinator = linchpin::connect("memory://").await.expect("connected");
        for ttl in [Duration::from_millis(300), Duration::from_secs(10), Duration::from_secs(60)] {
            let started = tokio::time::Instant::now();
            let lock = coordinator.lock("l").ttl(ttl).without_renewal();
            let guard = lock.acquire().await.expect("acquired");
            guard.lost().await;
            let early = ttl.saturating_sub(started.elapsed());
            assert!(early.abs_diff(margin(ttl)) <= Duration::from_millis(2), "{ttl:?}: {early:?}");
        }
    }

    #[test]
    fn a_grace_that_outlives_the_margin_is_refused() {
        let job = |ttl, grace: Option<u64>| JobArgs {
            ttl: Duration::from_secs(ttl),
            grace: grace.map(Duration::from_millis),
            command: Vec::new(),
        };
        assert_eq!(job(10, None).grace().expect("half"), Duration::from_millis(50));
        assert_eq!(job(60, Some(480)).grace().expect("fits"), Duration::from_millis(480));
        let refused = job(10, Some(81)).grace().expect_err("too long");
        assert!(refused.message.contains("within 80ms"), "{}", refused.message);
    }
}
