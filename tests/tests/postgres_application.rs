//! What an application does with linchpin past linchpin, on Postgres: its own transactions that write through SQL
//! functions, and a look into the tables. The SQL is that of `docs/postgres.md`.

use futures::StreamExt;
use linchpin::{
    Action, Area, Claim, Coordinator, Delivery, ErrorKind, GroupName, Key, MemberName, Range, Record, Retry,
    Settlement, StreamName, Transaction, WatchEvent, WatchStream,
};
use linchpin_postgres::{PRIVILEGES, SCHEMA};
use linchpin_tests::servers::{PgBouncer, PostgresServer, sql};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const PAGE: &str = include_str!("../../docs/postgres.md");
const ORDERS: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, state text NOT NULL)";

async fn server() -> PostgresServer {
    PostgresServer::start_local(&[]).await.expect("a server")
}

/// A node of the namespace `shop`.
async fn node(server: &PostgresServer, id: &str) -> Coordinator {
    let url = format!("{}?namespace=shop", server.url());
    Coordinator::builder(url).node_id(id).connect().await.expect("connects")
}

async fn connection(url: &str) -> PgConnection {
    PgConnection::connect(&format!("{url}?sslmode=disable")).await.expect("connects")
}

async fn ask(server: &PostgresServer, query: &str) -> String {
    sql(&server.url(), query).await.expect("an answer")
}

/// What the server refuses a query with: its SQLSTATE and its text.
async fn refusal(connection: &mut PgConnection, query: &str) -> (String, String) {
    let error = connection.execute(sqlx::AssertSqlSafe(query)).await.expect_err(query);
    let error = error.into_database_error().expect("the server refuses it");
    (error.code().expect("a SQLSTATE").into_owned(), error.message().to_owned())
}

/// The only SQL of the page that contains this, and what the page says that comes back.
fn shown(needle: &str) -> (&'static str, &'static str) {
    let blocks = PAGE.split("```sql\n").skip(1).map(|block| block.split_once("```").expect("an end"));
    let found: Vec<_> = blocks.filter(|(block, _)| block.contains(needle)).collect();
    let [(block, rest)] = found[..] else { panic!("{} blocks of the page have {needle:?}", found.len()) };
    let answer = rest.trim_start().strip_prefix("```text\n").and_then(|answer| answer.split_once("\n```"));
    (block, answer.map_or("", |(answer, _)| answer))
}

/// Times and revisions are others each time.
fn without_times(answer: &str) -> String {
    fn known(field: &str) -> &str {
        let is_time = field.len() > 20 && field.as_bytes()[4] == b'-' && field.as_bytes()[10] == b' ';
        let is_revision = field.len() == 16 && field.bytes().all(|byte| byte.is_ascii_digit());
        if is_time {
            "TIME"
        } else if is_revision {
            "REVISION"
        } else {
            field
        }
    }
    let line = |line: &str| line.split('|').map(known).collect::<Vec<_>>().join("|");
    answer.lines().map(line).collect::<Vec<_>>().join("\n")
}

async fn answers_as_shown(server: &PostgresServer, needle: &str) {
    let (query, answer) = shown(needle);
    assert!(!answer.is_empty(), "the page does not say what comes back of {query}");
    assert_eq!(without_times(&ask(server, query).await), without_times(answer), "{query}");
}

fn stream(name: &str) -> StreamName {
    Area::USER.stream(name).expect("a name")
}

async fn claimed(coordinator: &Coordinator, most: usize) -> Vec<Delivery> {
    let (group, member) = (GroupName::new("billing").expect("a name"), MemberName::new("worker-1").expect("a name"));
    let claim = Claim::new(stream("orders"), group, member).max(most).wait(SOON);
    coordinator.driver().claim(&claim).await.expect("claims")
}

/// A watch of all user's keys, past what is there.
async fn watch(coordinator: &Coordinator) -> WatchStream {
    let mut events = coordinator.driver().watch(&Range::prefix("user/").expect("a prefix")).await.expect("a watch");
    while !matches!(events.next().await.expect("open").expect("an event"), WatchEvent::Synced { .. }) {}
    events
}

