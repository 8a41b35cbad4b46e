//! What comes between two requests, or instead of an answer.

use super::*;
use futures::FutureExt;
use futures::future::BoxFuture;
use linchpin_core::{Action, Error, MemberName, Mutation};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

type Hook = Arc<dyn Fn(&str) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Keys where something may come before each request: it is told what is requested.
struct Hooked(DriverKeys, Hook, usize);

impl KeySpace for Hooked {
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        (self.1)(&format!("get {}", keys[0])).await?;
        self.0.get(keys).await
    }
    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        (self.1)(&format!("scan {range:?}")).await?;
        self.0.scan(range, page).await
    }
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        let keys: Vec<_> = transaction.mutations.iter().map(|one| one.key().to_string()).collect();
        (self.1)(&format!("commit {}", keys.join(" "))).await?;
        let bytes: usize = transaction
            .mutations
            .iter()
            .map(|one| if let Mutation::Put { value, .. } = one { value.len() } else { 0 })
            .sum();
        if bytes > self.2 {
            return Err(Error::invalid("commit", format!("{bytes} bytes, the limit is {}", self.2)));
        }
        self.0.commit(transaction).await
    }
    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.0.watch(range).await
    }
}

const ROOM: Room = Room { operations: 1024, value: 1 << 20, bytes: 16 << 20, minimum_ttl: Duration::from_millis(1) };

async fn server() -> Arc<dyn Driver> {
    MemoryCoordination::connect(MemoryConfig::new()).await.expect("in memory").driver()
}

fn streams(server: &Arc<dyn Driver>, room: Room, hook: Hook) -> Streams<Hooked> {
    let keys = DriverKeys::new(server.clone(), &Namespace::new("streams").expect("valid"));
    Streams::new(Life::in_runtime(), Hooked(keys, hook, room.bytes), room)
}

fn none() -> Hook {
    Arc::new(|_| async { Ok(()) }.boxed())
}

/// Stops before the first request that starts so: tells, and waits to go on.
fn stop(at: &'static str) -> (Hook, Arc<Notify>, Arc<Notify>) {
    let (hook, armed, told, go) = stop_armed(at);
    armed.store(1, Ordering::SeqCst);
    (hook, told, go)
}

/// From the n-th request that starts so on, it fails.
fn fails(at: &'static str, nth: usize, error: fn() -> Error) -> Hook {
    let count = AtomicUsize::new(0);
    Arc::new(move |what| {
        let fails = what.starts_with(at) && count.fetch_add(1, Ordering::SeqCst) + 1 >= nth;
        async move { if fails { Err(error()) } else { Ok(()) } }.boxed()
    })
}

fn s() -> StreamName {
    StreamName::new("s").expect("valid")
}
fn g() -> GroupName {
    GroupName::new("g").expect("valid")
}
fn claim(max: usize) -> Claim {
    Claim::new(s(), g(), MemberName::new("m").expect("valid")).max(max)
}
fn settlement(given: &Delivery, action: Action) -> Settlement {
    Settlement { receipt: given.receipt.clone(), action }
}
fn reject() -> Action {
    Action::Reject { reason: "no".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_record_is_not_delivered_early() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &[Record::new("first")]).await.expect("no fault");
    let given = near.claim(&claim(1)).await.expect("no fault");
    near.settle(&[settlement(&given[0], Action::Ack)]).await.expect("no fault");
    // It has read what is held back, and not yet what is pending.
    let (hook, stopped, go) = stop("scan Prefix(\"pending/");
    let far = streams(&server, ROOM, hook);
    let one = claim(1);
    let claiming = far.claim(&one);
    let others = async {
        stopped.notified().await;
        let delayed = Record::new("in an hour").with_delay(Duration::from_hours(1));
        near.append(&s(), &[delayed]).await.expect("no fault");
        assert!(near.claim(&claim(1)).await.expect("no fault").is_empty(), "it is delayed");
        go.notify_one();
    };
    let (given, ()) = tokio::join!(claiming, others);
    assert_eq!(given.expect("no fault"), [], "delivered at once, though delayed for an hour");
}

