//! Waiting for something: a sign on a terminal that says so, and what it means that it did not come.

use indicatif::ProgressBar;
use linchpin::Coordinator;
use std::pin::pin;
use std::time::Duration;

/// What takes no longer than this needs no sign.
const SOON: Duration = Duration::from_millis(500);

/// What a backend may take to show that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Waits, and shows for what on a terminal.
///
/// # Cancel safety
/// That of `step`; the sign is gone when the future is dropped.
pub(crate) async fn showing<T>(what: String, step: impl Future<Output = T>) -> T {
    let mut step = pin!(step);
    if let Ok(done) = tokio::time::timeout(SOON, &mut step).await {
        return done;
    }
    let _sign = Sign::show(what);
    step.await
}

/// Whether the backend answers: then what did not come in time is not its fault.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn answers(coordinator: &Coordinator) -> bool {
    matches!(tokio::time::timeout(ANSWERS_WITHIN, coordinator.driver().health()).await, Ok(Ok(_)))
}

/// Shown on the standard error, if that is a terminal, until it is dropped.
struct Sign(ProgressBar);

impl Sign {
    fn show(what: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
