//! How long a command that prints events goes on.

use crate::exit::{Failure, IO, TEMPORARY, UNAVAILABLE};
use crate::global::Global;
use crate::output;
use futures::stream::{Stream, StreamExt};
use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long what was taken from the backend may take to be printed, once the end was asked for.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

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
    ///
    /// A message counts as heard from when it is taken, which is before it is shown. So neither a signal nor the end of
    /// the time drops what was taken: the backend is closed, and the events are shown up to their end.
    pub(crate) async fn each<T>(
        &self,
        global: &Global,
        events: impl Stream<Item = T>,
        mut show: impl AsyncFnMut(T) -> Result<bool, Failure>,
    ) -> Result<ExitCode, Failure> {
        let _taken = global.take_signals();
        let mut signals = global.signals();
        let end = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let shown = Cell::new(0);
        let (mut events, mut unread) = (pin!(events), pin!(output::nobody_reads()));
        let mut showing = pin!(async {
            while self.count.is_none_or(|count| shown.get() < count) {
                let event = events.next().await;
                let event = event.ok_or_else(|| Failure::new(UNAVAILABLE, "the backend ended it; start again"))?;
                shown.set(shown.get() + u64::from(show(event).await?));
            }
            Ok(ExitCode::SUCCESS)
        });
        let signal = tokio::select! {
            biased;
            () = &mut unread => return Err(Failure::nobody_reads()),
            signal = signals.next() => Some(signal),
            ended = &mut showing => return ended,
            () = at(end) => None,
        };
        let answers = async { self.count.is_none() || signal.is_some() || global.answers().await };
        let answers = tokio::select! {
            biased;
            signal = signals.next() => return Err(Failure::of_signal(signal)),
            answers = answers => answers,
        };
        let rest = async {
            tokio::select! {
                ended = &mut showing => ended,
                never = close(global) => match never {},
            }
        };
        let rest = tokio::select! {
            biased;
            () = unread => return Err(Failure::nobody_reads()),
            // Whoever asks twice will not wait.
            _ = signals.next() => None,
            rest = timeout(SHOWN_WITHIN, rest) => rest.ok(),
        };
        match (rest, signal) {
            (Some(Err(failure)), _) if failure.code == IO => Err(failure),
            (_, Some(signal)) => Err(Failure::of_signal(signal)),
            (Some(Ok(code)), None) => Ok(code),
            (_, None) => self.timed_out(shown.get(), answers),
        }
    }

    /// Too few that came, or nobody who answers: that is not the same.
    fn timed_out(&self, shown: u64, answers: bool) -> Result<ExitCode, Failure> {
        let Some(count) = self.count else { return Ok(ExitCode::SUCCESS) };
        let waited = humantime::format_duration(self.timeout.unwrap_or_default());
        let came = format!("{shown} of {count} came within {waited}");
        Err(if answers {
            Failure::new(TEMPORARY, came)
        } else {
            Failure::new(UNAVAILABLE, format!("{came}, and the backend does not answer"))
        })
    }
}

/// Closes the backend, so that no events come after those that are here already.
async fn close(global: &Global) -> Infallible {
    // What goes wrong the end of the session says.
    let _ = global.close().await;
    std::future::pending().await
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
    use crate::cli::Cli;
    use clap::Parser;
    use rustix::process::Signal;
    use std::cell::RefCell;

    fn global() -> Global {
        Global::new(Cli::try_parse_from(["linchpin", "sub", "c"]).expect("it parses").options)
    }

    fn until(count: Option<u64>, timeout: u64) -> Until {
        Until { count, timeout: Some(Duration::from_millis(timeout)) }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_count_the_time_or_the_events() {
        let global = global();
        let events = || futures::stream::iter(0..4).chain(futures::stream::pending());
        let even = async |n: i32| Ok(n % 2 == 0);
        assert!(until(Some(2), 60_000).each(&global, events(), even).await.is_ok());
        let late = until(Some(3), 20).each(&global, events(), even).await.expect_err("too few");
        assert_eq!((late.code, late.message.as_str()), (TEMPORARY, "2 of 3 came within 20ms"));
        assert!(until(None, 20).each(&global, events(), even).await.is_ok());
        let ended = until(None, 60_000).each(&global, futures::stream::iter(0..4), even).await.expect_err("it ended");
        assert_eq!(ended.code, UNAVAILABLE);
    }

    /// An event that takes a while to be taken, as one does that is acknowledged, and one that takes a while to be shown.
    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_shown_whatever_ends_it() {
        let wait = || tokio::time::sleep(Duration::from_millis(200));
        for asked in [None, Some(Signal::TERM)] {
            let (global, seen) = (global(), RefCell::new(Vec::new()));
            let events = futures::stream::iter(0..2).then(async |n| {
                wait().await;
                n
            });
            let show = async |n| {
                wait().await;
                seen.borrow_mut().push(n);
                Ok(true)
            };
            let end = if asked.is_some() { 60_000 } else { 100 };
            let until = until(None, end);
            let (ended, ()) =
                tokio::join!(until.each(&global, events.chain(futures::stream::pending()), show), async {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if let Some(signal) = asked {
                        global.hand_on(signal);
                    }
                });
            assert_eq!(ended.map_err(|failure| failure.code).err(), asked.map(|_| 143));
            assert_eq!(seen.into_inner(), [0, 1], "{asked:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_twice_does_not_wait_for_a_reader_that_does_not_read() {
        let again = Duration::from_millis(10);
        for (signals, took) in [(1, SHOWN_WITHIN), (2, again)] {
            let (global, started) = (global(), Instant::now());
            let until = Until { count: None, timeout: None };
            let stuck = async |_| std::future::pending().await;
            let ended = async {
                let ended = until.each(&global, futures::stream::iter([0]), stuck).await;
                (ended.expect_err("a signal").code, started.elapsed())
            };
            let ask = async {
                for _ in 0..signals {
                    global.hand_on(Signal::INT);
                    tokio::time::sleep(again).await;
                }
            };
            let ((code, elapsed), ()) = tokio::join!(ended, ask);
            assert_eq!(code, 130);
            assert!(elapsed >= took && elapsed < took + again, "{signals} took {elapsed:?}");
        }
    }
}
