use super::*;
use futures::future::join_all;
use layout::{OfId, Removal};
use linchpin_core::{Action, ErrorKind, MemberName, Position};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use std::collections::BTreeSet;

const MINIMUM: Duration = Duration::from_millis(1);
const ROOM: Room = Room { operations: 1024, value: 1 << 20, bytes: 16 << 20, minimum_ttl: MINIMUM };

/// Keys that are as far as a server is: what others do comes in between.
struct FarKeys(DriverKeys, u8);

/// As far as a server is.
const FAR: u8 = 4;

async fn travel(distance: u8) {
    for _ in 0..fastrand::u8(..distance) {
        tokio::task::yield_now().await;
    }
}

impl KeySpace for FarKeys {
    async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        travel(self.1).await;
        let found = self.0.get(keys).await;
        travel(self.1).await;
        found
    }

    async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        travel(self.1).await;
        let found = self.0.scan(range, page).await;
        travel(self.1).await;
        found
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        travel(self.1).await;
        let outcome = self.0.commit(transaction).await;
        travel(self.1).await;
        outcome
    }

    async fn watch(&self, range: &Range) -> Result<WatchStream> {
        self.0.watch(range).await
    }
}

/// A server, as several handles share it.
struct Server(Arc<dyn Driver>);

impl Server {
    async fn start() -> Self {
        Self(MemoryCoordination::connect(MemoryConfig::new()).await.expect("in memory").driver())
    }

    fn streams(&self, room: Room) -> Streams<FarKeys> {
        self.streams_from(FAR, room)
    }

    fn streams_from(&self, distance: u8, room: Room) -> Streams<FarKeys> {
        let keys = DriverKeys::new(self.0.clone(), &Namespace::new("streams").expect("valid"));
        Streams::new(Life::in_runtime(), FarKeys(keys, distance), room)
    }

    /// How many keys there are.
    async fn keys(&self) -> Vec<String> {
        let found = self.0.scan(&Range::all(), &Page::first_keys()).await.expect("in memory").entries;
        found.into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
    }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("valid")
}

fn group() -> GroupName {
    GroupName::new("g").expect("valid")
}

fn claim(max: usize) -> Claim {
    Claim::new(stream("s"), group(), MemberName::new("m").expect("valid")).max(max)
}

fn records(count: usize) -> Vec<Record> {
    (0..count).map(|n| Record::new(n.to_string())).collect()
}

fn acks(given: &[Delivery]) -> Vec<Settlement> {
    given.iter().map(|given| Settlement { receipt: given.receipt.clone(), action: Action::Ack }).collect()
}

#[tokio::test]
async fn many_handles_append_and_claim_each_record_once() {
    let server = Server::start().await;
    let handles: Vec<_> = (0..8).map(|_| server.streams(ROOM)).collect();
    let appended = join_all(handles.iter().map(|streams| async {
        let mut positions = Vec::new();
        for _ in 0..8 {
            let appended = streams.append(&stream("s"), &records(4)).await.expect("appends");
            assert!(appended.windows(2).all(|two| two[1].position.0 == two[0].position.0 + 1), "next to each other");
            positions.extend(appended.into_iter().map(|appended| appended.position));
        }
        positions
    }));
    let positions: BTreeSet<_> = appended.await.into_iter().flatten().collect();
    assert_eq!(positions, (1..=256).map(Position).collect());
    let claimed = join_all(handles.iter().map(|streams| async {
        let mut claimed = Vec::new();
        loop {
            let given = streams.claim(&claim(3)).await.expect("claims");
            if given.is_empty() {
                return claimed;
            }
            claimed.extend(given.iter().map(|given| given.receipt.position));
            assert_eq!(streams.settle(&acks(&given)).await.expect("settles"), vec![Settled::Done; given.len()]);
        }
    }));
    let claimed: Vec<_> = claimed.await.into_iter().flatten().collect();
    assert_eq!((claimed.len(), claimed.into_iter().collect::<BTreeSet<_>>()), (256, positions));
}

