//! What grows: under somebody's old snapshot, and where nobody writes any more.

use super::{ask, connect, key, pool, server};
use linchpin::{Driver, Namespace, Outcome, Transaction, TransactionId};
use std::sync::Arc;

/// Commits so many times, each time another key.
fn commits(count: u32) -> String {
    format!(
        "DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM linchpin.put('default', 'user/' || i, 'v'); COMMIT; END LOOP; END $$"
    )
}

/// How many pages of a table a statement looks at.
async fn pages(url: &str, statement: &str) -> u32 {
    let pool = pool(url, 1).await;
    let explain = format!("SET enable_seqscan = off; EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {statement}");
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&pool).await.expect("an answer");
    let lines: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
    let hit = lines.iter().find_map(|line| line.split("shared hit=").nth(1)).expect("a number");
    hit.split(' ').next().expect("a number").parse().expect("a number")
}

#[tokio::test]
async fn an_old_snapshot_makes_no_commit_wade_through_what_came_before() {
    let server = server().await;
    connect(&server.url()).await;
    let mut old = pool(&server.url(), 1).await.begin().await.expect("a transaction");
    let keep = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1";
    sqlx::raw_sql(keep).execute(&mut *old).await.expect("a snapshot");
    ask(&server, &commits(3000)).await;
    let newest = "SELECT revision FROM linchpin.namespaces WHERE name = 'default' ORDER BY generation DESC LIMIT 1";
    let looked = pages(&server.url(), newest).await;
    assert!(looked <= 10, "{looked} pages");
    let held = pages(&server.url(), "SELECT name FROM linchpin.holds WHERE name = 'default' FOR NO KEY UPDATE").await;
    assert!(held <= 10, "{held} pages");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.namespaces WHERE name = 'default'").await, "1");
    old.rollback().await.expect("ended");
    // Without one the row stays where it is.
    let generation = "SELECT generation FROM linchpin.namespaces WHERE name = 'default'";
    ask(&server, "VACUUM linchpin.namespaces").await;
    ask(&server, &commits(200)).await;
    let before = ask(&server, generation).await;
    ask(&server, &commits(1000)).await;
    assert_eq!(ask(&server, generation).await, before);
}

async fn refused(postgres: &Arc<dyn Driver>, create: &Transaction) -> Option<linchpin::Entry> {
    match postgres.commit(create).await.expect("an answer") {
        Outcome::Refused { found, guard: 0, .. } => found,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_is_remembered_without_what_refused_it() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let large = vec![7; 1024 * 1024];
    postgres.commit(&Transaction::new().put(key("k"), large.clone(), None)).await.expect("a commit");
    let create = || Transaction::new().absent(key("k")).put(key("k"), "v", None).with_id(TransactionId::random());
    let first = create();
    for _ in 0..2 {
        assert_eq!(refused(&postgres, &first).await.expect("it stands there").value, large);
    }
    for _ in 0..20 {
        refused(&postgres, &create()).await.expect("it stands there");
    }
    let size = "SELECT pg_total_relation_size('linchpin.outcomes')";
    let size: u64 = ask(&server, size).await.parse().expect("a number");
    assert!(size < 256 * 1024, "{size} bytes");
    postgres.commit(&Transaction::new().put(key("k"), "another", None)).await.expect("a commit");
    assert_eq!(refused(&postgres, &first).await, None);
}

#[tokio::test]
async fn outcomes_are_forgotten_though_nobody_commits() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    for n in 0..20 {
        let put = Transaction::new().put(key(&format!("k{n}")), "v", None).with_id(TransactionId::random());
        postgres.commit(&put).await.expect("a commit");
    }
    // As if that had been a while ago.
    ask(&server, "UPDATE linchpin.outcomes SET at = at - 61 * 1000000::bigint").await;
    ask(&server, "UPDATE linchpin.namespaces SET forgotten = 0").await;
    assert_eq!(ask(&server, "SELECT linchpin.forget(15), linchpin.forget(15), linchpin.forget(15)").await, "t|f|f");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.outcomes").await, "0");
}

#[tokio::test]
async fn a_large_namespace_is_erased_step_by_step() {
    let server = server().await;
    connect(&server.url()).await;
    let fill = "INSERT INTO linchpin.keys SELECT n.id, convert_to('k' || i, 'UTF8'), 'v', 1, 1, NULL \
                FROM linchpin.namespaces AS n, generate_series(1, 30000) AS i";
    ask(&server, fill).await;
    // Less than a statement takes that removes all.
    let config = super::config(&server.url());
    let names = [Namespace::default()];
    let erasing = linchpin_postgres::PostgresCoordination::erase(config, &names);
    erasing.await.expect("erased");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.keys").await, "0");
    let most = ask(&server, "SELECT linchpin.erase('default', 10)").await;
    assert_eq!(most, "t");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.holds").await, "0");
}
