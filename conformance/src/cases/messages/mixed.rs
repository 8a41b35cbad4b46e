//! Messages of different sizes, and subscriptions that begin while others are receiving.

use super::super::prelude::*;
use crate::readers::Listener;
use bytes::Bytes;

cases! { Messages "messages";
    small_and_large_messages_keep_their_order [Messages] MESSAGES_KEEP_THEIR_ORDER
        "Messages are ordered per publisher and channel, small and large ones among each other";
    a_second_subscription_hears_nothing_from_before [Messages] NOTHING_ARRIVES_FROM_BEFORE
        "A message reaches nobody who subscribes later, though its handle is receiving that very channel";
}

async fn small_and_large_messages_keep_their_order(ctx: Context) -> CaseResult {
    const MESSAGES: usize = 40;
    let mut listener = Listener::open(&ctx.another().await?, "c").await?;
    let (driver, channel) = (ctx.driver(), Channel::new("c")?);
    let sizes = [8, 100_000.min(ctx.capabilities().limits.message), 8, 5_000, 300];
    for n in 0..MESSAGES {
        let mut payload = format!("{n:03}").into_bytes();
        payload.resize(sizes[n % sizes.len()], b'.');
        driver.publish(&channel, Bytes::from(payload)).await?;
    }
    for n in 0..MESSAGES {
        let payload = listener.message().await?.payload;
        let told = String::from_utf8_lossy(&payload[..3.min(payload.len())]).into_owned();
        ensure_eq!(told, format!("{n:03}"), "the number of a message, after {n} that came in order");
        ensure_eq!(payload.len(), sizes[n % sizes.len()], "the length of message {n}");
    }
    Ok(())
}

async fn a_second_subscription_hears_nothing_from_before(ctx: Context) -> CaseResult {
    const BEFORE: usize = 20;
    let (driver, publisher) = (ctx.driver(), ctx.another().await?);
    for (round, second) in ["c", "c*", "*", "c", "c?"].into_iter().enumerate() {
        let name = format!("c{round}");
        let (channel, second) = (Channel::new(&name)?, second.replace('c', if second == "c" { &name } else { "c" }));
        // It is receiving, and is not read.
        let mut first = Listener::open(&driver, &name).await?;
        for n in 0..BEFORE {
            publisher.publish(&channel, format!("before {n}").into()).await?;
        }
        let mut late = Listener::open(&driver, &second).await?;
        publisher.publish(&channel, "after".into()).await?;
        ensure_eq!(late.text().await?.1, "after", "the first message of a later subscription to {second:?}");
        for n in 0..BEFORE {
            ensure_eq!(first.text().await?.1, format!("before {n}"), "what the first subscription is told");
        }
        ensure_eq!(first.text().await?.1, "after", "what the first subscription is told at last");
    }
    Ok(())
}
