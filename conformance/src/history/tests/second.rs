//! A second judge, which knows nothing of revisions: it searches for an order of the operations on one key
//! that explains them. Where both can see what is wrong, they agree.

use super::super::record::{Decision, Event, Operation, Read, Reply, Seen, Txn, Write};
use super::flaky::{Flaky, Trouble};
use super::runs::memory;
use crate::history::{History, Load, Workload};
use linchpin_core::{Condition, Driver, Key, MutationResult};
use porcupine_rs::{CheckResult, Model, check_operations_timeout};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// One key that holds a text, a number as text, or nothing.
#[derive(Clone, Debug)]
struct Register;

/// What an operation found and did.
#[derive(Clone, Debug, Default)]
struct Step {
    found: Vec<Found>,
    change: Option<Change>,
    /// Whether it does nothing where it finds something else: nobody knows what it found.
    unknown: bool,
}

#[derive(Clone, Debug)]
enum Found {
    Value(Option<String>),
    Something(bool),
}

#[derive(Clone, Debug)]
enum Change {
    Set(Option<String>),
    /// And the sum, if it was told.
    Add(i64, Option<i64>),
}

impl Model for Register {
    type State = Option<String>;
    type Op = Step;
    type Metadata = ();

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, step: &Step) -> (bool, Self::State) {
        let holds = |found: &Found| match found {
            Found::Value(value) => value == state,
            Found::Something(there) => *there == state.is_some(),
        };
        if !step.found.iter().all(holds) {
            return (step.unknown, state.clone());
        }
        match &step.change {
            None => (true, state.clone()),
            Some(Change::Set(value)) => (true, value.clone()),
            Some(Change::Add(delta, told)) => {
                let sum = state.as_ref().map_or(0, |text| text.parse().unwrap_or(0)) + delta;
                (told.is_none_or(|told| told == sum), Some(sum.to_string()))
            }
        }
    }
}

/// What a key held at a version.
fn values(history: &History) -> HashMap<(Key, u64), String> {
    let mut values = HashMap::new();
    for operation in &history.operations {
        match &operation.event {
            Event::Get { keys, reply: Reply::Answered(read) } => {
                for (key, seen) in keys.iter().zip(&read.entries) {
                    values.extend(seen.as_ref().map(|seen| ((key.clone(), seen.version.0), seen.value.clone())));
                }
            }
            Event::Commit { transaction, reply: Reply::Answered(Decision::Committed { revision, results }) } => {
                for pair in transaction.mutations.iter().zip(results) {
                    let value = match pair {
                        (Write::Put { value, .. }, _) => value.clone(),
                        (Write::Add { .. }, MutationResult::Added { value }) => value.to_string(),
                        _ => continue,
                    };
                    values.insert((pair.0.key().clone(), revision.0), value);
                }
            }
            _ => {}
        }
    }
    values
}

fn value_of(seen: Option<&Seen>) -> Found {
    Found::Value(seen.map(|seen| seen.value.clone()))
}

fn guard(condition: Condition, key: &Key, values: &HashMap<(Key, u64), String>) -> Found {
    match condition {
        Condition::Present => Found::Something(true),
        Condition::VersionIs(version) => match values.get(&(key.clone(), version.0)) {
            Some(value) => Found::Value(Some(value.clone())),
            None => Found::Something(true),
        },
        _ => Found::Something(false),
    }
}

