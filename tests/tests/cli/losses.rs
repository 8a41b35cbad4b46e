//! `lock` when things go wrong: killed, stopped, cut off from the server.

use crate::program::{Running, SOON, World, is_alive, until};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(1);

/// Starts a holder with a TTL of a second; its command tells its process id and its token.
async fn hold(world: &World, options: &[&str], script: &str) -> (Running, String, u64) {
    let script = format!("echo $$ $LINCHPIN_FENCING_TOKEN; {script}");
    let arguments = [&["lock", "l", "--ttl", "1s"], options, &["--", "sh", "-c", &script]].concat();
    let mut holder = world.begin(&arguments).await;
    let said = holder.says().await;
    let (pid, token) = said.split_once(' ').expect("a process id and a token");
    (holder, pid.to_owned(), token.parse().expect("a token"))
}

#[tokio::test]
async fn what_a_killed_holder_held_passes_on_with_its_ttl() {
    let world = World::start().await;
    let (holder, command, token) = hold(&world, &[], "exec sleep 60").await;
    let mut waiter = world.begin(&["lock", "l", "--", "sh", "-c", "echo $LINCHPIN_FENCING_TOKEN"]).await;
    world.wants("l", 2).await;
    holder.signal("KILL").await;
    let killed = Instant::now();
    let next: u64 = waiter.says().await.parse().expect("a token");
    let passed = killed.elapsed();
    assert!(next > token, "{token} and then {next}");
    assert!(passed < TTL + Duration::from_millis(750), "it passed on after {passed:?}");
    assert_eq!(waiter.ends().await.0, Some(0));
    assert_eq!(holder.ends().await.0, None);
    if cfg!(target_os = "linux") {
        assert!(!is_alive(&command), "the command outlived who held the lock for it");
    }
}

#[tokio::test]
async fn a_holder_that_stood_still_ends_its_command_and_says_so() {
    let world = World::start().await;
    let (holder, command, token) = hold(&world, &[], "exec sleep 60").await;
    holder.signal("STOP").await;
    let (mut next, _, greater) = hold(&world, &[], "exec cat").await;
    assert!(greater > token);
    assert!(is_alive(&command), "nobody could have ended it");
    holder.signal("CONT").await;
    let (code, errors) = holder.ends().await;
    assert_eq!(code, Some(79), "{errors}");
    assert!(errors.contains("the lock \"l\" was lost; ending the command"), "{errors}");
    assert!(!is_alive(&command));
    assert!(next.runs(), "who woke up took something away from its successor");
    next.close();
    assert_eq!(next.ends().await.0, Some(0));
}

/// The server stands still: the lock is lost by our own clock, and all that the command started is gone before the TTL
/// is over, though it does not listen to SIGTERM.
#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed_before_the_lock_can_pass_on() {
    let world = World::start().await;
    let script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 0.02; done";
    let (mut holder, command, _) = hold(&world, &[], script).await;
    let started_by_it = holder.says().await;
    assert!(is_alive(&command) && is_alive(&started_by_it));
    world.server.pause().await.expect("paused");
    let paused = Instant::now();
    until("both are gone", async || !is_alive(&command) && !is_alive(&started_by_it)).await;
    // The last renewal was sent before the pause. What is left is for a machine that is busy.
    let gone = paused.elapsed();
    assert!(gone < TTL + Duration::from_millis(250), "gone after {gone:?}");
    let (code, errors) = holder.ends().await;
    assert_eq!(code, Some(79), "{errors}");
    world.server.resume().await.expect("resumed");
    world.run(&["lock", "l", "--wait", "5s", "--", "true"]).await.text();
}

#[tokio::test]
async fn sigterm_comes_first_so_that_a_command_can_tidy_up() {
    let world = World::start().await;
    let script = "trap 'echo tidy; exit 3' TERM; while :; do sleep 0.01; done";
    let (mut holder, _, _) = hold(&world, &["--grace", "40ms"], script).await;
    world.server.pause().await.expect("paused");
    assert_eq!(holder.says().await, "tidy");
    assert_eq!(holder.ends().await.0, Some(79));
}

#[tokio::test]
async fn a_warning_leaves_the_command_alone() {
    let world = World::start().await;
    let (mut holder, command, _) = hold(&world, &["--on-lost", "warn"], "cat; exit 5").await;
    world.server.pause().await.expect("paused");
    let mut next_second = tokio::time::interval(TTL * 2);
    next_second.tick().await;
    next_second.tick().await;
    assert!(is_alive(&command));
    world.server.resume().await.expect("resumed");
    holder.close();
    let (code, errors) = timeout(SOON, holder.ends()).await.expect("in time");
    assert_eq!(code, Some(5), "{errors}");
    assert!(errors.contains("the lock \"l\" was lost; the command goes on without it"), "{errors}");
    assert!(errors.contains("could not be renewed, trying on"), "{errors}");
}

#[tokio::test]
async fn a_key_that_was_removed_by_hand_is_a_loss() {
    let world = World::start().await;
    let (holder, command, _) = hold(&world, &[], "exec sleep 60").await;
    world.coordinator().await.flush_all().await.expect("flushed");
    assert_eq!(holder.ends().await.0, Some(79));
    assert!(!is_alive(&command));
}
