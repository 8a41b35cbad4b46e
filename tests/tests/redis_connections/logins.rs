//! Users and passwords, TLS, and what a user may do.

use super::*;
use futures::StreamExt;
use linchpin::{ErrorKind, Retry, SubscriptionEvent, Transaction};
use linchpin_tests::{RefusingPort, everything};

/// Makes a user `app` who may use these names, and what is documented; tells the URL for him.
pub(super) async fn user(server: &RedisServer, names: &[&str]) -> String {
    let mut acl = redis::cmd("ACL");
    acl.arg(&["SETUSER", "app", "on", ">pass", "resetkeys", "resetchannels", "-@all"]).arg(names);
    acl.arg(linchpin_redis::COMMANDS.split(' ').collect::<Vec<_>>());
    acl.query_async::<()>(&mut raw(server).await).await.expect("a user");
    server.url().replace("redis://", "redis://app:pass@")
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_repeated() {
    let server = RedisServer::start_local(&["--requirepass", "right-secret"]).await.expect("a server");
    let with = |user: &str| server.url().replace("redis://", &format!("redis://{user}@"));
    RedisCoordination::connect(config(&with(":right-secret"))).await.expect("the right password").driver();
    for url in [with(":wrong-canary"), with("somebody:wrong-canary"), server.url()] {
        let error = refused(config(&url)).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains("password"), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_and_a_silent_port_say_so_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let error = refused(config(&format!("redis://127.0.0.1:{port}"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Safe), "{error}");
    let refusing = RefusingPort::bind().expect("a port");
    let port = refusing.number().expect("its number");
    let error = refused(config(&format!("redis://127.0.0.1:{port}"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    assert!(error.to_string().contains("refused the connection"), "{error}");
}

#[tokio::test]
async fn tls_works_and_its_mistakes_are_told() {
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("cert"), issued.cert.pem()).expect("written");
    std::fs::write(path("key"), issued.signing_key.serialize_pem()).expect("written");
    let arguments = ["--tls-cert-file", &path("cert"), "--tls-key-file", &path("key"), "--tls-auth-clients", "no"];
    let server = RedisServer::start_local(&arguments).await.expect("a server");
    assert!(server.url().starts_with("rediss://"), "{}", server.url());

    let trusted = RedisConfig::from_url(&format!("{}?tls_ca={}", server.url(), path("cert"))).expect("a good URL");
    let redis = RedisCoordination::connect(trusted).await.expect("a trusted certificate").driver();
    redis.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");
    let mut messages = redis.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    redis.publish(&Channel::new("c").expect("valid"), "m".into()).await.expect("published");
    assert!(matches!(messages.next().await, Some(Ok(SubscriptionEvent::Message(_)))));

    let untrusted = refused(config(&server.url()).root_certificate(other.cert.pem())).await;
    assert!(matches!(untrusted.kind(), ErrorKind::Unavailable), "{untrusted}");
    let plain_to_tls = refused(config(&server.url().replace("rediss", "redis"))).await;
    assert!(plain_to_tls.to_string().contains("TLS") || plain_to_tls.kind() == ErrorKind::Timeout, "{plain_to_tls}");

    let plain = RedisServer::start_local(&[]).await.expect("a server");
    let tls_to_plain = refused(config(&plain.url().replace("redis", "rediss"))).await;
    assert!(tls_to_plain.to_string().contains("TLS") || tls_to_plain.kind() == ErrorKind::Timeout, "{tls_to_plain}");
}

#[tokio::test]
async fn an_acl_user_needs_no_more_than_documented_and_reaches_no_other_namespace() {
    let server = RedisServer::start_local(&[]).await.expect("a server");
    let url = user(&server, &["~linchpin:{mine}:*", "&linchpin:{mine}:*"]).await;
    let mine = RedisCoordination::new(&url, "n1".to_owned(), Some("mine".to_owned())).await.expect("allowed").driver();
    everything(mine.clone()).await.expect("every method is allowed");
    let other = RedisCoordination::new(&url, "n1".to_owned(), Some("other".to_owned())).await;
    let error = other.expect_err("another namespace");
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[tokio::test]
async fn who_may_not_publish_learns_it_when_connecting() {
    let server = local(&[]).await;
    let all = ["log", "log:*", "key:*", "c:*", "w:*"];
    for missing in all {
        let allowed = all.iter().filter(|kind| **kind != missing).map(|kind| format!("&linchpin:{{default}}:0:{kind}"));
        let names: Vec<_> = ["~linchpin:{default}:*".to_owned()].into_iter().chain(allowed).collect();
        let url = user(&server, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let error = refused(config(&url)).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "without {missing}: {error}");
        assert!(error.to_string().contains("&linchpin:{default}:*"), "{error}");
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_leaves_a_doubt_and_no_lie() {
    let server = local(&[]).await;
    let url = user(&server, &["~linchpin:{default}:*", "&linchpin:{default}:*"]).await;
    let redis = connect(&url).await;
    let other = connect(&server.url()).await;
    ask::<()>(&mut raw(&server).await, &["ACL", "SETUSER", "app", "resetchannels"]).await;
    for count in ["1", "2"] {
        let add = Transaction::new().add(key("n"), 1, None);
        let error = redis.commit(&add).await.expect_err("it may not publish");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{error}");
        let value = read(&other, "n").await.expect("read").expect("written").value;
        assert!(value == count && error.maybe_applied(), "it was applied, and told: {error}");
    }
    ask::<()>(&mut raw(&server).await, &["ACL", "SETUSER", "app", "-eval", "-evalsha"]).await;
    let error = redis.commit(&Transaction::new().add(key("n"), 1, None)).await.expect_err("it runs no script");
    assert!(error.kind() == ErrorKind::Unauthorized && !error.maybe_applied(), "{error}");
}

#[tokio::test]
async fn a_server_that_takes_no_more_clients_says_so() {
    let server = local(&[]).await;
    let mut admin = raw(&server).await;
    ask::<()>(&mut admin, &["CONFIG", "SET", "maxclients", "1"]).await;
    let error = refused(config(&server.url())).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ResourceExhausted, Retry::Safe), "{error}");
    assert!(error.to_string().contains("maxclients"), "{error}");
    ask::<()>(&mut admin, &["CONFIG", "SET", "maxclients", "100"]).await;
    connect(&server.url()).await;
}
