//! The servers that the other tests rely on: they live through faults, keep their data, and leave nothing behind.

use linchpin_tests::servers::RedisServer;
use std::io;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

type Checked = Result<(), String>;

/// One command over a connection of its own, answered within half a second.
async fn ask(server: &str, command: &str) -> io::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(server.trim_start_matches("redis://")).await?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut reply = [0; 512];
        let length = stream.read(&mut reply).await?;
        Ok(String::from_utf8_lossy(&reply[..length]).trim_end().to_owned())
    };
    timeout(Duration::from_millis(500), ask).await?
}

async fn expect(server: &str, command: &str, reply: &str) -> Checked {
    match ask(server, command).await {
        Ok(got) if got == reply => Ok(()),
        other => Err(format!("{command} got {other:?} and not {reply:?}")),
    }
}

async fn expect_error(server: &str, kind: io::ErrorKind) -> Checked {
    match ask(server, "PING").await {
        Err(error) if error.kind() == kind => Ok(()),
        other => Err(format!("PING got {other:?} and not {kind:?}")),
    }
}

/// Nothing listens there any more, soon.
async fn expect_gone(server: &str) -> Checked {
    let address = server.trim_start_matches("redis://");
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpListener::bind(address).is_err() {
        if Instant::now() > deadline {
            return Err(format!("{address} is still in use"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn lives_through_faults(server: RedisServer) -> Checked {
    let url = server.url();
    expect(&url, "PING", "+PONG").await?;
    expect(&url, "SET key kept", "+OK").await?;

    server.pause().await?;
    expect_error(&url, io::ErrorKind::TimedOut).await?;
    server.resume().await?;
    expect(&url, "PING", "+PONG").await?;

    server.kill().await?;
    expect_gone(&url).await?;
    server.pause().await.expect_err("it is not running");
    server.kill().await.expect_err("it is not running");
    server.restart().await?;
    assert_eq!(server.url(), url);
    expect(&url, "GET key", "$4\r\nkept").await?;

    expect(&url, "SET key newer", "+OK").await?;
    server.restart().await?;
    expect(&url, "GET key", "$5\r\nnewer").await?;

    // Paused servers end too.
    server.pause().await?;
    server.kill().await?;
    server.restart().await?;
    server.pause().await?;
    drop(server);
    expect_gone(&url).await
}

#[tokio::test]
async fn a_process_lives_through_faults() -> Checked {
    let server = RedisServer::start_local(&[]).await?;
    assert_eq!(server.origin(), "process");
    lives_through_faults(server).await
}

#[tokio::test]
async fn a_container_lives_through_faults() -> Checked {
    let servers = std::env::var("LINCHPIN_TEST_SERVERS").unwrap_or_default();
    if servers == "local" {
        println!("SKIPPED: LINCHPIN_TEST_SERVERS is local");
        return Ok(());
    }
    match RedisServer::start_container().await {
        Err(error) if servers != "docker" && error.starts_with("no Docker engine") => println!("SKIPPED: {error}"),
        started => {
            let server = started?;
            assert_eq!(server.origin(), "container");
            lives_through_faults(server).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_process_takes_further_arguments() -> Checked {
    let server = RedisServer::start_local(&["--requirepass", "secret"]).await?;
    expect(&server.url(), "PING", "-NOAUTH Authentication required.").await?;
    expect(&server.url(), "AUTH secret", "+OK").await?;

    let refused = RedisServer::start_local(&["--no-such-option", "1"]).await.err().unwrap_or_default();
    assert!(refused.contains("no-such-option"), "{refused:?} does not show the server's log");
    Ok(())
}

#[tokio::test]
async fn the_environment_chooses() -> Checked {
    let no_engine = ("DOCKER_HOST", "unix:///nonexistent/docker.sock");

    let (said, _) = elsewhere(&[("LINCHPIN_TEST_REDIS_URL", "redis://given:1")]).await?;
    assert!(said.starts_with("url redis://given:1 ") && said.contains("resume is not offered"), "{said}");

    let (said, _) = elsewhere(&[("LINCHPIN_TEST_SERVERS", "docker"), no_engine]).await?;
    assert!(said.starts_with("no Docker engine answers") && said.contains("make setup"), "{said}");

    let (said, _) = elsewhere(&[no_engine]).await?;
    assert!(said.starts_with("process redis://127.0.0.1:") && said.ends_with(" None None"), "{said}");

    let (said, _) = elsewhere(&[("LINCHPIN_TEST_SERVERS", "local"), ("PATH", "/nonexistent")]).await?;
    assert!(said.contains("apt install redis-server"), "{said}");

    let (said, _) = elsewhere(&[("LINCHPIN_TEST_SERVERS", "Docker")]).await?;
    assert_eq!(said, r#"LINCHPIN_TEST_SERVERS is "Docker", not auto, docker or local"#);
    Ok(())
}

#[tokio::test]
async fn no_server_outlives_its_killed_test() -> Checked {
    let default = std::env::var("LINCHPIN_TEST_SERVERS").unwrap_or_default();
    for servers in ["local", &default] {
        let (said, mut child) = elsewhere(&[("LINCHPIN_TEST_SERVERS", servers)]).await?;
        let url = said.split(' ').nth(1).ok_or(said.as_str())?;
        expect(url, "PING", "+PONG").await?;
        child.kill().await.map_err(|error| error.to_string())?;
        expect_gone(url).await?;
    }
    Ok(())
}

/// Starts a server in a process of its own, with these variables, and returns what it says of it. The
/// server lives as long as that process.
async fn elsewhere(variables: &[(&str, &str)]) -> Result<(String, Child), String> {
    let failed = |error: io::Error| error.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_hold_a_server"))
        .env_remove("LINCHPIN_TEST_REDIS_URL")
        .env_remove("LINCHPIN_TEST_SERVERS")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        if let Some((_, said)) = line.split_once("SAID ") {
            return Ok((said.to_owned(), child));
        }
    }
    Err("it said nothing".to_owned())
}