async fn told(events: &mut WatchStream) -> WatchEvent {
    timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end")
}

#[tokio::test]
async fn the_tables_show_what_the_page_says() {
    let server = server().await;
    let (till, other) = (node(&server, "till-1").await, node(&server, "till-2").await);
    till.set("greeting", b"hello", None).await.expect("is set");
    till.set("session:7", b"open", Some(Duration::from_hours(1))).await.expect("is set");
    answers_as_shown(&server, "LIKE 'user/%'").await;

    let guard = till.lock("order:123").acquire().await.expect("a lock");
    let waiting = tokio::spawn(async move { other.lock("order:123").acquire().await });
    let places = "SELECT count(*) FROM linchpin.keys WHERE key LIKE 'lock/9:order:123/%'";
    while ask(&server, places).await != "2" {
        assert!(!waiting.is_finished());
    }
    answers_as_shown(&server, "LIKE 'lock/%'").await;
    guard.release().await.expect("released");
    waiting.await.expect("no panic").expect("its turn").release().await.expect("released");

    let leadership = till.election("scheduler").value("10.0.0.7").campaign().await.expect("leads");
    let membership = till.members("workers").join().await.expect("joins");
    answers_as_shown(&server, "LIKE 'election/%'").await;
    answers_as_shown(&server, "LIKE 'node/").await;
    let term = leadership.term().to_string();
    ask(&server, &format!("SELECT linchpin.fence('shop', 'election/scheduler', {term})")).await;
    membership.leave().await.expect("leaves");
    leadership.resign().await.expect("resigns");

    let records = ["pay 7", "nonsense", "pay 9", "pay 11"].map(Record::new);
    till.driver().append(&stream("orders"), &records).await.expect("appends");
    for (delivery, action) in claimed(&till, 3).await.into_iter().zip([
        Action::Ack,
        Action::Reject { reason: "not understood".to_owned() },
        Action::Extend { visibility: SOON },
    ]) {
        till.driver().settle(&[Settlement { receipt: delivery.receipt, action }]).await.expect("settles");
    }
    answers_as_shown(&server, "s.last - s.first + 1").await;
    answers_as_shown(&server, "inspect_stream").await;
    answers_as_shown(&server, "p.deliveries").await;
    answers_as_shown(&server, "r.story").await;
}

#[tokio::test]
async fn rows_keys_records_and_messages_commit_together_or_not_at_all() {
    let server = server().await;
    let shop = node(&server, "till-1").await;
    ask(&server, ORDERS).await;
    let (mut events, mut messages) = (watch(&shop).await, shop.subscribe("orders").await.expect("a subscription"));
    let (transaction, _) = shown("INSERT INTO orders");
    let begun = transaction.strip_suffix("COMMIT;\n").expect("it ends so");

    ask(&server, &format!("{begun}ROLLBACK")).await;
    assert_eq!(ask(&server, "SELECT count(*) FROM orders").await, "0");
    assert_eq!(shop.get("order:123:state").await.expect("a read"), None);
    assert_eq!(shop.driver().inspect(&stream("orders")).await.expect("a look").length, 0);

    // Not before it commits: what comes first is what is written meanwhile, elsewhere.
    let mut open = connection(&server.url()).await;
    open.execute(sqlx::AssertSqlSafe(begun)).await.expect("runs");
    assert_eq!(shop.get("order:123:state").await.expect("a read"), None);
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.records").await, "0");
    shop.publish("orders", b"before").await.expect("published");
    open.execute("COMMIT").await.expect("commits");
    let message = async |messages: &mut linchpin::MessageStream| {
        timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no gap").payload
    };
    assert_eq!(message(&mut messages).await, b"before");
    assert_eq!(message(&mut messages).await, b"123 is paid");

    assert_eq!(ask(&server, "SELECT id, state FROM orders").await, "123|paid");
    assert_eq!(shop.get("order:123:state").await.expect("a read").as_deref(), Some(&b"paid"[..]));
    let WatchEvent::Put(entry) = told(&mut events).await else { panic!("no put") };
    assert_eq!((entry.key.as_str(), &entry.value[..]), ("user/order:123:state", &b"paid"[..]));
    assert!(entry.ttl.is_some_and(|ttl| ttl > Duration::from_secs(3500)), "{:?}", entry.ttl);
    let delivered = claimed(&shop, 10).await;
    assert_eq!((&delivered[0].payload[..], delivered[0].id.as_deref()), (&b"pay 123"[..], Some("order-123")));
    assert_eq!(delivered.len(), 1);
}

