use super::*;
use futures::future::join_all;
use linchpin_core::{Error, ErrorKind, MemberName, Position, Receipt};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::{sleep, timeout};

/// Records, how often somebody looked for one, and who listens.
#[derive(Default)]
struct Records {
    waiting: AtomicUsize,
    looks: AtomicUsize,
    fails: AtomicUsize,
    given_back: AtomicUsize,
    woken: Mutex<Vec<Arc<Notify>>>,
}

impl Records {
    fn append(&self, count: usize) {
        self.waiting.fetch_add(count, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        self.woken.lock().iter().for_each(|woken| woken.notify_one());
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

fn one_less(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

/// As far as a server is.
const FAR: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_mins(10);

#[async_trait]
impl Source for Records {
    type Listening = ();

    async fn look(&self, claim: &Claim) -> Result<Look> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        sleep(FAR / 2).await;
        if one_less(&self.fails) {
            return Err(Error::new(ErrorKind::Unavailable, "claim", "the server is away"));
        }
        let (stream, group) = (claim.stream.clone(), claim.group.clone());
        let receipt = Receipt { stream, group, position: Position(1), delivery: 1 };
        let delivery = Delivery { receipt, payload: "r".into(), id: None, headers: Vec::new() };
        let given = one_less(&self.waiting).then_some(delivery);
        sleep(FAR / 2).await;
        Ok(Look { given: given.into_iter().collect(), due: None })
    }

    async fn listen(&self, _: &StreamName, woken: Arc<Notify>) -> Result<()> {
        self.woken.lock().push(woken);
        Ok(())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let at_once = |one: &&Settlement| one.action == Action::Retry { after: Duration::ZERO };
        let given_back = settlements.iter().filter(at_once).count();
        self.given_back.fetch_add(given_back, Ordering::SeqCst);
        self.append(given_back);
        Ok(vec![Settled::Done; settlements.len()])
    }
}

fn claim(wait: Duration) -> Claim {
    let (stream, group) = (StreamName::new("s").expect("a name"), GroupName::new("g").expect("a name"));
    Claim::new(stream, group, MemberName::new("m").expect("a name")).wait(wait)
}

fn queues() -> (Queues<Records>, Arc<Records>) {
    let records = Arc::<Records>::default();
    (Queues::new(Life::in_runtime(), records.clone()), records)
}

fn is_at_rest(queues: &Queues<Records>) -> bool {
    queues.0.groups.lock().is_empty()
}

#[tokio::test(start_paused = true)]
async fn one_look_serves_all_that_wait() {
    let (queues, records) = queues();
    let waits = claim(LONG);
    let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(queues.claim(&waits))).collect();
    let first = futures::future::select_all(&mut waiting);
    assert!(timeout(LONG / 2, first).await.is_err());
    let before = records.looks();
    records.append(1);
    let (given, ..) = futures::future::select_all(waiting).await;
    assert_eq!(given.expect("no error").len(), 1);
    sleep(LONG / 4).await;
    // The one that finds it, and those that see that there is no more.
    assert!(records.looks() - before <= 3, "{} looks for one record", records.looks() - before);
    assert!(is_at_rest(&queues));
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_taken_by_all_at_once() {
    let (queues, records) = queues();
    let waits = claim(LONG);
    let waiting = (0..60).map(|_| queues.claim(&waits));
    let appends = async {
        sleep(LONG / 2).await;
        records.append(60);
        Instant::now()
    };
    let (given, appended) = tokio::join!(join_all(waiting), appends);
    assert!(given.iter().all(|given| given.as_ref().is_ok_and(|given| given.len() == 1)));
    assert!(appended.elapsed() <= 10 * FAR, "{:?}", appended.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_nobody_polls_holds_nobody_up() {
    let (queues, records) = queues();
    let waits = claim(LONG);
    let mut unpolled = Box::pin(queues.claim(&waits));
    assert!(timeout(Duration::from_secs(1), &mut unpolled).await.is_err());
    let appends = async {
        sleep(Duration::from_secs(1)).await;
        records.append(2);
        Instant::now()
    };
    let (given, appended) = tokio::join!(queues.claim(&waits), appends);
    assert_eq!(given.expect("no error").len(), 1);
    assert!(appended.elapsed() <= 3 * FAR, "{:?}", appended.elapsed());
    assert_eq!(unpolled.await.expect("no error").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_claim_that_is_given_up_is_given_back() {
    let (queues, records) = queues();
    let waits = claim(LONG);
    // Given up while it waits, while it is looked for, and with an answer that nobody takes.
    for given_up_after in [Duration::from_secs(1), FAR / 4, FAR * 3 / 4, 2 * FAR] {
        let mut waiting = Box::pin(queues.claim(&waits));
        if given_up_after > FAR {
            assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
            records.append(1);
            sleep(if given_up_after > 2 * FAR { Duration::ZERO } else { given_up_after }).await;
        } else {
            records.append(1);
            assert!(timeout(given_up_after, &mut waiting).await.is_err());
        }
        drop(waiting);
        sleep(3 * FAR).await;
        assert!(is_at_rest(&queues), "{given_up_after:?}");
        assert_eq!(queues.claim(&waits).await.expect("no error").len(), 1, "{given_up_after:?}");
    }
    assert!(records.given_back.load(Ordering::SeqCst) >= 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_for_who_looked_and_the_others_look() {
    let (queues, records) = queues();
    let waits = claim(LONG);
    let breaks = async {
        sleep(Duration::from_secs(1)).await;
        records.fails.store(1, Ordering::SeqCst);
        records.append(1);
    };
    let (first, second, ()) = tokio::join!(queues.claim(&waits), queues.claim(&waits), breaks);
    let (failed, given): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_err);
    assert_eq!((failed.len(), given.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_there_is_nothing_who_did_not_look() {
    let (queues, records) = queues();
    let (long, short) = (claim(LONG), claim(Duration::from_secs(2)));
    let mut long = Box::pin(queues.claim(&long));
    assert!(timeout(Duration::from_secs(1), &mut long).await.is_err());
    // A record of which nobody was told.
    records.waiting.store(1, Ordering::SeqCst);
    assert_eq!(queues.claim(&short).await.expect("no error").len(), 1);
    // The long one sees that there is no more.
    sleep(2 * FAR).await;
    records.fails.store(1, Ordering::SeqCst);
    let error = queues.claim(&short).await.expect_err("the server is away");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(long);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_and_leaves_nothing() {
    let (queues, _records) = queues();
    let started = Instant::now();
    let short = claim(Duration::from_secs(2));
    let given = join_all((0..3).map(|_| queues.claim(&short))).await;
    assert!(given.iter().all(|given| given.as_ref().is_ok_and(Vec::is_empty)));
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took <= Duration::from_secs(2) + 2 * FAR, "{took:?}");
    sleep(FAR).await;
    assert!(is_at_rest(&queues));
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_for_a_claim_that_does_not_wait_and_is_given_up() {
    let (queues, records) = queues();
    records.append(1);
    assert!(timeout(FAR / 4, queues.claim(&claim(Duration::ZERO))).await.is_err());
    sleep(2 * FAR).await;
    assert_eq!(records.waiting.load(Ordering::SeqCst), 1, "it was not taken");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_looks_and_gives_back_what_they_bring() {
    for wait in [Duration::ZERO, LONG] {
        let (queues, records) = queues();
        let life = queues.0.life.clone();
        let (waits, others) = (claim(wait), claim(LONG));
        // One that is looked for when it ends, and nobody goes on with; and one that waits.
        let mut waiting = Box::pin(life.run(linchpin_core::Operation::Claim, queues.claim(&others)));
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        records.append(1);
        let mut unpolled = Box::pin(life.run(linchpin_core::Operation::Claim, queues.claim(&waits)));
        assert!(futures::poll!(&mut unpolled).is_pending());
        sleep(FAR * 3 / 4).await;
        life.close();
        assert_eq!(waiting.await.expect_err("closed").kind(), ErrorKind::Closed);
        let (closing, looks) = (Instant::now(), records.looks());
        queues.close(LONG).await;
        assert!(closing.elapsed() <= 2 * FAR, "{:?}", closing.elapsed());
        assert_eq!((records.given_back.load(Ordering::SeqCst), records.waiting.load(Ordering::SeqCst)), (1, 1));
        sleep(LONG).await;
        assert_eq!(records.looks(), looks, "nobody looks any more");
        assert!(is_at_rest(&queues));
        assert_eq!(unpolled.await.expect_err("closed").kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_claim_ends_with_the_runtime_of_its_handle() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let (own, other) = (runtime(), runtime());
    let (queues, records) = own.block_on(async { queues() });
    let waiting = other.spawn(async move { queues.claim(&claim(LONG)).await });
    while records.looks() < 2 {
        std::thread::yield_now();
    }
    drop(own);
    let error = other.block_on(waiting).expect("no panic").expect_err("nobody looks any more");
    assert_eq!(error.kind(), ErrorKind::Closed);
}
