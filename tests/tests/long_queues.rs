//! Waiting far back in a queue, where one is told of the one ahead and of nobody else.

use futures::FutureExt;
use linchpin::lock::LOCKS;
use linchpin::{Coordinator, Driver, Error, ErrorKind, Key, LockGuard, Page, Range, Transaction};
use linchpin_tests::servers::{PostgresServer, RedisServer};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What takes longer does not happen.
const SOON: Duration = Duration::from_secs(10);

/// So many are ahead: enough to be far back.
const AHEAD: usize = 20;

/// A lock that others hold and wait for, whose places the test writes itself.
struct Queue {
    waiting: Coordinator,
    others: Arc<dyn Driver>,
    range: Range,
}

impl Queue {
    async fn long(url: &str) -> Self {
        let waiting = linchpin::connect(url).await.expect("connected");
        let others = linchpin::connect(url).await.expect("connected").driver().clone();
        let queue =
            Self { waiting, others, range: Range::prefix(LOCKS.group("q").expect("a name")).expect("a prefix") };
        for number in 0..AHEAD {
            queue.enter(number, None).await;
        }
        queue
    }

    fn place(number: usize) -> Key {
        Key::stored(format!("{}place-{number}", LOCKS.group("q").expect("a name"))).expect("a key")
    }

    async fn enter(&self, number: usize, ttl: Option<Duration>) {
        self.others.commit(&Transaction::new().put(Self::place(number), "", ttl)).await.expect("written");
    }

    async fn leave(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            self.others.commit(&Transaction::new().delete(Self::place(number))).await.expect("written");
        }
    }

    fn calls(&self, operation: &str) -> u64 {
        self.waiting.metrics().operations.get(operation).map_or(0, |metrics| metrics.calls)
    }

    /// Who waits has asked: who is told of all who come and go does not.
    #[track_caller]
    fn asked(&self, operation: &str) {
        assert!(self.calls(operation) > 0, "it was told of all who come and go");
    }

    async fn places(&self) -> Vec<Key> {
        let page = self.others.scan(&self.range, &Page::first_keys()).await.expect("listed");
        page.entries.into_iter().map(|entry| entry.key).collect()
    }

    async fn until_there_are(&self, count: usize) {
        let there = async {
            while self.places().await.len() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, there).await.unwrap_or_else(|_| panic!("there are not {count} places"));
    }

    /// Somebody who waits for the lock, far back: it watches the one ahead by now, and before, if it is the first to wait
    /// here, the whole queue.
    async fn waiter(&self) -> JoinHandle<Result<LockGuard, Error>> {
        let (lock, before) = (self.waiting.lock("q").ttl(Duration::from_mins(1)), self.places().await.len());
        let watches = (self.calls("watch") + 1).max(2);
        let waiter = tokio::spawn(async move { lock.acquire().await });
        self.until_there_are(before + 1).await;
        let watching = async {
            while self.calls("watch") < watches {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, watching).await.expect("it watches the one ahead");
        waiter
    }
}

async fn got(waiter: JoinHandle<Result<LockGuard, Error>>) -> LockGuard {
    timeout(SOON, waiter).await.expect("in time").expect("no panic").expect("the lock")
}

/// Everything that can happen to those ahead, and to the waiter.
async fn all(url: impl Fn(&str) -> String) {
    one_after_the_other(&Queue::long(&url("leaving")).await).await;
    the_one_ahead_dies(&Queue::long(&url("dying")).await).await;
    its_own_place_goes(&Queue::long(&url("losing")).await).await;
    the_wait_ends(&Queue::long(&url("ending")).await).await;
    cut_off_anywhere(&Queue::long(&url("cutting")).await).await;
}

async fn one_after_the_other(queue: &Queue) {
    let waiter = queue.waiter().await;
    // Who comes later is of no interest.
    queue.enter(AHEAD, None).await;
    for leaving in [vec![AHEAD - 1], (5..AHEAD - 1).collect(), vec![0, 4, 2, 1]] {
        queue.leave(leaving).await;
        sleep(Duration::from_millis(20)).await;
        assert!(!waiter.is_finished(), "it is not its turn");
    }
    queue.leave([3]).await;
    let guard = got(waiter).await;
    assert_eq!(queue.places().await.len(), 2);
    queue.asked("get");
    guard.release().await.expect("released");
}

async fn the_one_ahead_dies(queue: &Queue) {
    queue.enter(AHEAD, Some(Duration::from_millis(300))).await;
    let waiter = queue.waiter().await;
    queue.leave(0..AHEAD).await;
    got(waiter).await.release().await.expect("released");
    queue.asked("get");
}

async fn its_own_place_goes(queue: &Queue) {
    let waiter = queue.waiter().await;
    let own = queue.places().await.into_iter().find(|place| !place.as_str().contains("place-")).expect("its place");
    queue.enter(AHEAD, None).await;
    queue.others.commit(&Transaction::new().delete(own.clone())).await.expect("written");
    queue.leave(0..AHEAD).await;
    // It notices when it is its turn, and queues up again behind who came meanwhile.
    queue.until_there_are(2).await;
    assert!(!waiter.is_finished() && !queue.places().await.contains(&own), "it won by a place that was gone");
    queue.leave([AHEAD]).await;
    got(waiter).await.release().await.expect("released");
    queue.asked("get");
}

async fn the_wait_ends(queue: &Queue) {
    let wait = Duration::from_secs(1);
    let error = queue.waiting.lock("q").wait(wait).acquire().await.expect_err("others hold it");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    queue.until_there_are(AHEAD).await;
    let waiter = queue.waiter().await;
    // It knew that the queue is long.
    queue.asked("scan");
    queue.waiting.shutdown().await.expect("shut down");
    let error = timeout(SOON, waiter).await.expect("in time").expect("no panic").expect_err("it is shut down");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!(queue.places().await.len(), AHEAD, "its place is left");
}

/// Dropped after each of its first steps.
async fn cut_off_anywhere(queue: &Queue) {
    for steps in 0..40 {
        let lock = queue.waiting.lock("q");
        let mut acquiring = pin!(lock.acquire());
        for _ in 0..steps {
            let done = poll_fn(|cx| Poll::Ready(acquiring.as_mut().poll_unpin(cx).is_ready())).await;
            assert!(!done, "others hold it");
            sleep(Duration::from_micros(500)).await;
        }
    }
    queue.until_there_are(AHEAD).await;
    let waiter = queue.waiter().await;
    queue.leave(0..AHEAD).await;
    got(waiter).await.release().await.expect("released");
}

#[tokio::test]
async fn who_waits_far_back_gets_its_turn_in_memory() {
    all(|name| format!("memory://long-queue-{name}")).await;
}

#[tokio::test]
async fn who_waits_far_back_gets_its_turn_over_redis() {
    let server = RedisServer::start().await.expect("a server");
    all(|name| format!("{}?namespace=long-queue-{name}", server.url())).await;
}

#[tokio::test]
async fn who_waits_far_back_gets_its_turn_over_postgres() {
    let server = PostgresServer::start().await.expect("a server");
    all(|name| format!("{}?namespace=long-queue-{name}", server.url())).await;
}
