//! Random commands over few keys, ids and groups, so that they meet.

use crate::tick;
use linchpin_core::{
    Action, Claim, Condition, GroupName, Guard, Key, MemberName, Mutation, Position, Receipt, Record, Retention,
    Revision, Settlement, StreamName, Transaction, TransactionId,
};
use linchpin_machine::{Command, Machine, Reply, Time};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::time::Duration;

pub(crate) const KEYS: [&str; 5] = ["a", "ab", "b", "c/1", "c/2"];
pub(crate) const GROUPS: [&str; 2] = ["g", "h"];

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("valid")
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("valid")
}

pub(crate) fn stream() -> StreamName {
    StreamName::new("s").expect("valid")
}

/// A command, or one that depends on what came before it.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A revision of 0 in it stands for the key's current version.
    Command(Command),
    /// Settles the receipts seen so far, counted from the newest.
    Settle(Vec<(usize, Action)>),
}

/// Fills in what a command depends on.
#[derive(Default)]
pub(crate) struct Script {
    receipts: Vec<Receipt>,
}

impl Script {
    pub(crate) fn saw(&mut self, reply: &Reply) {
        if let Reply::Claimed(claimed) = reply {
            self.receipts.extend(claimed.deliveries.iter().map(|delivery| delivery.receipt.clone()));
        }
    }

    pub(crate) fn command(&self, machine: &Machine, now: Time, op: Op) -> Command {
        match op {
            Op::Command(Command::Commit(transaction)) => Command::Commit(resolved(machine, now, transaction)),
            Op::Command(command) => command,
            Op::Settle(choices) => Command::Settle(
                choices
                    .into_iter()
                    .filter_map(|(back, action)| {
                        let receipt = self.receipts.iter().rev().nth(back)?.clone();
                        Some(Settlement { receipt, action })
                    })
                    .collect(),
            ),
        }
    }
}

fn resolved(machine: &Machine, now: Time, mut transaction: Transaction) -> Transaction {
    let current = |key: &Key| {
        machine.get(now, std::slice::from_ref(key)).entries.remove(0).map_or(Revision(1), |entry| entry.version)
    };
    for guard in &mut transaction.guards {
        if guard.condition == Condition::VersionIs(Revision(0)) {
            guard.condition = Condition::VersionIs(current(&guard.key));
        }
    }
    for mutation in &mut transaction.mutations {
        if let Mutation::Extend { key, version, .. } = mutation
            && *version == Revision(0)
        {
            *version = current(key);
        }
    }
    transaction
}

fn duration() -> impl Strategy<Value = Duration> {
    (1..8_u64).prop_map(Duration::from_micros)
}

fn any_key() -> impl Strategy<Value = Key> {
    select(&KEYS[..]).prop_map(key)
}

fn guard() -> impl Strategy<Value = Guard> {
    let condition = select(vec![
        Condition::Absent,
        Condition::Present,
        Condition::Present,
        Condition::VersionIs(Revision(0)),
        Condition::VersionIs(Revision(0)),
        Condition::VersionIs(Revision(3)),
        Condition::PrefixAbsent,
    ]);
    (any_key(), condition).prop_map(|(key, condition)| Guard { key, condition })
}