#[tokio::test]
async fn a_small_room_does_in_several_steps_what_one_can() {
    let room = Room { operations: 32, value: 48 * 1024, bytes: 64 * 1024, minimum_ttl: MINIMUM };
    assert_eq!(room.batch(), 4);
    let server = Server::start().await;
    let streams = server.streams(room);
    let error = streams.append(&stream("s"), &records(5)).await.expect_err("it has no room");
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::InvalidArgument, false));
    for large in [vec![Record::new(vec![0; 48 * 1024])], vec![Record::new(vec![0; 30 * 1024]); 2]] {
        let error = streams.append(&stream("s"), &large).await.expect_err("it has no room");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    for _ in 0..10 {
        streams.append(&stream("s"), &records(4)).await.expect("appends");
    }
    let mut given = Vec::new();
    while given.len() < 40 {
        let some = streams.claim(&claim(40)).await.expect("claims");
        assert!(!some.is_empty(), "{} of 40", given.len());
        given.extend(some);
    }
    let reason = "no".to_owned();
    let mut settlements = acks(&given);
    settlements.iter_mut().step_by(2).for_each(|one| one.action = Action::Reject { reason: reason.clone() });
    // Twice the same is stale the second time.
    settlements.extend(acks(&given[..4]));
    let settled = streams.settle(&settlements).await.expect("settles");
    assert_eq!((&settled[..40], &settled[40..]), (&[Settled::Done; 40][..], &[Settled::Stale; 4][..]));
    let info = streams.inspect(&stream("s")).await.expect("reads");
    assert_eq!((info.length, info.groups[0].pending, info.groups[0].lag, info.groups[0].dead), (40, 0, 0, 20));
    assert_eq!(streams.trim(&stream("s"), Retention::Unsettled).await.expect("trims"), 40);
}

#[tokio::test]
async fn nothing_is_left_of_what_is_removed() {
    let server = Server::start().await;
    let streams = server.streams(ROOM);
    let reject = |given: &Delivery| Settlement {
        receipt: given.receipt.clone(),
        action: Action::Reject { reason: "no".to_owned() },
    };
    for _ in 0..2 {
        let named = Record::new("x").with_id("once").expect("valid").with_delay(Duration::from_mins(1));
        streams.append(&stream("s"), &[Record::new("y"), named]).await.expect("appends");
        let given = streams.claim(&claim(1)).await.expect("claims");
        streams.settle(&[reject(&given[0])]).await.expect("settles");
        assert!(streams.claim(&claim(1)).await.expect("claims").is_empty(), "it is put aside");
        streams.remove_group(&stream("s"), &group()).await.expect("removes");
        streams.clear("").await.expect("clears");
        let left = server.keys().await;
        // How far the streams went.
        assert!(left.iter().all(|key| key.contains("/cleared/")) && left.len() == 2, "{left:?}");
    }
}

