//! What may pass by itself is tried again, where that cannot apply it twice.

use super::around::Call;
use crate::capabilities::{Capabilities, MAX_TTL};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::operation::Operation;
use crate::transaction::{Transaction, TransactionId};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// How often and how long a call is tried.
///
/// A `Safe` error is tried again always, an `Unknown` one only if the call is idempotent: transactions are
/// given an id for that where the backend remembers ids. After the last attempt the error is marked
/// `Never`, so that no layer above multiplies the attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 never retries.
    pub attempts: u32,
    /// The pause before the second attempt, doubled for each further one; each is cut by up to a half at
    /// random, so that clients do not come back in step.
    pub first_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// No attempt starts after this time has passed since the first one did; what a claim waits on purpose does not
    /// count.
    pub total: Duration,
}

impl Default for RetryPolicy {
    /// 12 attempts within 10 seconds, pauses from 25 ms to 1 s: a server that refuses connections while it
    /// restarts has about 5 seconds for that.
    fn default() -> Self {
        Self {
            attempts: 12,
            first_pause: Duration::from_millis(25),
            max_pause: Duration::from_secs(1),
            total: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// Every call is tried once.
    pub const NEVER: Self =
        Self { attempts: 1, first_pause: Duration::ZERO, max_pause: Duration::ZERO, total: Duration::ZERO };

    fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(2_u32.saturating_pow(attempt - 1));
        doubled.min(self.max_pause).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RetryLayer {
    pub(super) policy: RetryPolicy,
}

impl RetryLayer {
    pub(super) async fn around<T, F: Future<Output = Result<T>>>(
        &self,
        call: Call<'_>,
        attempt: impl Fn(Duration) -> F,
    ) -> Result<T> {
        let mut asked = Instant::now();
        let waits_until = asked + call.waits.min(MAX_TTL);
        let (mut started, mut made, mut waits) = (asked, 0, call.waits);
        let mut maybe_applied = false;
        loop {
            let error = match attempt(waits).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            maybe_applied |= error.maybe_applied();
            // What a server that is silent took for one more attempt was no such wait.
            let is_silence = made > 0 && error.kind() == ErrorKind::Timeout;
            let at_least = if is_silence { self.policy.total } else { self.policy.max_pause };
            if !waits.is_zero() && asked.elapsed() > at_least {
                // It had been waiting for good reason until something broke: that is the first failure.
                (started, made) = (Instant::now(), 0);
            }
            made += 1;
            let pause = self.policy.pause(made);
            let last = made >= self.policy.attempts || started.elapsed() + pause > self.policy.total;
            // An attempt after the window would be taken for another call and applied again; half of it
            // leaves time for the attempt to arrive.
            let forgotten = call.window.is_some_and(|window| started.elapsed() + pause > window / 2);
            if last || (forgotten && maybe_applied) || !may_repeat(&error, call) {
                return Err(exhausted(error, maybe_applied, call));
            }
            tokio::time::sleep(pause).await;
            asked = Instant::now();
            waits = waits_until.saturating_duration_since(asked);
        }
    }

    /// Gives a transaction that changes something an id, so that it may be repeated.
    pub(super) fn prepare<'t>(
        &self,
        capabilities: &Capabilities,
        transaction: &'t Transaction,
    ) -> Cow<'t, Transaction> {
        let needs_id = self.policy.attempts > 1 && !transaction.is_idempotent();
        match capabilities.transaction_ids {
            Some(_) if needs_id => Cow::Owned(transaction.clone().with_id(TransactionId::random())),
            _ => Cow::Borrowed(transaction),
        }
    }
}

fn may_repeat(error: &Error, call: Call<'_>) -> bool {
    // A health check tells how it is now, and a closed handle stays closed.
    let wanted = call.operation != Operation::Health && error.kind() != ErrorKind::Closed;
    wanted
        && match error.retry() {
            Retry::Safe => true,
            Retry::Unknown => call.idempotent,
            Retry::Never => false,
        }
}

/// The error of the last attempt; an earlier one may have been applied.
fn exhausted(error: Error, maybe_applied: bool, call: Call<'_>) -> Error {
    let error = if maybe_applied && !call.operation.is_read() { error.with_retry(Retry::Unknown) } else { error };
    error.with_retry(Retry::Never)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::timeout::Timeout;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn call(idempotent: bool) -> Call<'static> {
        Call { idempotent, ..Call::new(Operation::Commit, Some("k")) }
    }

