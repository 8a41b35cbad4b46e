//! A history that is as it should be, with one thing changed in it: the judge finds it.

use super::super::record::{Decision, Delivered, Event, Operation, Read, Recorder, Reply, Verdict, Write};
use super::runs::memory;
use crate::history::{History, Load, Workload};
use fastrand::Rng;
use linchpin_core::{Revision, Settled};

/// Changes an operation, if it is one that the change is about.
type Change = fn(&mut Operation, &mut Rng) -> Option<()>;

fn answered_read(operation: &mut Operation) -> Option<&mut Read> {
    match &mut operation.event {
        Event::Get { reply: Reply::Answered(read), .. } => Some(read),
        _ => None,
    }
}

fn entry<'o>(operation: &'o mut Operation, dice: &mut Rng) -> Option<&'o mut super::Seen> {
    let mut there: Vec<_> = answered_read(operation)?.entries.iter_mut().flatten().collect();
    if there.is_empty() { None } else { Some(there.swap_remove(dice.usize(..there.len()))) }
}

fn committed(operation: &mut Operation) -> Option<&mut Revision> {
    match &mut operation.event {
        Event::Commit { transaction, reply: Reply::Answered(Decision::Committed { revision, .. }) }
            if transaction.id.is_none()
                && transaction.mutations.iter().any(|mutation| !matches!(mutation, Write::Delete { .. })) =>
        {
            Some(revision)
        }
        _ => None,
    }
}

fn claimed(operation: &mut Operation) -> Option<&mut Delivered> {
    match &mut operation.event {
        Event::Claim { reply: Reply::Answered(delivered), .. } => delivered.first_mut(),
        _ => None,
    }
}

const CHANGES: [(&str, Load, Change); 13] = [
    ("another value was read", Load::State, |operation, dice| {
        let seen = entry(operation, dice)?;
        seen.value = match seen.value.parse::<i64>() {
            Ok(number) => (number + 1).to_string(),
            Err(_) => "0-1".to_owned(),
        };
        Some(())
    }),
    ("a later version was read", Load::State, |operation, dice| {
        entry(operation, dice)?.version.0 += 1;
        Some(())
    }),
    ("an earlier version was read", Load::State, |operation, dice| {
        entry(operation, dice)?.version.0 -= 1;
        Some(())
    }),
    ("another creation was read", Load::State, |operation, dice| {
        entry(operation, dice)?.created.0 -= 1;
        Some(())
    }),
    ("nothing was read", Load::State, |operation, dice| {
        let mut there: Vec<_> = answered_read(operation)?.entries.iter_mut().filter(|entry| entry.is_some()).collect();
        let chosen = (!there.is_empty()).then(|| dice.usize(..there.len()))?;
        *there.swap_remove(chosen) = None;
        Some(())
    }),
    ("a read was of the beginning", Load::State, |operation, _| {
        answered_read(operation)?.revision = Revision(1);
        Some(())
    }),
    ("a read was of the end", Load::State, |operation, _| {
        answered_read(operation)?.revision = Revision(1 << 52);
        Some(())
    }),
    ("a write had another revision", Load::State, |operation, dice| {
        let revision = committed(operation)?;
        revision.0 = if dice.bool() { revision.0 + 1_000_000 } else { revision.0 - 1_000_000 };
        Some(())
    }),
    ("a guard found another version", Load::State, |operation, _| match &mut operation.event {
        Event::Commit { reply: Reply::Answered(Decision::Refused { found: Some(found), .. }), .. } => {
            found.version.0 -= 1;
            Some(())
        }
        _ => None,
    }),
    ("a sum was another one", Load::Transactions, |operation, _| match &mut operation.event {
        Event::Commit { reply: Reply::Answered(Decision::Committed { results, .. }), .. } => {
            let sum = results.iter_mut().find_map(|result| match result {
                linchpin_core::MutationResult::Added { value } => Some(value),
                _ => None,
            })?;
            *sum += 1;
            Some(())
        }
        _ => None,
    }),
    ("another payload was delivered", Load::Streams, |operation, _| {
        claimed(operation)?.payload = "0-0".to_owned();
        Some(())
    }),
    ("a record was delivered from elsewhere", Load::Streams, |operation, _| {
        claimed(operation)?.position += 1;
        Some(())
    }),
    ("records stood elsewhere", Load::Streams, |operation, _| match &mut operation.event {
        Event::Append { reply: Reply::Answered(appended), .. } => {
            for one in appended {
                one.position.0 += 1;
            }
            Some(())
        }
        _ => None,
    }),
];

