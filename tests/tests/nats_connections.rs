//! How the NATS adapter connects, fails and comes back: logins, TLS, permissions, several servers, a server that dies
//! and returns. Local servers, because these need configurations of their own.

use futures::StreamExt;
use linchpin::{
    Channel, Coordinator, ErrorKind, Key, NatsConfig, NatsCoordination, Pattern, Range, Retry, RetryPolicy,
    SubscriptionEvent, Transaction, WatchEvent,
};
use linchpin_tests::servers::NatsServer;
use linchpin_tests::{RefusingPort, everything};
use rcgen::{CertificateParams, Issuer, KeyPair};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
/// Connecting and answering are given up after this; the tests allow twice that.
const LIMIT: Duration = Duration::from_millis(1500);

fn config(url: &str) -> NatsConfig {
    NatsConfig::from_url(url).expect("a good URL").connect_timeout(LIMIT).response_timeout(LIMIT)
}

async fn refused(config: NatsConfig) -> linchpin::Error {
    let started = Instant::now();
    let error = NatsCoordination::connect(config).await.expect_err("it must not connect");
    assert!(started.elapsed() < LIMIT * 2, "it took {:?}", started.elapsed());
    error
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

/// A server with a configuration file of its own.
async fn configured(folder: &TempDir, text: &str) -> NatsServer {
    let path = folder.path().join("nats.conf");
    std::fs::write(&path, text).expect("written");
    NatsServer::start_local(&["-c", &path.to_string_lossy()]).await.expect("a server")
}

#[tokio::test]
async fn a_wrong_login_is_named_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = nkeys::KeyPair::new_user();
    let text = format!(
        "authorization {{ users = [ {{ user: app, password: right-secret }}, {{ nkey: {} }} ] }}",
        pair.public_key()
    );
    let server = configured(&folder, &text).await;
    let with = |user: &str| server.url().replace("nats://", &format!("nats://{user}@"));
    let works = async |config| NatsCoordination::connect(config).await.expect("the right login").close().await;
    works(config(&with("app:right-secret"))).await.expect("closed");
    let seed = folder.path().join("seed");
    std::fs::write(&seed, pair.seed().expect("a seed")).expect("written");
    works(config(&format!("{}?nkey={}", server.url(), seed.display()))).await.expect("closed");
    let other = nkeys::KeyPair::new_user().seed().expect("a seed");
    let others = [config(&with("app:wrong-canary")), config(&with("canary")), config(&server.url()).nkey_seed(other)];
    for config in others.into_iter().chain([config(&server.url())]) {
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_opens_the_server() {
    let server = NatsServer::start_local(&["--auth", "right-secret"]).await.expect("a server");
    let with = |token: &str| server.url().replace("nats://", &format!("nats://{token}@"));
    NatsCoordination::connect(config(&with("right-secret"))).await.expect("the right token").driver();
    let error = refused(config(&with("wrong"))).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[tokio::test]
async fn a_refused_connection_and_a_silent_port_say_so_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let error = refused(config(&format!("nats://127.0.0.1:{port}"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Safe), "{error}");
    let refusing = RefusingPort::bind().expect("a port");
    let port = refusing.number().expect("its number");
    let error = refused(config(&format!("nats://127.0.0.1:{port}"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    assert!(error.to_string().contains("refused the connection"), "{error}");
    // Of several servers one is enough.
    let server = NatsServer::start_local(&[]).await.expect("a server");
    let both = format!("nats://127.0.0.1:{port},{}", server.url().trim_start_matches("nats://"));
    NatsCoordination::connect(config(&both)).await.expect("the other one answers").driver();
}

#[tokio::test]
async fn tls_works_and_its_mistakes_are_told() {
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("cert"), issued.cert.pem()).expect("written");
    std::fs::write(path("key"), issued.signing_key.serialize_pem()).expect("written");
    let arguments = ["--tls", "--tlscert", &path("cert"), "--tlskey", &path("key")];
    let server = NatsServer::start_local(&arguments).await.expect("a server");
    assert!(server.url().starts_with("tls://"), "{}", server.url());

    let nats = NatsCoordination::connect(config(&format!("{}?tls_ca={}", server.url(), path("cert"))));
    let nats = nats.await.expect("a trusted certificate").driver();
    nats.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");

    let untrusted = refused(config(&server.url()).root_certificate(other.cert.pem())).await;
    assert_eq!(untrusted.kind(), ErrorKind::Unavailable, "{untrusted}");
    assert!(untrusted.to_string().contains("certificate"), "{untrusted}");
    let plain = NatsServer::start_local(&[]).await.expect("a server");
    let tls_to_plain = refused(config(&plain.url().replace("nats", "tls"))).await;
    assert!(tls_to_plain.to_string().contains("TLS") || tls_to_plain.kind() == ErrorKind::Timeout, "{tls_to_plain}");
}

#[tokio::test]
async fn a_client_certificate_opens_the_server_and_nothing_else_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(path("ca"), authority.self_signed(&authority_key).expect("signed").pem()).expect("written");
    let issuer = Issuer::new(authority, authority_key);
    for name in ["server", "client"] {
        let (key, params) = (KeyPair::generate().expect("a key"), CertificateParams::new(vec!["127.0.0.1".to_owned()]));
        let signed = params.expect("parameters").signed_by(&key, &issuer).expect("signed");
        std::fs::write(path(name), signed.pem()).expect("written");
        std::fs::write(path(&format!("{name}-key")), key.serialize_pem()).expect("written");
    }
    let (ca, cert, key) = (path("ca"), path("server"), path("server-key"));
    let arguments = ["--tlsverify", "--tlscert", &cert, "--tlskey", &key, "--tlscacert", &ca];
    let server = NatsServer::start_local(&arguments).await.expect("a server");
    let trusting = format!("{}?tls_ca={ca}", server.url().replace("nats://", "tls://"));
    let known = format!("{trusting}&tls_cert={}&tls_key={}", path("client"), path("client-key"));
    NatsCoordination::connect(config(&known)).await.expect("a certificate that is trusted").driver();
    let unknown = refused(config(&trusting)).await;
    assert_eq!(unknown.kind(), ErrorKind::Unavailable, "{unknown}");
}

#[tokio::test]
async fn a_user_needs_no_more_than_documented_and_reaches_no_other_namespace() {
    let folder = tempfile::tempdir().expect("a folder");
    let permissions = linchpin_nats::SUBJECTS;
    let text = format!("authorization {{ users = [ {{ user: app, password: pass, {permissions} }} ] }}");
    let server = configured(&folder, &text).await;
    let url = server.url().replace("nats://", "nats://app:pass@");
    let mine = NatsCoordination::new(&url, "n1".to_owned(), Some("shop".to_owned())).await.expect("allowed").driver();
    everything(mine.clone()).await.expect("every method is allowed");
    let other = NatsCoordination::new(&url, "n1".to_owned(), Some("other".to_owned())).await;
    let error = other.expect_err("another namespace");
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[tokio::test]
async fn retries_hide_a_restart_and_apply_nothing_twice() {
    let server = NatsServer::start_local(&[]).await.expect("a server");
    let policy = RetryPolicy { attempts: 50, total: SOON, ..RetryPolicy::default() };
    let driver = NatsCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let coordinator = Coordinator::over(driver).retry(policy).connect().await.expect("connected");
    let adding = coordinator.clone();
    let adding = tokio::spawn(async move {
        for _ in 0..2000 {
            adding.incr("n", 1, None).await?;
        }
        adding.get("n").await
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.kill().await.expect("killed");
        server.restart().await.expect("restarted");
    }
    let value = timeout(SOON * 2, adding).await.expect("in time").expect("no panic").expect("retried");
    assert_eq!(value.as_deref(), Some(&b"2000"[..]));
}

#[tokio::test]
async fn subscriptions_and_watches_go_on_after_a_restart_without_a_stall() {
    let server = NatsServer::start_local(&[]).await.expect("a server");
    let nats = NatsCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let other = NatsCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let mut messages = nats.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    nats.commit(&Transaction::new().put(key("gone"), "v", None)).await.expect("a commit");
    let mut events = nats.watch(&Range::all()).await.expect("a watch");
    for _ in 0..2 {
        events.next().await.expect("open").expect("an event");
    }
    server.kill().await.expect("killed");
    server.restart().await.expect("restarted");

    let gap = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert_eq!(gap, SubscriptionEvent::Lagged(None));
    let after = Channel::new("c").expect("valid");
    while other.publish(&after, "after".into()).await.is_err() {}
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(message, SubscriptionEvent::Message(message) if message.payload == "after"));

    let change = Transaction::new().put(key("new"), "v", None).delete(key("gone"));
    other.commit(&change).await.expect("the server is back");
    let told = async {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            match events.next().await.expect("open").expect("no end") {
                WatchEvent::Put(entry) => seen.push(format!("+{}", entry.key)),
                WatchEvent::Deleted { key, .. } => seen.push(format!("-{key}")),
                _ => {}
            }
        }
        seen.sort();
        seen
    };
    // The client's own consumer stalls for ten seconds here.
    let seen = timeout(SOON / 2, told).await.expect("without a stall");
    assert_eq!(seen, ["+new", "-gone"]);
    assert!(nats.health().await.expect("healthy").is_healthy());
}

#[tokio::test]
async fn nothing_is_left_behind_by_a_handle_that_is_dropped() {
    let server = NatsServer::start_local(&[]).await.expect("a server");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 0..3 {
        let coordinator = linchpin::connect(server.url()).await.expect("connected");
        let messages = coordinator.subscribe("*").await.expect("a subscription");
        let events = coordinator.driver().watch(&Range::all()).await.expect("a watch");
        let guard = coordinator.lock("l").acquire().await.expect("a lock");
        match round {
            0 => drop((messages, events, guard, coordinator)),
            1 => {
                drop(coordinator);
                drop((guard, events, messages));
            }
            _ => coordinator.shutdown().await.expect("shut down"),
        }
    }
    let quiet = async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, quiet).await.expect("tasks are left");
}

#[tokio::test]
async fn what_is_erased_is_gone_and_nothing_else() {
    let server = NatsServer::start_local(&[]).await.expect("a server");
    let at = |namespace: &str| format!("{}?namespace={namespace}", server.url());
    let names = ["gone", "gone-2", "gone.not"];
    for namespace in names {
        let coordinator = linchpin::connect(at(namespace)).await.expect("connects");
        coordinator.set("a", b"1", None).await.expect("is set");
        let stream = linchpin::StreamName::new("s").expect("valid");
        coordinator.driver().append(&stream, &[linchpin::Record::new("r")]).await.expect("appended");
        coordinator.shutdown().await.expect("closes");
    }
    let gone = names[..2].iter().map(|name| linchpin::Namespace::new(*name).expect("a name"));
    linchpin::erase(&server.url(), &gone.collect::<Vec<_>>()).await.expect("erases");
    let client = async_nats::connect(server.url()).await.expect("connects");
    let answer = client.request("$JS.API.STREAM.NAMES", "{}".into()).await.expect("answers");
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
    let left: Vec<_> = answer["streams"].as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
    assert_eq!(left, ["linchpin_goneDnot_DATA", "linchpin_goneDnot_LOG"]);
    let kept = linchpin::connect(at("gone.not")).await.expect("connects");
    assert_eq!(kept.get("a").await.expect("answers").as_deref(), Some(&b"1"[..]));
}