#[tokio::test]
async fn a_watcher_and_a_member_that_wait_hear_of_it_after_the_commit() {
    let server = server().await;
    let shop = node(&server, "till-1").await;
    let mut events = watch(&shop).await;
    let waiting = {
        let shop = shop.clone();
        tokio::spawn(async move { claimed(&shop, 1).await })
    };
    let mut open = connection(&server.url()).await;
    open.execute("BEGIN; SELECT linchpin.put('shop', 'user/a', '1'), linchpin.append('shop', 'user/orders', 'r')")
        .await
        .expect("runs");
    let quiet = timeout(Duration::from_millis(300), events.next()).await;
    assert!(quiet.is_err() && !waiting.is_finished(), "{quiet:?}");
    open.execute("COMMIT").await.expect("commits");
    assert!(matches!(told(&mut events).await, WatchEvent::Put(entry) if entry.value == "1"));
    assert_eq!(timeout(SOON, waiting).await.expect("in time").expect("no panic")[0].payload, "r");
    // A savepoint takes back what came after it, and nobody is told of that.
    let taken_back = "BEGIN; SAVEPOINT s; SELECT linchpin.put('shop', 'user/a', '2'); ROLLBACK TO s; COMMIT";
    open.execute(taken_back).await.expect("runs");
    open.execute("SELECT linchpin.delete('shop', 'user/a')").await.expect("deletes");
    assert!(matches!(told(&mut events).await, WatchEvent::Deleted { key, .. } if key.as_str() == "user/a"));
}

/// As the page has it.
async fn pay(
    coordinator: &Coordinator,
    database: &mut PgConnection,
    order: i64,
) -> Result<(), Box<dyn std::error::Error>> {
    let lock = format!("order:{order}");
    let guard = coordinator.lock(&lock).acquire().await?;
    let token = i64::try_from(guard.token().0)?;

    let mut transaction = database.begin().await?;
    let pay = sqlx::query("UPDATE orders SET state = 'paid' WHERE id = $1");
    pay.bind(order).execute(&mut *transaction).await?;
    let fence = sqlx::query("SELECT linchpin.fence_lock('shop', $1, $2)");
    fence.bind(&lock).bind(token).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(guard.release().await?)
}

#[tokio::test]
async fn a_fence_lets_the_holder_of_a_lock_pass_and_nobody_after() {
    let page = PAGE.split_once("async fn pay(").expect("the page has it").1;
    let page = page.split_once("\n}\n").expect("an end").0;
    assert!(include_str!("postgres_application.rs").contains(page), "the page has another program");

    let server = server().await;
    let (first, second) = (node(&server, "till-1").await, node(&server, "till-2").await);
    ask(&server, &format!("{ORDERS}; INSERT INTO orders VALUES (123, 'new'), (7, 'new')")).await;
    let mut database = connection(&server.url()).await;
    pay(&first, &mut database, 123).await.expect("it holds the lock");
    assert_eq!(ask(&server, "SELECT state FROM orders WHERE id = 123").await, "paid");

    let stale =
        first.lock("order:7").ttl(Duration::from_millis(500)).without_renewal().acquire().await.expect("a lock");
    let current = second.lock("order:7").wait(SOON).acquire().await.expect("it has ended");
    let fenced = |token| {
        format!(
            "BEGIN; UPDATE orders SET state = 'paid' WHERE id = 7; \
        SELECT linchpin.fence_lock('shop', 'order:7', {token}); COMMIT"
        )
    };
    let (code, message) = refusal(&mut database, &fenced(stale.token())).await;
    assert_eq!(code, "LP002", "{message}");
    assert!(message.contains(&stale.token().to_string()), "{message}");
    database.execute("ROLLBACK").await.expect("rolls back");
    assert_eq!(ask(&server, "SELECT state FROM orders WHERE id = 7").await, "new");
    // Another lock's token, or a lock whose name begins in the same way, is none.
    for (lock, token) in [("order:1", current.token()), ("order:7/", current.token())] {
        let other = format!("SELECT linchpin.fence_lock('shop', '{lock}', {token})");
        assert_eq!(refusal(&mut database, &other).await.0, "LP002");
    }
    database.execute(sqlx::AssertSqlSafe(fenced(current.token()))).await.expect("it holds the lock");
    assert_eq!(ask(&server, "SELECT state FROM orders WHERE id = 7").await, "paid");
}

