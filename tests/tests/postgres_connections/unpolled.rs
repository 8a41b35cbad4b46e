//! Callers who begin a call and do not go on with it, or give it up: they hold nothing that others need.

use super::{END_ALL, SOON, ask, connect, pool, server};
use futures::FutureExt;
use futures::future::BoxFuture;
use linchpin::{Claim, Driver, GroupName, MemberName, Pattern, Range, Record, Result, StreamName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// For so long those wait who give up soon.
const SHORT: Duration = Duration::from_millis(300);

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("valid")
}

fn claim(name: &str) -> Claim {
    Claim::new(stream(name), GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"))
}

async fn append(postgres: &Arc<dyn Driver>, name: &str) -> Result<()> {
    postgres.append(&stream(name), &[Record::new("r")]).await.map(drop)
}

/// One call of each kind.
fn calls(postgres: &Arc<dyn Driver>) -> Vec<BoxFuture<'_, Result<()>>> {
    let claimed = async { postgres.claim(&claim("s")).await.map(drop) };
    let watched = async { postgres.watch(&Range::all()).await.map(drop) };
    let subscribed = async { postgres.subscribe(&Pattern::new("*").expect("valid")).await.map(drop) };
    let looked = async { postgres.inspect(&stream("s")).await.map(drop) };
    let cleared = async { postgres.clear("none").await };
    vec![
        append(postgres, "s").boxed(),
        claimed.boxed(),
        watched.boxed(),
        subscribed.boxed(),
        looked.boxed(),
        cleared.boxed(),
    ]
}

#[tokio::test]
async fn a_call_that_nobody_goes_on_with_stalls_nobody() {
    let server = server().await;
    let postgres = connect(&format!("{}?max_connections=3", server.url())).await;
    // Each is begun, and begun again as far as it comes by itself in a moment.
    for polls in 1..=3 {
        let mut begun = Vec::new();
        for mut call in calls(&postgres) {
            for _ in 0..polls {
                if futures::poll!(&mut call).is_ready() {
                    break;
                }
                sleep(Duration::from_millis(5)).await;
            }
            begun.push(call);
        }
        for call in calls(&postgres) {
            timeout(SOON, call).await.expect("in time").expect("it works");
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_held_stream_and_does_not_go_on_stalls_nobody() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    append(&postgres, "held").await.expect("appended");
    let own = pool(&server.url(), 1).await;
    let mut holding = own.begin().await.expect("a transaction");
    sqlx::raw_sql("SELECT linchpin.append('default', 'held', 'r')").execute(&mut *holding).await.expect("held");
    let mut begun = append(&postgres, "held").boxed();
    // It was refused once and waits then.
    for _ in 0..20 {
        let _ = timeout(Duration::from_millis(10), &mut begun).await;
    }
    holding.rollback().await.expect("rolled back");
    timeout(SOON, append(&postgres, "held")).await.expect("in time").expect("nobody holds it");
    timeout(SOON, begun).await.expect("in time").expect("nobody holds it");
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_no_connection() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    append(&postgres, "s").await.expect("appended");
    let sessions = async || {
        let count = "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'";
        ask(&server, count).await.parse::<i64>().expect("a number")
    };
    let before = sessions().await;
    for n in 0..100_u64 {
        let wait = claim("s").wait(Duration::from_secs(5));
        let claim = if n % 2 == 0 { claim("s") } else { wait };
        let _ = timeout(Duration::from_micros(n * 50), postgres.claim(&claim)).await;
        let _ = timeout(Duration::from_micros(n * 50), append(&postgres, "s")).await;
    }
    // A session counts once it has ended.
    postgres.close().await.expect("closed");
    let counted = async {
        loop {
            sleep(Duration::from_millis(300)).await;
            let now = sessions().await;
            if ask(&server, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin'").await == "0" {
                return now;
            }
        }
    };
    let opened = timeout(SOON, counted).await.expect("in time") - before;
    assert!(opened < 40, "{opened} sessions");
}

/// Else nobody who waits less long than that takes would ever have one.
#[tokio::test]
async fn who_gives_up_before_a_connection_is_open_leaves_it_to_the_next() {
    let server = server().await;
    // A second until a connection is open.
    ask(&server, "ALTER SYSTEM SET post_auth_delay = 1").await;
    ask(&server, "SELECT pg_reload_conf()").await;
    let postgres = connect(&server.url()).await;
    for kind in 0..calls(&postgres).len() {
        ask(&server, END_ALL).await;
        let answered = async {
            while !matches!(timeout(SHORT, calls(&postgres).swap_remove(kind)).await, Ok(Ok(()))) {
                sleep(SHORT / 10).await;
            }
        };
        timeout(SOON, answered).await.unwrap_or_else(|_| panic!("call {kind} was never answered"));
    }
}
