//! How long somebody waits for their turn.

use linchpin_core::{Error, ErrorKind, Result};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the backend has for the first look, however short the wait: what is free is taken even with none.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// A wait that has begun.
pub(crate) struct Wait<'a> {
    operation: &'static str,
    name: &'a str,
    /// `None` is for ever.
    most: Option<Duration>,
    started: Instant,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(operation: &'static str, name: &'a str, most: Option<Duration>) -> Self {
        Self { operation, name, most, started: Instant::now() }
    }

    /// Gives a step the time of a look, or the wait's if that is longer.
    pub(crate) async fn look<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        self.within(self.most.map(|most| most.max(FIRST_LOOK)), step).await
    }

    /// Gives a step what is left of the wait.
    pub(crate) async fn turn<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        self.within(self.most, step).await
    }

    async fn within<T>(&self, most: Option<Duration>, step: impl Future<Output = Result<T>>) -> Result<T> {
        match most.and_then(|most| self.started.checked_add(most)) {
            Some(deadline) => timeout_at(deadline, step).await.unwrap_or_else(|_| Err(self.too_late())),
            None => step.await,
        }
    }

    fn too_late(&self) -> Error {
        let waited = self.most.unwrap_or_default();
        let problem = format!("its turn did not come within {waited:?}: others hold it, or the backend is slow");
        Error::new(ErrorKind::Timeout, self.operation, problem).with_subject(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::sleep;

    async fn took(step: impl Future<Output = Result<()>>) -> (Result<()>, Duration) {
        let started = Instant::now();
        (step.await, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_has_a_second_and_a_turn_what_is_left() {
        for (most, look, turn) in [(0, 1000, 0), (300, 1000, 0), (2500, 2500, 0)] {
            let wait = Wait::new("acquire", "l", Some(Duration::from_millis(most)));
            let (looked, after) = took(wait.look(pending())).await;
            assert_eq!(after, Duration::from_millis(look), "a wait of {most} ms");
            let error = looked.expect_err("nobody answers");
            assert_eq!((error.kind(), error.operation(), error.subject()), (ErrorKind::Timeout, "acquire", Some("l")));
            let (turned, after) = took(wait.turn(pending())).await;
            assert_eq!((turned.is_err(), after), (true, Duration::from_millis(turn)), "a wait of {most} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_may_be_longer_than_time_lasts() {
        for most in [None, Some(Duration::MAX)] {
            let wait = Wait::new("acquire", "l", most);
            let year = async {
                sleep(Duration::from_hours(365 * 24)).await;
                Ok(())
            };
            wait.turn(year).await.expect("it waits");
        }
    }
}
