//! Random commands at random times, clocks that step back included: against models that are too simple to
//! be wrong, and against the machine itself, written down and read back.

mod ops;
mod placed;
mod snapshots;
mod state_model;
mod stream_model;

use linchpin_adapter::fanout::Change;
use linchpin_core::{Entry, Key, Page, Range};
use linchpin_machine::{Command, Machine, Reply, Time};
use ops::{GROUPS, KEYS, Op, Script, group, key, stream};
use proptest::prelude::*;
use state_model::StateModel;
use std::collections::BTreeMap;
use stream_model::StreamModel;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn state_is_what_the_model_says(ops in ops::state(60)) {
        let (mut machine, mut model, script) = (Machine::new(), StateModel::default(), Script::default());
        let mut replayed = BTreeMap::new();
        for (now, op) in ops {
            let command = script.command(&machine, now, op);
            let before = machine.revision();
            let applied = machine.apply(now, &command);
            let outcome = match applied.outcome {
                Ok(Reply::Decided(outcome)) => Some(Ok(outcome)),
                Ok(_) => None,
                Err(error) => Some(Err(error.kind())),
            };
            prop_assert_eq!(outcome, model.apply(now, &command), "{:?} at {}", command, now);
            prop_assert_eq!(machine.revision(), model.revision);
            check_order(before, &applied.changes)?;
            applied.changes.iter().for_each(|change| replay(&mut replayed, change));
            check_reads(&machine, &model, now)?;
            check_replayed(&machine, now, &replayed)?;
        }
    }

    #[test]
    fn streams_are_what_the_model_says(ops in ops::streams(80)) {
        let (mut machine, mut model, mut script) = (Machine::new(), StreamModel::default(), Script::default());
        for (now, op) in ops {
            let command = script.command(&machine, now, op);
            let reply = machine.apply(now, &command).outcome.expect("only commits fail");
            script.saw(&reply);
            if let Reply::Claimed(claimed) = &reply
                && claimed.deliveries.is_empty()
            {
                prop_assert!(claimed.next_due.is_none_or(|due| due > machine.clock()), "due but not delivered");
            }
            prop_assert_eq!(told(reply), model.apply(now, &command), "{:?} at {}", command, now);
            for name in [stream(), stream().dead_letters(&group(GROUPS[0])), stream().dead_letters(&group(GROUPS[1]))] {
                prop_assert_eq!(machine.inspect(&name), model.inspect(&name));
            }
        }
    }
}

/// A reply without what the model does not tell.
fn told(mut reply: Reply) -> Reply {
    if let Reply::Claimed(claimed) = &mut reply {
        claimed.next_due = None;
    }
    reply
}

/// Revisions ascend; only writes of one commit share one.
fn check_order(mut last: linchpin_core::Revision, changes: &[Change]) -> Result<(), TestCaseError> {
    let mut shared = Vec::new();
    for change in changes {
        prop_assert!(change.version() >= last, "{:?}", changes);
        if change.version() > last {
            shared.clear();
        } else {
            prop_assert!(!shared.is_empty() && !shared.contains(change.key()), "{:?}", changes);
        }
        shared.push(change.key().clone());
        last = change.version();
    }
    Ok(())
}

fn replay(state: &mut BTreeMap<Key, Entry>, change: &Change) {
    match change {
        Change::Put(entry) => state.insert(entry.key.clone(), entry.clone()),
        Change::Deleted(key, _) => state.remove(key),
        Change::Written(key, _) => panic!("the machine tells values, and none for {key}"),
    };
}

fn check_reads(machine: &Machine, model: &StateModel, now: Time) -> Result<(), TestCaseError> {
    let keys: Vec<Key> = KEYS.iter().map(|name| key(name)).collect();
    // At the clock, and a moment later, when keys may have expired that nobody swept.
    for now in [now, Time::from_micros(machine.clock().as_micros() + 2)] {
        let entries = machine.get(now, &keys).entries;
        let expected: Vec<Option<Entry>> = keys.iter().map(|key| model.get(now, key)).collect();
        prop_assert_eq!(&entries, &expected, "read at {}", now);
        let present: Vec<Entry> = expected.into_iter().flatten().collect();
        for prefix in ["", "a", "c"] {
            let range = Range::prefix(prefix).expect("valid");
            let expected: Vec<Entry> = present.iter().filter(|entry| range.contains(&entry.key)).cloned().collect();
            prop_assert_eq!(scanned(machine, now, &range, 2), expected, "scan of {:?} at {}", prefix, now);
        }
    }
    Ok(())
}

/// A whole range, page by page.
fn scanned(machine: &Machine, now: Time, range: &Range, limit: usize) -> Vec<Entry> {
    let (mut page, mut all) = (Page { limit, ..Page::first() }, Vec::new());
    loop {
        let found = machine.scan(now, range, &page);
        assert!(found.entries.len() <= limit, "a page keeps its limit");
        all.extend(found.entries);
        page.after = all.last().map(|entry: &Entry| entry.key.clone());
        if !found.more {
            return all;
        }
    }
}

/// The events so far, replayed, are the state; but for the TTL, which passes and may be extended in silence.
fn check_replayed(machine: &Machine, now: Time, replayed: &BTreeMap<Key, Entry>) -> Result<(), TestCaseError> {
    let bare = |entry: &Entry| Entry { ttl: None, ..entry.clone() };
    let state: Vec<Entry> = scanned(machine, now, &Range::all(), 100).iter().map(bare).collect();
    prop_assert_eq!(state, replayed.values().map(bare).collect::<Vec<_>>());
    Ok(())
}

/// A command that every test may use as a stand-in for time passing.
fn tick() -> Op {
    Op::Command(Command::Tick)
}