#[tokio::test]
async fn a_fence_holds_until_the_transaction_ends() {
    let server = server().await;
    let (first, second) = (node(&server, "till-1").await, node(&server, "till-2").await);
    let ttl = Duration::from_secs(2);
    let guard = first.lock("l").ttl(ttl).without_renewal().acquire().await.expect("a lock");
    let mut open = connection(&server.url()).await;
    let fence = format!("BEGIN; SELECT linchpin.fence_lock('shop', 'l', {})", guard.token());
    open.execute(sqlx::AssertSqlSafe(fence)).await.expect("it is held");
    let waiting = tokio::spawn(async move { second.lock("l").wait(SOON).acquire().await });
    guard.lost().await;
    // Its TTL is over, and nobody else may have it yet. Who is in the way the page's query tells.
    let (blocking, _) = shown("pg_blocking_pids");
    while ask(&server, blocking).await.is_empty() {
        assert!(!waiting.is_finished());
    }
    tokio::time::sleep(ttl / 4).await;
    assert!(!waiting.is_finished());
    let [found] = &open.fetch_all("SELECT pg_backend_pid()").await.expect("an answer")[..] else { panic!("a row") };
    let row = ask(&server, blocking).await;
    let holder = format!("{}|idle in transaction|", found.get::<i32, _>(0));
    assert!(row.lines().any(|line| line.starts_with(&holder)), "{row}");
    open.execute("COMMIT").await.expect("commits");
    let next = waiting.await.expect("no panic").expect("its turn");
    assert!(next.token() > guard.token());
}

