//! What is Redis's own about streams: what they leave on the server, a server that is full, a user whose rights were
//! taken, what a call costs; and step by step against the machine, which is what streams mean.

use crate::redis_connections::{ask, raw};
use linchpin::{
    Action, Claim, Delivery, Driver, ErrorKind, GroupName, MemberName, Position, Receipt, Record, RedisConfig,
    RedisCoordination, Retention, Settled, Settlement, StreamName,
};
use linchpin_machine::{Command, Machine, Reply, Time};
use linchpin_tests::servers::RedisServer;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_hours(1);
/// Over by the time of the next call.
const MOMENT: Duration = Duration::from_micros(1);

fn stream() -> StreamName {
    StreamName::new("s").expect("valid")
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("valid")
}

fn claim(name: &str) -> Claim {
    Claim::new(stream(), group(name), MemberName::new("m").expect("valid")).max(50).visibility(LONG)
}

async fn connect(server: &RedisServer) -> Arc<dyn Driver> {
    RedisCoordination::connect(RedisConfig::from_url(&server.url()).expect("a good URL"))
        .await
        .expect("connected")
        .driver()
}

async fn append(redis: &Arc<dyn Driver>, payloads: &[&'static str]) {
    let records: Vec<_> = payloads.iter().map(|payload| Record::new(*payload)).collect();
    redis.append(&stream(), &records).await.expect("appended");
}

async fn settle(redis: &Arc<dyn Driver>, delivery: &Delivery, action: Action) -> linchpin::Result<Vec<Settled>> {
    redis.settle(&[Settlement { receipt: delivery.receipt.clone(), action }]).await
}

fn reject() -> Action {
    Action::Reject { reason: "broken".to_owned() }
}

fn payloads(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.payload).into_owned()).collect()
}

#[tokio::test]
async fn what_is_held_comes_again_though_the_server_dropped_when() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    append(&redis, &["1", "2", "3"]).await;
    let given = redis.claim(&claim("g").max(2)).await.expect("claimed");
    settle(&redis, &given[0], Action::Ack).await.expect("settled");
    ask::<()>(&mut plain, &["DEL", "linchpin:{default}:sp:s\0g"]).await;
    assert_eq!(payloads(&redis.claim(&claim("g")).await.expect("claimed")), ["3"]);
    let again = redis.claim(&claim("g")).await.expect("claimed");
    assert_eq!((payloads(&again), again[0].receipt.delivery), (vec!["2".to_owned()], 2));
    assert_eq!(settle(&redis, &given[1], Action::Ack).await.expect("settled"), [Settled::Stale]);
}

#[tokio::test]
async fn a_record_id_stays_within_its_stream() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let redis = connect(&server).await;
    let dead = stream().dead_letters(&group("g"));
    let long = StreamName::new("s1:s").expect("valid");
    for (stream, id) in [(&stream(), "g\0x"), (&dead, "x"), (&stream(), "x"), (&long, "x"), (&stream(), "1:sx")] {
        let record = Record::new("r").with_id(id).expect("valid");
        let appended = redis.append(stream, std::slice::from_ref(&record)).await.expect("appended");
        assert!(!appended[0].duplicate, "{id:?} was appended to another stream only");
        assert!(redis.append(stream, &[record]).await.expect("appended")[0].duplicate);
    }
}

