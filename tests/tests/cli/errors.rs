//! What goes wrong before anything is done.

use crate::cli::program::{Ran, linchpin};
use linchpin_tests::servers::RedisServer;

const CANARY: &str = "canary-9c1e";

/// One line of each subcommand that needs what others see.
const SHARED: [&[&str]; 21] = [
    &["health"],
    &["stats"],
    &["lock", "l", "--", "true"],
    &["elect", "e", "--", "true"],
    &["pub", "c", "x"],
    &["sub", "c"],
    &["get", "k"],
    &["set", "k", "v"],
    &["del", "k"],
    &["keys"],
    &["watch", "k"],
    &["nodes"],
    &["leader"],
    &["stream", "append", "s", "x"],
    &["stream", "claim", "s", "--group", "g"],
    &[
        "stream",
        "ack",
        "eyJzdHJlYW0iOnsibmFtZSI6InMiLCJkZWFkX2xldHRlcnNfb2YiOm51bGx9LCJncm91cCI6ImciLCJwb3NpdGlvbiI6MSwiZGVsaXZlcnkiOjF9",
    ],
    &["stream", "inspect", "s"],
    &["stream", "trim", "s", "--newest", "1"],
    &["stream", "trim", "s", "--settled"],
    &["stream", "remove-group", "s", "g"],
    &["stream", "append", "s", "-"],
];

#[tokio::test]
async fn memory_is_refused_where_one_process_is_senseless() {
    for arguments in SHARED {
        let mut empty = linchpin(arguments).await;
        empty.env("LINCHPIN_URL", "");
        for command in [linchpin(arguments).await, empty] {
            let refused = Ran::of(command, None).await.failed(64, "memory:// lives in one process");
            assert!(refused.errors.contains("LINCHPIN_URL") && refused.out.is_empty(), "{refused:?}");
        }
    }
    let asked_for = linchpin(&["--url", "memory://", "lock", "l", "--", "sh", "-c", "echo ran"]).await;
    assert_eq!(Ran::of(asked_for, None).await.text(), "ran\n");
}

#[tokio::test]
async fn no_password_is_ever_said() {
    let server = RedisServer::start_local(&["--requirepass", CANARY]).await.expect("a server");
    let url = server.url().replace("redis://", &format!("redis://:{CANARY}@"));
    let right = Ran::of(linchpin(&["--url", &url, "keys"]).await, None).await;
    assert_eq!(right.text(), "");
    let wrong_ones = [
        (url.replace(CANARY, &format!("{CANARY}-wrong")), 77),
        (server.url().replace("redis://", &format!("redis://{CANARY}:{CANARY}@")), 77),
        (url.replace("127.0.0.1", "127.0.0.1.invalid"), 69),
        (url.replace("redis://", "rediss://"), 69),
        (url.replace("redis://", "etcd://"), 64),
        (format!("{url}?nonsense=1"), 64),
        (format!("{url}/x"), 64),
        (format!("://{CANARY}@host"), 64),
        (format!("user:{CANARY}@host:6379"), 64),
    ];
    for (wrong, code) in wrong_ones {
        let mut by_environment = linchpin(&["get", "k", "--output", "json"]).await;
        by_environment.env("LINCHPIN_URL", &wrong);
        for command in [by_environment, linchpin(&["--url", &wrong, "get", "k"]).await] {
            let ran = Ran::of(command, None).await;
            assert_eq!(ran.code, code, "{ran:?}");
            assert!(!ran.errors.is_empty() && !ran.errors.contains(CANARY) && ran.out.is_empty(), "{ran:?}");
        }
        for arguments in [&["--help"][..], &["get"], &["get", "--nonsense"]] {
            let mut command = linchpin(arguments).await;
            command.env("LINCHPIN_URL", &wrong);
            let ran = Ran::of(command, None).await;
            assert!(!ran.errors.contains(CANARY) && !String::from_utf8_lossy(&ran.out).contains(CANARY), "{ran:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_understood_is_exit_code_2_and_what_is_not_allowed_64() {
    for arguments in [&["nonsense"][..], &["get"], &["lock", "l"], &["lock", "l", "--ttl", "10", "--", "true"], &[]] {
        let ran = Ran::of(linchpin(arguments).await, None).await.failed(2, "--help");
        assert!(ran.out.is_empty(), "{ran:?}");
    }
    let too_long = ["--url", "memory://", "lock", "l", "--grace", "4s", "--", "true"];
    Ran::of(linchpin(&too_long).await, None).await.failed(64, "3s 333ms at most");
    let too_short = ["--url", "memory://", "lock", "l", "--ttl", "100ms", "--", "true"];
    Ran::of(linchpin(&too_short).await, None).await.failed(64, "300ms at least");
}

#[tokio::test]
async fn colour_is_for_terminals_unless_it_is_asked_for() {
    let plain = Ran::of(linchpin(&["get", "k"]).await, None).await;
    assert!(plain.errors.starts_with("linchpin: ") && !plain.errors.contains('\x1b'), "{plain:?}");
    let coloured = Ran::of(linchpin(&["get", "k", "--color", "always"]).await, None).await;
    assert!(coloured.errors.contains("\x1b["), "{coloured:?}");
    for (colour, coloured) in [("always", true), ("never", false), ("auto", false)] {
        let help = Ran::of(linchpin(&["--color", colour, "--help"]).await, None).await;
        assert_eq!(help.text().contains("\x1b["), coloured, "{colour}");
    }
}
