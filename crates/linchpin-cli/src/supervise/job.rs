//! The options of whatever runs a command while it holds something.

use crate::exit::Failure;
use std::ffi::OsString;
use std::time::Duration;

/// Enough for most to end in order.
const DEFAULT_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// After how long without a sign of life it passes to the next; 300ms at least
    ///
    /// It is renewed at a third of that. A longer one outlives longer outages, and passes on later if we die.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "10s")]
    pub(crate) ttl: Duration,
    /// How long before it would be lost to send SIGTERM; 2s, or a quarter of the TTL if that is less, unless told
    ///
    /// That much time the command has to end in order. SIGKILL comes when the time is over, which is before another can
    /// hold what we held. A third of the TTL at most, so that a renewal that failed can be tried again before.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandName)]
    pub(crate) command: Vec<OsString>,
}

impl JobArgs {
    /// The time between SIGTERM and SIGKILL.
    pub(crate) fn grace(&self) -> Result<Duration, Failure> {
        let most = self.ttl / 3;
        match self.grace {
            None => Ok(DEFAULT_GRACE.min(self.ttl / 4)),
            Some(grace) if grace <= most => Ok(grace),
            Some(grace) => {
                let most = Duration::from_millis(u64::try_from(most.as_millis()).unwrap_or(u64::MAX));
                let [grace, ttl, most] = [grace, self.ttl, most].map(humantime::format_duration);
                Err(Failure::invalid(format!(
                    "a --grace of {grace} is too long: with a --ttl of {ttl} it is {most} at most, a third of it, so that \
                     a renewal that failed can be tried again before; a longer --ttl leaves more"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_fits_the_ttl() {
        let [second, minute] = [1, 60].map(Duration::from_secs);
        let job = |ttl, grace| JobArgs { ttl, grace, command: Vec::new() };
        assert_eq!(job(second, None).grace().expect("a quarter"), second / 4);
        assert_eq!(job(minute, None).grace().expect("two seconds"), second * 2);
        assert_eq!(job(minute, Some(minute / 3)).grace().expect("fits"), second * 20);
        let refused = job(second * 10, Some(second * 4)).grace().expect_err("too long");
        assert!(refused.message.contains("is 3s 333ms at most"), "{}", refused.message);
    }
}