#[tokio::test]
async fn the_functions_do_what_the_page_says() {
    let server = server().await;
    let shop = node(&server, "till-1").await;
    let mut own = connection(&server.url()).await;
    let value = async |own: &mut PgConnection, call: &str| {
        let query = format!("SELECT (linchpin.{call})::text");
        let row = own.fetch_one(sqlx::AssertSqlSafe(query)).await.expect("an answer");
        row.get::<Option<String>, _>(0)
    };
    assert_eq!(value(&mut own, "get('shop', 'user/a')").await, None);
    own.execute("BEGIN").await.expect("begins");
    let first = value(&mut own, "put_if_absent('shop', 'user/a', '1')").await.expect("nothing is there");
    assert_eq!(value(&mut own, "put_if_absent('shop', 'user/a', '2')").await, None);
    assert_eq!(value(&mut own, "get('shop', 'user/a')").await.as_deref(), Some("\\x31"));
    let second = value(&mut own, &format!("put_if_version('shop', 'user/a', '2', {first})")).await.expect("is there");
    assert_eq!(value(&mut own, &format!("put_if_version('shop', 'user/a', '3', {first})")).await, None);
    own.execute("COMMIT").await.expect("commits");
    let key = Key::new("user/a").expect("a key");
    let entry = shop.driver().get(&[key]).await.expect("a read").entries.remove(0).expect("is there");
    assert_eq!((entry.created.0.to_string(), entry.version.0.to_string()), (first.clone(), second));
    value(&mut own, &format!("fence('shop', 'user/a', {first})")).await;
    assert_eq!(refusal(&mut own, "SELECT linchpin.fence('shop', 'user/a', 1)").await.0, "LP002");

    assert_eq!(shop.incr("n", 3, None).await.expect("adds"), 3);
    assert_eq!(value(&mut own, "add('shop', 'user/n', 4)").await.as_deref(), Some("7"));
    assert_eq!(shop.incr("n", 1, None).await.expect("adds"), 8);
    assert_eq!(value(&mut own, "delete('shop', 'user/n')").await.as_deref(), Some("true"));
    assert_eq!(value(&mut own, "delete('shop', 'user/n')").await.as_deref(), Some("false"));
    assert!(!shop.exists("n").await.expect("a read"));

    for (call, position) in [
        ("append('shop', 'user/orders', 'r')", "1"),
        ("append('shop', 'user/orders', 'r', 'id-1', 'colour', 'red')", "2"),
        ("append('shop', 'user/orders', 's', 'id-1')", "2"),
        ("append_later('shop', 'user/orders', 't', '1 hour')", "3"),
    ] {
        assert_eq!(value(&mut own, call).await.as_deref(), Some(position), "{call}");
    }
    let mut messages = shop.subscribe("a").await.expect("a subscription");
    value(&mut own, "publish('shop', 'user/a', repeat('x', 5900)::bytea)").await;
    let message = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("a message");
    assert_eq!(message.payload.len(), 5900);
    let delivered = claimed(&shop, 10).await;
    assert_eq!(delivered.len(), 2, "one is not due");
    assert_eq!(delivered[1].headers, [("colour".to_owned(), "red".to_owned())]);
    shop.shutdown().await.expect("closes");
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_so_many_words() {
    let server = server().await;
    node(&server, "till-1").await.set("text", b"red", None).await.expect("is set");
    let mut own = connection(&server.url()).await;
    let long = "x".repeat(769);
    let big = "repeat('x', 6000)::bytea";
    for (call, code, says) in [
        ("put('Shop', 'user/a', '1')", "22023", "namespace"),
        ("put(NULL, 'user/a', '1')", "22023", "namespace"),
        ("fence('no such', 'user/a', 1)", "22023", "namespace"),
        ("publish('', 'user/a', '1')", "22023", "namespace"),
        ("append(NULL, 'user/orders', '1')", "22023", "namespace"),
        ("put('shop', '', '1')", "22023", "a key has 1 to 768 bytes, not 0"),
        (&format!("put('shop', '{long}', '1')"), "22023", "a key has 1 to 768 bytes, not 769"),
        ("delete('shop', NULL)", "22023", "a key"),
        ("fence_lock('shop', '', 1)", "22023", "lock"),
        ("append('shop', '', '1')", "22023", "stream"),
        ("put('shop', 'user/a', NULL)", "22004", "null"),
        ("put_if_version('shop', 'user/text', '1', NULL)", "22004", "null"),
        ("add('shop', 'user/a', NULL)", "22004", "null"),
        ("publish('shop', 'user/a', NULL)", "22004", "null"),
        ("append('shop', 'user/orders', NULL)", "22023", "payload"),
        ("append('shop', 'user/orders', 'r', 'id', 'a name')", "22023", "in turn"),
        ("append_later('shop', 'user/orders', 'r', '-1 s')", "22023", "delay"),
        ("append_later('shop', 'user/orders', 'r', '200 years')", "22023", "delay"),
        ("put('shop', 'user/a', '1', '0 s')", "22023", "TTL"),
        ("put('shop', 'user/a', '1', '200 years')", "22023", "TTL"),
        ("put('shop', 'user/a', repeat('x', 1048577)::bytea)", "22023", "1048576"),
        (&format!("publish('shop', 'user/a', {big})"), "22023", "notification"),
        ("add('shop', 'user/text', 1)", "22003", "no counter"),
        ("fence('shop', 'user/text', NULL)", "LP002", "not valid"),
    ] {
        let (found, message) = refusal(&mut own, &format!("SELECT linchpin.{call}")).await;
        assert_eq!(found, code, "{call}: {message}");
        assert!(message.contains(says), "{call}: {message}");
        assert!(PAGE.contains(&format!("| `{code}` |")), "the page does not explain {code}");
    }
    assert_eq!(
        ask(&server, "SELECT count(*), (SELECT count(*) FROM linchpin.keys) FROM linchpin.namespaces").await,
        "1|1"
    );
}

#[tokio::test]
async fn another_isolation_level_is_refused_where_it_would_do_harm() {
    let server = server().await;
    let shop = node(&server, "till-1").await;
    let mut messages = shop.subscribe("a").await.expect("a subscription");
    let mut own = connection(&server.url()).await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for call in [
            "put('shop', 'user/a', '1')",
            "fence('shop', 'user/a', 1)",
            "fence_lock('shop', 'a', 1)",
            "append('shop', 'user/orders', '1')",
        ] {
            let query = format!("BEGIN ISOLATION LEVEL {level}; SELECT linchpin.{call}");
            let (code, message) = refusal(&mut own, &query).await;
            assert_eq!(code, "LP001", "{message}");
            own.execute("ROLLBACK").await.expect("rolls back");
        }
        let fine = format!(
            "BEGIN ISOLATION LEVEL {level}; SELECT linchpin.get('shop', 'user/a'); \
             SELECT linchpin.publish('shop', 'user/a', 'm'); COMMIT"
        );
        own.execute(sqlx::AssertSqlSafe(fine)).await.expect("is fine");
        timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("a message");
    }
}

