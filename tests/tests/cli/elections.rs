//! `elect` and `leader`.

use crate::cli::program::{World, is_alive, until};
use std::time::Duration;

/// Tells its term and goes on until its input ends.
const LEAD: [&str; 4] = ["--", "sh", "-c", "echo $LINCHPIN_ELECTION $LINCHPIN_FENCING_TOKEN $$; exec cat"];

/// The term and the process id of what was said.
fn term(said: &str) -> (u64, String) {
    let (term, pid) = said.strip_prefix("e ").and_then(|said| said.split_once(' ')).expect("election, term, process");
    (term.parse().expect("a term"), pid.to_owned())
}

#[tokio::test]
async fn leadership_passes_to_the_next_candidate() {
    let world = World::start().await;
    world.run(&["leader", "e"]).await.failed(1, "");
    let mut ann = world.begin(&[&["elect", "e", "--node", "ann", "--value", "10.0.0.1:80"][..], &LEAD].concat()).await;
    let (first, _) = term(&ann.says().await);
    let mut bob = world.begin(&[&["elect", "e", "--node", "bob"][..], &LEAD].concat()).await;
    world.stands("e", 1).await;
    assert_eq!(world.run(&["leader", "e"]).await.text(), "ann\n");
    let leader = &world.run(&["leader", "e", "--output", "json"]).await.json()[0];
    assert_eq!(
        (&leader["node"], &leader["term"], &leader["value"]),
        (&"ann".into(), &first.into(), &"10.0.0.1:80".into())
    );

    ann.close();
    assert_eq!(ann.ends().await, (Some(0), String::new()));
    let (second, _) = term(&bob.says().await);
    assert!(second > first, "{first} and then {second}");
    assert_eq!(world.run(&["leader", "e"]).await.text(), "bob\n");
    bob.signal("TERM").await;
    assert_eq!(bob.ends().await.0, Some(143));
    world.run(&["leader", "e"]).await.failed(1, "");
}

#[tokio::test]
async fn a_candidate_that_is_interrupted_leaves_nothing() {
    let world = World::start().await;
    let mut leader = world.begin(&[&["elect", "e"][..], &LEAD].concat()).await;
    leader.says().await;
    // Nothing that it leaves behind would be gone in time by itself.
    let candidate = world.begin(&[&["elect", "e", "--ttl", "5m"][..], &LEAD].concat()).await;
    world.stands("e", 1).await;
    candidate.signal("INT").await;
    assert_eq!(candidate.ends().await.0, Some(130));
    world.stands("e", 0).await;
    leader.close();
    assert_eq!(leader.ends().await.0, Some(0));
}

#[tokio::test]
async fn who_lost_the_leadership_ends_its_command_and_stands_again() {
    let world = World::start().await;
    let mut leader = world.begin(&[&["elect", "e", "--ttl", "1s"][..], &LEAD].concat()).await;
    let (first, command) = term(&leader.says().await);
    leader.signal("STOP").await;
    // Somebody else leads meanwhile.
    let other = world.coordinator().await;
    let leadership = other.election("e").campaign().await.expect("elected");
    leader.signal("CONT").await;
    world.stands("e", 1).await;
    assert!(!is_alive(&command));
    leadership.resign().await.expect("resigned");
    let (second, _) = term(&leader.says().await);
    assert!(second > first, "{first} and then {second}");
    leader.close();
    let (code, errors) = leader.ends().await;
    assert!(code == Some(0) && errors.contains("the leadership of \"e\" was lost"), "{code:?} {errors}");
}