#[tokio::test(start_paused = true)]
async fn an_old_receipt_fits_nothing_new() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    let (hook, stopped, go) = stop("commit stream/");
    let far = streams(&server, ROOM, hook);
    let (name, new) = (s(), [Record::new("new")]);
    let appending = far.append(&name, &new);
    let others = async {
        stopped.notified().await;
        near.append(&s(), &[Record::new("old")]).await.expect("no fault");
        let given = near.claim(&claim(1)).await.expect("no fault");
        near.clear("").await.expect("no fault");
        go.notify_one();
        given
    };
    let (appended, old) = tokio::join!(appending, others);
    let appended = appended.expect("no fault")[0].position;
    let new = near.claim(&claim(1)).await.expect("no fault");
    assert_eq!(new[0].payload, "new");
    let settled = near.settle(&[settlement(&old[0], Action::Ack)]).await.expect("no fault");
    assert_eq!(
        settled,
        [Settled::Stale],
        "position {appended:?} again; the receipt of a cleared record settled a new one"
    );
}

#[tokio::test(start_paused = true)]
async fn what_remove_group_left_is_done_by_the_next() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &[Record::new("x")]).await.expect("no fault");
    let given = near.claim(&claim(1)).await.expect("no fault");
    near.settle(&[settlement(&given[0], reject())]).await.expect("no fault");
    let hook = fails("get stream/1/sg", 1, || Error::timeout("get", Duration::from_secs(5)));
    let failed =
        streams(&server, ROOM, hook).remove_group(&s(), &g()).await.expect_err("it fails after its first step");
    assert!(failed.is_transient());
    let again = near.remove_group(&s(), &g()).await.expect("no fault");
    near.claim(&claim(1)).await.expect("no fault");
    let info = near.inspect(&s()).await.expect("no fault");
    assert_eq!(info.groups[0].dead, 0, "again: {again}; a new group has the dead letters of the removed one");
}

#[tokio::test(start_paused = true)]
async fn settle_says_when_some_may_be_settled() {
    let server = server().await;
    let room = Room { operations: 32, value: 32 * 1024, ..ROOM };
    let near = streams(&server, room, none());
    for _ in 0..3 {
        near.append(&s(), &vec![Record::new("x"); 4]).await.expect("no fault");
    }
    let mut given = Vec::new();
    while given.len() < 12 {
        given.extend(near.claim(&claim(12)).await.expect("no fault"));
    }
    let acks: Vec<_> = given.iter().map(|given| settlement(given, Action::Ack)).collect();
    let hook = fails("get pending/", 2, || Error::timeout("get", Duration::from_secs(5)));
    let error = streams(&server, room, hook).settle(&acks).await.expect_err("it fails in the second round");
    let left = near.inspect(&s()).await.expect("no fault").groups[0].pending;
    assert!(left == 12 || error.maybe_applied(), "{left} of 12 left, and the error says {:?}: {error}", error.retry());
}

#[tokio::test(start_paused = true)]
async fn remove_group_and_trim_say_when_they_may_have_been_applied() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &[Record::new("x")]).await.expect("no fault");
    let hook = fails("scan Prefix(\"record/", 1, || Error::timeout("scan", Duration::from_secs(5)));
    let error = streams(&server, ROOM, hook).trim(&s(), Retention::Newest(0)).await.expect_err("fails");
    let length = near.inspect(&s()).await.expect("no fault").length;
    let trim = (length, error.maybe_applied());
    near.claim(&claim(1)).await.expect("no fault");
    let hook = fails("scan Prefix(\"left/", 1, || Error::timeout("scan", Duration::from_secs(5)));
    let error = streams(&server, ROOM, hook).remove_group(&s(), &g()).await.expect_err("fails");
    let groups = near.inspect(&s()).await.expect("no fault").groups.len();
    assert_eq!((trim, (groups, error.maybe_applied())), ((0, true), (0, true)), "{error}, {:?}", error.retry());
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_few_round_trips() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &vec![Record::new("x"); 200]).await.expect("no fault");
    let given = near.claim(&claim(200)).await.expect("no fault");
    let acks: Vec<_> = given.iter().map(|given| settlement(given, Action::Ack)).collect();
    let slow: Hook = Arc::new(|_| tokio::time::sleep(Duration::from_millis(30)).map(Ok).boxed());
    let started = tokio::time::Instant::now();
    streams(&server, ROOM, slow).settle(&acks).await.expect("no fault");
    let settling = started.elapsed();
    assert!(settling < Duration::from_secs(5), "{} settlements at 30 ms: {settling:?}", given.len());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_comes_again_takes_few_round_trips() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &vec![Record::new("x"); 200]).await.expect("no fault");
    near.claim(&claim(200).visibility(Duration::from_millis(100))).await.expect("no fault");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let slow: Hook = Arc::new(|_| tokio::time::sleep(Duration::from_millis(30)).map(Ok).boxed());
    let started = tokio::time::Instant::now();
    let again = streams(&server, ROOM, slow).claim(&claim(200)).await.expect("no fault");
    let claiming = started.elapsed();
    assert!(claiming < Duration::from_secs(5), "{} records at 30 ms: {claiming:?}", again.len());
}