#[tokio::test]
async fn members_and_groups_leave_nothing_on_the_server() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    let names = async |plain: &mut MultiplexedConnection| {
        let mut names: Vec<String> = ask(plain, &["KEYS", "*"]).await;
        names.retain(|name| !name.ends_with(":meta"));
        names.sort();
        names
    };
    append(&redis, &["first"]).await;
    let before = names(&mut plain).await;
    for n in 0..200 {
        append(&redis, &["one"]).await;
        let member = MemberName::new(format!("pod-{n}")).expect("valid");
        let held = redis.claim(&Claim { member, ..claim("g").max(1) }).await.expect("claimed");
        let action = if n % 10 == 0 { reject() } else { Action::Ack };
        settle(&redis, &held[0], action).await.expect("settled");
    }
    let with_group = names(&mut plain).await;
    assert!(!with_group.iter().any(|name| name.contains("pod-")), "{with_group:?}");
    assert!(with_group.len() < before.len() + 6, "{with_group:?}");
    assert!(redis.remove_group(&stream(), &group("g")).await.expect("removed"));
    let left = names(&mut plain).await;
    // Where the positions of its dead letters go on is kept for a day.
    let last_of_dead = "linchpin:{default}:sf:s\0g".to_owned();
    assert!(ask::<u64>(&mut plain, &["PTTL", &last_of_dead]).await <= 24 * 3600 * 1000);
    assert_eq!(left.into_iter().filter(|name| *name != last_of_dead).collect::<Vec<_>>(), before);
}

#[tokio::test]
async fn record_ids_end_by_themselves() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    for n in 0..100 {
        let record = Record::new("r").with_id(format!("order-{n}")).expect("valid");
        redis.append(&stream(), &[record]).await.expect("appended");
    }
    let ids: Vec<String> = ask(&mut plain, &["KEYS", "*order-*"]).await;
    assert_eq!(ids.len(), 100);
    for id in ids {
        let left: i64 = ask(&mut plain, &["PTTL", &id]).await;
        assert!((1..=120_000).contains(&left), "{id} is kept for {left} ms");
    }
    redis.trim(&stream(), Retention::Newest(0)).await.expect("trimmed");
    let others: Vec<String> = ask(&mut plain, &["KEYS", "*"]).await;
    for name in others.iter().filter(|name| !name.contains("order-")) {
        let length: u64 = ask(&mut plain, &["MEMORY", "USAGE", name]).await;
        assert!(length < 1000, "{name} has {length} bytes after everything was trimmed");
    }
}

