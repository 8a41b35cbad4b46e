//! Streams over transactions and watches do what the state machine does, whatever comes after what.

use linchpin_adapter::streams::{DriverKeys, Room, Streams};
use linchpin_core::life::Life;
use linchpin_core::{
    Action, Claim, Delivery, Driver, GroupName, MemberName, Namespace, Record, Retention, Settlement, StreamName,
};
use linchpin_memory::{MemoryConfig, MemoryCoordination};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// What somebody does.
#[derive(Clone, Debug)]
enum Step {
    Append(StreamName, Vec<Record>),
    Claim(Claim),
    /// One of the deliveries so far, by its number.
    Settle(usize, Action),
    Inspect(StreamName),
    Trim(StreamName, Retention),
    RemoveGroup(StreamName, GroupName),
    Clear(&'static str),
    Pass(Duration),
}

fn group() -> impl Strategy<Value = GroupName> {
    prop_oneof![Just("g"), Just("h")].prop_map(|name| GroupName::new(name).expect("valid"))
}

fn stream() -> impl Strategy<Value = StreamName> {
    let named = prop_oneof![4 => Just("a"), 1 => Just("ab")].prop_map(|name| StreamName::new(name).expect("valid"));
    prop_oneof![5 => named.clone(), 1 => (named, group()).prop_map(|(name, group)| name.dead_letters(&group))]
}

/// None is a whole number of others: nothing is due at the moment at which something is done.
fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(3), Just(10), Just(17)].prop_map(Duration::from_secs)
}

fn record() -> impl Strategy<Value = Record> {
    let id = proptest::option::weighted(0.3, prop_oneof![Just("x"), Just("y"), Just("%\0")]);
    let record = (any::<u8>(), id, proptest::option::weighted(0.2, time()));
    record.prop_map(|(payload, id, delay)| {
        let record = Record::new(vec![payload]).with_header("n", "v");
        let record = id.into_iter().fold(record, |record, id| record.with_id(id).expect("valid"));
        delay.into_iter().fold(record, Record::with_delay)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let records = proptest::collection::vec(record(), 0..4);
    let claim = (stream(), group(), 1..4_usize, time(), proptest::option::of(1..3_u32));
    let claim = claim.prop_map(|(stream, group, max, visibility, most)| {
        let claim = Claim::new(stream, group, MemberName::new("m").expect("valid")).max(max).visibility(visibility);
        Step::Claim(most.into_iter().fold(claim, Claim::max_deliveries))
    });
    let action = prop_oneof![
        3 => Just(Action::Ack),
        1 => Just(Action::Retry { after: Duration::ZERO }),
        1 => time().prop_map(|after| Action::Retry { after }),
        1 => time().prop_map(|visibility| Action::Extend { visibility }),
        1 => Just(Action::Reject { reason: "no".to_owned() }),
    ];
    let keep = prop_oneof![
        (0..5_u64).prop_map(Retention::Newest),
        (0..12_u64).prop_map(|at| Retention::From(linchpin_core::Position(at))),
        Just(Retention::Unsettled),
    ];
    prop_oneof![
        6 => (stream(), records).prop_map(|(stream, records)| Step::Append(stream, records)),
        8 => claim,
        6 => (any::<usize>(), action).prop_map(|(number, action)| Step::Settle(number, action)),
        2 => stream().prop_map(Step::Inspect),
        2 => (stream(), keep).prop_map(|(stream, keep)| Step::Trim(stream, keep)),
        1 => (stream(), group()).prop_map(|(stream, group)| Step::RemoveGroup(stream, group)),
        1 => prop_oneof![Just(""), Just("ab")].prop_map(Step::Clear),
        4 => (1..7_u64).prop_map(|seconds| Step::Pass(Duration::from_millis(1_501 * seconds))),
    ]
}

/// Takes a step on both; what it comes to.
async fn take(
    step: &Step,
    streams: &Streams<DriverKeys>,
    model: &dyn Driver,
    given: &mut Vec<Delivery>,
) -> [String; 2] {
    fn told(one: impl std::fmt::Debug, other: impl std::fmt::Debug) -> [String; 2] {
        [format!("{one:?}"), format!("{other:?}")]
    }
    match step {
        Step::Append(stream, records) => {
            told(streams.append(stream, records).await, model.append(stream, records).await)
        }
        Step::Claim(claim) => {
            let (one, other) = (streams.claim(claim).await, model.claim(claim).await);
            given.extend(other.iter().flatten().cloned());
            told(one, other)
        }
        Step::Settle(number, action) => {
            let Some(delivery) = given.get(number % given.len().max(1)) else { return told((), ()) };
            let settlements = [Settlement { receipt: delivery.receipt.clone(), action: action.clone() }];
            told(streams.settle(&settlements).await, model.settle(&settlements).await)
        }
        Step::Inspect(stream) => told(streams.inspect(stream).await, model.inspect(stream).await),
        Step::Trim(stream, keep) => told(streams.trim(stream, *keep).await, model.trim(stream, *keep).await),
        Step::RemoveGroup(stream, group) => {
            told(streams.remove_group(stream, group).await, model.remove_group(stream, group).await)
        }
        Step::Clear(prefix) => told(streams.clear(prefix).await, model.clear(prefix).await),
        Step::Pass(time) => {
            tokio::time::advance(*time).await;
            told((), ())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn they_do_what_the_state_machine_does(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let driver = || async { MemoryCoordination::connect(MemoryConfig::new()).await.expect("in memory").driver() };
            let (below, model): (_, Arc<dyn Driver>) = (driver().await, driver().await);
            let keys = DriverKeys::new(below, &Namespace::new("streams").expect("valid"));
            let streams = Streams::new(Life::in_runtime(), keys, Room { operations: 64, value: 1 << 16, bytes: 1 << 20, minimum_ttl: Duration::from_millis(1) });
            let mut given = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                let [one, other] = take(step, &streams, &*model, &mut given).await;
                assert_eq!(one, other, "step {number}, {step:?}");
            }
        });
    }
}