#[tokio::test]
async fn a_role_with_the_documented_privileges_runs_them_and_no_other_does() {
    let server = server().await;
    ask(&server, &format!("CREATE ROLE app LOGIN; {}", *SCHEMA)).await;
    let url = server.url().replace("postgres@", "app@");
    let mut own = connection(&url).await;
    assert_eq!(refusal(&mut own, "SELECT linchpin.put('shop', 'user/a', '1')").await.0, "42501");
    ask(&server, &PRIVILEGES.replace("application", "app")).await;
    ask(&server, ORDERS).await;
    ask(&server, "GRANT ALL ON orders TO app").await;
    let (transaction, _) = shown("INSERT INTO orders");
    own.execute(transaction).await.expect("runs");
    assert_eq!(ask(&server, "SELECT encode(value, 'escape') FROM linchpin.keys").await, "paid");
    let shop = linchpin::Namespace::new("shop").expect("a name");
    linchpin::erase(&url, &[shop]).await.expect("erases");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.keys").await, "0");
}

#[tokio::test]
async fn they_need_no_session_of_their_own() {
    let server = server().await;
    let shop = node(&server, "till-1").await;
    ask(&server, ORDERS).await;
    let bouncer = PgBouncer::start(&server, "transaction").await.expect("a PgBouncer");
    let (transaction, _) = shown("INSERT INTO orders");
    sql(&bouncer.url(), transaction).await.expect("runs");
    assert_eq!(shop.get("order:123:state").await.expect("a read").as_deref(), Some(&b"paid"[..]));
}

#[tokio::test]
async fn an_open_transaction_is_waited_for_and_named() {
    let server = server().await;
    let url = format!("{}?namespace=shop&response_timeout_ms=2500", server.url());
    let shop = linchpin::open(&url, None).await.expect("connects");
    let mut open = connection(&server.url()).await;
    open.execute("BEGIN; SELECT linchpin.put('shop', 'user/a', '1')").await.expect("runs");
    let change = Transaction::new().put(Key::new("user/b").expect("a key"), "1", None);
    let started = Instant::now();
    let error = shop.commit(&change).await.expect_err("the namespace is held");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    assert!(error.to_string().contains("others hold what this needs"), "{error}");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(1900), "it gave up after {waited:?}, and four fifths are 2 s");

    // Reads, streams, messages and other namespaces do not wait.
    shop.get(&[Key::new("user/b").expect("a key")]).await.expect("a read");
    shop.append(&stream("orders"), &[Record::new("r")]).await.expect("appends");
    shop.publish(&linchpin::Channel::new("c").expect("a name"), "m".into()).await.expect("published");
    let other = linchpin::Namespace::new("other").expect("a name");
    let other = linchpin::open(&url, Some(other)).await.expect("connects");
    other.commit(&change).await.expect("another namespace");
    open.execute("COMMIT").await.expect("commits");
    shop.commit(&change).await.expect("it is free");
}

