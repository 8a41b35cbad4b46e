//! The pauses between attempts, each cut at random, so that clients do not come back in step.

use linchpin_core::{Error, Result};
use std::time::Duration;

/// The pauses between attempts to reconnect: doubled from 20 ms to 1 s, each cut by up to a half.
///
/// ```
/// # use linchpin_adapter::backoff::Backoff;
/// # use std::time::Duration;
/// let mut backoff = Backoff::default();
/// assert!(backoff.step() <= Duration::from_millis(20) && backoff.step() >= Duration::from_millis(20));
/// backoff.reset();
/// assert!(backoff.step() <= Duration::from_millis(20));
/// ```
#[derive(Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    /// Pauses, longer each time.
    ///
    /// # Cancel safety
    /// Dropping the future ends the pause; the next one is longer all the same.
    ///
    /// ```
    /// use linchpin_adapter::backoff::Backoff;
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let (mut backoff, began) = (Backoff::default(), Instant::now());
    /// for _ in 0..3 {
    ///     backoff.pause().await; // and there is no connection yet
    /// }
    /// assert!((70..150).contains(&began.elapsed().as_millis()), "20, 40 and 80, or half of that");
    /// # }
    /// ```
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.step()).await;
    }

    /// How long the next pause is.
    pub fn step(&mut self) -> Duration {
        let doubled = Duration::from_millis(20 << self.0.min(6)).min(Duration::from_secs(1));
        self.0 += 1;
        doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It worked: the next pause is short again.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}

/// The pauses between attempts when others write the same: none at first, then doubled from half a millisecond, and each
/// cut by any part.
///
/// ```
/// # use linchpin_adapter::backoff::Contention;
/// # use linchpin_core::Error;
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut pauses = Contention::up_to(Duration::from_millis(1)).at_most(2);
/// let busy = || Error::timeout("commit", Duration::from_secs(5));
/// assert!(pauses.pause_or(busy).await.is_ok() && pauses.pause_or(busy).await.is_ok());
/// assert!(pauses.pause_or(busy).await.is_err());
/// # }
/// ```
#[derive(Debug)]
pub struct Contention {
    next: Duration,
    longest: Duration,
    left: Option<u32>,
}

impl Contention {
    /// Pauses of at most `longest`.
    pub fn up_to(longest: Duration) -> Self {
        Self { next: Duration::ZERO, longest, left: None }
    }

    /// The first one is of at most `first`, for attempts that cost others much.
    ///
    /// ```
    /// use linchpin_adapter::backoff::Contention;
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let (began, mut others) = (Instant::now(), 2);
    /// let mut pauses = Contention::up_to(Duration::from_millis(120)).from(Duration::from_millis(4));
    /// while others > 0 {
    ///     others -= 1; // one of them wrote first
    ///     pauses.pause().await;
    /// }
    /// // 4 and 8 ms at most, and what a timer may be late.
    /// assert!(began.elapsed() <= Duration::from_millis(4 + 8 + 2));
    /// # }
    /// ```
    #[must_use]
    pub fn from(mut self, first: Duration) -> Self {
        self.next = first;
        self
    }

    /// There are so many at most.
    #[must_use]
    pub fn at_most(mut self, pauses: u32) -> Self {
        self.left = Some(pauses);
        self
    }

    /// Pauses, or fails if that was done often enough.
    ///
    /// # Errors
    /// What `give_up` says.
    ///
    /// # Cancel safety
    /// Dropping the future ends the pause.
    pub async fn pause_or(&mut self, give_up: impl FnOnce() -> Error) -> Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or_else(give_up)?;
        }
        self.pause().await;
        Ok(())
    }

    /// Pauses.
    ///
    /// # Cancel safety
    /// Dropping the future ends the pause.
    pub async fn pause(&mut self) {
        if !self.next.is_zero() {
            tokio::time::sleep(self.next.mul_f64(fastrand::f64())).await;
        }
        self.next = (self.next * 2).max(Duration::from_micros(500)).min(self.longest);
    }
}

/// Pauses of at most 30 ms, and any number of them.
impl Default for Contention {
    fn default() -> Self {
        Self::up_to(Duration::from_millis(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_slows_down_to_a_second() {
        let mut backoff = Backoff::default();
        for longest in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            let longest = Duration::from_millis(longest);
            assert!((longest / 2..=longest).contains(&backoff.step()), "{longest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn contention_begins_at_once_and_is_bounded() {
        let started = tokio::time::Instant::now();
        let mut pauses = Contention::up_to(Duration::from_millis(2)).at_most(5);
        pauses.pause().await;
        assert!(started.elapsed().is_zero());
        for _ in 0..5 {
            pauses.pause_or(|| Error::closed("commit")).await.expect("not yet");
        }
        assert!(started.elapsed() <= Duration::from_millis(10), "{:?}", started.elapsed());
        assert!(pauses.pause_or(|| Error::closed("commit")).await.is_err());
    }
}