fn mutation(key: &'static str) -> impl Strategy<Value = Mutation> {
    let key = self::key(key);
    let value = select(vec!["", "1", "-3", "x", "9223372036854775806"]);
    prop_oneof![
        4 => (value, option::of(duration())).prop_map({
            let key = key.clone();
            move |(value, ttl)| Mutation::Put { key: key.clone(), value: value.into(), ttl }
        }),
        2 => Just(Mutation::Delete { key: key.clone() }),
        2 => (-2..3_i64, option::of(duration())).prop_map({
            let key = key.clone();
            move |(delta, ttl)| Mutation::Add { key: key.clone(), delta, ttl }
        }),
        2 => (select(vec![Revision(0), Revision(0), Revision(2)]), duration()).prop_map(move |(version, ttl)| {
            Mutation::Extend { key: key.clone(), version, ttl }
        }),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let keys = proptest::sample::subsequence(&KEYS[..], 0..=3).prop_shuffle();
    let mutations = keys.prop_flat_map(|keys| keys.into_iter().map(mutation).collect::<Vec<_>>());
    // Few ids, so that repeats happen; mostly of another transaction.
    let id = option::weighted(0.2, (0..3_u128).prop_map(TransactionId));
    (id, vec(guard(), 0..2), mutations).prop_map(|(id, guards, mutations)| Transaction { id, guards, mutations })
}

/// Commands on keys, each with its time.
pub(crate) fn state(length: usize) -> impl Strategy<Value = Vec<(Time, Op)>> {
    let op = prop_oneof![
        12 => transaction().prop_map(|transaction| Op::Command(Command::Commit(transaction))),
        2 => Just(tick()),
        1 => select(vec!["", "a", "c/"]).prop_map(|prefix| Op::Command(Command::Clear { prefix: prefix.to_owned() })),
    ];
    // The same transaction again, now and then: what an id is for.
    let ops = vec((op, prop::bool::weighted(0.2)), 1..length).prop_map(|ops| {
        ops.into_iter().flat_map(|(op, twice)| std::iter::repeat_n(op, 1 + usize::from(twice))).collect::<Vec<_>>()
    });
    ops.prop_flat_map(timed)
}

fn record() -> impl Strategy<Value = Record> {
    let id = option::weighted(0.3, select(vec!["1", "2"]));
    let header = prop::bool::weighted(0.2);
    (0..100_u8, id, option::weighted(0.3, duration()), header).prop_map(|(payload, id, delay, header)| {
        let headers = if header { vec![("h".to_owned(), "v".to_owned())] } else { Vec::new() };
        Record { payload: vec![payload].into(), id: id.map(str::to_owned), headers, delay }
    })
}

fn any_stream() -> impl Strategy<Value = StreamName> {
    let dead = GROUPS.map(|name| stream().dead_letters(&group(name)));
    prop_oneof![5 => Just(stream()), 1 => select(dead.to_vec())]
}

fn claim() -> impl Strategy<Value = Claim> {
    let member = MemberName::new("m").expect("valid");
    (any_stream(), select(&GROUPS[..]), 1..4_usize, duration(), option::of(1..3_u32)).prop_map(
        move |(stream, name, max, visibility, max_deliveries)| Claim {
            max_deliveries,
            ..Claim::new(stream, group(name), member.clone()).max(max).visibility(visibility)
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Ack),
        2 => (0..6_u64).prop_map(|after| Action::Retry { after: Duration::from_micros(after) }),
        2 => duration().prop_map(|visibility| Action::Extend { visibility }),
        2 => Just(Action::Reject { reason: "no".to_owned() }),
    ]
}

fn retention() -> impl Strategy<Value = Retention> {
    prop_oneof![
        (0..6_u64).prop_map(Retention::Newest),
        (0..20_u64).prop_map(|position| Retention::From(Position(position))),
        Just(Retention::Unsettled),
    ]
}

/// Commands on one stream and its dead letters, each with its time.
pub(crate) fn streams(length: usize) -> impl Strategy<Value = Vec<(Time, Op)>> {
    let append = (any_stream(), vec(record(), 0..4));
    let op = prop_oneof![
        4 => append.prop_map(|(stream, records)| Op::Command(Command::Append { stream, records })),
        6 => claim().prop_map(|claim| Op::Command(Command::Claim(claim))),
        6 => vec((0..6_usize, action()), 1..3).prop_map(Op::Settle),
        2 => (any_stream(), retention()).prop_map(|(stream, keep)| Op::Command(Command::Trim { stream, keep })),
        1 => (any_stream(), select(GROUPS.to_vec())).prop_map(|(stream, group)| {
            Op::Command(Command::RemoveGroup { stream, group: self::group(group) })
        }),
        1 => Just(tick()),
    ];
    let clear = Op::Command(Command::Clear { prefix: "s".to_owned() });
    vec(prop_oneof![40 => op, 1 => Just(clear)], 1..length).prop_flat_map(timed)
}

/// Gives each a time: mostly a little later than the one before, sometimes earlier, rarely a window later.
fn timed(ops: Vec<Op>) -> impl Strategy<Value = Vec<(Time, Op)>> {
    let step = prop_oneof![40 => -3..5_i64, 1 => Just(60_000_000), 1 => Just(120_000_000)];
    vec(step, ops.len()).prop_map(move |steps| {
        let mut now = 10_i64;
        let next = |step: i64| {
            now = (now + step).max(0);
            Time::from_micros(now.cast_unsigned())
        };
        steps.into_iter().map(next).zip(ops.clone()).collect()
    })
}
