//! Subscriptions: many at once, those that overlap, those of another database, and what comes after a gap.

use super::*;
use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use linchpin::{Subscription, SubscriptionEvent};
use linchpin_conformance::{Direction, Proxy};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

async fn proxy(server: &RedisServer) -> Proxy {
    Proxy::start(server.url().replace("redis://", "").parse().expect("an address")).await.expect("a port")
}

async fn next(messages: &mut Subscription) -> SubscriptionEvent {
    timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no end")
}

fn number(event: &SubscriptionEvent) -> Option<u64> {
    let SubscriptionEvent::Message(message) = event else { return None };
    Some(String::from_utf8_lossy(&message.payload).parse().expect("a number"))
}

/// Publishes numbers, in turn on these channels, until it is aborted.
async fn counting(server: &RedisServer, channels: &'static [&'static str]) -> JoinHandle<()> {
    let publisher = connect(&server.url()).await;
    tokio::spawn(async move {
        for n in 0_u64.. {
            let channel = channel(channels[usize::try_from(n).expect("small") % channels.len()]);
            publisher.publish(&channel, n.to_string().into()).await.expect("published");
            sleep(Duration::from_millis(1)).await;
        }
    })
}

#[tokio::test]
async fn many_subscriptions_at_once_take_no_turns_and_leave_nothing() {
    let server = local(&[]).await;
    let proxy = proxy(&server).await;
    proxy.delay(Direction::Answers, Duration::from_millis(10));
    let redis = connect(&format!("redis://{}", proxy.address())).await;
    let names: Vec<_> = (0..5000).map(|n| pattern(&format!("c/{n}"))).collect();
    let started = Instant::now();
    let subscriptions = try_join_all(names.iter().map(|name| redis.subscribe(name))).await;
    let subscriptions = subscriptions.unwrap_or_else(|error| panic!("after {:?}: {error}", started.elapsed()));
    let mut raw = raw(&server).await;
    let at_the_server = async |raw: &mut MultiplexedConnection| {
        ask::<Vec<String>>(raw, &["PUBSUB", "CHANNELS", "linchpin:{default}:*"]).await.len()
    };
    assert_eq!(at_the_server(&mut raw).await, 5000);
    drop(subscriptions);
    let none = async { while at_the_server(&mut raw).await > 0 {} };
    timeout(SOON, none).await.expect("subscriptions that nobody reads stay at the server");
    // Whoever gave up is not served, and holds up nobody.
    proxy.delay(Direction::Answers, Duration::from_millis(300));
    let impatient = names.iter().map(|name| timeout(Duration::from_millis(1), redis.subscribe(name)));
    assert!(join_all(impatient).await.iter().all(Result::is_err));
    proxy.mend();
    let mut last = redis.subscribe(&pattern("last")).await.expect("subscribed");
    redis.publish(&channel("last"), "1".into()).await.expect("published");
    assert_eq!(number(&next(&mut last).await), Some(1));
    let one = async { while at_the_server(&mut raw).await > 1 {} };
    timeout(SOON, one).await.expect("subscriptions that nobody waited for stay at the server");
}

#[tokio::test]
async fn databases_do_not_hear_each_other() {
    let server = local(&[]).await;
    let (zero, one) = (connect(&server.url()).await, connect(&format!("{}/1", server.url())).await);
    let mut messages = one.subscribe(&pattern("*")).await.expect("a subscription");
    let mut events = one.watch(&linchpin::Range::all()).await.expect("a watch");
    events.next().await.expect("open").expect("synced");
    let reach = zero.publish(&channel("c"), "0".into()).await.expect("published");
    assert_eq!(reach.at_most, Some(0));
    let put = |value: &'static str| linchpin::Transaction::new().put(key("k"), value, None);
    zero.commit(&put("0")).await.expect("written");
    one.publish(&channel("c"), "1".into()).await.expect("published");
    one.commit(&put("1")).await.expect("written");
    assert_eq!(number(&next(&mut messages).await), Some(1));
    let event = timeout(SOON, events.next()).await.expect("in time").expect("open").expect("no end");
    assert!(matches!(&event, linchpin::WatchEvent::Put(entry) if entry.value == "1"), "{event:?}");
}

#[tokio::test]
async fn a_subscription_begins_at_one_message_and_misses_none_after_it() {
    let server = local(&[]).await;
    let proxy = proxy(&server).await;
    proxy.delay(Direction::Requests, Duration::from_millis(20));
    let redis = connect(&format!("redis://{}", proxy.address())).await;
    let counting = counting(&server, &["ab", "ac"]).await;
    for _ in 0..5 {
        let mut narrow = redis.subscribe(&pattern("ab")).await.expect("a subscription");
        next(&mut narrow).await;
        // The server sends one of its channels already, and the other one only from when on it is asked.
        let mut wide = redis.subscribe(&pattern("a*")).await.expect("a subscription");
        let first = number(&next(&mut wide).await).expect("a message");
        for n in 1..20 {
            assert_eq!(number(&next(&mut wide).await), Some(first + n), "the first was {first}");
        }
    }
    counting.abort();
}

#[tokio::test]
async fn the_gap_stands_before_what_comes_after_it() {
    let server = local(&[]).await;
    let proxy = proxy(&server).await;
    let redis = connect(&format!("redis://{}", proxy.address())).await;
    let mut messages = redis.subscribe(&pattern("*")).await.expect("a subscription");
    let counting = counting(&server, &["c"]).await;
    let mut last = number(&next(&mut messages).await).expect("a message");
    for _ in 0..5 {
        proxy.cut();
        sleep(Duration::from_millis(30)).await;
        proxy.mend();
        let mut gap = false;
        loop {
            let event = next(&mut messages).await;
            let Some(now) = number(&event) else {
                gap = true;
                continue;
            };
            assert!(gap || now == last + 1, "{now} came after {last}, and no gap between");
            last = now;
            if gap {
                break;
            }
        }
    }
    counting.abort();
}
