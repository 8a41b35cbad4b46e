//! A server whose clock steps back.

use super::{SOON, ask, connect, key, server};
use linchpin::{Driver, Outcome, Revision, Transaction};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(2);

/// The clock that all of linchpin goes by is half a minute late from now on.
const STEP_BACK: &str = "CREATE OR REPLACE FUNCTION linchpin.clock() RETURNS bigint LANGUAGE sql VOLATILE AS \
    'SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint \
        OPERATOR(pg_catalog.-) 30000000'";

async fn put(postgres: &Arc<dyn Driver>, name: &str) -> Revision {
    let put = Transaction::new().put(key(name), "v", Some(TTL));
    let Outcome::Committed { revision, .. } = postgres.commit(&put).await.expect("a commit") else { panic!("refused") };
    revision
}

async fn is_there(postgres: &Arc<dyn Driver>, name: &str) -> bool {
    postgres.get(&[key(name)]).await.expect("a read").entries[0].is_some()
}

async fn gone(postgres: &Arc<dyn Driver>, name: &str) {
    let gone = async {
        while is_there(postgres, name).await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, gone).await.expect("it stays");
}

#[tokio::test]
async fn a_lease_that_was_only_renewed_since_ends_in_its_time() {
    let server = server().await;
    let (leader, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let version = put(&leader, "leader").await;
    let mut renewed = Instant::now();
    for _ in 0..8 {
        sleep(Duration::from_millis(400)).await;
        leader.commit(&Transaction::new().extend(key("leader"), version, TTL)).await.expect("renewed");
        renewed = Instant::now();
    }
    ask(&server, STEP_BACK).await;
    drop(leader);
    gone(&other, "leader").await;
    let late = renewed.elapsed();
    assert!(late > TTL.saturating_sub(Duration::from_millis(100)), "it ended after {late:?}");
    assert!(late < TTL + Duration::from_millis(800), "it ended after {late:?}");
}

#[tokio::test]
async fn a_key_that_was_only_read_since_ends_in_its_time() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let written = Instant::now();
    put(&postgres, "k").await;
    while written.elapsed() < TTL / 2 {
        assert!(is_there(&postgres, "k").await);
        sleep(Duration::from_millis(20)).await;
    }
    ask(&server, STEP_BACK).await;
    gone(&postgres, "k").await;
    let ended = written.elapsed();
    assert!(
        ended > TTL.saturating_sub(Duration::from_millis(100)) && ended < TTL + Duration::from_millis(800),
        "after {ended:?}"
    );
    // Time goes on for everybody.
    let other = connect(&server.url()).await;
    let written = Instant::now();
    put(&other, "k").await;
    gone(&other, "k").await;
    assert!(written.elapsed() < TTL + Duration::from_millis(800), "after {:?}", written.elapsed());
}

#[tokio::test]
async fn what_was_gone_stays_gone() {
    let server = server().await;
    let (one, other) = (connect(&server.url()).await, connect(&server.url()).await);
    put(&one, "k").await;
    gone(&one, "k").await;
    ask(&server, STEP_BACK).await;
    assert!(!is_there(&one, "k").await && !is_there(&other, "k").await);
}
