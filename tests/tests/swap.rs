//! The swap, counted: two complete programs over two backends differ in one line, the URL. Both are compiled,
//! both run, and both print the same.
//!
//! Over Redis the URL comes from the environment, as in the specification's production code (`spec/1` section
//! 5.3): the server's port is known when the test runs. Both features of `linchpin` are compiled in here; a
//! program that compiles in one backend only changes that word in its Cargo.toml as well.

use linchpin_tests::servers::RedisServer;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

const MEMORY: &str = include_str!("../swap/memory.rs");
const REDIS: &str = include_str!("../swap/redis.rs");

/// Runs a program, with nothing in its environment that names a server but this, and returns what it prints.
async fn run(program: &str, redis_url: Option<&str>) -> String {
    let mut command = Command::new(program);
    command.env_remove("REDIS_URL").envs(redis_url.map(|url| ("REDIS_URL", url))).kill_on_drop(true);
    let output = timeout(Duration::from_secs(30), command.output()).await.expect("in time").expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn one_line_is_changed_and_it_is_the_url() {
    let (memory, redis): (Vec<_>, Vec<_>) = (MEMORY.lines().collect(), REDIS.lines().collect());
    assert_eq!(memory.len(), redis.len());
    let changed: Vec<_> = memory.into_iter().zip(redis).filter(|(one, other)| one != other).collect();
    let url = (r#"    let url = "memory://shop".to_owned();"#, r#"    let url = std::env::var("REDIS_URL")?;"#);
    assert_eq!(changed, [url]);
}

#[tokio::test]
async fn both_programs_run_and_print_the_same() {
    let server = RedisServer::start().await.expect("a server");
    let url = format!("{}?namespace=swap-{:016x}", server.url(), fastrand::u64(..));
    let in_memory = run(env!("CARGO_BIN_EXE_swap_memory"), None).await;
    let over_redis = run(env!("CARGO_BIN_EXE_swap_redis"), Some(&url)).await;
    assert_eq!(in_memory, over_redis);
    // From the last thing that they do, so they did it all.
    assert!(in_memory.ends_with("bob packs 7 apples\nbob packs 8 pears\n"), "{in_memory}");

    // It was this server: what the program wrote is there, and in this namespace.
    let coordinator = linchpin::connect(&url).await.expect("connected");
    assert_eq!(coordinator.get("order:7:state").await.expect("got").as_deref(), Some(&b"paid"[..]));
    coordinator.flush_all().await.expect("flushed");
    coordinator.shutdown().await.expect("shut down");
}
