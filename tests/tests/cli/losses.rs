//! `lock` when things go wrong: killed, stopped, cut off from the server.

use crate::cli::program::{Running, SOON, World, is_alive, until};
use linchpin_conformance::Direction;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(1);

/// Starts a holder with a TTL of a second; its command tells its process id and its token.
async fn hold(world: &World, options: &[&str], script: &str) -> (Running, String, u64) {
    hold_with(world, &[&["--ttl", "1s"], options].concat(), script).await
}

/// A TTL of three seconds, of which the command has the last one to end in order.
const PATIENT: [&str; 4] = ["--ttl", "3s", "--grace", "1s"];

async fn hold_with(world: &World, options: &[&str], script: &str) -> (Running, String, u64) {
    let script = format!("echo $$ $LINCHPIN_FENCING_TOKEN; {script}");
    let arguments = [&["lock", "l"], options, &["--", "sh", "-c", &script]].concat();
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
    let script = "trap '' TERM; sleep 60 & echo $!; while :; do read -r _; done";
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

/// The network loses every packet of the holder's, and nobody else's: what its command does to end in order is done
/// before the deadline, and before who waits for the lock holds it.
#[tokio::test]
async fn a_command_ends_in_order_before_another_holds_the_lock() {
    let world = World::start().await;
    let proxy = world.proxy().await;
    let url = world.url_through(&proxy);
    let options = [&PATIENT[..], &["--url", &url]].concat();
    let script = "(trap '' TERM; exec sleep 60) & echo $!
        trap 'sleep 0.5; echo tidy; exit 3' TERM; while :; do read -r _; done";
    let (mut holder, command, token) = hold_with(&world, &options, script).await;
    let left_behind = holder.says().await;
    let mut waiter = world.begin(&["lock", "l", "--", "sh", "-c", "echo $LINCHPIN_FENCING_TOKEN"]).await;
    world.wants("l", 2).await;
    proxy.hold(Direction::Requests);
    proxy.hold(Direction::Answers);
    let cut = Instant::now();
    let tidy = async { (holder.says().await, Instant::now()) };
    let next = async { (waiter.says().await, Instant::now()) };
    let ((tidy, ended), (next, held)) = tokio::join!(tidy, next);
    assert_eq!(tidy, "tidy");
    assert!(next.parse::<u64>().expect("a token") > token);
    assert!(ended < held, "the next held it {:?} before the command had ended", ended - held);
    // Its last renewal was sent before the cut; 50 ms of its TTL are the margin.
    let deadline = Duration::from_millis(2950);
    assert!(ended - cut < deadline, "it ended {:?} after the cut", ended - cut);
    let (code, errors) = holder.ends().await;
    assert_eq!(code, Some(79), "{errors}");
    assert!(errors.contains("the lock \"l\" is about to be lost; ending the command"), "{errors}");
    assert!(!is_alive(&command) && !is_alive(&left_behind));
    assert_eq!(waiter.ends().await.0, Some(0));
}

/// The server is back before the deadline, so the lock would be held on; but the command was told.
#[tokio::test]
async fn a_renewal_that_comes_too_late_calls_nothing_back() {
    let world = World::start().await;
    let script = "trap 'echo told' TERM; while :; do read -r _; done";
    let (mut holder, command, _) = hold_with(&world, &PATIENT, script).await;
    world.server.pause().await.expect("paused");
    assert_eq!(holder.says().await, "told");
    world.server.resume().await.expect("resumed");
    let resumed = Instant::now();
    until("the command is gone", async || !is_alive(&command)).await;
    let gone = resumed.elapsed();
    assert!(gone < Duration::from_millis(1250), "gone {gone:?} after the server came back");
    let (code, errors) = holder.ends().await;
    assert_eq!(code, Some(79), "{errors}");
    assert!(!errors.contains("was lost"), "{errors}");
    world.run(&["lock", "l", "--no-wait", "--", "true"]).await.text();
}

/// An outage that ends before the grace begins costs nothing.
#[tokio::test]
async fn a_renewal_that_comes_in_time_leaves_the_command_alone() {
    let world = World::start().await;
    let (mut holder, command, _) = hold_with(&world, &PATIENT, "exec cat").await;
    for _ in 0..3 {
        world.server.pause().await.expect("paused");
        // The last renewal was sent a second before at most: almost half a second is left until the grace begins.
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.server.resume().await.expect("resumed");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(is_alive(&command) && holder.runs());
    holder.close();
    assert_eq!(holder.ends().await, (Some(0), String::new()));
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
