//! What becomes of a lease while a request for it is on its way.

use linchpin::{Coordinator, MemoryCoordination, RetryPolicy};
use linchpin_conformance::async_trait;
use linchpin_core::layers::Layer;
use linchpin_core::{Driver, Error, Mutation, Outcome, Result, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(3);

/// A driver whose renewals stay on their way until they are let go, and fail then; and whose next write of a key comes to
/// the server `late`, when nobody waits for it any more.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Driver>,
    renews: Notify,
    fails: Notify,
    is_late: AtomicBool,
    written: Arc<Notify>,
}

/// How late.
const LATE: Duration = Duration::from_millis(900);

#[async_trait]
impl Layer for Slow {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let does = |of: fn(&Mutation) -> bool| transaction.mutations.iter().any(of);
        if does(|mutation| matches!(mutation, Mutation::Extend { .. })) {
            self.renews.notify_one();
            self.fails.notified().await;
            return Err(Error::timeout("commit", TTL));
        }
        if does(|mutation| matches!(mutation, Mutation::Put { .. })) && self.is_late.swap(false, Ordering::SeqCst) {
            let (inner, transaction, written) = (self.inner.clone(), transaction.clone(), self.written.clone());
            tokio::spawn(async move {
                sleep(LATE).await;
                inner.commit(&transaction).await.expect("in memory");
                written.notify_one();
            });
            return std::future::pending().await;
        }
        self.inner.commit(transaction).await
    }
}

async fn slow(inner: Arc<dyn Driver>) -> (Arc<Slow>, Coordinator) {
    let (renews, fails, is_late, written) = Default::default();
    let slow = Arc::new(Slow { inner, renews, fails, is_late, written });
    let coordinator = Coordinator::over(slow.clone() as Arc<dyn Driver>).retry(RetryPolicy::NEVER).timeout(TTL);
    (slow, coordinator.connect().await.expect("connected"))
}

#[tokio::test]
async fn after_a_release_no_failed_renewal_is_told() {
    let (slow, node) = slow(MemoryCoordination::new().driver()).await;
    // An attempt has a quarter of it: time enough to release the lock meanwhile, on a slow machine too.
    let ttl = TTL * 3;
    let held = |name: &str| {
        let failures = Arc::new(AtomicUsize::new(0));
        let told = failures.clone();
        let lock = node.lock(name).ttl(ttl).on_renewal_failure(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        });
        async move { (lock.acquire().await.expect("a lock"), failures) }
    };
    let (released, its_failures) = held("released").await;
    let (kept, failures) = held("kept").await;
    timeout(ttl, slow.renews.notified()).await.expect("both are renewed, in one request");
    released.release().await.expect("released");
    slow.fails.notify_one();
    timeout(ttl, slow.renews.notified()).await.expect("what is held is renewed again");
    let told = [&failures, &its_failures].map(|count| count.load(Ordering::SeqCst) > 0);
    assert_eq!(told, [true, false]);
    drop(kept);
}

#[tokio::test]
async fn what_was_written_after_it_was_given_up_is_removed_and_not_waited_for() {
    let driver = MemoryCoordination::new().driver();
    let (slow, node) = slow(driver.clone()).await;
    slow.is_late.store(true, Ordering::SeqCst);
    let lock = node.lock("ghost").ttl(TTL);
    timeout(Duration::from_millis(50), lock.acquire()).await.expect_err("the server does not answer");
    slow.written.notified().await;
    let written = Instant::now();
    let other = Coordinator::over(driver).connect().await.expect("connected");
    let next = other.lock("ghost").wait(TTL).acquire().await.expect("a lock");
    assert!(written.elapsed() < TTL * 3 / 4, "it was there for {:?}", written.elapsed());
    next.release().await.expect("released");
}

/// A driver that panics when it is to renew for the first time.
#[derive(Debug)]
struct Panics {
    inner: Arc<dyn Driver>,
    is_next: AtomicBool,
}

#[async_trait]
impl Layer for Panics {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let renews = transaction.mutations.iter().any(|mutation| matches!(mutation, Mutation::Extend { .. }));
        assert!(!renews || !self.is_next.swap(false, Ordering::SeqCst), "a fault of the driver's");
        self.inner.commit(transaction).await
    }
}

#[tokio::test]
async fn what_was_on_its_way_when_the_task_died_is_renewed_by_the_next() {
    let panics = Arc::new(Panics { inner: MemoryCoordination::new().driver(), is_next: AtomicBool::new(true) });
    let node = Coordinator::over(panics.clone() as Arc<dyn Driver>).connect().await.expect("connected");
    let held = node.lock("a").ttl(TTL).acquire().await.expect("a lock");
    let renewal = async {
        while panics.is_next.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(TTL, renewal).await.expect("it is renewed at a third of its TTL");
    // Whoever comes next starts another task.
    let other = node.lock("b").ttl(TTL).acquire().await.expect("a lock");
    sleep(TTL).await;
    assert!(held.is_held() && other.is_held());
    held.release().await.expect("released");
}
