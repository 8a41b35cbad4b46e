//! Many handles on a server that has few connections.

use super::{SOON, address, ask, config, connect, key, pool, url_for};
use futures::StreamExt;
use futures::future::join_all;
use linchpin::{Coordinator, Driver, Range, RetryPolicy, Transaction, WatchEvent};
use linchpin_conformance::Proxy;
use linchpin_postgres::PostgresCoordination;
use linchpin_tests::servers::PostgresServer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const OURS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin'";

/// For longer than a connection stays that nobody uses, be it the last one.
const QUIET: Duration = Duration::from_secs(12);

/// Returns once a handle has so many connections: what is idle is closed.
async fn until_open(server: &PostgresServer, count: u32) {
    let open = async {
        while ask(server, OURS).await != count.to_string() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(QUIET + SOON, open).await.expect("what is idle is closed");
}

async fn crowded() -> (PostgresServer, String) {
    let server = PostgresServer::start_local(&["-c", "max_connections=100"]).await.expect("a server");
    ask(&server, "CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app").await;
    let url = url_for(&server, "app");
    (server, url)
}

#[tokio::test]
async fn sixty_coordinators_lock_and_watch_on_a_hundred_connections() {
    const NODES: usize = 60;
    const TTL: Duration = Duration::from_secs(12);
    let (server, url) = crowded().await;
    let node = async |n: usize| {
        // Unlike the others, as in a process of its own: it shares no connection with them.
        let own = SOON + Duration::from_millis(u64::try_from(n).expect("few"));
        let config = config(&url).connect_timeout(SOON).response_timeout(own);
        let driver = PostgresCoordination::connect(config).await.expect("connects").clone();
        let patient = RetryPolicy { attempts: 100, total: SOON * 3, ..RetryPolicy::default() };
        let coordinator = Coordinator::over(driver).retry(patient).connect().await.expect("connects");
        let mut events = coordinator.driver().watch(&Range::prefix("told/").expect("a prefix")).await.expect("a watch");
        while !matches!(events.next().await.expect("open").expect("an event"), WatchEvent::Synced { .. }) {}
        let guard = coordinator.lock(format!("l{n}")).ttl(TTL).acquire().await.expect("a lock");
        (coordinator, guard, events)
    };
    let mut nodes = timeout(SOON * 6, join_all((0..NODES).map(node))).await.expect("in time");
    // All keep their locks, for longer than these live by themselves.
    sleep(TTL + TTL / 2).await;
    for (_, guard, _) in &nodes {
        assert!(guard.is_held(), "a lock was lost");
    }
    let now: u32 = ask(&server, OURS).await.parse().expect("a number");
    assert!(now <= 97, "{now} connections");
    let (first, ..) = &nodes[0];
    first.driver().commit(&Transaction::new().put(key("told/k"), "v", None)).await.expect("a commit");
    for (_, _, events) in &mut nodes {
        let told = timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end");
        assert!(matches!(told, WatchEvent::Put(entry) if entry.value == "v"));
    }
    let released = join_all(nodes.into_iter().map(|(_, guard, _)| guard.release()));
    for released in timeout(SOON * 3, released).await.expect("in time") {
        released.expect("released");
    }
}

#[tokio::test]
async fn a_handle_has_two_connections_in_the_usual_case_and_one_when_it_only_listens() {
    let (server, url) = crowded().await;
    let coordinator = Coordinator::over(connect(&url).await).connect().await.expect("connects");
    let _events = coordinator.driver().watch(&Range::all()).await.expect("a watch");
    let guard = coordinator.lock("l").acquire().await.expect("a lock");
    let mut most = 0;
    for n in 0..40_u32 {
        coordinator.set("k", &n.to_be_bytes(), None).await.expect("is set");
        coordinator.get("k").await.expect("a read");
        most = most.max(ask(&server, OURS).await.parse::<u32>().expect("a number"));
        sleep(Duration::from_millis(10)).await;
    }
    assert!(most <= 3, "{most} connections");
    until_open(&server, 2).await;
    let which = "SELECT pid FROM pg_stat_activity WHERE application_name = 'linchpin' ORDER BY pid";
    // A server that stands still for a moment costs a connection: once, and not at each renewal.
    let mut replaced = 0;
    loop {
        let before = ask(&server, which).await;
        sleep(QUIET).await;
        if ask(&server, which).await == before {
            break;
        }
        replaced += 1;
        assert!(replaced < 4, "a lock is renewed over the connection that is there");
    }
    assert!(guard.is_held());
    guard.release().await.expect("released");
    until_open(&server, 1).await;
}

#[tokio::test]
async fn only_the_first_handle_of_a_process_looks_for_a_pooler() {
    const FURTHER: usize = 10;
    let (server, url) = crowded().await;
    let proxy = Proxy::start(address(&server)).await.expect("a proxy");
    let url = url.replace(&address(&server).to_string(), &proxy.address().to_string());
    let handle = async || connect(&url).await.close().await.expect("closed");
    handle().await;
    let first = proxy.taken();
    assert!(first >= 2, "nobody looked");
    for _ in 0..FURTHER {
        handle().await;
    }
    // One more where the server stands still for a moment.
    let further = proxy.taken() - first;
    assert!((FURTHER..FURTHER * 3 / 2).contains(&further), "{further} connections of {FURTHER} handles");
}

#[tokio::test]
async fn a_handle_gives_its_last_connection_up_once_others_crowd_the_server() {
    const OTHERS: u32 = 70;
    let (server, url) = crowded().await;
    let postgres = connect(&url).await;
    postgres.get(&[key("k")]).await.expect("a read");
    assert_eq!(ask(&server, OURS).await, "1", "it stays for a while");
    let asked = Instant::now();
    let others: Vec<_> =
        join_all((0..OTHERS).map(|_| pool(&url, 1))).await.into_iter().map(|pool| (pool.size(), pool)).collect();
    assert!(others.iter().all(|(open, _)| *open == 1), "others have connections");
    until_open(&server, 0).await;
    assert!(asked.elapsed() < QUIET / 2, "nobody else had its place for {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_handle_opens_no_more_than_it_is_told() {
    let (server, url) = crowded().await;
    let url = format!("{url}?max_connections=3");
    let handle = || connect(&url);
    for handles in [vec![handle().await], vec![handle().await, handle().await]] {
        let limit = 2 * u32::try_from(handles.len()).expect("few");
        assert!(most_open(&server, &handles).await <= limit, "more than {limit} that ask");
    }
}

/// How many connections there are at most while many call.
async fn most_open(server: &PostgresServer, handles: &[Arc<dyn Driver>]) -> u32 {
    let calls = (0..200).map(|n| {
        let postgres = handles[n % handles.len()].clone();
        async move {
            let put = Transaction::new().put(key(&format!("k{n}")), "v", None);
            postgres.commit(&put).await.expect("a commit");
            postgres
                .scan(&Range::all(), &linchpin::Page { after: None, limit: 10, values: true })
                .await
                .expect("a scan");
        }
    });
    let count = async {
        let mut most = 0;
        for _ in 0..30 {
            most = most.max(ask(server, OURS).await.parse().expect("a number"));
            sleep(Duration::from_millis(10)).await;
        }
        most
    };
    tokio::join!(join_all(calls), count).1
}
