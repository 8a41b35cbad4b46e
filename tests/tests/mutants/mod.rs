//! Proves the suite: drivers that are broken on purpose, each in one way, are caught by the very case that is there for
//! it, and the same drivers without their fault pass.
//!
//! A mutant is the memory adapter with a [`Fault`] in between. `cargo test --test integration mutants -- --nocapture` shows what
//! each case says of its mutant.

mod broken;
mod capabilities;
mod clock;
mod closing;
mod each;
mod groups;
mod layers;
mod messages;
mod mixed;
mod mutant;
mod names;
mod order;
mod rare;
mod reads;
mod repeats;
mod runtimes;
mod state;
mod streams;
mod streams_each;
mod streams_kept;
mod streams_trimmed;
mod streams_waiting;
mod time;
mod transactions;
mod watch;
mod whole;

use broken::Backend;
use futures::{StreamExt, stream};
use linchpin_conformance::{Case, Judged, Verdict, cases, judge};
use mutant::{Fault, Honest, Mutant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// How many cases run at a time, in each of the two tests that run some.
const AT_A_TIME: usize = 4;

/// How long a case may take. A mutant that makes it hang is not caught: the case has to say what is wrong.
const LIMIT: Duration = Duration::from_secs(30);

fn mutants() -> Vec<Mutant> {
    let areas = [
        state::mutants(),
        transactions::mutants(),
        time::mutants(),
        watch::mutants(),
        messages::mutants(),
        streams::mutants(),
        streams_kept::mutants(),
        streams_trimmed::mutants(),
        streams_waiting::mutants(),
        names::mutants(),
        capabilities::mutants(),
        layers::mutants(),
        rare::mutants(),
        order::mutants(),
        whole::mutants(),
        repeats::mutants(),
        reads::mutants(),
        closing::mutants(),
        mixed::mutants(),
        clock::mutants(),
        groups::mutants(),
        runtimes::mutants(),
        each::mutants(),
        streams_each::mutants(),
    ];
    areas.into_iter().flatten().collect()
}

fn case(id: &str) -> &'static Case {
    cases().iter().find(|case| case.id == id).unwrap_or_else(|| panic!("there is no case called {id}"))
}

/// Holds each backend to its case, some at a time; what became of them, in their order.
async fn judge_all(trials: Vec<(Backend, &'static Case)>) -> Vec<Judged> {
    let start = |(backend, case): (Backend, &'static Case)| {
        spawn_blocking(move || judge(Arc::new(backend), case, LIMIT, &Handle::current()))
    };
    let judged = stream::iter(trials).map(start).buffered(AT_A_TIME);
    judged.map(|judged| judged.expect("judging does not panic")).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_mutant_is_caught_by_the_case_that_is_there_for_it() {
    let mutants = mutants();
    let trial = |mutant: &Mutant| (Backend::new(mutant.name, mutant.fault.clone()), case(mutant.caught_by));
    let judged = judge_all(mutants.iter().map(trial).collect()).await;
    let mut survivors = Vec::new();
    for (Mutant { name, breaks, caught_by, .. }, judged) in mutants.iter().zip(judged) {
        let Some(failure) = judged.failure else {
            let said = judged.message.unwrap_or_else(|| format!("{:?}", judged.verdict));
            survivors.push(format!("{name}: {breaks}; but {caught_by} says: {said}"));
            continue;
        };
        let failure = failure.to_string();
        println!("{name:<30} {caught_by:<55} {}", failure.lines().next().unwrap_or_default());
    }
    let (all, left) = (mutants.len(), survivors.len());
    assert!(survivors.is_empty(), "{left} of {all} mutants were not caught:\n{}", survivors.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_not_broken_passes_the_same_cases() {
    let used: BTreeSet<_> = mutants().iter().map(|mutant| mutant.caught_by).collect();
    let honest = used.into_iter().map(|id| (id, Arc::<Honest>::default() as Arc<dyn Fault>));
    let sound: Vec<_> = honest.chain(names::sound()).chain(layers::sound()).collect();
    let trial = |(n, (id, fault)): (usize, &(&'static str, Arc<dyn Fault>))| {
        (Backend::new(format!("sound-{n}"), fault.clone()), case(id))
    };
    let judged = judge_all(sound.iter().enumerate().map(trial).collect()).await;
    for ((id, _), Judged { verdict, message, .. }) in sound.iter().zip(judged) {
        assert_eq!(verdict, Verdict::Passed, "{id}, with nothing broken: {message:?}");
    }
}

#[test]
fn the_list_of_mutants_is_sound() {
    let mutants = mutants();
    let names: BTreeSet<_> = mutants.iter().map(|mutant| mutant.name).collect();
    assert!(mutants.len() >= 25, "{} mutants are too few to prove anything", mutants.len());
    assert_eq!(names.len(), mutants.len(), "every mutant has a name of its own");
    for Mutant { name, breaks, caught_by, .. } in &mutants {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name} is no name");
        assert!(breaks.starts_with(char::is_uppercase) && !breaks.ends_with('.'), "{name}: {breaks}");
        assert_eq!(case(caught_by).id, *caught_by);
    }
}