#[tokio::test]
async fn a_full_server_can_be_relieved() {
    let server = RedisServer::start_local(&["--maxmemory-policy", "noeviction"]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    append(&redis, &["acked", "back", "longer", "broken", "exhausted", "fresh"]).await;
    let first = redis.claim(&claim("g").max(5)).await.expect("claimed");
    settle(&redis, &first[4], Action::Retry { after: Duration::ZERO }).await.expect("settled");
    ask::<()>(&mut plain, &["CONFIG", "SET", "maxmemory", "1"]).await;

    let refused = redis.append(&stream(), &[Record::new("more")]).await.expect_err("it is full");
    assert_eq!((refused.kind(), refused.maybe_applied()), (ErrorKind::ResourceExhausted, false), "{refused}");
    let refused = settle(&redis, &first[3], reject()).await.expect_err("a dead letter takes memory");
    assert_eq!((refused.kind(), refused.maybe_applied()), (ErrorKind::ResourceExhausted, false), "{refused}");
    let given = [Action::Ack, Action::Retry { after: LONG }, Action::Extend { visibility: LONG }];
    for (delivery, action) in first.iter().zip(given) {
        assert_eq!(settle(&redis, delivery, action).await.expect("settled"), [Settled::Done]);
    }
    // What is exhausted waits until it can be buried, and holds nothing up.
    let limited = claim("g").max_deliveries(1);
    assert_eq!(payloads(&redis.claim(&limited).await.expect("claimed")), ["fresh"]);
    assert_eq!(redis.claim(&claim("new")).await.expect("claimed").len(), 6, "a group may begin");
    assert!(redis.remove_group(&stream(), &group("new")).await.expect("removed"));
    assert_eq!(redis.trim(&stream(), Retention::Unsettled).await.expect("trimmed"), 1);
    let info = redis.inspect(&stream()).await.expect("inspected");
    assert_eq!((info.length, info.groups[0].pending, info.groups[0].dead), (5, 5, 0));

    ask::<()>(&mut plain, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(settle(&redis, &first[3], reject()).await.expect("settled"), [Settled::Done]);
    let limited = limited.wait(Duration::from_secs(2));
    assert!(redis.claim(&limited).await.expect("claimed").is_empty());
    assert_eq!(redis.inspect(&stream()).await.expect("inspected").groups[0].dead, 2, "rejected, and exhausted");
    ask::<()>(&mut plain, &["CONFIG", "SET", "maxmemory", "1"]).await;
    redis.clear("").await.expect("cleared");
    assert_eq!(redis.inspect(&stream()).await.expect("inspected").length, 0);
}

#[tokio::test]
async fn a_user_needs_no_more_than_documented_and_what_is_applied_is_not_told_as_refused() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let mut plain = raw(&server).await;
    let user = ["ACL", "SETUSER", "app", "on", ">pass", "resetchannels", "-@all"];
    let names = ["~linchpin:{default}:*", "&linchpin:{default}:*"];
    let commands: Vec<_> = linchpin_redis::COMMANDS.split(' ').collect();
    ask::<()>(&mut plain, &[&user[..], &names, &commands].concat()).await;
    let url = server.url().replace("redis://", "redis://app:pass@");
    let redis =
        RedisCoordination::connect(RedisConfig::from_url(&url).expect("a good URL")).await.expect("connected").driver();
    // From now on nobody may be woken, which is no reason to say that nothing was done.
    ask::<()>(&mut plain, &["ACL", "SETUSER", "app", "resetchannels"]).await;
    append(&redis, &["1", "2", "3"]).await;
    let held = redis.claim(&claim("g")).await.expect("claimed");
    let actions = [Action::Retry { after: Duration::ZERO }, Action::Extend { visibility: MOMENT }, reject()];
    for (delivery, action) in held.iter().zip(actions) {
        assert_eq!(settle(&redis, delivery, action).await.expect("settled"), [Settled::Done]);
    }
    assert!(redis.claim(&claim("g").max_deliveries(1)).await.expect("claimed").is_empty());
    let info = redis.inspect(&stream()).await.expect("inspected");
    assert_eq!((info.length, info.groups[0].pending, info.groups[0].dead), (3, 0, 3));
    assert_eq!(redis.trim(&stream(), Retention::Unsettled).await.expect("trimmed"), 3);
    assert!(redis.remove_group(&stream(), &group("g")).await.expect("removed"));
    redis.clear("").await.expect("cleared");
}

/// By it a clock that steps back is noticed: without it time would stand still until the clock is there again.
#[tokio::test]
async fn the_time_is_noted_where_something_is_made_due_by_it() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    let delayed = Record::new("delayed").with_delay(LONG);
    append(&redis, &["1"]).await;
    let held = redis.claim(&claim("g")).await.expect("claimed");
    for call in 0..4 {
        ask::<()>(&mut plain, &["DEL", "linchpin:{default}:meta"]).await;
        match call {
            0 => drop(redis.append(&stream(), std::slice::from_ref(&delayed)).await.expect("appended")),
            1 => drop(settle(&redis, &held[0], Action::Extend { visibility: LONG }).await.expect("settled")),
            2 => drop(settle(&redis, &held[0], Action::Retry { after: Duration::ZERO }).await.expect("settled")),
            _ => assert_eq!(redis.claim(&claim("g")).await.expect("claimed").len(), 1),
        }
        let meta: Vec<u8> = ask(&mut plain, &["GET", "linchpin:{default}:meta"]).await;
        let noted = meta.get(16..24).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        let now: (f64, f64) = ask(&mut plain, &["TIME"]).await;
        let age = now.0 * 1e6 + now.1 - noted.expect("noted");
        assert!((0.0..10e6).contains(&age), "call {call} noted a time that was {age} us ago");
    }
}

