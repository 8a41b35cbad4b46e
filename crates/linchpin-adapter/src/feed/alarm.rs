//! When something is due.

use linchpin_core::MAX_TTL;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// When something is due next, as far as is known: many say when, one waits for it.
///
/// ```
/// use linchpin_adapter::feed::Alarm;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let alarm = Alarm::default();
/// alarm.rings_in(Duration::from_secs(60));
/// alarm.rings_in(Duration::from_millis(5));
/// alarm.ring(|| Duration::ZERO).await; // 5 ms later
/// assert_eq!(alarm.due(), None, "what is due after that is told again");
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Alarm {
    due: Mutex<Option<Instant>>,
    /// It is due earlier than who waits knows.
    sooner: Notify,
}

impl Alarm {
    /// Something is due after this time, if nothing is before.
    pub fn rings_in(&self, time: Duration) {
        let at = Instant::now() + time.min(MAX_TTL);
        let mut due = self.due.lock();
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.sooner.notify_one();
        }
    }

    /// This is when something is due next, and nothing is before: none, if nothing is.
    ///
    /// ```
    /// use linchpin_adapter::feed::Alarm;
    /// use std::time::Duration;
    ///
    /// let alarm = Alarm::default();
    /// alarm.rings_in(Duration::from_secs(5));
    /// let due = alarm.due();
    /// // Whoever looked found that the lease was extended.
    /// alarm.rings_next_in(Some(Duration::from_secs(30)));
    /// assert!(alarm.due() > due);
    /// alarm.rings_next_in(None);
    /// assert_eq!(alarm.due(), None);
    /// ```
    pub fn rings_next_in(&self, time: Option<Duration>) {
        self.was_seen_to(time, Duration::ZERO);
    }

    /// Somebody else has looked, and says when something is due next; somebody looks again within `again`. What is known
    /// here to be due until then stays, as they may not have known of it; who looks next knows of what is due later.
    ///
    /// ```
    /// use linchpin_adapter::feed::Alarm;
    /// use std::time::Duration;
    ///
    /// let (alarm, seconds) = (Alarm::default(), Duration::from_secs);
    /// alarm.rings_in(seconds(3));
    /// let due = alarm.due();
    /// alarm.was_seen_to(Some(seconds(60)), seconds(10));
    /// assert_eq!(alarm.due(), due, "3 seconds are less than 10");
    /// alarm.was_seen_to(Some(seconds(60)), seconds(1));
    /// assert!(alarm.due() > due, "they look before that");
    /// ```
    pub fn was_seen_to(&self, next: Option<Duration>, again: Duration) {
        let now = Instant::now();
        let mut due = self.due.lock();
        let stays = due.filter(|due| now < *due && *due <= now + again);
        let at = next.map(|next| now + next.min(MAX_TTL)).into_iter().chain(stays).min();
        if at.is_some_and(|at| due.is_none_or(|due| at < due)) {
            self.sooner.notify_one();
        }
        *due = at;
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        *self.due.lock()
    }

    /// Waits until something is due, and as much longer as `late` says, which is asked again whenever it is due earlier.
    /// It is forgotten then: look after that, and tell what is due next.
    ///
    /// # Cancel safety
    /// Dropping the future forgets nothing.
    pub async fn ring(&self, late: impl Fn() -> Duration) {
        loop {
            let due = self.due().map(|due| due + late().min(MAX_TTL));
            let waits = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = waits => {}
                () = self.sooner.notified() => continue,
            }
            let mut due = self.due.lock();
            // It may have been put off.
            if due.is_some_and(|due| due <= Instant::now()) {
                *due = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_the_first_is_due_and_not_before() {
        let (alarm, start) = (Arc::new(Alarm::default()), Instant::now());
        let seconds = Duration::from_secs;
        let waiting = alarm.clone();
        let ringing = tokio::spawn(async move {
            waiting.ring(|| Duration::from_secs(1)).await;
            Instant::now()
        });
        tokio::time::sleep(seconds(3)).await;
        alarm.rings_in(seconds(100));
        tokio::task::yield_now().await;
        alarm.rings_in(seconds(7));
        alarm.rings_in(seconds(50));
        assert_eq!(ringing.await.expect("it rings") - start, seconds(3 + 7 + 1));
        assert_eq!(alarm.due(), None);

        alarm.rings_in(seconds(5));
        alarm.rings_next_in(Some(seconds(20)));
        let start = Instant::now();
        alarm.ring(|| Duration::ZERO).await;
        assert_eq!(start.elapsed(), seconds(20), "it was put off");
        alarm.rings_in(seconds(5));
        alarm.rings_next_in(None);
        let rings = tokio::time::timeout(seconds(3600), alarm.ring(|| Duration::ZERO)).await;
        assert!(rings.is_err(), "nothing is due");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_saw_to_is_not_due_and_what_they_did_not_know_is() {
        let (alarm, start, seconds) = (Alarm::default(), Instant::now(), Duration::from_secs);
        alarm.rings_in(seconds(1));
        tokio::time::sleep(seconds(2)).await;
        alarm.was_seen_to(Some(seconds(5)), seconds(10));
        assert_eq!(alarm.due(), Some(start + seconds(7)), "it was seen to");
        alarm.was_seen_to(None, seconds(10));
        alarm.was_seen_to(Some(seconds(9)), seconds(10));
        assert_eq!(alarm.due(), Some(start + seconds(7)), "they had looked before they could know of it");
        alarm.was_seen_to(Some(seconds(3)), seconds(10));
        assert_eq!(alarm.due(), Some(start + seconds(5)));
        alarm.was_seen_to(Some(seconds(9)), seconds(2));
        assert_eq!(alarm.due(), Some(start + seconds(11)), "who looks until then knows of it");
        alarm.was_seen_to(None, seconds(2));
        assert_eq!(alarm.due(), None);
    }
}
