use crate::{append, claim, key, millis, open, open_port, private, put, read, told};
use futures::StreamExt;
use linchpin_core::{Channel, Pattern, Range, Record, SubscriptionEvent};
use std::time::Duration;

#[tokio::test]
async fn handles_share_a_namespace_by_name_and_nothing_else() {
    let one = open("memory://sharing?namespace=a").await;
    let same = open("memory://sharing?namespace=a").await;
    put(&one, "k", "1", None).await;
    append(&one, Record::new("r")).await;
    assert_eq!(read(&same, "k").await, read(&one, "k").await);
    assert_eq!(same.claim(&claim()).await.expect("claimed").len(), 1);

    let subscription = &mut same.subscribe(&Pattern::new("*").expect("valid")).await.expect("subscribed");
    let channel = Channel::new("c").expect("valid");
    assert_eq!(one.publish(&channel, "hello".into()).await.expect("published").at_most, Some(1));
    assert!(matches!(subscription.next().await, Some(Ok(SubscriptionEvent::Message(m))) if m.payload == "hello"));

    for other in [
        open("memory://sharing?namespace=b").await,
        open("memory://other?namespace=a").await,
        open("memory://?namespace=a").await,
        private(),
    ] {
        assert_eq!(read(&other, "k").await, None, "{other:?}");
        assert_eq!(other.publish(&channel, "hello".into()).await.expect("published").at_most, Some(0));
    }
    let private = private();
    put(&private, "k", "2", None).await;
    assert!(read(&private.clone(), "k").await.is_some(), "clones are the same handle");
}

#[tokio::test]
async fn state_goes_with_the_last_handle() {
    let first = open("memory://last").await;
    let second = open("memory://last").await;
    put(&first, "k", "1", None).await;
    let before = read(&first, "k").await.expect("present").version;
    drop(first);
    assert!(read(&second, "k").await.is_some());
    drop(second);
    let third = open("memory://last").await;
    assert_eq!(read(&third, "k").await, None);
    put(&third, "k", "1", None).await;
    assert!(read(&third, "k").await.expect("present").version > before, "revisions follow the clock");
}

#[tokio::test(start_paused = true)]
async fn streams_outlive_the_handle_that_opened_them() {
    let handle = open("memory://outlive").await;
    let mut watch = handle.watch(&Range::all()).await.expect("watches");
    let mut subscription = handle.subscribe(&Pattern::new("c").expect("valid")).await.expect("subscribed");
    put(&handle, "k", "1", Some(1000)).await;
    drop(handle);
    let other = open("memory://outlive").await;
    assert_eq!(read(&other, "k").await.map(|entry| entry.key), Some(key("k")), "they keep the namespace open");
    other.publish(&Channel::new("c").expect("valid"), "hello".into()).await.expect("published");
    drop(other);
    assert!(matches!(subscription.next().await, Some(Ok(SubscriptionEvent::Message(_)))));
    let events = [told(&mut watch).await, told(&mut watch).await, told(&mut watch).await];
    assert_eq!(events, ["synced", "+k=1", "-k"]);
}

#[tokio::test]
async fn the_sweeper_ends_with_its_namespace() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let memory = private();
    assert_eq!(tasks(), 0, "started when there is something to expire");
    put(&memory, "k", "1", Some(3_600_000)).await;
    let clone = memory.clone();
    drop(memory);
    tokio::task::yield_now().await;
    assert_eq!((tasks(), read(&clone, "k").await.is_some()), (1, true));
    drop(clone);
    tokio::time::timeout(Duration::from_secs(10), async {
        while tasks() > 0 {
            tokio::time::sleep(millis(1)).await;
        }
    })
    .await
    .expect("the task ends");
}

#[tokio::test]
async fn debug_shows_no_payload() {
    let memory = open_port("memory://shown?namespace=orders").await;
    put(&memory.driver(), "k", "canary", None).await;
    let shown = format!("{memory:?}");
    assert!(shown.contains("shown") && shown.contains("orders") && !shown.contains("canary"), "{shown}");
}
