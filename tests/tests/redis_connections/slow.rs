//! Lines over which bytes come slowly, which are not dead, and one that is.

use super::*;
use futures::StreamExt;
use linchpin::{SubscriptionEvent, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

const MIB: usize = 1024 * 1024;

/// Carries bytes to and fro, so many MiB a second each way. Once it is told to be dead nothing comes over what was connected
/// before, and it takes a while to connect anew.
struct Relay {
    url: String,
    dead: watch::Sender<bool>,
    taken: Arc<AtomicUsize>,
}

const A_WHILE: Duration = Duration::from_millis(600);

async fn relay(server: &RedisServer, rate: u32) -> Relay {
    let target = server.url().replace("redis://", "");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let (dead, taken) = (watch::Sender::new(false), Arc::<AtomicUsize>::default());
    let relay = Relay { url, dead: dead.clone(), taken: taken.clone() };
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            taken.fetch_add(1, Ordering::SeqCst);
            let dies = if *dead.borrow() { watch::Sender::new(false) } else { dead.clone() };
            if *dead.borrow() {
                sleep(A_WHILE).await;
            }
            let server = TcpStream::connect(&target).await.expect("connects");
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(carry(from_client, to_server, rate, dies.clone()));
            tokio::spawn(carry(from_server, to_client, rate, dies));
        }
    });
    relay
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    rate: u32,
    dead: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut free = tokio::time::Instant::now();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        free = free.max(tokio::time::Instant::now())
            + Duration::from_secs(1) * u32::try_from(read).expect("few") / (rate * 1_048_576);
        sleep_until(free).await;
        if !*dead.borrow() && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_long_on_its_way_arrives() {
    let server = local(&[]).await;
    let url = relay(&server, 3).await.url;
    let redis = RedisCoordination::connect(config(&url).response_timeout(SOON)).await.expect("connects").driver();
    let put = ["a", "b", "c", "d"].into_iter().fold(Transaction::new(), |all, n| all.put(key(n), vec![7; MIB], None));
    redis.commit(&put).await.expect("written");
    assert_eq!(read(&redis, "d").await.expect("read").expect("there").value.len(), MIB);
}

#[tokio::test]
async fn messages_that_are_long_on_their_way_arrive() {
    let server = local(&[]).await;
    let (near, url) = (connect(&server.url()).await, relay(&server, 3).await.url);
    let far = connect(&url).await;
    let mut messages = far.subscribe(&pattern("c")).await.expect("subscribed");
    for _ in 0..14 {
        near.publish(&channel("c"), vec![7; MIB].into()).await.expect("published");
    }
    for n in 0..14 {
        let event = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end");
        assert!(matches!(event, SubscriptionEvent::Message(_)), "instead of message {n}: {event:?}");
    }
}

#[tokio::test]
async fn a_handle_that_is_closed_while_another_connection_is_tried_leaves_none() {
    let server = local(&[]).await;
    let (relay, mut raw) = (relay(&server, 100).await, raw(&server).await);
    let redis = connect(&relay.url).await;
    let before = relay.taken.load(Ordering::SeqCst);
    relay.dead.send_replace(true);
    let reading = redis.clone();
    let reading = tokio::spawn(async move { read(&reading, "k").await });
    while relay.taken.load(Ordering::SeqCst) == before {
        sleep(Duration::from_millis(5)).await;
    }
    redis.close().await.expect("closed");
    reading.await.expect("no panic").expect_err("closed");
    let alone = async {
        // It is connected by then.
        sleep(A_WHILE * 2).await;
        while ask::<String>(&mut raw, &["CLIENT", "LIST"]).await.lines().count() > 1 {}
    };
    timeout(SOON, alone).await.expect("a connection of a closed handle stays");
}
