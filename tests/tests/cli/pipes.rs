//! Output that cannot be written: its reader has gone, or the disk is full.

use crate::cli::program::{Ran, SOON, World, linchpin};
use futures::StreamExt;
use std::process::Stdio;

/// Subcommands that print something, each of another kind.
const PRINTING: [&[&str]; 25] = [
    &["get", "k"],
    &["get", "k", "--entry"],
    &["get", "k", "--output", "json"],
    &["keys"],
    &["del", "gone"],
    &["watch", "k"],
    &["sub", "c"],
    &["pub", "c", "x", "--ack"],
    &["nodes", "--group", "workers"],
    &["leader", "e"],
    &["stats"],
    &["health"],
    &["stream", "append", "s", "x"],
    &["stream", "claim", "s", "--group", "g"],
    &["stream", "inspect", "s"],
    &["stream", "trim", "s", "--newest", "10"],
    &["stream", "remove-group", "s", "g", "--output", "json"],
    &["conformance", "memory://", "--filter", "capabilities."],
    &["bench", "--only", "dispatch", "--quick"],
    &["demo"],
    &["completions", "bash"],
    &["man"],
    &["--help"],
    &["help", "stream"],
    &["--version"],
];

#[tokio::test]
async fn a_reader_that_has_gone_is_no_error_of_any_subcommand() {
    let world = World::start().await;
    let coordinator = world.coordinator().await;
    coordinator.set("k", b"v", None).await.expect("set");
    coordinator.set("gone", b"v", None).await.expect("set");
    let _membership = coordinator.members("workers").join().await.expect("joined");
    let _leadership = coordinator.election("e").campaign().await.expect("elected");
    let messages = coordinator.subscribe("c").await.expect("subscribed");
    let hears = tokio::spawn(messages.for_each(async |_| ()));
    for arguments in PRINTING {
        // Each prints something to who listens, or it would be no wonder.
        if !matches!(arguments[0], "watch" | "sub" | "demo" | "bench") {
            let ran = world.run(arguments).await;
            assert!(!ran.text().is_empty(), "{arguments:?}");
        }
        if arguments[0] == "del" {
            coordinator.set("gone", b"v", None).await.expect("set");
        }
        if arguments.starts_with(&["stream", "claim"]) {
            world.run(&["stream", "append", "s", "y"]).await.text();
        }
        if arguments.starts_with(&["stream", "remove-group"]) {
            world.run(&["stream", "claim", "s", "--group", "g"]).await.text();
        }
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = world.command(arguments).await;
        command.stdout(writer);
        // Measuring takes its time.
        let ran = Ran::within(SOON * 3, command, None).await;
        assert!(ran.code == 0 && !ran.errors.contains("panicked"), "{arguments:?}: {ran:?}");
        // These tell how far they are.
        let tells = matches!(arguments[0], "conformance" | "bench");
        assert!(tells || ran.errors.is_empty(), "{arguments:?}: {ran:?}");
    }
    hears.abort();
}

#[tokio::test]
async fn a_demo_that_is_piped_to_head_ends_quietly() {
    let mut pipe = tokio::process::Command::new("bash");
    pipe.args(["-c", r#"set -o pipefail; "$0" demo | head -1"#]).arg(crate::cli::program::built());
    pipe.env_remove("LINCHPIN_URL").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Ran::of(pipe, None).await;
    assert_eq!((ran.text().lines().count(), ran.errors.as_str()), (1, ""), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error() {
    for arguments in [&["demo"][..], &["stats", "--url", "memory://"], &["man"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let mut command = linchpin(arguments).await;
        command.stdout(full);
        Ran::of(command, None).await.failed(74, "cannot write the output");
    }
}