#[tokio::test(start_paused = true)]
async fn two_that_are_buried_fit_one_transaction() {
    let server = server().await;
    let room = Room { bytes: 1 << 20, ..ROOM };
    let near = streams(&server, room, none());
    for size in [400, 700] {
        near.append(&s(), &[Record::new(vec![0; size * 1024])]).await.expect("no fault");
    }
    let once = claim(1).visibility(Duration::from_millis(100)).max_deliveries(1);
    let mut given = near.claim(&once).await.expect("no fault");
    given.extend(near.claim(&once).await.expect("no fault"));
    assert_eq!(given.len(), 2);
    let rejects: Vec<_> = given.iter().map(|given| settlement(given, reject())).collect();
    let settled = near.settle(&rejects).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = near.claim(&once).await;
    assert!(settled.is_ok() && next.is_ok(), "{:?}; the group is stuck: {:?}", settled.err(), next.err());
}

/// As `stop`, of the first one after it is armed.
fn stop_armed(at: &'static str) -> (Hook, Arc<AtomicUsize>, Arc<Notify>, Arc<Notify>) {
    let (told, go, armed) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (t, g, a) = (told.clone(), go.clone(), armed.clone());
    let hook: Hook = Arc::new(move |what| {
        if what.starts_with(at) && a.swap(0, Ordering::SeqCst) == 1 {
            let (t, g) = (t.clone(), g.clone());
            return async move {
                t.notify_one();
                g.notified().await;
                Ok(())
            }
            .boxed();
        }
        async { Ok(()) }.boxed()
    });
    (hook, armed, told, go)
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_when_visibility_is_over() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    let (hook, armed, stopped, go) = stop_armed("get looked/");
    let far = streams(&server, ROOM, hook);
    let waits = claim(1).wait(Duration::from_secs(4));
    let claiming = far.claim(&waits);
    let others = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        armed.store(1, Ordering::SeqCst);
        near.append(&s(), &[Record::new("y")]).await.expect("no fault");
        stopped.notified().await;
        let given = near.claim(&claim(1).visibility(Duration::from_millis(200))).await.expect("no fault");
        assert_eq!(given.len(), 1, "its member dies");
        go.notify_one();
        tokio::time::Instant::now()
    };
    let started = tokio::time::Instant::now();
    let (given, claimed) = tokio::join!(claiming, others);
    let given = given.expect("no fault");
    assert_eq!(given.len(), 1, "nothing came in {:?}, though it was due at {:?}", started.elapsed(), claimed - started);
}

#[tokio::test(start_paused = true)]
async fn a_removed_group_takes_along_what_it_rejects_meanwhile() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &[Record::new("x")]).await.expect("no fault");
    let given = near.claim(&claim(1)).await.expect("no fault");
    // It has seen no dead letters of the group.
    let (hook, stopped, go) = stop("commit group/");
    let far = streams(&server, ROOM, hook);
    let (stream, group) = (s(), g());
    let removing = far.remove_group(&stream, &group);
    let others = async {
        stopped.notified().await;
        let settled = near.settle(&[settlement(&given[0], reject())]).await.expect("no fault");
        assert_eq!(settled, [Settled::Done]);
        go.notify_one();
    };
    let (removed, ()) = tokio::join!(removing, others);
    assert!(removed.expect("no fault"));
    assert_eq!(near.claim(&claim(1)).await.expect("no fault").len(), 1, "a new group sees every record");
    assert_eq!(near.inspect(&s()).await.expect("no fault").groups[0].dead, 0);
}