#[tokio::test]
async fn what_was_told_cannot_be_prepared() {
    let server = PostgresServer::start_local(&["-c", "max_prepared_transactions=1"]).await.expect("a server");
    node(&server, "till-1").await;
    let mut own = connection(&server.url()).await;
    let prepared = "BEGIN; SELECT linchpin.put('shop', 'user/a', '1'); PREPARE TRANSACTION 'x'";
    let (code, message) = refusal(&mut own, prepared).await;
    assert_eq!(code, "0A000", "{message}");
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.keys").await, "0");
}

#[tokio::test]
async fn a_handle_has_as_many_connections_as_the_page_says() {
    assert!(PAGE.contains("opens connections as it needs them, and uses 5 at most"));
    let server = server().await;
    let shop = node(&server, "till-1").await;
    let _events = watch(&shop).await;
    let _messages = shop.subscribe("*").await.expect("a subscription");
    let busy: Vec<_> = (0..32)
        .map(|task| {
            let shop = shop.clone();
            tokio::spawn(async move {
                for round in 0..30 {
                    shop.incr(&format!("n{task}"), 1, None).await.expect("adds");
                    shop.get("n1").await.expect("a read");
                    shop.publish("c", format!("{task} {round}").as_bytes()).await.expect("published");
                    shop.keys("n*").await.expect("a list");
                    shop.driver().append(&stream("orders"), &[Record::new("r")]).await.expect("appends");
                }
            })
        })
        .collect();
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin'";
    let mut most = 0_u32;
    while !busy.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(ask(&server, count).await.parse().expect("a number"));
    }
    for task in busy {
        task.await.expect("no panic");
    }
    assert_eq!(most.max(ask(&server, count).await.parse().expect("a number")), 5);
    // What is idle is closed: others may need the place. The last one stays longer.
    let usual = async {
        while ask(&server, count).await != "1" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10) + SOON, usual).await.expect("in time");
}

#[tokio::test]
async fn a_schema_that_is_dropped_is_made_by_the_next_that_connects() {
    let server = server().await;
    let url = format!("{}?namespace=shop", server.url());
    let shop = linchpin::open(&url, None).await.expect("connects");
    let change = Transaction::new().put(Key::new("user/b").expect("a key"), "1", None);
    shop.commit(&change).await.expect("a commit");
    ask(&server, "DROP SCHEMA linchpin CASCADE").await;
    let error = shop.commit(&change).await.expect_err("nothing is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    linchpin::open(&url, None).await.expect("connects");
    shop.commit(&change).await.expect("it is there again");
}

#[tokio::test]
async fn publishing_to_nobody_ends_with_a_timeout() {
    let server = server().await;
    let shop = node(&server, "till-1").await;
    let error = shop.publish_with_ack("alarm", b"fire", Duration::from_millis(200)).await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn the_durability_is_what_the_page_says() {
    for (setting, row) in [
        ("fsync=on", "the defaults: `fsync`, `full_page_writes` and `synchronous_commit` on"),
        ("synchronous_commit=off", "`synchronous_commit = off`"),
        ("full_page_writes=off", "`full_page_writes = off`"),
        ("fsync=off", "`fsync = off`"),
    ] {
        let server = PostgresServer::start_local(&["-c", setting]).await.expect("a server");
        let shop = node(&server, "till-1").await;
        let durability = &shop.driver().capabilities().durability;
        let line = PAGE.lines().find(|line| line.starts_with(&format!("| {row} |"))).expect("the page has it");
        let end = format!("| {} | {} |", durability.survives_restart, durability.survives_power_loss);
        assert!(line.ends_with(&end), "{setting}: {}", durability.why);
    }
}
