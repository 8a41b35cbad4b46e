//! A namespace that an application's transaction holds: who reads does not wait for it.

use super::{SOON, ask, connect, key, pool, server};
use linchpin::{Channel, Page, Range, Record, StreamName, Transaction};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
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
    postgres.publish(&Channel::new("c").expect("valid"), "m".into()).await.expect("published");
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

/// Another key that the writer needs is held, so he has decided and has not written yet.
#[tokio::test]
async fn a_key_that_was_seen_to_be_gone_does_not_come_back() {
    let server = server().await;
    let postgres = PostgresCoordination::connect(PostgresConfig::from_url(&server.url()).expect("a good URL")).await;
    let postgres = postgres.expect("connects").driver();
    let lease = async |name: &str| {
        let put = Transaction::new().put(key(name), "1", Some(Duration::from_millis(600))).put(key("other"), "1", None);
        postgres.commit(&put).await.expect("a commit").revision()
    };
    let long = Some(Duration::from_mins(1));
    for name in ["extended", "written", "guarded"] {
        let version = lease(name).await;
        let mut holding = pool(&server.url(), 1).await.begin().await.expect("a transaction");
        let hold = "SELECT FROM linchpin.keys WHERE key = 'other' FOR UPDATE";
        sqlx::raw_sql(hold).execute(&mut *holding).await.expect("held");
        let decided = match name {
            "extended" => Transaction::new().extend(key(name), version, Duration::from_mins(1)),
            "written" => Transaction::new().put(key(name), "2", long),
            _ => Transaction::new().version_is(key(name), version),
        };
        let write = decided.put(key("other"), "2", None);
        let writer = postgres.clone();
        let writing = tokio::spawn(async move { writer.commit(&write).await });
        let is = async |query: &str| {
            let asking = async { while ask(&server, query).await != "t" {} };
            timeout(SOON, asking).await.expect("in time");
        };
        is("SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'linchpin' AND wait_event_type = 'Lock'").await;
        is(&format!("SELECT ends < linchpin.clock() FROM linchpin.keys WHERE key = '{name}'")).await;
        let reader = postgres.clone();
        let mut reading = tokio::spawn(async move { reader.get(&[key(name)]).await });
        let early = timeout(Duration::from_millis(700), &mut reading).await;
        holding.rollback().await.expect("rolled back");
        assert!(writing.await.expect("no panic").expect("a commit").is_committed(), "{name}");
        if let Ok(early) = early {
            let entries = early.expect("no panic").expect("a read").entries;
            assert!(entries[0].is_some(), "{name}: what was decided by it was applied after that");
            continue;
        }
        let entry = reading.await.expect("no panic").expect("a read").entries.remove(0);
        let created = entry.map(|entry| entry.created);
        assert_eq!(created, (name != "guarded").then_some(version), "{name}");
    }
}
