//! Who gets which message, and in which order.

use super::super::prelude::*;
use crate::failure::here;
use crate::readers::Listener;
use crate::waiting::together;

cases! { Messages "messages";
    a_message_arrives [Messages] MESSAGE_ARRIVES
        "A message reaches those subscribed when it is sent, with its channel and payload";
    a_subscription_is_live_when_it_is_returned [Messages] SUBSCRIPTION_IS_LIVE_WHEN_IT_IS_RETURNED
        "`subscribe` returns once the subscription is live at the server";
    nothing_arrives_from_before [Messages] NOTHING_ARRIVES_FROM_BEFORE
        "A message reaches those subscribed when it is sent, and nobody who subscribes later";
    messages_keep_their_order [Messages] MESSAGES_KEEP_THEIR_ORDER
        "Messages are ordered per publisher and channel";
    each_publisher_keeps_its_order [Messages] MESSAGES_KEEP_THEIR_ORDER
        "Messages are ordered per publisher and channel, whatever others publish";
    own_messages_arrive [Messages] MESSAGE_ARRIVES
        "A message reaches those subscribed when it is sent, the publisher's own handle too";
    each_message_arrives_once [Messages] EACH_MESSAGE_ARRIVES_ONCE
        "At most once: no message is delivered twice to a subscription";
}

#[track_caller]
fn publish(
    driver: &Arc<dyn Driver>,
    channel: &str,
    payload: impl Into<bytes::Bytes>,
) -> impl Future<Output = CaseResult> {
    here(async move {
        driver.publish(&Channel::new(channel)?, payload.into()).await?;
        Ok(())
    })
}

async fn a_message_arrives(ctx: Context) -> CaseResult {
    let mut listener = Listener::open(&ctx.another().await?, "orders").await?;
    publish(&ctx.driver(), "orders", "order 7").await?;
    let message = listener.message().await?;
    ensure_eq!(message.channel.as_str(), "orders", "the message's channel");
    ensure_eq!(message.payload, "order 7", "the message's payload");
    Ok(())
}

async fn a_subscription_is_live_when_it_is_returned(ctx: Context) -> CaseResult {
    let (subscribing, publishing) = (ctx.driver(), ctx.another().await?);
    for n in 0..40 {
        let channel = format!("channel-{n}");
        let pattern = if n % 2 == 0 { channel.clone() } else { format!("chan*-{n}") };
        let mut listener = Listener::open(&subscribing, &pattern).await?;
        publish(&publishing, &channel, "now").await?;
        ensure_eq!(listener.text().await?.0, channel, "the channel of the first message");
    }
    Ok(())
}

async fn nothing_arrives_from_before(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut early = Listener::open(&driver, "c").await?;
    for n in 0..5 {
        publish(&driver, "c", format!("before {n}")).await?;
    }
    // Once another subscriber has seen them, they are not on their way any more.
    for _ in 0..5 {
        early.message().await?;
    }
    let mut late = Listener::open(&driver, "c").await?;
    publish(&driver, "c", "after").await?;
    ensure_eq!(late.text().await?.1, "after", "the first message");
    Ok(())
}

async fn messages_keep_their_order(ctx: Context) -> CaseResult {
    let mut listener = Listener::open(&ctx.another().await?, "c").await?;
    let publisher = ctx.driver();
    for n in 0..300 {
        publish(&publisher, "c", n.to_string()).await?;
    }
    for n in 0..300 {
        ensure_eq!(listener.text().await?.1, n.to_string(), "message {n}");
    }
    Ok(())
}

async fn each_publisher_keeps_its_order(ctx: Context) -> CaseResult {
    const EACH: usize = 100;
    let mut listener = Listener::open(&ctx.driver(), "c*").await?;
    let mut publishers = Vec::new();
    for name in 0..4 {
        let driver = ctx.another().await?;
        publishers.push(async move {
            for n in 0..EACH {
                publish(&driver, &format!("c{}", n % 2), format!("{name} {n:03}")).await?;
            }
            Ok(())
        });
    }
    together(publishers).await?;
    let mut told = Vec::new();
    for _ in 0..4 * EACH {
        told.push(listener.text().await?);
    }
    for publisher in 0..4 {
        for channel in ["c0", "c1"] {
            let of = |(c, text): &&(String, String)| c == channel && text.starts_with(&publisher.to_string());
            let order: Vec<_> = told.iter().filter(of).map(|(_, text)| text).collect();
            ensure_eq!(order.len(), EACH / 2, "the messages of publisher {publisher} on {channel}");
            ensure!(order.is_sorted(), "publisher {publisher} on {channel}: {order:?}");
        }
    }
    Ok(())
}

async fn own_messages_arrive(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut listener = Listener::open(&driver, "c").await?;
    publish(&driver, "c", "mine").await?;
    ensure_eq!(listener.text().await?.1, "mine", "the message");
    Ok(())
}

async fn each_message_arrives_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    // The other subscriptions of the handle match the same messages, in other ways.
    let _exact = Listener::open(&driver, "c/d").await?;
    let _all = Listener::open(&driver, "*").await?;
    let mut listener = Listener::open(&driver, "c*").await?;
    for n in 0..50 {
        publish(&driver, "c/d", n.to_string()).await?;
    }
    for n in 0..50 {
        ensure_eq!(listener.text().await?.1, n.to_string(), "message {n}");
    }
    publish(&driver, "c/d", "last").await?;
    ensure_eq!(listener.text().await?.1, "last", "the message after the last");
    Ok(())
}