/// Keys whose TTL is a second at least, as a server may have it.
struct Seconds(DriverKeys);

impl KeySpace for Seconds {
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.0.get(keys).await
    }
    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        self.0.scan(range, page).await
    }
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        for one in &transaction.mutations {
            if let Mutation::Put { ttl: Some(ttl), .. } = one
                && *ttl < Duration::from_secs(1)
            {
                return Err(Error::invalid("commit", format!("a ttl of {ttl:?} is too short, the minimum is 1s")));
            }
        }
        self.0.commit(transaction).await
    }
    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.0.watch(range).await
    }
}

#[tokio::test(start_paused = true)]
async fn short_times_are_possible_where_a_ttl_is_a_second_at_least() {
    let keys = Seconds(DriverKeys::new(server().await, &Namespace::new("streams").expect("valid")));
    let streams = Streams::new(Life::in_runtime(), keys, Room { minimum_ttl: Duration::from_secs(1), ..ROOM });
    let delayed = streams.append(&s(), &[Record::new("x").with_delay(Duration::from_millis(100))]).await;
    streams.append(&s(), &[Record::new("x")]).await.expect("no fault");
    let claimed = streams.claim(&claim(1).visibility(Duration::from_millis(500))).await;
    assert!(delayed.is_ok() && claimed.is_ok(), "{:?}; {:?}", delayed.err(), claimed.err());
}

#[tokio::test(start_paused = true)]
async fn the_longest_names() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    for length in [512, 580, 646, 768] {
        let name =
            StreamName::new("s".repeat(512)).expect("no fault").prefixed(&"p".repeat(length - 512)).expect("no fault");
        let group = GroupName::new("g".repeat(128)).expect("no fault");
        let claim = Claim::new(name.clone(), group, MemberName::new("m").expect("no fault"));
        near.append(&name, &[Record::new("x")]).await.unwrap_or_else(|error| panic!("append {length}: {error}"));
        let given = near.claim(&claim).await.unwrap_or_else(|error| panic!("claim {length}: {error}"));
        near.settle(&[settlement(&given[0], reject())])
            .await
            .unwrap_or_else(|error| panic!("reject {length}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_taken_is_not_taken_again() {
    let server = server().await;
    let near = streams(&server, ROOM, none());
    near.append(&s(), &[Record::new("x")]).await.expect("no fault");
    // A process that was cloned, or began at the same nanosecond of its host's time.
    fastrand::seed(7);
    let one = near.claim(&claim(1)).await.expect("no fault");
    fastrand::seed(7);
    let other = Claim { group: GroupName::new("h").expect("no fault"), ..claim(1) };
    let again = near.claim(&other).await.expect("no fault");
    assert_eq!((one.len(), again.len()), (1, 1), "each group sees every record");
    let acks = [settlement(&one[0], Action::Ack), settlement(&again[0], Action::Ack)];
    assert_eq!(near.settle(&acks).await.expect("no fault"), [Settled::Done, Settled::Done], "the groups are one");
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_of_what_is_given() {
    let server = server().await;
    let near = streams(&server, Room { bytes: 1 << 20, ..ROOM }, none());
    for _ in 0..100 {
        near.append(&s(), &[Record::new(vec![0; 500 * 1024])]).await.expect("no fault");
    }
    let read = Arc::new(AtomicUsize::new(0));
    let keys = Counting(DriverKeys::new(server.clone(), &Namespace::new("streams").expect("no fault")), read.clone());
    let streams = Streams::new(Life::in_runtime(), keys, Room { bytes: 1 << 20, ..ROOM });
    let given = streams.claim(&claim(100)).await.expect("no fault").len();
    let read = read.load(Ordering::SeqCst) / 1024 / 1024;
    assert!(read < 8, "{read} MiB were read to give {given} records of half a MiB");
}

struct Counting(DriverKeys, Arc<AtomicUsize>);

impl KeySpace for Counting {
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        self.0.get(keys).await
    }
    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let found = self.0.scan(range, page).await?;
        self.1.fetch_add(found.entries.iter().map(|entry| entry.value.len()).sum(), Ordering::SeqCst);
        Ok(found)
    }
    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.0.commit(transaction).await
    }
    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.0.watch(range).await
    }
}
