//! `publish` and `subscribe`.

use super::super::prelude::*;
use crate::readers::{next_item, next_message};
use std::time::SystemTime;

cases! { Port "port";
    publish_reaches_subscribers [Messages] PUBLISH_REACHES_SUBSCRIBERS
        "`subscribe` to the channels that match a pattern: what is published after this returned arrives, in order";
    messages_tell_when_they_were_published [Messages] MESSAGES_TELL_WHEN_THEY_WERE_PUBLISHED
        "`Message::timestamp`: when it was published, by the publisher's clock";
    payloads_are_untouched [Messages] PAYLOADS_ARE_UNTOUCHED
        "`Message::payload`: the payload as it was published";
    largest_payload [Messages] PAYLOADS_ARE_UNTOUCHED
        "A message has at least 512 KiB of payload on every backend";
    too_large_a_message_is_refused [Messages] TOO_LARGE_A_MESSAGE_IS_REFUSED
        "A value that is not allowed is `InvalidArgument`, before anything is sent";
    a_gap_is_marked_and_the_stream_goes_on [Messages] GAP_IS_MARKED_AND_THE_STREAM_GOES_ON
        "A `Lagged` error in a subscription marks missed messages, and the stream goes on";
    channels_are_the_users_own [Messages] CHANNELS_ARE_THE_USERS_OWN
        "What a user names lives behind the area's prefix, which the user never sees";
}

async fn publish_reaches_subscribers(ctx: Context) -> CaseResult {
    let (publisher, subscriber) = (ctx.port(), ctx.another_port().await?);
    let mut stream = subscriber.subscribe("cache:*").await?;
    publisher.publish("other:user", b"not this").await?;
    for n in 0..50 {
        publisher.publish("cache:user:7", n.to_string().as_bytes()).await?;
    }
    for n in 0..50 {
        let message = next_message(&mut stream).await?;
        ensure_eq!(message.channel, "cache:user:7", "the channel");
        ensure_eq!(message.payload, n.to_string().as_bytes(), "the payload of message {n}");
    }
    Ok(())
}

async fn messages_tell_when_they_were_published(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let mut stream = port.subscribe("c").await?;
    // Timestamps are counted in microseconds.
    let before = SystemTime::now() - Duration::from_micros(1);
    port.publish("c", b"now").await?;
    let after = SystemTime::now();
    let timestamp = next_message(&mut stream).await?.timestamp;
    let in_between = timestamp.is_some_and(|timestamp| before <= timestamp && timestamp <= after);
    ensure!(in_between, "published between {before:?} and {after:?}, the message says {timestamp:?}");
    Ok(())
}

async fn payloads_are_untouched(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let mut stream = port.subscribe("c").await?;
    let all: Vec<u8> = (0..=u8::MAX).collect();
    for payload in [&b""[..], b"\0", b"\x01", &[1; 40], &all, "é🦀".as_bytes()] {
        port.publish("c", payload).await?;
        ensure_eq!(next_message(&mut stream).await?.payload, payload, "the payload");
    }
    Ok(())
}

async fn largest_payload(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let mut stream = port.subscribe("c").await?;
    let payload: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(512 * 1024).collect();
    port.publish("c", &payload).await?;
    ensure!(next_message(&mut stream).await?.payload == payload, "the payload came back as another one");
    Ok(())
}

async fn too_large_a_message_is_refused(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let over = vec![0; ctx.capabilities().limits.message + 1];
    let error = fails_with(port.publish("c", &over).await, ErrorKind::InvalidArgument, "too large a message")?;
    ensure_eq!((error.operation(), error.subject()), ("publish", Some("c")), "operation and channel");
    let acked = port.publish_with_ack("c", &over, Duration::from_secs(1)).await;
    let error = fails_with(acked, ErrorKind::InvalidArgument, "too large a message")?;
    ensure_eq!((error.operation(), error.subject()), ("publish_with_ack", Some("c")), "operation and channel");
    Ok(())
}

async fn a_gap_is_marked_and_the_stream_goes_on(ctx: Context) -> CaseResult {
    const MANY: u64 = 3_000;
    let port = ctx.port();
    let mut stream = port.subscribe("c").await?;
    for n in 0..MANY {
        port.publish("c", n.to_string().as_bytes()).await?;
    }
    let (mut told, mut missed, mut unknown) = (0, 0, false);
    let mut last = None;
    while last != Some(MANY - 1) {
        match next_item(&mut stream).await? {
            Ok(message) => {
                told += 1;
                last = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok());
            }
            Err(error) if error.kind() == ErrorKind::Lagged => match error.missed() {
                Some(count) => missed += count,
                None => unknown = true,
            },
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(unknown || told + missed == MANY, "of {MANY} messages {told} came and {missed} were said to be missed");
    port.publish("c", b"calm again").await?;
    ensure_eq!(next_message(&mut stream).await?.payload, b"calm again", "the message after the gap");
    Ok(())
}

async fn channels_are_the_users_own(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let mut all = port.subscribe("*").await?;
    // Names like those that the port uses itself.
    for channel in ["user/c", "ack/1", "node/n", "c"] {
        port.publish(channel, b"1").await?;
        ensure_eq!(next_message(&mut all).await?.channel, channel, "the channel");
    }
    Ok(())
}
