//! Handles that are closed while somebody waits, and handles that outlive the runtime that made them.

use super::{SOON, config, connect, key, server};
use futures::StreamExt;
use linchpin::{Claim, ErrorKind, GroupName, MemberName, Pattern, Range, Record, StreamName, Transaction};
use linchpin_postgres::PostgresCoordination;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

fn claim() -> Claim {
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    Claim::new(StreamName::new("s").expect("valid"), group, member).wait(SOON * 6)
}

#[tokio::test]
async fn a_claim_that_waits_ends_when_the_handle_is_closed() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let postgres = postgres.clone();
            tokio::spawn(async move { postgres.claim(&claim()).await })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    postgres.close().await.expect("closed");
    for waiting in waiting {
        let error = timeout(SOON, waiting).await.expect("in time").expect("no panic").expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

#[test]
fn a_handle_that_outlives_its_runtime_says_so() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The server is there for both.
    let outer = runtime();
    let server = outer.block_on(server());
    // It shares nothing with one of another runtime.
    let other = outer.block_on(connect(&server.url()));
    let first = runtime();
    let (postgres, mut events, mut messages) = first.block_on(async {
        let postgres = connect(&server.url()).await;
        let events = postgres.watch(&Range::all()).await.expect("a watch");
        let messages = postgres.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
        postgres.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");
        (postgres, events, messages)
    });
    drop(first);
    outer.block_on(async {
        let started = Instant::now();
        let error = postgres.get(&[key("k")]).await.expect_err("its runtime is gone");
        assert!(error.kind() == ErrorKind::Closed && error.to_string().contains("runtime"), "{error}");
        let stream = StreamName::new("s").expect("valid");
        for error in [
            postgres.commit(&Transaction::new().put(key("k"), "v", None)).await.map(drop),
            postgres.append(&stream, &[Record::new("r")]).await.map(drop),
            postgres.claim(&claim()).await.map(drop),
            postgres.watch(&Range::all()).await.map(drop),
            postgres.health().await.map(drop),
        ] {
            assert_eq!(error.expect_err("its runtime is gone").kind(), ErrorKind::Closed);
        }
        let ended = async {
            while let Some(Ok(_)) = events.next().await {}
            while let Some(Ok(_)) = messages.next().await {}
        };
        timeout(SOON, ended).await.expect("watches and subscriptions end");
        assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
        other.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("its runtime is there");
        connect(&server.url()).await.get(&[key("k")]).await.expect("a read");
        postgres.close().await.expect("closed");
        drop(postgres);
    });
    drop((events, messages));
}

#[test]
fn a_handle_is_used_from_runtimes_that_end_before_it() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let home = runtime();
    let (server, postgres) = home.block_on(async {
        let server = server().await;
        let postgres = PostgresCoordination::connect(config(&server.url())).await.expect("connects").driver();
        (server, postgres)
    });
    // Whatever is opened for a caller does not end with the caller's runtime; what was open is closed by then.
    home.block_on(async { sleep(Duration::from_secs(12)).await });
    for round in 0_u32..3 {
        let guest = runtime();
        guest.block_on(async {
            postgres.commit(&Transaction::new().add(key("n"), 1, None)).await.expect("a commit");
            let snapshot = postgres.get(&[key("n")]).await.expect("a read");
            assert_eq!(snapshot.entries[0].as_ref().expect("written").value, (round + 1).to_string());
            postgres.health().await.expect("healthy");
        });
        drop(guest);
    }
    home.block_on(async {
        postgres.get(&[key("n")]).await.expect("a read");
        postgres.close().await.expect("closed");
    });
    drop(server);
}
