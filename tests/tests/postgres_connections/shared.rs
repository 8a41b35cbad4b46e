//! Several handles of one process that connect alike.

use super::idle::UNSURE;
use super::{END_ALL, LIMIT, SOON, ask, config, connect, key, pool, server};
use futures::future::join_all;
use linchpin::{Coordinator, Driver, Namespace, Outcome, Transaction};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::PostgresServer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

async fn open(server: &PostgresServer, name: &str) -> u32 {
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
    ask(server, &count).await.parse().expect("a number")
}

/// Returns once all are closed, which has to be soon.
async fn until_closed(server: &PostgresServer) {
    let started = Instant::now();
    while open(server, "linchpin").await > 0 {
        assert!(started.elapsed() < SOON, "connections are left");
    }
}

/// A handle to a namespace of its own.
async fn tenant(config: PostgresConfig, number: usize) -> Arc<dyn Driver> {
    let namespace = Namespace::new(format!("tenant-{number}")).expect("valid");
    PostgresCoordination::connect(config.namespace(namespace)).await.expect("connects").driver()
}

async fn handle(server: &PostgresServer, number: usize) -> Arc<dyn Driver> {
    tenant(config(&server.url()), number).await
}

#[tokio::test]
async fn handles_of_many_namespaces_share_what_asks() {
    const HANDLES: usize = 20;
    let server = server().await;
    let mut tenants = Vec::new();
    for number in 0..HANDLES {
        let coordinator = Coordinator::over(handle(&server, number).await).connect().await.expect("connects");
        let guard = coordinator.lock("l").ttl(Duration::from_secs(3)).acquire().await.expect("a lock");
        coordinator.set("k", number.to_string().as_bytes(), None).await.expect("is set");
        tenants.push((coordinator, guard));
    }
    // All renew their locks, again and again. Each that had no share in others' connections would keep one of its own; a
    // machine that is busy has more opened for a while, as calls wait.
    let (until, mut fewest) = (Instant::now() + Duration::from_secs(5), u32::MAX);
    while Instant::now() < until {
        fewest = fewest.min(open(&server, "linchpin").await);
        sleep(Duration::from_millis(20)).await;
    }
    assert!(fewest <= 5, "{fewest} connections of {HANDLES} handles at least");
    for (number, (coordinator, guard)) in tenants.into_iter().enumerate() {
        assert!(guard.is_held(), "the lock of tenant {number} was lost");
        let found = coordinator.get("k").await.expect("a read").expect("there");
        assert_eq!(found, number.to_string().as_bytes(), "each reads its own");
        guard.release().await.expect("released");
    }
}

#[tokio::test]
async fn one_that_is_closed_takes_nothing_from_the_others() {
    const CALLS: usize = 50;
    let server = server().await;
    let (closed, stays) = (handle(&server, 0).await, handle(&server, 1).await);
    let calls = |driver: &Arc<dyn Driver>| {
        let calls = (0..CALLS).map(|n| {
            let driver = driver.clone();
            async move { driver.commit(&Transaction::new().put(key(&format!("k{n}")), "v", None)).await }
        });
        tokio::spawn(join_all(calls))
    };
    let (of_closed, of_stays) = (calls(&closed), calls(&stays));
    sleep(Duration::from_millis(5)).await;
    closed.close().await.expect("closed");
    for outcome in of_stays.await.expect("no panic") {
        assert!(matches!(outcome, Ok(Outcome::Committed { .. })), "{outcome:?}");
    }
    of_closed.await.expect("no panic");
    stays.get(&[key("k0")]).await.expect("a read").into_entry().expect("there");
    assert!(open(&server, "linchpin").await > 0, "what it shares is open");
    stays.close().await.expect("closed");
    until_closed(&server).await;
}

