//! Who gets in, and what those are told who do not.

use super::{LIMIT, ask, config, connect, guarded, key, pool, refused, server, url_for, url_of};
use linchpin::{ErrorKind, PostgresCoordination, Retry, Transaction};
use linchpin_tests::RefusingPort;
use std::time::Duration;

#[tokio::test]
async fn a_wrong_password_is_named_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "host all old 127.0.0.1/32 md5\nhost all clear 127.0.0.1/32 password\nhost all all all scram-sha-256";
    let server = guarded(&folder, lines, &[]).await;
    for (role, encryption) in [("app", "scram-sha-256"), ("old", "md5"), ("clear", "scram-sha-256")] {
        let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'right/secret'");
        let grant = format!("GRANT CREATE ON DATABASE postgres TO {role}");
        ask(&server, &format!("SET password_encryption = '{encryption}'; {create}; {grant}")).await;
    }
    // The first one owns the schema.
    for role in ["app", "old", "clear"] {
        // It is open, and no way in for others.
        let _open = connect(&url_for(&server, &format!("{role}:right%2Fsecret"))).await;
        ask(&server, "DROP SCHEMA linchpin CASCADE").await;
        for user in [format!("{role}:wrong-canary"), role.to_owned()] {
            let error = refused(config(&url_for(&server, &user))).await;
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{user}: {error}");
            assert!(error.to_string().contains("password"), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
    let built = config(&url_for(&server, "app")).password("right/secret");
    linchpin_postgres::PostgresCoordination::connect(built).await.expect("the right password").driver();
    let error = refused(config(&url_for(&server, "nobody:wrong-canary"))).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}

#[tokio::test]
async fn a_refused_connection_and_a_silent_port_say_so_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    for mode in ["disable", "verify-full"] {
        let error = refused(config(&format!("postgres://u@127.0.0.1:{port}?sslmode={mode}"))).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Safe), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
    let refusing = RefusingPort::bind().expect("a port");
    let port = refusing.number().expect("its number");
    let error = refused(config(&format!("postgres://u@127.0.0.1:{port}"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    assert!(error.to_string().contains("refused the connection"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let server = server().await;
    let error = refused(config(&url_of(&server, "no_such"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never), "{error}");
    assert!(error.to_string().contains("no_such") && error.to_string().contains("database"), "{error}");
}

#[tokio::test]
async fn a_full_server_says_so_and_a_later_attempt_may_succeed() {
    let server = linchpin_tests::servers::PostgresServer::start_local(&[
        "-c",
        "max_connections=6",
        "-c",
        "superuser_reserved_connections=3",
        "-c",
        "max_wal_senders=0",
    ]);
    let server = server.await.expect("a server");
    ask(&server, "CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app").await;
    let url = url_for(&server, "app");
    let first = pool(&url, 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(first.acquire().await.expect("a connection"));
    }
    let error = refused(config(&url)).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ResourceExhausted, Retry::Safe), "{error}");
    drop(held);
    first.close().await;
    // The server lets go of a connection in its own time.
    let later = async {
        while let Err(error) = PostgresCoordination::connect(config(&url)).await {
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), later).await.expect("a later attempt");
}

#[tokio::test]
async fn a_unix_socket_needs_no_port() {
    let server = server().await;
    let folder = ask(&server, "SHOW unix_socket_directories").await;
    let folder = folder.trim_matches('"');
    let port = ask(&server, "SHOW port").await;
    for url in [
        format!("postgres://postgres@{}:{port}", folder.replace('/', "%2F")),
        format!("postgres://postgres@/postgres?host={folder}&port={port}"),
    ] {
        let postgres = connect(&url).await;
        postgres.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");
        let through = "SELECT count(*) > 0 AND bool_and(client_addr IS NULL) FROM pg_stat_activity \
                       WHERE application_name = 'linchpin'";
        assert_eq!(ask(&server, through).await, "t");
        postgres.close().await.expect("closed");
    }
    let error = refused(config(&format!("postgres://postgres@/postgres?host=/nonexistent&port={port}"))).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    assert!(error.to_string().contains("nonexistent"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_and_its_writes_are_unknown_but_never_twice() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let add = Transaction::new().add(key("n"), 1, None).with_id(linchpin::TransactionId::random());
    // It is on its way when the server hangs.
    let mut holding = pool(&server.url(), 1).await.begin().await.expect("a transaction");
    let hold = "SELECT linchpin.put('default', 'other', 'v')";
    sqlx::raw_sql(hold).execute(&mut *holding).await.expect("held");
    let started = std::time::Instant::now();
    let committing = {
        let (postgres, add) = (postgres.clone(), add.clone());
        tokio::spawn(async move { postgres.commit(&add).await })
    };
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while ask(&server, waits).await != "t" {}
    server.pause().await.expect("paused");
    let error = committing.await.expect("no panic").expect_err("nobody answers");
    assert!(started.elapsed() < LIMIT * 2, "{:?}", started.elapsed());
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Unknown), "{error}");
    assert!(error.maybe_applied() && error.to_string().contains("may have been applied"), "{error}");
    let read = postgres.get(&[key("n")]).await.expect_err("nobody answers");
    assert!(!read.maybe_applied(), "{read}");
    // What begins while it hangs is not even sent.
    let error = postgres.commit(&add).await.expect_err("nobody answers");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Safe), "{error}");
    server.resume().await.expect("resumed");
    holding.rollback().await.expect("rolled back");
    // The first attempt may run now, as a ghost; with its id the repeat adds nothing to it.
    for _ in 0..3 {
        postgres.commit(&add).await.expect("the server is back");
    }
    let snapshot = postgres.get(&[key("n")]).await.expect("the server is back");
    assert_eq!(snapshot.entries[0].as_ref().expect("written").value, "1");
}

#[tokio::test]
async fn who_listens_waits_for_a_place_on_a_full_server() {
    let setup = ["max_connections=6", "superuser_reserved_connections=3", "max_wal_senders=0"];
    let arguments: Vec<_> = setup.into_iter().flat_map(|setting| ["-c", setting]).collect();
    let server = linchpin_tests::servers::PostgresServer::start_local(&arguments).await.expect("a server");
    ask(&server, "CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app").await;
    let url = url_for(&server, "app");
    // As patient while it connects as while it waits for an answer.
    let postgres = connect(&url).await;
    let others = pool(&url, 3).await;
    let mut held = Vec::new();
    let full = async {
        while held.len() < 3 {
            held.extend(others.acquire().await);
        }
    };
    tokio::time::timeout(super::SOON * 2, full).await.expect("what was idle is closed");
    let pattern = linchpin::Pattern::new("*").expect("valid");
    let all = linchpin::Range::all();
    for _ in 0..2 {
        let error = postgres.watch(&all).await.err().expect("there is no place");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::ResourceExhausted, Retry::Safe), "{error}");
        let error = postgres.subscribe(&pattern).await.err().expect("there is no place");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::ResourceExhausted, Retry::Safe), "{error}");
    }
    let freed = async {
        tokio::time::sleep(LIMIT / 3).await;
        held.clear();
        others.close().await;
    };
    let (watch, ()) = tokio::join!(postgres.watch(&all), freed);
    let _watch = watch.expect("a place was free in time");
    let _messages = postgres.subscribe(&pattern).await.expect("there is a place");
}
