//! The servers that the other tests rely on: they live through faults, keep their data, and leave nothing behind.

mod clocks;
mod postgres;

use async_trait::async_trait;
use linchpin_tests::servers::{Nats, NatsCluster, NatsServer, Packaged, Redis, RedisServer, TestServer};
use serde_json::{Value, json};
use std::future::IntoFuture;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

type Checked = Result<(), String>;

/// Software that is asked past any adapter, over a connection of its own each time.
#[async_trait]
trait Asked: Packaged {
    /// What a missing local server is called in the advice how to get one.
    const INSTALL: &'static str;
    /// Variables with which no local server is found.
    const NO_SERVER: (&'static str, &'static str);
    /// What a URL begins with, before its address.
    const URL: &'static str;

    /// Keeps a value, and returns once that is acknowledged.
    async fn keep(url: &str, value: &str) -> io::Result<()>;

    /// The value that was kept last.
    async fn kept(url: &str) -> io::Result<String>;
}

/// What a server says to a command of Redis.
async fn redis(url: &str, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address(url)).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut reply = [0; 512];
    let length = stream.read(&mut reply).await?;
    let reply = String::from_utf8_lossy(&reply[..length]).trim_end().to_owned();
    if reply.starts_with('-') { Err(io::Error::other(reply)) } else { Ok(reply) }
}

#[async_trait]
impl Asked for Redis {
    const INSTALL: &'static str = "apt install redis-server";
    const NO_SERVER: (&'static str, &'static str) = ("PATH", "/nonexistent");
    const URL: &'static str = "redis://";

    async fn keep(url: &str, value: &str) -> io::Result<()> {
        redis(url, &format!("SET key {value}")).await.map(|reply| assert_eq!(reply, "+OK"))
    }

    async fn kept(url: &str) -> io::Result<String> {
        let reply = redis(url, "GET key").await?;
        Ok(reply.split_once("\r\n").map_or(reply.clone(), |(_, value)| value.to_owned()))
    }
}

/// What a server says to a request of NATS.
async fn nats(url: &str, subject: &str, payload: impl ToString) -> io::Result<String> {
    request(async_nats::ConnectOptions::new(), url, subject, payload).await
}

/// The same, of a client with these options.
async fn request(
    options: async_nats::ConnectOptions,
    url: &str,
    subject: &str,
    payload: impl ToString,
) -> io::Result<String> {
    let client = options.connect(url.split(',').collect::<Vec<_>>()).await.map_err(io::Error::other)?;
    let reply = client.request(subject.to_owned(), payload.to_string().into()).await.map_err(io::Error::other)?;
    Ok(String::from_utf8_lossy(&reply.payload).into_owned())
}

/// The same, of JetStream, where it does not refuse.
async fn jetstream(url: &str, subject: &str, payload: impl ToString) -> io::Result<Value> {
    let reply: Value = serde_json::from_str(&nats(url, subject, payload).await?)?;
    match reply.get("error") {
        Some(error) => Err(io::Error::other(error.to_string())),
        None => Ok(reply),
    }
}

fn kept_by(replicas: usize) -> Value {
    json!({ "name": "KEPT", "subjects": ["key"], "allow_direct": true, "num_replicas": replicas })
}

#[async_trait]
impl Asked for Nats {
    const INSTALL: &'static str = "github.com/nats-io/nats-server/releases";
    const NO_SERVER: (&'static str, &'static str) = ("LINCHPIN_TEST_NATS_SERVER", "/nonexistent/nats-server");
    const URL: &'static str = "nats://";

    async fn keep(url: &str, value: &str) -> io::Result<()> {
        jetstream(url, "$JS.API.STREAM.CREATE.KEPT", kept_by(1)).await?;
        jetstream(url, "key", value).await.map(|ack| assert_eq!(ack["stream"], "KEPT"))
    }

    async fn kept(url: &str) -> io::Result<String> {
        nats(url, "$JS.API.DIRECT.GET.KEPT.key", "").await
    }
}

fn address(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(address, _)| address)
}

async fn soon<T>(ask: impl IntoFuture<Output = io::Result<T>>) -> io::Result<T> {
    timeout(Duration::from_secs(1), ask).await?
}

async fn keep<S: Asked>(url: &str, value: &str) -> Checked {
    soon(S::keep(url, value)).await.map_err(|error| format!("keeping {value}: {error}"))
}

async fn expect_kept<S: Asked>(url: &str, value: &str) -> Checked {
    match soon(S::kept(url)).await {
        Ok(kept) if kept == value => Ok(()),
        other => Err(format!("it has kept {other:?} and not {value:?}")),
    }
}

async fn expect_no_answer<S: Asked>(url: &str) -> Checked {
    match soon(S::kept(url)).await {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        other => Err(format!("got {other:?} and not no answer")),
    }
}