#[tokio::test]
async fn an_answer_to_a_claim_has_a_bounded_length() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let redis = connect(&server).await;
    for _ in 0..5 {
        redis.append(&stream(), &vec![Record::new(vec![7; 100 * 1024]); 8]).await.expect("appended");
    }
    let bytes = |deliveries: &[Delivery]| deliveries.iter().map(|one| one.payload.len()).sum::<usize>();
    let mut came = 0;
    while came < 40 {
        let some = redis.claim(&claim("g").visibility(Duration::from_secs(1))).await.expect("claimed");
        assert!(!some.is_empty() && bytes(&some) <= 2 * 1024 * 1024, "{} records, {}", some.len(), bytes(&some));
        came += some.len();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = redis.claim(&claim("g")).await.expect("claimed");
    assert!(!again.is_empty() && bytes(&again) <= 2 * 1024 * 1024, "{} records again", again.len());
}

#[tokio::test]
async fn a_call_costs_few_commands() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    append(&redis, &["first"]).await;
    let held = redis.claim(&claim("g")).await.expect("claimed");
    settle(&redis, &held[0], Action::Ack).await.expect("settled");
    let mut costs: Vec<u32> = Vec::new();
    for call in 0..3 {
        ask::<()>(&mut plain, &["CONFIG", "RESETSTAT"]).await;
        match call {
            0 => append(&redis, &["second"]).await,
            1 => assert_eq!(redis.claim(&claim("g").max(1)).await.expect("claimed").len(), 1),
            _ => {
                let receipt = Receipt { position: Position(2), ..held[0].receipt.clone() };
                let settled = redis.settle(&[Settlement { receipt, action: Action::Ack }]).await;
                assert_eq!(settled.expect("settled"), [Settled::Done]);
            }
        }
        let stats: String = ask(&mut plain, &["INFO", "commandstats"]).await;
        let own = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let own =
            own.filter(|(name, _)| !["config|resetstat", "config", "info", "ping", "evalsha", "role"].contains(name));
        costs.push(own.map(|(_, rest)| rest.split(',').next().map_or(0, |n| n.parse().unwrap_or(0))).sum());
    }
    // With the time noted, which is done at most ten times a second.
    assert!(costs[0] <= 5 && costs[1] <= 10 && costs[2] <= 5, "append, claim, acknowledge: {costs:?}");
}

/// How many scripts the server has run since its counts were put back.
async fn scripts(plain: &mut MultiplexedConnection) -> u32 {
    let stats: String = ask(plain, &["INFO", "commandstats"]).await;
    let runs =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    runs.unwrap_or(0)
}

