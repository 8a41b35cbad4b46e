//! What handles and namespaces leave behind: nothing.

use super::{SOON, ask, config, connect, coordinator, server};
use futures::StreamExt;
use linchpin::{Namespace, Pattern, Range, Record, StreamName};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const OURS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin'";

#[tokio::test]
async fn nothing_is_left_behind_by_a_handle_that_is_closed_or_dropped() {
    let server = server().await;
    connect(&server.url()).await.close().await.expect("closed");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 0..3 {
        let coordinator = coordinator(&server.url()).await;
        let mut messages = coordinator.subscribe("*").await.expect("a subscription");
        let events = coordinator.driver().watch(&Range::all()).await.expect("a watch");
        coordinator.publish("c", b"m").await.expect("published");
        timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("a message");
        let stream = StreamName::new("s").expect("valid");
        coordinator.driver().append(&stream, &[Record::new("r")]).await.expect("appended");
        let guard = coordinator.lock("l").acquire().await.expect("a lock");
        assert!(ask(&server, OURS).await.parse::<u32>().expect("a number") >= 2);
        // The last one is shut down while all that it gave is still there.
        match round {
            0 => drop((messages, events, guard, coordinator)),
            1 => {
                drop(coordinator);
                drop((guard, events, messages));
            }
            _ => coordinator.shutdown().await.expect("shut down"),
        }
        let quiet = async {
            while ask(&server, OURS).await != "0" {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, quiet).await.unwrap_or_else(|_| panic!("connections are left in round {round}"));
    }
    let quiet = async {
        while tasks() > before {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, quiet).await.expect("tasks are left");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.keys WHERE position('lock'::bytea in key) > 0").await, "0");
}

#[tokio::test]
async fn a_handle_that_was_closed_connects_no_more() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let messages = postgres.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    postgres.close().await.expect("closed");
    for _ in 0..3 {
        postgres.append(&StreamName::new("s").expect("valid"), &[Record::new("r")]).await.expect_err("closed");
        postgres.health().await.expect_err("closed");
    }
    drop(messages);
    let quiet = async { while ask(&server, OURS).await != "0" {} };
    timeout(SOON, quiet).await.expect("connections are left");
}

#[tokio::test]
async fn what_is_erased_is_gone_and_nothing_else() {
    let server = server().await;
    let at = |namespace: &str| format!("{}?namespace={namespace}", server.url());
    let names = ["gone", "gone-2", "gone.not"];
    for namespace in names {
        let coordinator = coordinator(&at(namespace)).await;
        coordinator.set("a", b"1", None).await.expect("is set");
        coordinator.incr("n", 1, None).await.expect("is added to");
        coordinator.publish("c", &vec![7; 100_000]).await.expect("is published");
        let stream = StreamName::new("s").expect("valid");
        coordinator.driver().append(&stream, &[Record::new("r")]).await.expect("appended");
        coordinator.shutdown().await.expect("closes");
    }
    ask(&server, "CREATE TABLE theirs (a int); INSERT INTO theirs VALUES (1)").await;
    let gone: Vec<_> = names[..2].iter().map(|name| Namespace::new(*name).expect("a name")).collect();
    linchpin_postgres::PostgresCoordination::erase(config(&server.url()), &gone).await.expect("erases");
    assert_eq!(ask(&server, "SELECT string_agg(name, ' ') FROM linchpin.namespaces").await, "gone.not");
    let tables = "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute ON \
                  attrelid = pg_class.oid WHERE nspname = 'linchpin' AND relkind = 'r' AND attname = 'namespace'";
    let tables = ask(&server, tables).await;
    assert!(tables.lines().count() >= 4, "{tables}");
    for table in tables.lines() {
        let others = format!(
            "SELECT count(*) FROM linchpin.{table} WHERE namespace NOT IN (SELECT id FROM linchpin.namespaces)"
        );
        assert_eq!(ask(&server, &others).await, "0", "in {table}");
    }
    assert_eq!(ask(&server, "SELECT count(*) FROM theirs").await, "1");
    let kept = coordinator(&at("gone.not")).await;
    assert_eq!(kept.get("a").await.expect("answers").as_deref(), Some(&b"1"[..]));
    let stream = StreamName::new("s").expect("valid");
    assert_eq!(kept.driver().inspect(&stream).await.expect("answers").length, 1);
    // Whoever does use one again begins anew.
    let anew = coordinator(&at("gone")).await;
    assert_eq!(anew.get("a").await.expect("answers"), None);
    drop((kept, anew));
    let quiet = async { while ask(&server, OURS).await != "0" {} };
    timeout(SOON, quiet).await.expect("connections are left");
}

#[tokio::test]
async fn what_was_used_while_it_was_erased_is_gone_with_the_next_call() {
    let server = server().await;
    let gone = [Namespace::new("gone").expect("a name")];
    let kept = coordinator(&format!("{}?namespace=kept", server.url())).await;
    let stream = StreamName::new("s").expect("valid");
    kept.driver().append(&stream, &[Record::new("r")]).await.expect("appended");
    coordinator(&format!("{}?namespace=gone", server.url())).await.shutdown().await.expect("closes");
    let mut own = super::pool(&server.url(), 1).await.begin().await.expect("a transaction");
    let uses = "SELECT linchpin.append('gone', 's', 'one', 'id'); SELECT linchpin.append('gone', 's', 'two'); \
                SELECT * FROM linchpin.claim_records('gone', 's', 'g', 'm', 1, 1000000, 0); \
                SELECT linchpin.spill('gone', ARRAY['id'::bytea], ARRAY['long'::bytea])";
    sqlx::raw_sql(uses).execute(&mut *own).await.expect("used");
    linchpin_postgres::PostgresCoordination::erase(config(&server.url()), &gone).await.expect("erases");
    own.commit().await.expect("committed");
    linchpin_postgres::PostgresCoordination::erase(config(&server.url()), &gone).await.expect("erases");
    for (table, left) in [
        ("streams", "1"),
        ("records", "1"),
        ("record_ids", "0"),
        ("groups", "0"),
        ("pending", "0"),
        ("messages", "0"),
        ("rubbish", "0"),
    ] {
        assert_eq!(ask(&server, &format!("SELECT count(*) FROM linchpin.{table}")).await, left, "in {table}");
    }
    assert_eq!(kept.driver().inspect(&stream).await.expect("answers").length, 1);
}

#[tokio::test]
async fn ids_and_long_messages_are_forgotten_though_no_more_come() {
    let server = server().await;
    let coordinator = coordinator(&server.url()).await;
    let records: Vec<_> = (0..20).map(|n| Record::new("r").with_id(n.to_string()).expect("valid")).collect();
    coordinator.driver().append(&StreamName::new("s").expect("valid"), &records).await.expect("appended");
    for _ in 0..20 {
        coordinator.publish("c", &vec![7; 10_000]).await.expect("is published");
    }
    let left = "SELECT (SELECT count(*) FROM linchpin.record_ids), (SELECT count(*) FROM linchpin.messages)";
    let forget = async |most: u32| ask(&server, &format!("SELECT linchpin.forget({most})")).await;
    assert_eq!(
        (forget(50).await.as_str(), ask(&server, left).await.as_str()),
        ("f", "20|20"),
        "somebody may ask for them"
    );
    // As if that had been a while ago.
    ask(&server, "UPDATE linchpin.record_ids SET ends = ends - 121 * 1000000::bigint").await;
    ask(&server, "UPDATE linchpin.messages SET at = at - 61 * 1000000::bigint").await;
    assert_eq!((forget(15).await.as_str(), ask(&server, left).await.as_str()), ("t", "5|5"));
    assert_eq!((forget(15).await.as_str(), ask(&server, left).await.as_str()), ("f", "0|0"));
}