async fn runs(load: Load) -> Vec<History> {
    let mut runs = Vec::new();
    for seed in 0..2 {
        let history = Workload::new(seed, 1_500).load(load).run(&memory()).await;
        history.check().unwrap_or_else(|violation| panic!("{violation}"));
        runs.push(history);
    }
    runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_single_answer_is_changed_is_found() {
    let mut dice = Rng::with_seed(5);
    for load in [Load::State, Load::Transactions, Load::Streams] {
        let runs = runs(load).await;
        for (what, _, change) in CHANGES.iter().filter(|(_, of, _)| *of == load) {
            let mut changed = 0;
            while changed < 20 {
                let mut history = runs[dice.usize(..runs.len())].clone();
                // Not of the first ones: nothing is known before them.
                let index = dice.usize(100..history.operations.len());
                if change(&mut history.operations[index], &mut dice).is_some() {
                    changed += 1;
                    let shown = serde_json::to_string(&history.operations[index]).expect("a line");
                    assert!(history.check().is_err(), "{what}: {shown}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_and_swapped_writes_are_found() {
    let mut dice = Rng::with_seed(6);
    for history in runs(Load::State).await {
        let mut seen = Vec::new();
        for operation in &history.operations {
            if let Event::Get { reply: Reply::Answered(read), .. } = &operation.event {
                seen.extend(read.entries.iter().flatten().map(|seen| (seen.version, operation.called)));
            }
        }
        let mut writes: Vec<_> = (0..history.operations.len()).collect();
        writes.retain(|&index| committed(&mut history.operations[index].clone()).is_some());
        dice.shuffle(&mut writes);
        for pair in writes.chunks_exact(2).take(30) {
            let [one, other] = pair else { continue };
            let revision = |index: usize| committed(&mut history.operations[index].clone()).copied();
            if seen.iter().any(|(version, _)| Some(*version) == revision(*one)) {
                let mut dropped = history.clone();
                dropped.operations.remove(*one);
                assert!(dropped.check().is_err(), "dropped {:?}", history.operations[*one]);
            }
            let (a, b) = (&history.operations[*one], &history.operations[*other]);
            if a.returned < b.called || b.returned < a.called {
                let mut swapped = history.clone();
                let revisions = (revision(*one), revision(*other));
                for (index, to) in [(*one, revisions.1), (*other, revisions.0)] {
                    if let (Some(revision), Some(to)) = (committed(&mut swapped.operations[index]), to) {
                        *revision = to;
                    }
                }
                assert!(swapped.check().is_err(), "swapped {a:?} and {b:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_delivered_once_too_often_or_never_is_found() {
    let mut dice = Rng::with_seed(7);
    for history in runs(Load::Streams).await {
        let claims: Vec<_> = (0..history.operations.len())
            .filter(|&at| claimed(&mut history.operations[at].clone()).is_some())
            .collect();
        for _ in 0..30 {
            let at = claims[dice.usize(..claims.len())];
            let mut claim = history.operations[at].clone();
            let Some(Delivered { position, delivery, .. }) = claimed(&mut claim).cloned() else { continue };
            let end = history.operations.iter().map(|operation| operation.returned).max().unwrap_or(0);
            // By the end every record has been acknowledged.
            for (delivery, back) in [(delivery, false), (delivery + 100, false), (delivery + 100, true)] {
                let mut again = history.clone();
                let mut twice = claim.clone();
                if let Some(delivered) = claimed(&mut twice) {
                    delivered.delivery = delivery;
                }
                if !back {
                    (twice.called, twice.returned) = (end + 1, end + 2);
                }
                again.operations.push(twice);
                assert!(again.check().is_err(), "delivered again: {claim:?}");
            }
            let mut never = history.clone();
            forget(&mut never, &claim, position);
            assert!(never.check().is_err(), "never delivered: {claim:?}");
        }
    }
}

/// Makes a record one that the claim's group was never delivered.
fn forget(history: &mut History, claim: &Operation, position: u64) {
    let Event::Claim { stream: of, group: to, .. } = &claim.event else { return };
    for operation in &mut history.operations {
        match &mut operation.event {
            Event::Claim { stream, group, reply: Reply::Answered(delivered), .. }
                if (&*stream, &*group) == (of, to) =>
            {
                delivered.retain(|one| one.position != position);
            }
            Event::Settle { stream, group, settlements, reply: Reply::Answered(settled) }
                if (&*stream, &*group) == (of, to) =>
            {
                let kept: Vec<bool> = settlements.iter().map(|one| one.position != position).collect();
                let mut keeps = kept.iter();
                settlements.retain(|_| keeps.next().is_none_or(|keep| *keep));
                let mut keeps = kept.iter();
                settled.retain(|_| keeps.next().is_none_or(|keep| *keep));
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_settlement_that_is_done_twice_or_stale_for_no_reason_is_found() {
    let mut tried = 0;
    for history in runs(Load::Streams).await {
        for (at, operation) in history.operations.iter().enumerate().step_by(7) {
            let Event::Settle { settlements, reply: Reply::Answered(settled), .. } = &operation.event else { continue };
            // First deliveries that were acknowledged: with the long visibility, nothing else happened to most.
            let Some(nth) = settlements
                .iter()
                .zip(settled)
                .position(|(one, settled)| (one.delivery, one.verdict, *settled) == (1, Verdict::Ack, Settled::Done))
            else {
                continue;
            };
            let mut twice = history.clone();
            twice.operations.push(operation.clone());
            assert!(twice.check().is_err(), "done twice: {operation:?}");
            let mut stale = history.clone();
            if let Event::Settle { reply: Reply::Answered(settled), .. } = &mut stale.operations[at].event {
                settled[nth] = Settled::Stale;
            }
            tried += usize::from(stale.check().is_err());
        }
    }
    // Of those with the short visibility nobody can say.
    assert!(tried > 40, "{tried}");
}

#[test]
fn holders_of_a_lock_that_overlap_are_found() {
    let recorder = Recorder::new();
    let hold = |token| {
        let called = recorder.now();
        recorder.acquired(1, "l", called, Revision(token));
        recorder.releases(1, "l", Revision(token));
    };
    (1..20).for_each(hold);
    let history = History::of(&recorder, 9);
    assert_eq!(history.check().map(|summary| summary.held), Ok(19));
    for token in 1..19 {
        let mut late = history.clone();
        let release = |operation: &&mut Operation| matches!(&operation.event, Event::Release { token: own, .. } if own.0 == token);
        let released = late.operations.iter_mut().find(release).expect("was released");
        released.called = u64::MAX;
        let violation = late.check().expect_err("two held it");
        assert!(violation.text.contains("held by two"), "{violation}");
    }
}