/// A command that takes SIGHUP for something else was not asked to end.
#[tokio::test]
async fn who_was_sent_a_hangup_stands_again() {
    let world = World::start().await;
    let script = "trap 'echo read again' HUP; echo $LINCHPIN_ELECTION $LINCHPIN_FENCING_TOKEN $$; \
                  while :; do read -r _; done";
    let mut leader = world.begin(&["elect", "e", "--ttl", "1s", "--", "sh", "-c", script]).await;
    let (first, _) = term(&leader.says().await);
    leader.signal("HUP").await;
    assert_eq!(leader.says().await, "read again");
    world.server.kill().await.expect("killed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.server.restart().await.expect("restarted");
    let (second, _) = term(&leader.says().await);
    assert!(second > first, "{first} and then {second}");
    leader.signal("TERM").await;
    assert_eq!(leader.ends().await.0, Some(143));
}

#[tokio::test]
async fn once_is_once() {
    let world = World::start().await;
    let mut leader = world.begin(&[&["elect", "e", "--ttl", "1s", "--once"][..], &LEAD].concat()).await;
    let (_, command) = term(&leader.says().await);
    world.server.pause().await.expect("paused");
    assert_eq!(leader.ends().await.0, Some(79));
    assert!(!is_alive(&command));
    world.server.resume().await.expect("resumed");
}

/// It waits to lead for as long as it takes, so nothing of it is too late. Who was never connected does not wait.
#[tokio::test]
async fn who_cannot_reach_the_server_when_it_begins_ends() {
    let world = World::start().await;
    for options in [&[][..], &["--once"]] {
        let elect = [&["elect", "e"], options, &["--", "true"]].concat();
        world.server.pause().await.expect("paused");
        world.run(&elect).await.failed(69, "");
        world.server.resume().await.expect("resumed");
        world.server.kill().await.expect("killed");
        world.run(&elect).await.failed(69, "refused");
        world.server.restart().await.expect("restarted");
        world.run(&elect).await.text();
    }
}

/// A candidate rides out what a leader does not.
#[tokio::test]
async fn once_is_no_end_for_a_candidate() {
    let world = World::start().await;
    let mut leader = world.begin(&[&["elect", "e", "--ttl", "3s", "--once"][..], &LEAD].concat()).await;
    let (first, _) = term(&leader.says().await);
    let mut candidate = world.begin(&[&["elect", "e", "--ttl", "3s", "--once"][..], &LEAD].concat()).await;
    world.stands("e", 1).await;
    world.server.pause().await.expect("paused");
    assert_eq!(leader.ends().await.0, Some(79));
    assert!(candidate.runs(), "the candidate ended, as its leader did");
    world.server.resume().await.expect("resumed");
    let (second, _) = term(&candidate.says().await);
    assert!(second > first, "{first} and then {second}");
    candidate.close();
    assert_eq!(candidate.ends().await.0, Some(0));
}

#[tokio::test]
async fn a_leader_comes_back_after_an_outage() {
    let world = World::start().await;
    let mut leader = world.begin(&[&["elect", "e", "--ttl", "1s"][..], &LEAD].concat()).await;
    let (first, _) = term(&leader.says().await);
    world.server.kill().await.expect("killed");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.server.restart().await.expect("restarted");
    let (second, _) = term(&leader.says().await);
    assert!(second > first, "{first} and then {second}");
    leader.close();
    assert_eq!(leader.ends().await.0, Some(0));
}

/// Its command ended before the leadership was lost, and the server came back: nobody has to wait for the TTL.
#[tokio::test]
async fn a_leader_whose_command_ended_in_time_steps_down_and_stands_again() {
    let world = World::start().await;
    let options = ["elect", "e", "--ttl", "6s", "--grace", "2s"];
    let mut leader = world.begin(&[&options[..], &LEAD].concat()).await;
    let (first, command) = term(&leader.says().await);
    world.server.pause().await.expect("paused");
    until("the command has ended", async || !is_alive(&command)).await;
    world.server.resume().await.expect("resumed");
    let (second, _) = term(&leader.says().await);
    assert!(second > first, "{first} and then {second}");
    leader.close();
    let (code, errors) = leader.ends().await;
    assert!(code == Some(0) && errors.contains("the leadership of \"e\" is about to be lost"), "{code:?} {errors}");
    assert!(!errors.contains("was lost"), "{errors}");
}
