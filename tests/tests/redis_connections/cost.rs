//! What the usual calls cost the server.

use super::*;
use linchpin::Transaction;

/// How many commands the server has run, those within scripts included.
async fn commands(raw: &mut MultiplexedConnection) -> u64 {
    let info: String = ask(raw, &["INFO", "commandstats"]).await;
    let calls = info.lines().filter_map(|line| line.split_once(":calls=")?.1.split(',').next()?.parse::<u64>().ok());
    calls.sum()
}

#[tokio::test]
async fn the_usual_calls_cost_few_commands() {
    let server = local(&[]).await;
    let (redis, mut raw) = (connect(&server.url()).await, raw(&server).await);
    let put = Transaction::new().put(key("k"), "v", None);
    redis.commit(&put).await.expect("written");
    read(&redis, "k").await.expect("read");
    // Now and then something comes on top: whether the server is the primary, how far time has come.
    let (calls, rest) = (200, 40);
    let before = commands(&mut raw).await;
    for _ in 0..calls {
        read(&redis, "k").await.expect("read");
    }
    let reads = commands(&mut raw).await - before;
    assert!(reads <= calls * 2 + rest, "{calls} reads took {reads} commands, not MGET and TIME each");
    let before = commands(&mut raw).await;
    for _ in 0..calls {
        redis.commit(&put).await.expect("written");
    }
    let writes = commands(&mut raw).await - before;
    assert!(
        writes <= calls * 5 + rest,
        "{calls} writes took {writes} commands: a script with MGET, TIME, MSET, PUBLISH"
    );
}
