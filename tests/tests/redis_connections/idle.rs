//! Connections that the server ended while nobody used them, scripts that it forgot, and coming back all at once.

use super::*;
use futures::future::join_all;
use linchpin::{Action, Claim, GroupName, MemberName, Record, Retry, Settlement, Transaction};
use linchpin_conformance::Proxy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::sleep;

/// Longer than the server lets a connection idle, and looks for it.
const IDLE: Duration = Duration::from_millis(2600);

#[tokio::test]
async fn the_first_call_after_a_pause_does_not_fail() {
    let server = local(&["--timeout", "1"]).await;
    let redis = connect(&server.url()).await;
    let claim = Claim::new(stream("s"), GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    redis.append(&stream("s"), &[Record::new("r")]).await.expect("appended");
    let given = redis.claim(&claim).await.expect("claimed");
    for seen in [true, false] {
        let idle = async || if seen { sleep(IDLE).await } else { std::thread::sleep(IDLE) };
        idle().await;
        redis.publish(&channel("c"), "m".into()).await.expect("published");
        idle().await;
        redis.append(&stream("s"), &[Record::new("r")]).await.expect("appended");
        idle().await;
        redis.commit(&Transaction::new().add(key("n"), 1, None)).await.expect("added");
    }
    sleep(IDLE).await;
    let settlement = Settlement { receipt: given[0].receipt.clone(), action: Action::Ack };
    redis.settle(&[settlement]).await.expect("settled");
    sleep(IDLE).await;
    let (stats, added) = (redis.inspect(&stream("s")).await, read(&redis, "n").await);
    assert_eq!(stats.expect("told").length, 3);
    assert_eq!(added.expect("read").expect("there").value, "2");
}

/// Without retries: what was surely not applied is sent again, or says so.
#[tokio::test]
async fn the_first_call_after_a_restart_is_sent_again_or_surely_not_applied() {
    let server = local(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let redis = connect(&server.url()).await;
    let mut added = 0;
    for round in 0..6 {
        // Whether anybody is there to see that the connection ended, and whether it is up again by then.
        let (seen, up) = (round % 2 == 0, round % 3 > 0);
        server.kill().await.expect("killed");
        if up {
            server.restart().await.expect("restarted");
        }
        if seen {
            sleep(IDLE / 10).await;
        } else {
            std::thread::sleep(IDLE / 10);
        }
        match redis.commit(&Transaction::new().add(key("n"), 1, None)).await {
            Ok(_) => added += 1,
            Err(error) => assert!(!up && error.retry() == Retry::Safe && !error.maybe_applied(), "{round}: {error}"),
        }
        if !up {
            server.restart().await.expect("restarted");
            redis.commit(&Transaction::new().add(key("n"), 1, None)).await.expect("it is up again");
            added += 1;
        }
        let value = read(&redis, "n").await.expect("read").expect("there").value;
        assert_eq!(value, added.to_string(), "round {round}");
    }
}

#[tokio::test]
async fn a_server_that_forgets_scripts_between_is_no_failure() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let forgetting = tokio::spawn(async move {
        while !ends.load(Ordering::SeqCst) {
            ask::<()>(&mut raw, &["SCRIPT", "FLUSH"]).await;
        }
    });
    for _ in 0..500 {
        redis.commit(&Transaction::new().add(key("n"), 1, None)).await.expect("added");
    }
    over.store(true, Ordering::SeqCst);
    forgetting.await.expect("no panic");
    assert_eq!(read(&redis, "n").await.expect("read").expect("there").value, "500");
}

#[tokio::test]
async fn one_dead_connection_makes_one_new_one() {
    let server = local(&[]).await;
    let proxy = Proxy::start(server.url().replace("redis://", "").parse().expect("an address")).await.expect("a port");
    let redis = connect(&format!("redis://{}", proxy.address())).await;
    let before = proxy.taken();
    for round in 1..=3 {
        let calls: Vec<_> = (0..500)
            .map(|_| {
                let redis = redis.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let _ = read(&redis, "k").await;
                    }
                })
            })
            .collect();
        sleep(Duration::from_millis(5)).await;
        proxy.cut();
        proxy.mend();
        join_all(calls).await;
        read(&redis, "k").await.expect("connected again");
        let made = proxy.taken() - before;
        assert!(made <= 3 * round, "round {round}: {made} connections");
    }
}