/// What a transaction did to one key.
fn part(txn: &Txn, reply: &Reply<Decision>, key: &Key, values: &HashMap<(Key, u64), String>) -> Step {
    let held = match reply {
        Reply::Answered(Decision::Refused { guard, .. }) => *guard,
        _ => txn.guards.len(),
    };
    let own = txn.guards[..held].iter().filter(|guard| guard.key == *key);
    let mut step = Step { found: own.map(|own| guard(own.condition, key, values)).collect(), ..Step::default() };
    step.unknown = matches!(reply, Reply::Unknown(_));
    if let Reply::Answered(Decision::Refused { guard, found, .. }) = reply {
        // Nothing was there; or it is a repeat, which is told nothing of what was replaced.
        if txn.guards[*guard].key == *key && (found.is_some() || txn.id.is_none()) {
            step.found.push(value_of(found.as_ref()));
        }
        return step;
    }
    let results = match reply {
        Reply::Answered(Decision::Committed { results, .. }) => results.as_slice(),
        _ => &[],
    };
    for (index, mutation) in txn.mutations.iter().enumerate().filter(|(_, mutation)| mutation.key() == key) {
        step.change = Some(match (mutation, results.get(index)) {
            (Write::Put { value, .. }, _) => Change::Set(Some(value.clone())),
            (Write::Add { delta, .. }, Some(MutationResult::Added { value })) => Change::Add(*delta, Some(*value)),
            (Write::Add { delta, .. }, _) => Change::Add(*delta, None),
            (Write::Delete { .. }, result) => {
                if let Some(MutationResult::Deleted { existed }) = result {
                    step.found.push(Found::Something(*existed));
                }
                Change::Set(None)
            }
        });
    }
    step
}

