//! What the port costs over the raw client: the same work through both, interleaved, one call at a time.
//!
//! `LINCHPIN_TEST_SERVERS=local cargo run --release -p linchpin-tests --example measure`

use futures::StreamExt;
use linchpin::{Coordinator, Key, Result};
use linchpin_tests::servers::RedisServer;
use redis::AsyncCommands;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5000;
const VALUE: &[u8] = &[7; 100];

/// The median and the 99th percentile of some durations, in microseconds.
fn summary(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    (at(50), at(99))
}

async fn timed<T>(times: &mut Vec<Duration>, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let result = work.await;
    times.push(started.elapsed());
    result
}

fn print(what: &str, times: Vec<Duration>, raw: Option<Vec<Duration>>) {
    let (median, p99) = summary(times);
    print!("{what:<34} median {median:>7.0} us   p99 {p99:>7.0} us");
    match raw.map(summary) {
        Some((raw, _)) => println!("   raw client {raw:>5.0} us   ratio {:.2}", median / raw),
        None => println!(),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = RedisServer::start().await.expect("a server");
    println!("redis, origin {}, {ROUNDS} rounds, values of {} bytes\n", server.origin(), VALUE.len());
    let coordinator = linchpin::connect(server.url()).await?;
    let raw = redis::Client::open(server.url()).expect("a client");
    let mut raw = raw.get_multiplexed_async_connection().await.expect("connected");
    measure_calls(&coordinator, &mut raw).await?;
    measure_locks(&coordinator, &linchpin::connect(server.url()).await?).await?;
    coordinator.shutdown().await
}

async fn measure_calls(coordinator: &Coordinator, raw: &mut redis::aio::MultiplexedConnection) -> Result<()> {
    let [mut get, mut raw_get, mut set, mut raw_set, mut commit, mut publish, mut raw_publish] =
        std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    let mut messages = coordinator.subscribe("news").await?;
    let key = Key::new("plain")?;
    for _ in 0..ROUNDS {
        timed(&mut raw_set, raw.set::<_, _, ()>("raw", VALUE)).await.expect("set");
        timed(&mut set, coordinator.set("k", VALUE, None)).await?;
        timed(&mut raw_get, raw.get::<_, Vec<u8>>("raw")).await.expect("got");
        timed(&mut get, coordinator.get("k")).await?;
        let put = linchpin::Transaction::new().put(key.clone(), VALUE, None);
        timed(&mut commit, coordinator.driver().commit(&put)).await?;
        timed(&mut raw_publish, raw.publish::<_, _, u64>("raw", VALUE)).await.expect("published");
        timed(&mut publish, coordinator.publish("news", VALUE)).await?;
        messages.next().await.expect("open")?;
    }
    print("get", get, Some(raw_get));
    print("set", set, Some(raw_set.clone()));
    print("commit of one put, with id", commit, Some(raw_set));
    print("publish", publish, Some(raw_publish));
    Ok(())
}

async fn measure_locks(one: &Coordinator, other: &Coordinator) -> Result<()> {
    let (mut free, mut hand_over) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 5 {
        timed(&mut free, async { one.lock("free").acquire().await?.release().await }).await?;
    }
    for _ in 0..ROUNDS / 25 {
        let guard = one.lock("busy").acquire().await?;
        let waiting = tokio::spawn(other.lock("busy").acquire());
        // The waiter watches once its second look at the queue is behind it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let released = Instant::now();
        guard.release().await?;
        let next = waiting.await.expect("no panic")?;
        hand_over.push(released.elapsed());
        next.release().await?;
    }
    print("lock and release, nobody waiting", free, None);
    print("hand-over to a waiter", hand_over, None);
    Ok(())
}