#[tokio::test]
async fn one_look_serves_all_that_wait() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let (redis, mut plain) = (connect(&server).await, raw(&server).await);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (redis, claim) = (redis.clone(), claim("g").wait(Duration::from_secs(30)));
        waiting.spawn(async move { redis.claim(&claim).await });
    }
    // Until all have looked and wait.
    let mut before = 0;
    let still = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = scripts(&mut plain).await;
            if now == before && now > 0 {
                return now;
            }
            before = now;
        }
    };
    let before = tokio::time::timeout(Duration::from_secs(10), still).await.expect("they wait");
    append(&redis, &["for one"]).await;
    let given = waiting.join_next().await.expect("one").expect("no panic").expect("claimed");
    assert_eq!(payloads(&given), ["for one"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let looks = scripts(&mut plain).await - before;
    assert!(looks <= 6, "{looks} scripts for one record, with 64 that wait");
}

/// A random command, of times that are over at once or not at all.
fn command(random: &mut fastrand::Rng, receipts: &[Receipt]) -> Command {
    let groups = ["g", "h"];
    let of = |random: &mut fastrand::Rng| match random.u8(..6) {
        0 => stream().dead_letters(&group("g")),
        1 => stream().dead_letters(&group("h")),
        _ => stream(),
    };
    let time = |random: &mut fastrand::Rng| if random.bool() { LONG } else { MOMENT };
    match random.u8(..40) {
        0..10 => {
            let record = |n| Record {
                payload: vec![n].into(),
                id: random.bool().then(|| random.u8(..20).to_string()),
                headers: vec![("n".to_owned(), n.to_string()); usize::from(n % 2)],
                delay: (random.u8(..3) == 0).then(|| time(random)),
            };
            let records = (0..3).map(record).collect();
            Command::Append { stream: of(random), records }
        }
        10..22 => Command::Claim(Claim {
            stream: of(random),
            visibility: time(random),
            max_deliveries: random.bool().then(|| random.u32(1..3)),
            ..claim(groups[random.usize(..2)])
        }),
        22..34 => {
            let settlement = |_| {
                let receipt = receipts.get(receipts.len().checked_sub(random.usize(1..10))?)?.clone();
                let action = match random.u8(..6) {
                    0..3 => Action::Ack,
                    3 => Action::Retry { after: if random.bool() { LONG } else { Duration::ZERO } },
                    4 => Action::Extend { visibility: time(random) },
                    _ => reject(),
                };
                Some(Settlement { receipt, action })
            };
            Command::Settle((0..3).filter_map(settlement).collect())
        }
        34..38 => {
            let keep = match random.u8(..3) {
                0 => Retention::Newest(random.u64(..6)),
                1 => Retention::From(Position(random.u64(..100))),
                _ => Retention::Unsettled,
            };
            Command::Trim { stream: of(random), keep }
        }
        38 => Command::RemoveGroup { stream: of(random), group: group(groups[random.usize(..2)]) },
        _ => Command::Clear { prefix: if random.bool() { "s" } else { "other" }.to_owned() },
    }
}

/// The same on the server.
async fn apply(redis: &Arc<dyn Driver>, command: &Command) -> linchpin::Result<Reply> {
    Ok(match command {
        Command::Append { stream, records } => Reply::Appended(redis.append(stream, records).await?),
        Command::Claim(claim) => Reply::Claimed(linchpin_machine::ClaimAnswer {
            deliveries: redis.claim(claim).await?,
            ..Default::default()
        }),
        Command::Settle(settlements) => Reply::Settled(redis.settle(settlements).await?),
        Command::Trim { stream, keep } => Reply::Trimmed(redis.trim(stream, *keep).await?),
        Command::RemoveGroup { stream, group } => Reply::GroupRemoved(redis.remove_group(stream, group).await?),
        Command::Clear { prefix } => {
            redis.clear(prefix).await?;
            Reply::Cleared
        }
        other => panic!("no command on streams: {other:?}"),
    })
}

#[tokio::test]
async fn streams_are_what_the_machine_says() {
    let server = RedisServer::start_local(&["--appendfsync", "no"]).await.expect("a server");
    let all = [stream(), stream().dead_letters(&group("g")), stream().dead_letters(&group("h"))];
    for round in 0..20 {
        let seed = fastrand::u64(..);
        let (mut random, mut machine, mut receipts) = (fastrand::Rng::with_seed(seed), Machine::new(), Vec::new());
        let namespace = linchpin::Namespace::new(format!("round-{round}")).expect("valid");
        let config = RedisConfig::from_url(&server.url()).expect("a good URL").namespace(namespace);
        let redis = RedisCoordination::connect(config).await.expect("connected").driver();
        for step in 1..150 {
            let command = command(&mut random, &receipts);
            let mut expected = machine.apply(Time::from_micros(step * 1000), &command).outcome.expect("no commit");
            if let Reply::Claimed(claimed) = &mut expected {
                claimed.next_due = None;
                receipts.extend(claimed.deliveries.iter().map(|delivery| delivery.receipt.clone()));
            }
            let found = apply(&redis, &command).await.expect("an answer");
            assert_eq!(found, expected, "seed {seed}, step {step}: {command:?}");
            for name in &all {
                let info = redis.inspect(name).await.expect("inspected");
                assert_eq!(info, machine.inspect(name), "seed {seed}, step {step}, {name}: {command:?}");
            }
        }
    }
}