/// Nothing listens there any more, soon.
async fn expect_gone(url: &str) -> Checked {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpListener::bind(address(url)).is_err() {
        if Instant::now() > deadline {
            return Err(format!("{url} is still in use"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn lives_through_faults<S: Asked>(server: TestServer<S>) -> Checked {
    let url = server.url();
    keep::<S>(&url, "kept").await?;

    server.pause().await?;
    expect_no_answer::<S>(&url).await?;
    server.resume().await?;
    expect_kept::<S>(&url, "kept").await?;

    server.kill().await?;
    expect_gone(&url).await?;
    server.pause().await.expect_err("it is not running");
    server.kill().await.expect_err("it is not running");
    server.restart().await?;
    assert_eq!(server.url(), url);
    expect_kept::<S>(&url, "kept").await?;

    keep::<S>(&url, "newer").await?;
    server.restart().await?;
    expect_kept::<S>(&url, "newer").await?;

    // Paused servers end too.
    server.pause().await?;
    server.kill().await?;
    server.restart().await?;
    server.pause().await?;
    drop(server);
    expect_gone(&url).await
}

async fn process_lives_through_faults<S: Asked>() -> Checked {
    let server = TestServer::<S>::start_local(&[]).await?;
    assert_eq!(server.origin(), "process");
    lives_through_faults(server).await
}

#[tokio::test]
async fn a_redis_process_lives_through_faults() -> Checked {
    process_lives_through_faults::<Redis>().await
}

#[tokio::test]
async fn a_nats_process_lives_through_faults() -> Checked {
    process_lives_through_faults::<Nats>().await
}

async fn container_lives_through_faults<S: Asked>() -> Checked {
    let servers = std::env::var("LINCHPIN_TEST_SERVERS").unwrap_or_default();
    if servers == "local" {
        println!("SKIPPED: LINCHPIN_TEST_SERVERS is local");
        return Ok(());
    }
    match TestServer::<S>::start_container().await {
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
async fn a_redis_container_lives_through_faults() -> Checked {
    container_lives_through_faults::<Redis>().await
}

#[tokio::test]
async fn a_nats_container_lives_through_faults() -> Checked {
    container_lives_through_faults::<Nats>().await
}

async fn process_takes_further_arguments<S: Asked>(arguments: &[&str], refusal: &str) -> Checked {
    let server = TestServer::<S>::start_local(arguments).await?;
    let refused = soon(S::kept(&server.url())).await.expect_err("it asks for a password").to_string();
    assert!(refused.contains(refusal), "{refused}");

    let refused = TestServer::<S>::start_local(&["--no-such-option", "1"]).await.err().unwrap_or_default();
    assert!(refused.contains("no-such-option"), "{refused:?} does not show the server's log");
    Ok(())
}

#[tokio::test]
async fn a_redis_process_takes_further_arguments() -> Checked {
    let password = ["--requirepass", "secret"];
    process_takes_further_arguments::<Redis>(&password, "NOAUTH").await?;
    let server = RedisServer::start_local(&password).await?;
    let reply = soon(redis(&server.url(), "AUTH secret")).await;
    assert_eq!(reply.map_err(|error| error.to_string())?, "+OK");
    Ok(())
}

#[tokio::test]
async fn a_nats_process_takes_further_arguments() -> Checked {
    let password = ["--user", "tester", "--pass", "secret"];
    process_takes_further_arguments::<Nats>(&password, "authorization violation").await?;
    let server = NatsServer::start_local(&password).await?;
    let options = async_nats::ConnectOptions::with_user_and_password("tester".to_owned(), "secret".to_owned());
    let reply = soon(request(options, &server.url(), "$JS.API.INFO", "")).await.map_err(|error| error.to_string())?;
    assert!(reply.contains("account_info_response"), "{reply}");
    Ok(())
}

/// The files of a certificate for 127.0.0.1, which nobody vouches for, and of its key.
fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf), Box<dyn std::error::Error>> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert, key))
}

#[tokio::test]
async fn a_nats_process_speaks_tls() -> Checked {
    let failed = |error: &dyn std::error::Error| error.to_string();
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let (cert, key) = certificate(folder.path()).map_err(|error| failed(&*error))?;

    let arguments = ["--tls", "--tlscert", &cert.display().to_string(), "--tlskey", &key.display().to_string()];
    let server = NatsServer::start_local(&arguments).await?;
    let url = server.url();
    assert!(url.starts_with("tls://127.0.0.1:"), "{url}");
    let trusting = async_nats::ConnectOptions::new().add_root_certificates(cert).connect(&url).await;
    trusting.map_err(|error| failed(&error))?;
    let refused = soon(Nats::kept(&url)).await.expect_err("nobody vouches for this certificate").to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn the_old_nats_ignores_what_it_does_not_know() -> Checked {
    let server = match NatsServer::start_old().await {
        Err(error) if std::env::var("CI").as_deref() != Ok("true") && error.contains("not in target/servers") => {
            println!("SKIPPED: {error}");
            return Ok(());
        }
        started => started?,
    };
    let mut config = kept_by(1);
    config["allow_atomic"] = true.into();
    let failed = |error: io::Error| error.to_string();
    let created = jetstream(&server.url(), "$JS.API.STREAM.CREATE.KEPT", &config).await.map_err(failed)?;
    assert_eq!(created["config"]["name"], "KEPT");
    assert_eq!(created["config"].get("allow_atomic"), None, "{created}");
    Ok(())
}

#[tokio::test]
async fn a_nats_cluster_lives_through_faults() -> Checked {
    let failed = |error: io::Error| error.to_string();
    let cluster = NatsCluster::start().await?;
    let url = cluster.url();
    assert_eq!(url, [0, 1, 2].map(|server| cluster.url_of(server)).join(","));

    let created = jetstream(&url, "$JS.API.STREAM.CREATE.KEPT", kept_by(3)).await.map_err(failed)?;
    let leader = created["cluster"]["leader"].as_str().and_then(|name| cluster.named(name)).ok_or("no leader")?;
    jetstream(&url, "key", "kept").await.map_err(failed)?;

    // The others have what it acknowledged.
    let other = (leader + 1) % 3;
    cluster.kill(leader).await?;
    cluster.kill(leader).await.expect_err("it is not running");
    cluster.ready().await?;
    expect_kept::<Nats>(&cluster.url_of(other), "kept").await?;

    cluster.restart(leader).await?;
    cluster.ready().await?;
    expect_kept::<Nats>(&cluster.url_of(leader), "kept").await?;

    cluster.pause(other).await?;
    expect_no_answer::<Nats>(&cluster.url_of(other)).await?;
    cluster.resume(other).await?;
    cluster.ready().await?;
    expect_kept::<Nats>(&cluster.url_of(other), "kept").await?;

    drop(cluster);
    for server in url.split(',') {
        expect_gone(server).await?;
    }
    Ok(())
}

async fn environment_chooses<S: Asked>() -> Checked {
    let no_engine = ("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let local = ("LINCHPIN_TEST_SERVERS", "local");

    let (given, url) = (format!("LINCHPIN_TEST_{}_URL", S::NAME.to_uppercase()), format!("{}://given:1", S::NAME));
    let (said, _) = elsewhere::<S>(&[(&given, &url)]).await?;
    assert!(said.starts_with(&format!("url {url} ")) && said.contains("resume is not offered"), "{said}");

    let (said, _) = elsewhere::<S>(&[("LINCHPIN_TEST_SERVERS", "docker"), no_engine]).await?;
    assert!(said.starts_with("no Docker engine answers") && said.contains("make setup"), "{said}");

    let (said, _) = elsewhere::<S>(&[no_engine]).await?;
    let process = format!("process {}127.0.0.1:", S::URL);
    assert!(said.starts_with(&process) && said.ends_with(" None None"), "{said}");

    let (said, _) = elsewhere::<S>(&[local, S::NO_SERVER]).await?;
    assert!(said.contains(S::INSTALL), "{said}");

    let (said, _) = elsewhere::<S>(&[("LINCHPIN_TEST_SERVERS", "Docker")]).await?;
    assert_eq!(said, r#"LINCHPIN_TEST_SERVERS is "Docker", not auto, docker or local"#);
    Ok(())
}

#[tokio::test]
async fn the_environment_chooses_a_redis() -> Checked {
    environment_chooses::<Redis>().await
}

#[tokio::test]
async fn the_environment_chooses_a_nats() -> Checked {
    environment_chooses::<Nats>().await
}

async fn no_server_outlives_its_killed_test<S: Asked>() -> Checked {
    let default = std::env::var("LINCHPIN_TEST_SERVERS").unwrap_or_default();
    for servers in ["local", &default] {
        let (said, mut child) = elsewhere::<S>(&[("LINCHPIN_TEST_SERVERS", servers)]).await?;
        let url = said.split(' ').nth(1).ok_or(said.as_str())?;
        keep::<S>(url, "kept").await?;
        child.kill().await.map_err(|error| error.to_string())?;
        expect_gone(url).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_redis_outlives_its_killed_test() -> Checked {
    no_server_outlives_its_killed_test::<Redis>().await
}

#[tokio::test]
async fn no_nats_outlives_its_killed_test() -> Checked {
    no_server_outlives_its_killed_test::<Nats>().await
}

/// Starts a server in a process of its own, with these variables, and returns what it says of it. The
/// server lives as long as that process.
async fn elsewhere<S: Asked>(variables: &[(&str, &str)]) -> Result<(String, Child), String> {
    let failed = |error: io::Error| error.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_hold_a_server"))
        .arg(S::NAME)
        .env_remove(format!("LINCHPIN_TEST_{}_URL", S::NAME.to_uppercase()))
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
