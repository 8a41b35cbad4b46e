//! Servers that go by a clock of their own.

use super::{Checked, redis, soon};
use linchpin_tests::servers::{Packaged, Postgres, Redis, TestServer, sql};
use std::io;

const HOUR: i64 = 3600;
/// What the asking may take.
const CLOSE: i64 = 10;

async fn redis_time(url: String) -> io::Result<i64> {
    let reply = redis(&url, "TIME").await?;
    reply.lines().nth(2).and_then(|seconds| seconds.parse().ok()).ok_or_else(|| io::Error::other(reply))
}

async fn postgres_time(url: String) -> io::Result<i64> {
    let told = sql(&url, "SELECT extract(epoch FROM clock_timestamp())::bigint").await?;
    told.parse().map_err(io::Error::other)
}

/// A server in a process or a container, as the environment says, is stepped while it runs, and stays so.
async fn clock_is_stepped<S: Packaged, F>(time: fn(String) -> F) -> Checked
where
    F: Future<Output = io::Result<i64>>,
{
    let server = TestServer::<S>::start_with_own_clock().await?;
    let ask = async || soon(time(server.url())).await.map_err(|error| error.to_string());
    let start = ask().await?;
    for (by, ahead) in [(-HOUR, -HOUR), (2 * HOUR, HOUR), (-HOUR, 0), (-HOUR, -HOUR)] {
        if !server.step_clock(by * 1_000_000).await? {
            println!("SKIPPED: a server of origin {} has the machine's clock", server.origin());
            return Ok(());
        }
        let went = ask().await? - start;
        assert!((ahead..ahead + CLOSE).contains(&went), "it went {went} s and not {ahead}");
    }
    server.restart().await?;
    let went = ask().await? - start;
    assert!((-HOUR..CLOSE - HOUR).contains(&went), "after a restart it went {went} s");

    let others = TestServer::<S>::start().await?;
    assert!(!others.step_clock(1).await?, "the machine's clock was stepped");
    Ok(())
}

#[tokio::test]
async fn the_clock_of_a_redis_is_stepped() -> Checked {
    clock_is_stepped::<Redis, _>(redis_time).await
}

#[tokio::test]
async fn the_clock_of_a_postgres_is_stepped() -> Checked {
    clock_is_stepped::<Postgres, _>(postgres_time).await
}
