//! What runs only while somebody uses it.

use crate::tasks::SingleFlight;
use linchpin_core::life::Life;
use linchpin_core::{Error, MAX_TTL, Result};
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Something that serves many, and runs only while somebody uses it and a little longer: who uses it now and then begins at
/// once. It is begun as a task of the handle, once for all who want it.
///
/// ```
/// use linchpin_adapter::service::Service;
/// use linchpin_core::life::Life;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> linchpin_core::Result<()> {
/// let (life, service) = (Life::in_runtime(), Service::new(Duration::from_secs(5)));
/// let used = service.used(&life, "watch", async { Ok("a subscription") }).await?;
/// let again = service.used(&life, "watch", async { Ok("another") }).await?;
/// assert_eq!((*used, *again), ("a subscription", "a subscription"));
/// // The handle is closed: what runs ends now, and not with those who use it.
/// assert_eq!(service.end().as_deref(), Some(&"a subscription"));
/// assert!(service.end().is_none());
/// # Ok(())
/// # }
/// ```
pub struct Service<T: Send + Sync + 'static> {
    slot: Arc<Mutex<Slot<T>>>,
    beginning: SingleFlight<Result<ServiceHandle<T>, Arc<Error>>>,
    linger: Duration,
}

/// What runs at present.
struct Slot<T: Send + Sync + 'static> {
    running: Option<Arc<T>>,
    users: Weak<Users<T>>,
    /// When the last user left.
    left: Instant,
    /// Whether a task waits to end it.
    lingers: bool,
}

/// A service that somebody uses. It runs on as long as there is one.
///
/// ```
/// use linchpin_adapter::service::{Service, ServiceHandle};
/// use linchpin_core::life::Life;
/// use std::time::Duration;
///
/// struct Feed {
///     begun: u32,
/// }
///
/// /// A watch holds on to what serves it.
/// struct Watch {
///     feed: ServiceHandle<Feed>,
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> linchpin_core::Result<()> {
/// let (life, service) = (Life::in_runtime(), Service::new(Duration::from_secs(5)));
/// let watch = Watch { feed: service.used(&life, "watch", async { Ok(Feed { begun: 1 }) }).await? };
/// let other = Watch { feed: watch.feed.clone() };
/// drop(watch);
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// let third = Watch { feed: service.used(&life, "watch", async { Ok(Feed { begun: 2 }) }).await? };
/// assert_eq!(third.feed.begun, 1, "it runs on, as somebody uses it");
/// drop((other, third));
/// tokio::time::sleep(Duration::from_secs(6)).await;
/// assert!(service.end().is_none(), "it has ended by itself");
/// # Ok(())
/// # }
/// ```
pub struct ServiceHandle<T: Send + Sync + 'static> {
    service: Arc<T>,
    users: Arc<Users<T>>,
}

/// All who use a service: dropped with the last of them.
struct Users<T: Send + Sync + 'static> {
    slot: Arc<Mutex<Slot<T>>>,
    life: Life,
    linger: Duration,
}

impl<T: Send + Sync + 'static> Service<T> {
    /// One that nobody uses yet, and that runs for `linger` after the last one did.
    pub fn new(linger: Duration) -> Self {
        let slot = Slot { running: None, users: Weak::new(), left: Instant::now(), lingers: false };
        Self { slot: Arc::new(Mutex::new(slot)), beginning: SingleFlight::default(), linger: linger.min(MAX_TTL) }
    }

    /// Uses it; `begin`, if it does not run.
    ///
    /// # Errors
    /// What beginning fails with; `Closed` once the handle has ended.
    pub fn used(
        &self,
        life: &Life,
        operation: &'static str,
        begin: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<ServiceHandle<T>>> + Send {
        let (slot, owner, linger) = (self.slot.clone(), life.clone(), self.linger);
        let running = ServiceHandle::of(&self.slot, life, linger);
        let beginning = running.is_none().then(|| {
            self.beginning.run_or_fail(life, operation, async move {
                // Somebody may have been faster.
                if let Some(used) = ServiceHandle::of(&slot, &owner, linger) {
                    return Ok(used);
                }
                let service = Arc::new(begin.await?);
                let mut running = slot.lock();
                // Who ends it comes after that, or finds it.
                owner.admit(operation)?;
                running.running = Some(service);
                drop(running);
                ServiceHandle::of(&slot, &owner, linger).ok_or_else(|| owner.unanswered(operation))
            })
        });
        async move {
            match beginning {
                Some(beginning) => beginning.await,
                None => running.ok_or_else(|| Error::closed(operation)),
            }
        }
    }

    /// Ends it, whoever uses it; what ran.
    pub fn end(&self) -> Option<Arc<T>> {
        self.slot.lock().running.take()
    }
}

