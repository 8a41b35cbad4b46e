//! An application's own transaction appends to a stream of the Postgres adapter: a transactional outbox.

use linchpin_core::{
    Action, Claim, Delivery, Driver, GroupName, MemberName, Namespace, Position, Settlement, StreamInfo, StreamName,
};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::PostgresServer;
use sqlx::{Connection, PgConnection, Row};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Below the second after which a member looks by itself.
const SOON: Duration = Duration::from_millis(900);

/// A server, a handle, and the application's own connection.
struct Shop {
    _server: PostgresServer,
    namespace: String,
    driver: Arc<dyn Driver>,
    connection: PgConnection,
}

impl Shop {
    async fn open() -> Self {
        let server = PostgresServer::start().await.expect("a server");
        let namespace = format!("outbox-{:x}", fastrand::u64(..));
        let own = Namespace::new(&namespace).expect("a good name");
        let config = PostgresConfig::from_url(&server.url()).expect("a good URL").namespace(own);
        let driver = PostgresCoordination::connect(config).await.expect("connected").driver();
        let connection = PgConnection::connect(&server.url()).await.expect("connected");
        Self { _server: server, namespace, driver, connection }
    }

    /// Runs `statement`, in which `$1` is the namespace, in a transaction of its own.
    async fn ask(&mut self, statement: &'static str) -> Result<i64, String> {
        let row = sqlx::query(statement).bind(&self.namespace).fetch_one(&mut self.connection).await;
        row.and_then(|row| row.try_get(0)).map_err(|error| error.to_string())
    }
}

fn orders() -> StreamName {
    StreamName::new("orders").expect("a good name")
}

fn claim() -> Claim {
    let (group, member) = (GroupName::new("billing"), MemberName::new("b-1"));
    Claim::new(orders(), group.expect("a good name"), member.expect("a good name")).max(10)
}

fn texts(deliveries: &[Delivery]) -> Vec<&[u8]> {
    deliveries.iter().map(|delivery| &delivery.payload[..]).collect()
}

#[tokio::test]
async fn a_record_is_there_when_the_transaction_commits() {
    let mut shop = Shop::open().await;
    // Who asks for a stream that an open transaction is about to create waits for that.
    assert_eq!(shop.driver.claim(&claim()).await.expect("a claim"), []);
    let waiting = tokio::spawn({
        let driver = shop.driver.clone();
        async move { (driver.claim(&claim().wait(SOON * 20)).await, Instant::now()) }
    });
    let mut transaction = shop.connection.begin().await.expect("a transaction");
    let append = "SELECT linchpin.append($1, 'orders', 'pay', 'order-7', 'type', 'payment', 'type', 'é')";
    let row = sqlx::query(append).bind(&shop.namespace).fetch_one(&mut *transaction).await.expect("appended");
    assert_eq!(row.get::<i64, _>(0), 1);
    assert_eq!(shop.driver.claim(&claim()).await.expect("a claim"), [], "before the commit nobody sees it");
    transaction.commit().await.expect("committed");
    let committed = Instant::now();
    let (claimed, at) = waiting.await.expect("no panic");
    let claimed = claimed.expect("a claim");
    assert!(at.saturating_duration_since(committed) < SOON, "woken after {:?}", at - committed);
    assert_eq!(texts(&claimed), [b"pay"]);
    assert_eq!(claimed[0].id.as_deref(), Some("order-7"));
    let headers = [("type", "payment"), ("type", "é")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(claimed[0].headers, headers);
    let done = Settlement { receipt: claimed[0].receipt.clone(), action: Action::Ack };
    shop.driver.settle(&[done]).await.expect("settled");
    assert_eq!(shop.ask(append).await, Ok(1), "its id is known");
    assert_eq!(shop.driver.claim(&claim()).await.expect("a claim"), []);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_record_and_no_gap() {
    let mut shop = Shop::open().await;
    let mut transaction = shop.connection.begin().await.expect("a transaction");
    let append = "SELECT linchpin.append($1, 'orders', 'pay', 'order-7')";
    sqlx::query(append).bind(&shop.namespace).execute(&mut *transaction).await.expect("appended");
    transaction.rollback().await.expect("rolled back");
    assert_eq!(shop.driver.inspect(&orders()).await.expect("inspected"), StreamInfo::default());
    assert_eq!(shop.ask("SELECT linchpin.append($1, 'orders', 'a', 'order-7')").await, Ok(1));
    assert_eq!(shop.ask("SELECT linchpin.append($1, 'orders', 'b')").await, Ok(2));
    assert_eq!(shop.driver.inspect(&orders()).await.expect("inspected").last, Some(Position(2)));
}

#[tokio::test]
async fn a_record_may_be_appended_for_later() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.ask("SELECT linchpin.append_later($1, 'orders', 'a', '1.5 seconds')").await, Ok(1));
    let appended = Instant::now();
    assert_eq!(shop.driver.claim(&claim()).await.expect("a claim"), []);
    let claimed = shop.driver.claim(&claim().wait(SOON * 20)).await.expect("a claim");
    assert_eq!(texts(&claimed), [b"a"]);
    assert!(appended.elapsed() > Duration::from_secs(1), "after {:?}", appended.elapsed());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let mut shop = Shop::open().await;
    let longest = "SELECT linchpin.append($1, 'user/' || repeat('x', 512), 'a')";
    assert_eq!(shop.ask(longest).await, Ok(1), "the longest name, in its area");
    for (statement, problem) in [
        ("SELECT linchpin.append($1, '', 'a')", "1 to 768 bytes"),
        ("SELECT linchpin.append($1, 'orders', NULL)", "has a payload"),
        ("SELECT linchpin.append($1, 'orders', 'a', '')", "1 to 256 bytes"),
        ("SELECT linchpin.append($1, 'orders', 'a', NULL, 'odd')", "names and values in turn"),
        ("SELECT linchpin.append($1, 'orders', convert_to(repeat('a', 1048577), 'UTF8'))", "at most 1048576 bytes"),
        ("SELECT linchpin.append(upper($1), 'orders', 'a')", "a namespace has"),
    ] {
        let refused = shop.ask(statement).await.expect_err(statement);
        assert!(refused.contains(problem), "{statement}: {refused}");
    }
    let mut transaction = shop.connection.begin().await.expect("a transaction");
    let strict = sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    strict.execute(&mut *transaction).await.expect("set");
    let append = sqlx::query("SELECT linchpin.append($1, 'orders', 'a')").bind(&shop.namespace);
    let refused = append.execute(&mut *transaction).await.expect_err("another isolation level").to_string();
    assert!(refused.contains("READ COMMITTED"), "{refused}");
}
