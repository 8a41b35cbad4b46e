//! How the Redis adapter connects, fails and comes back: wrong passwords and ports, TLS, ACL users, a server that hangs,
//! dies, fills up, loses data, is demoted and returns. Local servers, because these need configurations of their own.

mod cost;
mod dropped;
mod eviction;
mod failover;
mod idle;
mod lives;
mod logins;
mod memory;
mod messages;
mod paused;
mod slow;
mod time;
mod troubles;
mod vanished;

use linchpin::{Channel, Coordinator, Driver, Entry, Key, Pattern, RedisConfig, RedisCoordination, StreamName};
use linchpin_tests::servers::RedisServer;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);
/// Connecting and answering are given up after this; the tests allow twice that.
const LIMIT: Duration = Duration::from_millis(1500);

fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).expect("a good URL").connect_timeout(LIMIT).response_timeout(LIMIT)
}

async fn local(arguments: &[&str]) -> RedisServer {
    RedisServer::start_local(arguments).await.expect("a server")
}

/// A handle without layers.
async fn connect(url: &str) -> Arc<dyn Driver> {
    RedisCoordination::connect(config(url)).await.expect("connects").driver()
}

async fn coordinator(url: &str) -> Coordinator {
    linchpin::connect(url).await.expect("connects")
}

/// A connection past the adapter. Unless told, the client waits for half a second, which a busy machine may take.
pub(crate) async fn raw(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a client");
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(SOON)).set_connection_timeout(Some(SOON));
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("connects")
}

pub(crate) async fn ask<T: redis::FromRedisValue>(raw: &mut MultiplexedConnection, words: &[&str]) -> T {
    redis::cmd(words[0]).arg(&words[1..]).query_async(raw).await.expect("answered")
}

async fn refused(config: RedisConfig) -> linchpin::Error {
    let started = Instant::now();
    let error = RedisCoordination::connect(config).await.expect_err("it must not connect");
    assert!(started.elapsed() < LIMIT * 2, "it took {:?}", started.elapsed());
    error
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a good channel")
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a good pattern")
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a good name")
}

async fn read(redis: &Arc<dyn Driver>, name: &str) -> linchpin::Result<Option<Entry>> {
    Ok(redis.get(&[key(name)]).await?.entries.remove(0))
}