impl<T: Send + Sync + 'static> ServiceHandle<T> {
    /// What runs.
    fn of(slot: &Arc<Mutex<Slot<T>>>, life: &Life, linger: Duration) -> Option<Self> {
        let mut running = slot.lock();
        let service = running.running.clone()?;
        let users = running.users.upgrade().unwrap_or_else(|| {
            let users = Arc::new(Users { slot: slot.clone(), life: life.clone(), linger });
            running.users = Arc::downgrade(&users);
            users
        });
        Some(Self { service, users })
    }
}

impl<T: Send + Sync + 'static> Drop for Users<T> {
    fn drop(&mut self) {
        if self.life.ended().is_some() {
            return;
        }
        let mut slot = self.slot.lock();
        slot.left = Instant::now();
        let Some(runtime) = self.life.runtime() else {
            let running = slot.running.take();
            drop(slot);
            return drop(running);
        };
        if !std::mem::replace(&mut slot.lingers, true) {
            drop(slot);
            runtime.spawn(linger(Arc::downgrade(&self.slot), self.linger));
        }
    }
}

/// Ends a service that nobody uses for so long. It does not keep it alive where the handle is gone.
async fn linger<T: Send + Sync + 'static>(slot: Weak<Mutex<Slot<T>>>, linger: Duration) {
    loop {
        let Some(left) = slot.upgrade().map(|slot| slot.lock().left) else { return };
        tokio::time::sleep_until(left + linger).await;
        let Some(slot) = slot.upgrade() else { return };
        let mut slot = slot.lock();
        let is_used = slot.users.strong_count() > 0;
        if is_used || slot.left + linger <= Instant::now() {
            slot.lingers = false;
            let ended = if is_used { None } else { slot.running.take() };
            drop(slot);
            drop(ended);
            return;
        }
    }
}

impl<T: Send + Sync + 'static> Clone for ServiceHandle<T> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), users: self.users.clone() }
    }
}

impl<T: Send + Sync + 'static> Deref for ServiceHandle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.service
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Service<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("runs", &self.slot.lock().running.is_some()).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for ServiceHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceHandle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LINGER: Duration = Duration::from_secs(5);

    /// Counts those that run.
    struct Running(Arc<AtomicUsize>);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn begin(count: &Arc<AtomicUsize>) -> impl Future<Output = Result<Running>> + Send + 'static {
        let count = count.clone();
        async move {
            tokio::task::yield_now().await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Running(count))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_once_while_it_is_used_and_a_little_longer() {
        let (life, service, count) = (Life::in_runtime(), Service::new(LINGER), Arc::default());
        let used = || service.used(&life, "watch", begin(&count));
        let runs = || count.load(Ordering::SeqCst);
        let both = tokio::try_join!(used(), used()).expect("begins");
        assert_eq!(runs(), 1);
        drop(both);
        tokio::time::sleep(LINGER / 2).await;
        drop(used().await.expect("it runs still"));
        tokio::time::sleep(LINGER * 3 / 4).await;
        assert_eq!(runs(), 1, "it was used since");
        let kept = used().await.expect("it runs still");
        tokio::time::sleep(LINGER * 10).await;
        assert_eq!(runs(), 1, "it is used");
        drop(kept);
        tokio::time::sleep(LINGER * 2).await;
        assert_eq!(runs(), 0);
        let kept = used().await.expect("begins anew");
        drop(service.end());
        drop(kept);
        assert_eq!(runs(), 0, "it was ended");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_keeps_nothing_running() {
        let (life, service, count) = (Life::in_runtime(), Service::new(LINGER), Arc::default());
        let mut given_up = Box::pin(service.used(&life, "watch", begin(&count)));
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(count.load(Ordering::SeqCst), 1, "it is begun all the same");
        tokio::time::sleep(LINGER * 2).await;
        assert_eq!(count.load(Ordering::SeqCst), 0);

        let used = service.used(&life, "watch", begin(&count)).await.expect("begins");
        drop(service);
        assert_eq!(count.load(Ordering::SeqCst), 1, "it outlives what began it");
        drop(used);
        tokio::task::yield_now().await;
        assert_eq!(count.load(Ordering::SeqCst), 0, "nobody can use it any more");
    }

    #[test]
    fn who_leaves_outside_of_a_runtime_ends_it_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (life, service, count) = (Life::without_runtime(), Service::new(LINGER), Arc::default());
        let used = runtime.block_on(async { service.used(&life, "watch", begin(&count)).await }).expect("begins");
        assert_eq!(count.load(Ordering::SeqCst), 1);
        drop(used);
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_the_next_begins_anew() {
        let (life, service) = (Life::in_runtime(), Service::new(LINGER));
        let failed = service.used(&life, "watch", async { Err::<(), _>(Error::timeout("subscribe", LINGER)) }).await;
        assert_eq!(failed.expect_err("it fails").operation(), "watch");
        service.used(&life, "watch", async { Ok(()) }).await.expect("begins");
        life.close();
        let late = service.used(&life, "watch", async { Ok(()) }).await;
        drop(service.end());
        assert!(late.is_ok(), "it runs until it is ended");
        assert!(service.used(&life, "watch", async { Ok(()) }).await.is_err());
    }
}