fn moment(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// What happened to one key.
fn sub_history(history: &History, key: &Key) -> Vec<porcupine_rs::Operation<Register>> {
    let values = values(history);
    let mut by_id: HashMap<&String, usize> = HashMap::new();
    let mut operations: Vec<porcupine_rs::Operation<Register>> = Vec::new();
    for operation in &history.operations {
        let mut steps = Vec::new();
        let mut id = None;
        match &operation.event {
            Event::Get { keys, reply: Reply::Answered(Read { entries, .. }) } => {
                let own = keys.iter().zip(entries).filter(|(name, _)| *name == key);
                steps.extend(own.map(|(_, seen)| Step { found: vec![value_of(seen.as_ref())], ..Step::default() }));
            }
            Event::Commit { transaction, reply } if !matches!(reply, Reply::Failed(_)) => {
                id = transaction.id.as_ref();
                steps.push(part(transaction, reply, key, &values));
            }
            _ => {}
        }
        for op in steps.into_iter().filter(|step| !step.found.is_empty() || step.change.is_some()) {
            let (client_id, call_time) = (Some(operation.client), moment(operation.called));
            let return_time = if op.unknown { i64::MAX } else { moment(operation.returned) };
            match id.and_then(|id| by_id.get(id)) {
                // Sent again: of the first call on, and known as soon as one answer came.
                Some(&known) if operations[known].op.unknown => {
                    (operations[known].op, operations[known].return_time) = (op, return_time);
                }
                Some(_) => {}
                None => {
                    by_id.extend(id.map(|id| (id, operations.len())));
                    operations.push(porcupine_rs::Operation { client_id, call_time, return_time, op, metadata: None });
                }
            }
        }
    }
    operations
}

/// Whether the second judge finds an order for every key.
fn second(history: &History) -> bool {
    let mut keys = BTreeSet::new();
    for operation in &history.operations {
        match &operation.event {
            Event::Get { keys: read, .. } => keys.extend(read.iter().cloned()),
            Event::Commit { transaction, .. } => {
                keys.extend(transaction.mutations.iter().map(|mutation| mutation.key().clone()));
            }
            _ => {}
        }
    }
    keys.iter().all(|key| {
        let operations = sub_history(history, key);
        match check_operations_timeout(&operations, Duration::from_secs(30)) {
            CheckResult::Ok => true,
            CheckResult::Illegal => false,
            CheckResult::Unknown => panic!("no answer about {} operations on {key}", operations.len()),
        }
    })
}

async fn sample(trouble: Trouble, seed: u64) -> History {
    let flaky = |(driver, seed)| Arc::new(Flaky::new(driver, trouble, seed)) as Arc<dyn Driver>;
    let handles: Vec<_> = memory().into_iter().zip(seed..).map(flaky).collect();
    Workload::new(seed, 1_000).clients(8).load(Load::State).run(&handles).await
}

/// Two puts of one text key, one after the other, and a read that was called after both and told the second.
struct Succession {
    key: Key,
    first: usize,
    second: usize,
    read: usize,
}

fn successions(history: &History) -> Vec<Succession> {
    let puts: Vec<(usize, &Operation, &Key, &String)> = history
        .operations
        .iter()
        .enumerate()
        .filter_map(|(index, by)| match &by.event {
            Event::Commit { transaction, reply: Reply::Answered(Decision::Committed { .. }) } => {
                match transaction.mutations.as_slice() {
                    [Write::Put { key, value }] => Some((index, by, key, value)),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for (read, by) in history.operations.iter().enumerate() {
        let Event::Get { keys, reply: Reply::Answered(Read { entries, .. }) } = &by.event else { continue };
        let ([key], [Some(seen)]) = (keys.as_slice(), entries.as_slice()) else { continue };
        let Some(second) = puts.iter().find(|(_, _, own, value)| *own == key && **value == seen.value) else {
            continue;
        };
        let first = puts.iter().rev().find(|(_, first, own, _)| *own == key && first.returned < second.1.called);
        if let (Some(first), true) = (first, second.1.returned < by.called) {
            found.push(Succession { key: key.clone(), first: first.0, second: second.0, read });
        }
    }
    found
}

fn written(history: &History, index: usize) -> (String, u64) {
    match &history.operations[index].event {
        Event::Commit { transaction, reply: Reply::Answered(Decision::Committed { revision, .. }) } => {
            match transaction.mutations.as_slice() {
                [Write::Put { value, .. }] => (value.clone(), revision.0),
                _ => panic!("no put"),
            }
        }
        _ => panic!("not committed"),
    }
}

/// Makes every read of the key that told one text tell another.
fn tells(history: &mut History, key: &Key, from: &str, to: (&str, u64), only: Option<usize>) {
    for (index, operation) in history.operations.iter_mut().enumerate() {
        if let Event::Get { keys, reply: Reply::Answered(read) } = &mut operation.event
            && only.is_none_or(|only| only == index)
        {
            for (_, seen) in keys.iter().zip(&mut read.entries).filter(|(own, _)| *own == key) {
                if let Some(seen) = seen.as_mut().filter(|seen| seen.value == from) {
                    (seen.value, seen.version.0) = (to.0.to_owned(), to.1);
                    seen.created = seen.created.min(seen.version);
                }
            }
        }
    }
}

fn set_revision(history: &mut History, index: usize, to: u64) {
    if let Event::Commit { reply: Reply::Answered(Decision::Committed { revision, results }), .. } =
        &mut history.operations[index].event
    {
        revision.0 = to;
        for result in results {
            if let MutationResult::Put { created, .. } = result {
                created.0 = created.0.min(to);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_accept_what_is_legal() {
    for (seed, trouble) in (60..).zip([Trouble::Slow, Trouble::Slow, Trouble::LostAnswers, Trouble::LostAnswers]) {
        let history = sample(trouble, seed).await;
        history.check().unwrap_or_else(|violation| panic!("{violation}"));
        assert!(second(&history), "{trouble:?}, seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_reject_broken_drivers() {
    for (seed, trouble) in (70..).zip([Trouble::StaleReads, Trouble::LostWrites, Trouble::IgnoredGuards]) {
        let history = sample(trouble, seed).await;
        assert!(history.check().is_err() && !second(&history), "{trouble:?}, seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_reject_stale_reads_lost_writes_and_swapped_orders() {
    let legal = sample(Trouble::Slow, 80).await;
    assert!(legal.check().is_ok() && second(&legal));
    let all = successions(&legal);
    assert!(all.len() > 10, "{}", all.len());
    for Succession { key, first, second: later, read } in all.into_iter().take(10) {
        let ((old, old_version), (new, new_version)) = (written(&legal, first), written(&legal, later));
        let mut stale = legal.clone();
        tells(&mut stale, &key, &new, (&old, old_version), Some(read));
        let mut lost = legal.clone();
        tells(&mut lost, &key, &new, (&old, old_version), None);
        let mut swapped = legal.clone();
        tells(&mut swapped, &key, &new, (&old, new_version), None);
        set_revision(&mut swapped, first, new_version);
        set_revision(&mut swapped, later, old_version);
        for (what, history) in [("stale", stale), ("lost", lost), ("swapped", swapped)] {
            assert!(history.check().is_err(), "{what}: the first judge");
            assert!(!second(&history), "{what}: the second judge");
        }
    }
}
