//! `lock`: turns, exit codes, waiting, signals.

use crate::cli::program::{Running, World, built};
use std::time::{Duration, Instant};

/// Tells its fencing token and goes on until its input ends.
const HOLD: [&str; 3] = ["sh", "-c", "echo $LINCHPIN_FENCING_TOKEN; exec cat"];

async fn hold(world: &World, options: &[&str]) -> (Running, u64) {
    let mut holder = world.begin(&[&["lock", "l"], options, &["--"], &HOLD].concat()).await;
    let token = holder.says().await.parse().expect("a token");
    (holder, token)
}

#[tokio::test]
async fn they_take_turns_and_tokens_grow() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let script = format!(
        "echo in $LINCHPIN_LOCK $LINCHPIN_FENCING_TOKEN >> {log}; sleep 0.2; \
         echo out $LINCHPIN_LOCK $LINCHPIN_FENCING_TOKEN >> {log}",
        log = log.display()
    );
    let arguments = ["lock", "turns", "--", "sh", "-c", &script];
    let all = tokio::join!(world.run(&arguments), world.run(&arguments), world.run(&arguments));
    assert_eq!([all.0.code, all.1.code, all.2.code], [0; 3]);

    let log = std::fs::read_to_string(log).expect("a log");
    let lines: Vec<_> = log.lines().collect();
    let mut tokens = Vec::new();
    for turn in lines.chunks(2) {
        let [came, left] = turn else { panic!("somebody came and did not leave: {log}") };
        let token = came.strip_prefix("in turns ").unwrap_or_else(|| panic!("two at once: {log}"));
        assert_eq!(left.strip_prefix("out turns "), Some(token), "two at once: {log}");
        tokens.push(token.parse::<u64>().expect("a token"));
    }
    assert!(tokens.len() == 3 && tokens.is_sorted_by(|before, after| before < after), "{tokens:?}");
}

#[tokio::test]
async fn the_exit_code_is_the_commands() {
    let world = World::start().await;
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let ran = world.run(&["lock", "l", "--", "sh", "-c", script]).await;
        assert_eq!((ran.code, ran.errors.as_str()), (code, ""), "{script}");
    }
    world.run(&["lock", "l", "--", "/no/such/command"]).await.failed(127, "cannot run /no/such/command");
    let no_program = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    world.run(&["lock", "l", "--", no_program]).await.failed(126, "cannot run ");
    // Without the tether the same.
    world.run(&["lock", "l", "--on-lost", "warn", "--", "/no/such/command"]).await.failed(127, "cannot run");
    world.run(&["lock", "l", "--no-wait", "--", "true"]).await.text();
}

#[tokio::test]
async fn a_lock_that_is_held_is_given_up_on_in_time() {
    let world = World::start().await;
    let (mut holder, _) = hold(&world, &[]).await;
    world.run(&["lock", "l", "--no-wait", "--", "true"]).await.failed(75, "is held by another");
    let started = Instant::now();
    world.run(&["lock", "l", "--wait", "300ms", "--", "true"]).await.failed(75, "within 300ms");
    assert!(started.elapsed() >= Duration::from_millis(300));
    world.run(&["lock", "l", "--wait", "0s", "-E", "3", "--", "true"]).await.failed(3, "its turn did not come");
    world.run(&["lock", "other", "--no-wait", "--", "true"]).await.text();
    // Who gave up has left the queue.
    world.wants("l", 1).await;
    holder.close();
    assert_eq!(holder.ends().await, (Some(0), String::new()));
    world.run(&["lock", "l", "--no-wait", "--", "true"]).await.text();
}

/// Nobody can say that it is taken.
#[tokio::test]
async fn a_server_that_does_not_answer_is_not_a_lock_that_is_taken() {
    let world = World::start().await;
    world.server.pause().await.expect("paused");
    for options in [&["--no-wait"][..], &["--wait", "300ms"], &["--no-wait", "-E", "3"]] {
        world.run(&[&["lock", "l"], options, &["--", "true"]].concat()).await.failed(69, "");
    }
    world.server.resume().await.expect("resumed");
    world.run(&["lock", "l", "--no-wait", "--", "true"]).await.text();
}

#[tokio::test]
async fn ctrl_c_while_waiting_gives_up_the_place() {
    let world = World::start().await;
    let (mut holder, _) = hold(&world, &[]).await;
    // Nothing that it leaves behind would be gone in time by itself.
    let waiter = world.begin(&["lock", "l", "--ttl", "5m", "--", "true"]).await;
    world.wants("l", 2).await;
    waiter.signal("INT").await;
    assert_eq!(waiter.ends().await.0, Some(130));
    world.wants("l", 1).await;
    holder.close();
    assert_eq!(holder.ends().await.0, Some(0));
    world.run(&["lock", "l", "--no-wait", "--", "true"]).await.text();
}

#[tokio::test]
async fn signals_are_handed_on_and_the_lock_is_released() {
    let world = World::start().await;
    for signal in ["TERM", "INT", "HUP", "USR1", "USR2"] {
        // It starts no program: where a signal comes while it does so, not every shell ends as it says.
        let script = "trap 'echo bye; exit 5' TERM INT HUP USR1 USR2; echo held; while :; do :; done";
        let mut holder = world.begin(&["lock", "l", "--", "sh", "-c", script]).await;
        assert_eq!(holder.says().await, "held");
        holder.signal(signal).await;
        assert_eq!(holder.says().await, "bye");
        let (code, errors) = holder.ends().await;
        assert!(code == Some(5) && !errors.contains("linchpin"), "{signal}: {code:?} {errors}");
        world.run(&["lock", "l", "--no-wait", "--", "true"]).await.text();
    }
}

#[tokio::test]
async fn what_the_caller_ignores_stays_ignored() {
    let world = World::start().await;
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", r#"trap "" HUP; exec "$0" lock l -- sh -c 'echo held; exec cat'"#]);
    command.arg(built()).env("LINCHPIN_URL", &world.url);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut holder = Running::of(command);
    assert_eq!(holder.says().await, "held");
    holder.signal("HUP").await;
    // Answered by the holder after the signal came.
    world.run(&["lock", "l", "--wait", "300ms", "--", "true"]).await.failed(75, "");
    assert!(holder.runs());
    holder.close();
    assert_eq!(holder.ends().await.0, Some(0));
}

/// What asks nobody to end kills nobody, and gives back what is held where there is no command to hand it on to.
#[tokio::test]
async fn a_waiter_that_a_signal_ends_leaves_nothing() {
    let world = World::start().await;
    let (mut holder, _) = hold(&world, &[]).await;
    for (signal, code) in [("USR1", 138), ("USR2", 140)] {
        let waiter = world.begin(&["lock", "l", "--ttl", "5m", "--", "true"]).await;
        world.wants("l", 2).await;
        waiter.signal(signal).await;
        assert_eq!(waiter.ends().await.0, Some(code));
        world.wants("l", 1).await;
    }
    holder.close();
    assert_eq!(holder.ends().await.0, Some(0));
}

#[tokio::test]
async fn a_lock_that_passes_on_has_a_greater_token() {
    let world = World::start().await;
    let (mut first, token) = hold(&world, &["--holder", "first", "--ttl", "5s"]).await;
    let second = tokio::spawn(async move {
        let (mut second, token) = hold(&world, &["--holder", "second"]).await;
        second.close();
        (second.ends().await.0, token)
    });
    first.close();
    assert_eq!(first.ends().await.0, Some(0));
    let (code, next) = second.await.expect("no panic");
    assert!(code == Some(0) && next > token, "{token} and then {next}");
}