#[tokio::test]
async fn what_one_who_gave_up_has_left_is_removed_by_the_next() {
    let server = Server::start().await;
    let streams = server.streams(ROOM);
    streams.append(&stream("s"), &records(10)).await.expect("appends");
    let id = streams.book.stream(&stream("s")).await.expect("reads").expect("there").value.id;
    let first = streams.claim(&claim(5)).await.expect("claims");
    streams.settle(&acks(&first)).await.expect("settles");
    // As if it had been given up after its first step.
    let found = streams.book.standing(&stream("s")).await.expect("reads").expect("there");
    let moved = view::Observation { value: Position(4), ..found.first };
    streams.book.keys.commit(&moved.put(Transaction::new()).expect("small")).await.expect("commits");
    assert_eq!(streams.inspect(&stream("s")).await.expect("reads").length, 7);
    assert_eq!(streams.trim(&stream("s"), Retention::Unsettled).await.expect("trims"), 2);
    let left = server.keys().await;
    assert_eq!(left.iter().filter(|key| key.contains("/record/")).count(), 5, "{left:?}");

    let head = streams.book.stream(&stream("s")).await.expect("reads").expect("there");
    let left = layout::write(&Removal::Stream(id)).expect("small");
    let remove = Transaction::new().delete(head.key).put(OfId::Left.key(id).expect("short"), left, None);
    streams.book.keys.commit(&remove).await.expect("commits");
    assert_eq!(streams.claim(&claim(1)).await.expect("claims"), [], "a new stream");
    assert_eq!(streams.settle(&acks(&first)).await.expect("settles"), [Settled::Stale; 5]);
    streams.clear("another").await.expect("clears");
    let left = server.keys().await;
    assert!(
        !left.iter().any(|key| key.contains(&id.to_string()) && !key.contains("/bounds/") && !key.contains("/next/")),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_group_that_comes_to_be_while_somebody_trims_sees_all_that_is_left() {
    for _ in 0..300 {
        let server = Server::start().await;
        let (far, near) = (server.streams_from(40, ROOM), server.streams_from(1, ROOM));
        near.append(&stream("s"), &records(50)).await.expect("appends");
        let (name, claim) = (stream("s"), claim(1));
        let late = async {
            travel(80).await;
            near.claim(&claim).await
        };
        let (trimmed, given) = tokio::join!(far.trim(&name, Retention::Newest(10)), late);
        let (trimmed, given) = (trimmed.expect("trims"), given.expect("claims"));
        let seen = (trimmed, given[0].receipt.position);
        assert!(matches!(seen, (40, Position(41)) | (0, Position(1))), "{seen:?}");
        let left = near.inspect(&name).await.expect("reads");
        assert_eq!((left.length, left.groups[0].lag), (50 - trimmed, 49 - trimmed));
    }
}

#[tokio::test]
async fn what_is_used_while_it_is_removed_leaves_nothing_for_ever() {
    for _ in 0..300 {
        let server = Server::start().await;
        let (one, other) = (server.streams(ROOM), server.streams(ROOM));
        one.append(&stream("s"), &records(3)).await.expect("appends");
        let given = one.claim(&claim(1)).await.expect("claims");
        let reject = Action::Reject { reason: "no".to_owned() };
        let settlements = [Settlement { receipt: given[0].receipt.clone(), action: reject }];
        let (name, group, claim, more) = (stream("s"), group(), claim(2), records(1));
        let removing = async {
            travel(FAR).await;
            other.remove_group(&name, &group).await?;
            other.clear("").await
        };
        let (removed, claimed, settled, appended) =
            tokio::join!(removing, one.claim(&claim), one.settle(&settlements), one.append(&name, &more));
        removed.and(claimed.map(drop)).and(settled.map(drop)).and(appended.map(drop)).expect("in memory");
        other.clear("").await.expect("clears");
        let left = server.keys().await;
        assert!(left.iter().all(|key| key.contains("/cleared/")), "{left:?}");
    }
}

#[tokio::test]
async fn what_others_wrote_there_is_told_and_not_waited_for() {
    let server = Server::start().await;
    let streams = server.streams(ROOM);
    streams.append(&stream("s"), &records(1)).await.expect("appends");
    let id = streams.book.stream(&stream("s")).await.expect("reads").expect("there").value.id;
    let lost = Transaction::new().delete(OfId::Next.key(id).expect("short"));
    streams.book.keys.commit(&lost).await.expect("commits");
    let error = streams.append(&stream("s"), &records(1)).await.expect_err("half of it is gone");
    assert_eq!((error.kind(), error.operation(), error.subject()), (ErrorKind::Backend, "append", Some("s")));
    assert_eq!(streams.claim(&claim(1)).await.expect_err("half of it is gone").kind(), ErrorKind::Backend);
}

#[tokio::test(start_paused = true)]
async fn the_largest_record_is_a_dead_letter_like_any_other() {
    for operations in [20, 64] {
        let room = Room { operations, value: 64 * 1024, bytes: 80 * 1024, minimum_ttl: MINIMUM };
        let server = Server::start().await;
        let streams = server.streams(room);
        // A record without id or headers has 9 bytes more.
        let record = |less| [Record::new(vec![0; room.value - DEATH - 9 + 1 - less])];
        assert!(streams.append(&stream("s"), &record(0)).await.is_err(), "the limit");
        let record = record(1);
        for _ in 0..4 {
            streams.append(&stream("s"), &record).await.expect("appends");
        }
        let given = streams.claim(&claim(1)).await.expect("claims");
        let reject = Action::Reject { reason: "x".repeat(512) };
        let settlements = [Settlement { receipt: given[0].receipt.clone(), action: reject }];
        assert_eq!(streams.settle(&settlements).await.expect("settles"), [Settled::Done]);
        // Those that are given too often are out of the way of the next.
        let given = streams.claim(&claim(2)).await.expect("claims").len();
        tokio::time::advance(Duration::from_secs(31)).await;
        let mut next = Vec::new();
        while next.is_empty() {
            next = streams.claim(&claim(1).max_deliveries(1)).await.expect("claims");
        }
        assert_eq!(next[0].receipt.position, Position(2 + given as u64));
        let info = streams.inspect(&stream("s")).await.expect("reads");
        assert_eq!(info.groups[0].dead, 1 + given as u64);
    }
}
