//! Many who ask at the same time for what is large, over a slow line: what they are told comes in pieces that arrive in time.

use super::{LIMIT, address, connect, key, server};
use futures::future::join_all;
use linchpin::{Driver, Outcome, Result, Transaction, TransactionId};
use linchpin_tests::servers::PostgresServer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep_until;

const MIB: usize = 1024 * 1024;

/// Of what the server says so many bytes a second come through.
const RATE: u32 = 24 * 1024 * 1024;

/// As many values of a MiB as take twice the time that an answer may take.
fn many() -> usize {
    2 * usize::try_from(RATE).expect("a number") * usize::try_from(LIMIT.as_millis()).expect("a number") / 1000 / MIB
}

async fn slow(server: &PostgresServer) -> String {
    let target = address(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let near = listener.local_addr().expect("an address");
    let slow = server.url().replace(&target.to_string(), &near.to_string());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target).await.expect("connects");
            let ((mut asks, hears), (says, mut told)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { copy(&mut asks, &mut told).await });
            tokio::spawn(carry(says, hears));
        }
    });
    slow
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
    let mut buffer = vec![0; 64 * 1024];
    let mut free = tokio::time::Instant::now();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let takes = Duration::from_secs(1) * u32::try_from(read).expect("few") / RATE;
        free = free.max(tokio::time::Instant::now()) + takes;
        sleep_until(free).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Values of a MiB at so many keys, and a handle at the end of a slow line.
async fn filled(server: &PostgresServer, count: usize) -> Arc<dyn Driver> {
    let near = connect(&server.url()).await;
    for n in 0..count {
        near.commit(&Transaction::new().put(key(&n.to_string()), vec![7; MIB], None)).await.expect("a commit");
    }
    connect(&slow(server).await).await
}

async fn lengths<T>(calls: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Vec<T> {
    join_all(calls).await.into_iter().map(|answer| answer.expect("in time")).collect()
}

#[tokio::test]
async fn reads_of_large_values_do_not_fail_together() {
    let server = server().await;
    let postgres = filled(&server, many()).await;
    let get = async |n: usize| postgres.get(&[key(&n.to_string())]).await;
    let entry = |snapshot: linchpin::Snapshot| snapshot.entries.into_iter().flatten().next().expect("it is there");

    let started = Instant::now();
    for snapshot in lengths((0..many()).map(|_| get(0))).await {
        assert_eq!(entry(snapshot).value.len(), MIB);
    }
    assert!(started.elapsed() < LIMIT, "the same value is told once: {:?}", started.elapsed());
    for (n, snapshot) in lengths((0..many()).map(get)).await.into_iter().enumerate() {
        let entry = entry(snapshot);
        assert_eq!((entry.key, entry.value.len()), (key(&n.to_string()), MIB));
    }
    // Who asks for several is told all of one moment.
    let several = postgres.get(&["0", "none", "1", "2", "0"].map(key)).await.expect("in time");
    let lengths: Vec<_> = several.entries.iter().map(|entry| entry.as_ref().map(|entry| entry.value.len())).collect();
    assert_eq!(lengths, [Some(MIB), None, Some(MIB), Some(MIB), Some(MIB)]);
}

#[tokio::test]
async fn refusals_by_large_values_do_not_fail_together() {
    let server = server().await;
    let postgres = filled(&server, many()).await;
    let refused = async |transaction: Transaction| match postgres.commit(&transaction).await? {
        Outcome::Refused { found: Some(entry), .. } => Ok(entry),
        other => panic!("{other:?}"),
    };
    let create = |n: usize| Transaction::new().absent(key(&n.to_string())).put(key("new"), "v", None);

    let started = Instant::now();
    for entry in lengths((0..many()).map(|_| refused(create(0)))).await {
        assert_eq!(entry.value.len(), MIB);
    }
    assert!(started.elapsed() < LIMIT, "the same value is told once: {:?}", started.elapsed());
    // Whether they are remembered or not; and who needs nothing of it does not wait for all.
    let transaction = |n| if n % 2 == 0 { create(n) } else { create(n).with_id(TransactionId::random()) };
    let refusals = lengths((0..many()).map(|n| refused(transaction(n))));
    let other = async {
        let started = Instant::now();
        postgres.commit(&Transaction::new().put(key("other"), "v", None)).await.expect("a commit");
        started.elapsed()
    };
    let (entries, took) = tokio::join!(refusals, other);
    assert!(took < LIMIT, "it waited for {took:?}");
    for (n, entry) in entries.into_iter().enumerate() {
        assert_eq!((entry.key, entry.value.len()), (key(&n.to_string()), MIB));
    }
}

#[tokio::test]
async fn what_refused_is_told_as_it_was_then() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let create = || Transaction::new().absent(key("k"));
    let under = || Transaction::new().prefix_absent(key("k"));
    let writes = [
        // Those that wait while this is on its way go together.
        Transaction::new().put(key("first"), "v", None),
        Transaction::new().put(key("k"), "1", None),
        Transaction::new().put(key("k"), "2", None),
        Transaction::new().add(key("k"), 5, None),
    ];
    let write = |n: usize| postgres.commit(&writes[n]);
    let refused = async |transaction: Transaction| match postgres.commit(&transaction).await.expect("a commit") {
        Outcome::Refused { found: Some(entry), .. } => String::from_utf8(entry.value.to_vec()).expect("text"),
        other => panic!("{other:?}"),
    };
    let (_, _, one, also_one, _, two, _, sum, also_sum) = tokio::join!(
        write(0),
        write(1),
        refused(create()),
        refused(under()),
        write(2),
        refused(create()),
        write(3),
        refused(under()),
        refused(create()),
    );
    assert_eq!([one, also_one, two, sum, also_sum], ["1", "1", "2", "7", "7"]);
}
