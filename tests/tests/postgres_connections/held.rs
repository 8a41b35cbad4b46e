//! A namespace that an application's transaction holds: who reads does not wait for it.

use super::{SOON, ask, connect, key, pool, server};
use linchpin::{Channel, Driver, Page, Range, Record, StreamName, Transaction};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn keys_that_have_ended_are_read_behind_a_held_namespace() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let ttl = Some(Duration::from_millis(300));
    let put = Transaction::new().put(key("a"), "1", ttl).put(key("b"), "2", None).put(key("c"), "3", ttl);
    postgres.commit(&put).await.expect("a commit");
    let mut holding = pool(&server.url(), 1).await.begin().await.expect("a transaction");
    let hold = "SELECT linchpin.put('default', 'held', 'v')";
    sqlx::raw_sql(hold).execute(&mut *holding).await.expect("held");
    sleep(Duration::from_millis(400)).await;

    let started = Instant::now();
    let snapshot = postgres.get(&["a", "b", "c"].map(key)).await.expect("a read");
    let there: Vec<_> = snapshot.entries.iter().map(Option::is_some).collect();
    assert_eq!(there, [false, true, false]);
    for limit in [1, 10] {
        let page = Page { after: None, limit, values: true };
        let page = postgres.scan(&Range::all(), &page).await.expect("a scan");
        let keys: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["b"], "of {limit}");
    }
    // Nor does anybody who needs no namespace.
    Driver::publish(&postgres, &Channel::new("c").expect("valid"), "m".into()).await.expect("published");
    let stream = StreamName::new("s").expect("valid");
    postgres.append(&stream, &[Record::new("r")]).await.expect("appended");
    assert_eq!(postgres.inspect(&stream).await.expect("a look").length, 1);
    assert!(postgres.health().await.expect("healthy").degraded.is_empty());
    assert!(started.elapsed() < Duration::from_millis(1400), "it took {:?}", started.elapsed());
    holding.commit().await.expect("committed");

    // Whoever comes next removes them.
    timeout(SOON, postgres.get(&["a", "c"].map(key))).await.expect("in time").expect("a read");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.keys").await, "2");
}