#[tokio::test]
async fn what_closed_handles_still_wait_for_takes_no_place_of_others() {
    let server = server().await;
    // They wait for long.
    let tenant = |number| tenant(config(&server.url()).response_timeout(SOON), number);
    let (closed, stays) = ([tenant(0).await, tenant(1).await], tenant(2).await);
    // An application holds the namespaces of the others.
    let mut application = pool(&server.url(), 1).await.acquire().await.expect("a connection");
    let hold = "BEGIN; SELECT linchpin.hold('tenant-0'); SELECT linchpin.hold('tenant-1')";
    sqlx::raw_sql(hold).execute(&mut *application).await.expect("held");
    let mut waiting = Vec::new();
    for driver in closed.iter().cycle().take(6) {
        let driver = driver.clone();
        waiting.push(tokio::spawn(async move { driver.clear("").await }));
    }
    // As many as one handle may open: the others have no room for more.
    let held_up =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'linchpin'";
    let all_wait = async { while ask(&server, held_up).await.parse::<u32>().expect("a number") < 4 {} };
    timeout(SOON, all_wait).await.expect("they wait");
    for driver in &closed {
        driver.close().await.expect("closed");
    }
    let started = Instant::now();
    stays.get(&[key("k")]).await.expect("a read");
    assert!(started.elapsed() < LIMIT / 2, "it waited for the calls of others for {:?}", started.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut *application).await.expect("rolled back");
    for waiting in waiting {
        // It may have been done.
        let _ = waiting.await.expect("no panic");
    }
}

#[tokio::test]
async fn who_connects_to_a_server_that_hangs_is_told_so_in_time() {
    let server = server().await;
    let busy = connect(&server.url()).await;
    busy.get(&[key("k")]).await.expect("a read");
    server.pause().await.expect("paused");
    let started = Instant::now();
    let config = config(&server.url());
    PostgresCoordination::connect(config).await.expect_err("it hangs");
    assert!(started.elapsed() < LIMIT * 3 / 2, "it took {:?}", started.elapsed());
    server.resume().await.expect("resumed");
}

#[tokio::test]
async fn who_connects_in_another_way_shares_nothing() {
    let server = server().await;
    let _one = connect(&server.url()).await;
    let _other = connect(&format!("{}?application_name=other", server.url())).await;
    assert_eq!((open(&server, "linchpin").await, open(&server, "other").await), (1, 1));
}

#[tokio::test]
async fn handles_come_and_go_and_connections_are_cut_and_none_is_stuck() {
    const TASKS: usize = 8;
    let server = server().await;
    // There all the time.
    let stays = handle(&server, 0).await;
    let until = Instant::now() + Duration::from_secs(8);
    let coming_and_going = (0..TASKS).map(|number| {
        let url = format!("{}?max_connections=3", server.url());
        async move {
            let mut done = 0;
            while Instant::now() < until {
                // What is cut meanwhile fails, and nothing hangs.
                let Ok(driver) = PostgresCoordination::connect(config(&url)).await.map(|opened| opened.driver()) else {
                    continue;
                };
                let calls = (0..10).map(|n| {
                    let driver = driver.clone();
                    async move { driver.commit(&Transaction::new().add(key(&format!("{number}-{n}")), 1, None)).await }
                });
                let calls = join_all(calls);
                if number % 3 == 0 {
                    // Given up half way.
                    let _ = timeout(Duration::from_millis(3), calls).await;
                } else {
                    done += calls.await.into_iter().flatten().count();
                }
                if number % 2 == 0 {
                    driver.close().await.expect("closed");
                }
            }
            done
        }
    });
    let cutting = async {
        while Instant::now() < until {
            sleep(Duration::from_millis(400)).await;
            ask(&server, END_ALL).await;
        }
    };
    let (done, ()) =
        timeout(SOON * 3, async { tokio::join!(join_all(coming_and_going), cutting) }).await.expect("nobody hangs");
    assert!(done.iter().sum::<usize>() > 100, "{done:?} calls were done");
    // By then a connection is looked at before it is used, which may have been cut last.
    sleep(UNSURE).await;
    // Twice as many as it may open, all at once: each has its turn.
    let calls = (0..10).map(|n| {
        let stays = stays.clone();
        async move { stays.commit(&Transaction::new().put(key(&format!("k{n}")), "v", None)).await }
    });
    for outcome in timeout(SOON, join_all(calls)).await.expect("in time") {
        outcome.expect("a commit");
    }
    stays.close().await.expect("closed");
    until_closed(&server).await;
}
