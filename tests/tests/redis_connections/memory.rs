//! A server that is full, and what is kept there.

use super::*;
use linchpin::{DistributedCoordination, ErrorKind, Outcome, Page, Port, Range, Transaction, TransactionId};
use tokio::time::sleep;

#[tokio::test]
async fn a_full_server_is_not_healthy() {
    let server = RedisServer::start_local(&["--maxmemory", "100kb", "--maxmemory-policy", "noeviction"]).await;
    let server = server.expect("a server");
    let redis = RedisCoordination::connect(config(&server.url())).await.expect("connected").driver();
    let redis = Port::over(redis);
    let error = redis.set("k", b"v", None).await.expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(!redis.health_check().await.expect("it answers"));
}

async fn used_memory(raw: &mut MultiplexedConnection) -> i64 {
    let info: String = ask(raw, &["INFO", "memory"]).await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("told");
    used.trim().parse().expect("a number")
}

#[tokio::test]
async fn what_frees_memory_works_on_a_full_server() {
    let server = local(&["--maxmemory-policy", "noeviction"]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let soon = Some(Duration::from_millis(200));
    let port = Port::over(redis.clone());
    port.set("own", &vec![0; 100_000], None).await.expect("written");
    for (name, ttl) in [("a/1", None), ("a/2", None), ("b/1", None), ("c/1", None), ("ends", soon)] {
        redis.commit(&Transaction::new().put(key(name), vec![0; 100_000], ttl)).await.expect("written");
    }
    let coordinator = Coordinator::over(redis.clone()).connect().await.expect("connects");
    let guard = coordinator.lock("l").acquire().await.expect("a lock");
    sleep(Duration::from_millis(300)).await;
    ask::<()>(&mut raw, &["CONFIG", "SET", "maxmemory", "100kb"]).await;

    let full = port.set("k", b"v", None).await.expect_err("it is full");
    assert_eq!((full.kind(), full.maybe_applied()), (ErrorKind::ResourceExhausted, false), "{full}");
    assert_eq!(read(&redis, "ends").await.expect("a key that ended is read"), None);
    assert!(port.delete("own").await.expect("deleted"));
    let both = Transaction::new().delete(key("b/1")).delete(key("c/1")).with_id(TransactionId::random());
    assert!(redis.commit(&both).await.expect("deleted with an id").is_committed());
    guard.extend(Duration::from_mins(1)).await.expect("renewed");
    guard.release().await.expect("released");
    redis.clear("a/").await.expect("cleared");
    let page = redis.scan(&Range::all(), &Page::first()).await.expect("listed");
    assert!(page.entries.is_empty(), "{:?}", page.entries);
    let still = Transaction::new().put(key("k"), "v", None).delete(key("none"));
    let full = redis.commit(&still).await.expect_err("it is still full");
    assert_eq!(full.kind(), ErrorKind::ResourceExhausted, "{full}");
}

#[tokio::test]
async fn refusals_are_remembered_without_what_stood_there() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let value = vec![7; 1024 * 1024];
    redis.commit(&Transaction::new().put(key("k"), value.clone(), None)).await.expect("written");
    let before = used_memory(&mut raw).await;
    let create = Transaction::new().absent(key("k")).put(key("k"), "mine", None).with_id(TransactionId::random());
    for _ in 0..50 {
        let other = create.clone().with_id(TransactionId::random());
        assert!(!redis.commit(&other).await.expect("refused").is_committed());
    }
    let grown = used_memory(&mut raw).await - before;
    assert!(grown < 8 * 1024 * 1024, "50 refusals took {grown} bytes");

    let first = redis.commit(&create).await.expect("refused");
    let Outcome::Refused { found: Some(found), .. } = &first else { panic!("{first:?}") };
    assert_eq!(found.value, value);
    assert_eq!(redis.commit(&create).await.expect("again"), first, "it still stands there");
    redis.commit(&Transaction::new().put(key("k"), "another", None)).await.expect("written");
    let Outcome::Refused { found, revision, guard } = redis.commit(&create).await.expect("again") else { panic!() };
    let Outcome::Refused { revision: then, .. } = first else { panic!() };
    assert_eq!((found, revision, guard), (None, then, 0), "what stood there is gone");
    redis.commit(&Transaction::new().delete(key("k"))).await.expect("deleted");
    assert!(!redis.commit(&create).await.expect("again").is_committed(), "a repeat gets its first outcome");
}