    /// Runs a call that fails `failures` times with `retry` and counts its attempts.
    async fn attempts(call: Call<'static>, retry: Retry, failures: u32) -> (u32, Result<()>) {
        let made = AtomicU32::new(0);
        let layer = RetryLayer { policy: RetryPolicy::default() };
        let result = layer
            .around(call, |_| {
                let attempt = made.fetch_add(1, Ordering::SeqCst);
                async move {
                    if attempt < failures {
                        return Err(Error::new(ErrorKind::Unavailable, "commit", "away").with_retry(retry));
                    }
                    Ok(())
                }
            })
            .await;
        (made.load(Ordering::SeqCst), result)
    }

    #[tokio::test(start_paused = true)]
    async fn safe_is_repeated_always_unknown_only_if_idempotent_never_not() {
        assert!(matches!(attempts(call(false), Retry::Safe, 3).await, (4, Ok(()))));
        assert!(matches!(attempts(call(true), Retry::Unknown, 3).await, (4, Ok(()))));
        assert!(matches!(attempts(call(false), Retry::Unknown, 3).await, (1, Err(_))));
        assert!(matches!(attempts(call(true), Retry::Never, 3).await, (1, Err(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_is_marked_never_and_keeps_the_doubt() {
        let (made, result) = attempts(call(true), Retry::Unknown, 99).await;
        let error = result.expect_err("it never succeeds");
        assert_eq!((made, error.retry(), error.maybe_applied()), (12, Retry::Never, true));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_repeated_once_the_backend_may_have_forgotten_it() {
        let call = Call { window: Some(Duration::from_millis(100)), ..call(true) };
        let (made, result) = attempts(call, Retry::Unknown, 99).await;
        assert!(made < 5 && result.expect_err("it never succeeds").maybe_applied(), "{made}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_on_purpose_waits_on_for_what_is_left_and_no_longer() {
        let asked = parking_lot::Mutex::new(Vec::new());
        let layer = RetryLayer { policy: RetryPolicy::default() };
        let waits = Duration::from_mins(1);
        let started = Instant::now();
        let result = layer
            .around(Call { waits, ..call(true) }, |wait| {
                asked.lock().push(wait);
                let breaks_after = Duration::from_secs(25).min(wait);
                async move {
                    tokio::time::sleep(breaks_after).await;
                    if wait <= Duration::from_secs(25) {
                        return Ok(());
                    }
                    Err(Error::new(ErrorKind::Unavailable, "claim", "away").with_retry(Retry::Unknown))
                }
            })
            .await;
        result.expect("it broke twice, long after the ten seconds of all attempts");
        let asked = asked.into_inner();
        assert_eq!((asked[0], asked.len()), (waits, 3));
        assert!(asked[1] <= Duration::from_secs(35) && asked[2] <= Duration::from_secs(10), "{asked:?}");
        assert!(started.elapsed() <= waits, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_on_purpose_gives_up_as_others_do_when_the_backend_is_away() {
        let call = Call { waits: Duration::from_hours(1), ..call(true) };
        let (made, result) = attempts(call, Retry::Unknown, 99).await;
        assert_eq!((made, result.expect_err("it never succeeds").kind()), (12, ErrorKind::Unavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_on_purpose_gives_up_as_others_do_when_the_backend_is_silent() {
        let layer = RetryLayer { policy: RetryPolicy::default() };
        let started = Instant::now();
        let call = Call { waits: Duration::from_hours(1), ..call(true) };
        let result: Result<()> = layer
            .around(call, |_| async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Err(Error::timeout("claim", Duration::from_secs(5)))
            })
            .await;
        assert_eq!(result.expect_err("it never succeeds").kind(), ErrorKind::Timeout);
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_in_time_and_a_write_says_that_it_may_have_been_applied() {
        let timeout = Timeout { limit: Duration::from_secs(2) };
        let started = Instant::now();
        let result: Result<()> = timeout.around(call(false), std::future::pending()).await;
        let error = result.expect_err("it hangs");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Unknown));
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }
}
